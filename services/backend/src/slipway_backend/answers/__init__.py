"""Answers with numbered citations: extracted from passages, or written by a language model.

The mode is set by configuration. A failing model is an error that the client sees; extraction
never stands in for it.
"""

from __future__ import annotations

from slipway_backend.answers.answerer import (
    Answer,
    Answerer,
    Citation,
    Delta,
    Mode,
    Sources,
)
from slipway_backend.answers.history import Turn
from slipway_backend.answers.prompts import NOTHING_FOUND

__all__ = ["NOTHING_FOUND", "Answer", "Answerer", "Citation", "Delta", "Mode", "Sources", "Turn"]

"""The language model: any server that speaks OpenAI's chat completions.

Nothing here knows of passages. Every failure is one Problem whose ``cause`` says which kind it is.
"""

from __future__ import annotations

from slipway_backend.llm.client import LanguageModel
from slipway_backend.llm.completion import Completion, Message, Part, Usage

__all__ = ["Completion", "LanguageModel", "Message", "Part", "Usage"]

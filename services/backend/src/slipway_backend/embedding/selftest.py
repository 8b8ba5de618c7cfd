"""The self-test of a loaded model: texts whose vectors are known, embedded once at start-up."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_REFERENCE = Path(__file__).with_name("reference.json")


@dataclass(frozen=True)
class Agreement:
    """Cosines between a runtime's vectors and the stored ones: the least, and their mean."""

    least: float
    mean: float

    def __str__(self) -> str:
        """For a log line."""
        return f"least cosine {self.least:.5f}, mean {self.mean:.5f}"


@dataclass(frozen=True)
class Bounds:
    """What an agreement must reach."""

    least: float
    mean: float

    def met_by(self, found: Agreement) -> bool:
        """Whether it does; cosines that are no numbers never do."""
        return found.least >= self.least and found.mean >= self.mean


#: A fault of a runtime or a processor is far below; a change of one number's last digit in the int8
#: model gives 0.9995 and 0.9998 (docs/decisions/0016-two-embedding-runtimes.md).
SOUND = Bounds(least=0.998, mean=0.999)
#: Activations that are not rounded as the graph says give 0.9995 on average.
SAME_ARITHMETIC = Bounds(least=0.999, mean=0.9997)


def agreement(
    embed: Callable[[Sequence[str]], NDArray[np.float32]], *, weights_sha256: str, precision: str
) -> Agreement | None:
    """Embed the stored texts and compare; None when nothing is stored for this model.

    The stored vectors were computed once by ONNX Runtime with the graph of each precision.
    """
    stored = json.loads(_REFERENCE.read_text(encoding="utf-8"))
    if stored["weights_sha256"] != weights_sha256 or precision not in stored["vectors"]:
        return None
    texts = stored["texts"]
    expected = np.array(stored["vectors"][precision], dtype=np.float32)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    cosines = (embed(texts) * expected).sum(axis=1)
    return Agreement(float(cosines.min()), float(cosines.mean()))

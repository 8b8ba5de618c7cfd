"""What computes the builtin model's graph inside a process: ONNX Runtime or OpenVINO.

Both carry out the same arithmetic, which the graph prescribes, so that their vectors may meet in
one index: docs/decisions/0016-two-embedding-runtimes.md.
"""

from __future__ import annotations

from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

RuntimeName = Literal["onnxruntime", "openvino"]
RuntimeChoice = Literal["auto", "onnxruntime", "openvino"]
CHOICES: tuple[RuntimeChoice, ...] = get_args(RuntimeChoice)


class RuntimeUnusable(Exception):
    """A runtime is not installed, or cannot load or compute the graph; the message says which."""


class Runtime(Protocol):
    """A loaded graph. Several threads may call at once."""

    name: RuntimeName
    length_step: int
    """Batches are padded to a multiple of so many tokens: fewer lengths need less memory."""

    def run(self, identifiers: NDArray[np.int64], mask: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return one vector per row. Raises RuntimeUnusable when the graph cannot be computed."""

"""The precisions that the builtin model is built in."""

from __future__ import annotations

from enum import StrEnum


class Precision(StrEnum):
    """How the weights are stored and multiplied."""

    FP32 = "fp32"
    INT8 = "int8"

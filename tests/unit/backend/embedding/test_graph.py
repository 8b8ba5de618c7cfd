"""The graph computes what the original library computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from slipway_backend.embedding.builtin import BuiltinEmbedder

# Computed once by the original library, named in the file, with 6 digits.
CASES = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))["cases"]
BY_NAME = [pytest.param(case, id=case["case"].replace(" ", "-")) for case in CASES]


def cosine(one: NDArray[np.float32], other: list[float]) -> float:
    expected = np.array(other)
    return float(one @ expected / (np.linalg.norm(one) * np.linalg.norm(expected)))


@pytest.mark.parametrize("case", BY_NAME)
def test_fp32_gives_the_original_librarys_vector(
    exact_embedder: BuiltinEmbedder, case: dict[str, object]
) -> None:
    assert cosine(exact_embedder.embed([case["text"]])[0], case["vector"]) >= 0.9999


@pytest.mark.parametrize("case", BY_NAME)
def test_int8_stays_close_to_the_original_librarys_vector(
    embedder: BuiltinEmbedder, case: dict[str, object]
) -> None:
    assert cosine(embedder.embed([case["text"]])[0], case["vector"]) >= 0.995


def test_int8_is_on_average_within_a_thousandth(embedder: BuiltinEmbedder) -> None:
    vectors = embedder.embed([case["text"] for case in CASES])
    cosines = [cosine(vector, case["vector"]) for vector, case in zip(vectors, CASES, strict=True)]
    assert np.mean(cosines) >= 0.999


def test_int8_takes_a_quarter_of_the_room(model_directory: Path, exact_directory: Path) -> None:
    small, large = (
        (folder / "model.onnx").stat().st_size for folder in (model_directory, exact_directory)
    )
    assert small < 0.3 * large

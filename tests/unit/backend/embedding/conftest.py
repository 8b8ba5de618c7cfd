from __future__ import annotations

import os
from pathlib import Path

import pytest

from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.model import build_model
from slipway_backend.embedding.precision import Precision
from slipway_backend.embedding.runtimes.openvino import is_fast_here


@pytest.fixture(scope="session")
def model_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The int8 model, built once per session: in SLIPWAY_MODEL_CACHE when that is set."""
    cache = os.environ.get("SLIPWAY_MODEL_CACHE")
    directory = Path(cache) if cache else tmp_path_factory.mktemp("model")
    # Building takes about a second and proves that the cache holds what this tree builds.
    build_model(directory, precision=Precision.INT8)
    return directory


@pytest.fixture(scope="session")
def exact_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The fp32 model, built once per session."""
    directory = tmp_path_factory.mktemp("exact")
    build_model(directory, precision=Precision.FP32)
    return directory


NEEDS_OPENVINO = pytest.mark.skipif(
    not is_fast_here(Precision.INT8),
    reason="OpenVINO computes the int8 model only with AVX-512 VNNI",
)


@pytest.fixture(
    scope="session", params=["onnxruntime", pytest.param("openvino", marks=NEEDS_OPENVINO)]
)
def embedder(model_directory: Path, request: pytest.FixtureRequest) -> BuiltinEmbedder:
    """The int8 model, on each runtime in turn."""
    return BuiltinEmbedder(model_directory, runtime=request.param)


@pytest.fixture(scope="session")
def exact_embedder(exact_directory: Path) -> BuiltinEmbedder:
    return BuiltinEmbedder(exact_directory)

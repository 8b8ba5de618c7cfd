"""Which runtime computes the builtin model, and that both give vectors of one embedding set."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from slipway_backend.embedding import builtin, selftest
from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.folder import ModelUnusable
from slipway_backend.embedding.precision import Precision
from slipway_backend.embedding.provider import load_embedder, load_stored
from slipway_backend.embedding.runtimes import openvino
from slipway_backend.embedding.selftest import SAME_ARITHMETIC, SOUND, Agreement
from slipway_backend.errors import StartRefused
from slipway_backend.settings import Settings

NEEDS_OPENVINO = pytest.mark.skipif(
    not openvino.is_fast_here(Precision.INT8),
    reason="OpenVINO computes the int8 model only with AVX-512 VNNI",
)
NEEDS_AMX = pytest.mark.skipif(
    not openvino.is_fast_here(Precision.FP32), reason="multiplying bf16 is emulated without AMX"
)
TEXTS = json.loads(selftest._REFERENCE.read_text(encoding="utf-8"))["texts"]


@NEEDS_OPENVINO
def test_both_runtimes_serve_one_embedding_set(model_directory: Path) -> None:
    one = BuiltinEmbedder(model_directory, runtime="onnxruntime")
    other = BuiltinEmbedder(model_directory, runtime="openvino")
    assert (one.runtime, other.runtime) == ("onnxruntime", "openvino")
    assert one.fingerprint == other.fingerprint
    cosines = (one.embed(TEXTS) * other.embed(TEXTS)).sum(axis=1)
    assert cosines.min() >= SAME_ARITHMETIC.least
    assert cosines.mean() >= SAME_ARITHMETIC.mean


@NEEDS_OPENVINO
def test_where_the_processor_is_made_for_it_openvino_is_chosen(model_directory: Path) -> None:
    assert BuiltinEmbedder(model_directory).runtime == "openvino"


@NEEDS_AMX
def test_the_exact_model_on_both_runtimes_serves_one_embedding_set_too(
    exact_directory: Path,
) -> None:
    one = BuiltinEmbedder(exact_directory, runtime="onnxruntime")
    other = BuiltinEmbedder(exact_directory)
    assert (one.runtime, other.runtime) == ("onnxruntime", "openvino")
    assert one.fingerprint == other.fingerprint
    cosines = (one.embed(TEXTS) * other.embed(TEXTS)).sum(axis=1)
    assert cosines.min() >= SAME_ARITHMETIC.least
    assert cosines.mean() >= SAME_ARITHMETIC.mean


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        ("fpu sse2 avx2 avx_vnni avx512f avx512_bf16", []),
        ("fpu sse2 avx2 avx512f avx512_vnni avx512_bf16", [Precision.INT8]),
        ("fpu sse2 avx2 avx512f avx512_vnni amx_bf16 amx_tile", [Precision.INT8, Precision.FP32]),
    ],
)
def test_the_processors_flags_say_for_which_model_openvino_is_fast(
    tmp_path: Path, flags: str, fast: list[Precision]
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\n", encoding="ascii")
    found = {each for each in Precision if openvino.is_fast_here(each, tmp_path / "cpuinfo")}
    assert found == set(fast)


def test_a_system_that_tells_nothing_of_its_processor_has_the_runtime_that_runs_everywhere(
    tmp_path: Path, model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not openvino.is_fast_here(Precision.INT8, tmp_path / "nowhere")
    monkeypatch.setattr(builtin, "is_fast_here", lambda _: False)
    assert BuiltinEmbedder(model_directory).runtime == "onnxruntime"


def test_without_amx_the_exact_model_runs_on_onnx_runtime_which_is_as_fast(
    exact_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtin, "is_fast_here", lambda precision: precision == Precision.INT8)
    assert BuiltinEmbedder(exact_directory).runtime == "onnxruntime"


@NEEDS_OPENVINO
def test_activations_that_are_not_rounded_as_the_graph_says_are_found_out(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino, "_BLOCK", 0)
    assert BuiltinEmbedder(model_directory).runtime == "onnxruntime"
    with pytest.raises(ModelUnusable, match=r"other vectors than it should .* EMBEDDING_RUNTIME"):
        BuiltinEmbedder(model_directory, runtime="openvino")


def test_where_openvino_is_not_installed_auto_does_without_it(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(builtin, "is_fast_here", lambda _: True)
    assert BuiltinEmbedder(model_directory).runtime == "onnxruntime"
    with pytest.raises(ModelUnusable, match="OpenVINO is not installed: set EMBEDDING_RUNTIME"):
        BuiltinEmbedder(model_directory, runtime="openvino")


def test_a_model_that_gives_wrong_vectors_on_this_processor_is_refused(
    model_directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads(selftest._REFERENCE.read_text(encoding="utf-8"))
    stored["texts"] = stored["texts"][::-1]
    (tmp_path / "reference.json").write_text(json.dumps(stored), encoding="utf-8")
    monkeypatch.setattr(selftest, "_REFERENCE", tmp_path / "reference.json")
    with pytest.raises(ModelUnusable, match="other vectors on this processor"):
        BuiltinEmbedder(model_directory, runtime="onnxruntime")


def test_vectors_that_are_no_numbers_meet_no_bound() -> None:
    nothing = Agreement(float("nan"), float("nan"))
    assert not SOUND.met_by(nothing)
    assert not SAME_ARITHMETIC.met_by(nothing)


def test_a_model_without_stored_vectors_runs_on_the_runtime_that_defines_it(
    model_directory: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(model_directory, tmp_path / "model"))
    description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    description["weights_sha256"] = "0" * 64
    (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
    assert BuiltinEmbedder(folder).runtime == "onnxruntime"


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=NEEDS_OPENVINO)])
def test_the_setting_chooses_the_runtime(model_directory: Path, runtime: str) -> None:
    settings = Settings(model_directory=model_directory, embedding_runtime=runtime)
    embedder = load_embedder(settings)
    assert embedder.runtime == runtime
    stored = load_stored(settings, embedder.fingerprint)
    assert stored is not None
    assert stored.runtime == runtime


def test_a_runtime_that_there_is_not_is_refused_with_those_that_there_are(
    model_directory: Path,
) -> None:
    settings = Settings(model_directory=model_directory, embedding_runtime="torch")
    with pytest.raises(StartRefused, match="auto, onnxruntime, openvino"):
        load_embedder(settings)


def test_for_a_server_the_setting_is_a_label() -> None:
    server = {"embedding_base_url": "http://127.0.0.1:9/v1", "embedding_model": "m"}
    assert load_embedder(Settings.model_validate(server)).runtime == "openai-compatible"
    labelled = Settings.model_validate(server | {"embedding_runtime": "ollama"})
    assert load_embedder(labelled).runtime == "ollama"


def test_short_and_long_texts_share_no_batch_that_would_be_padded_beyond_measure() -> None:
    lengths = [3, 256, 9, 200, 3, 64, 70, 64, 5, 5, 5, 5, 5, 5, 5]
    tokens = [[0] * length for length in lengths]
    batches = list(builtin._batches(tokens))
    assert sorted(place for batch in batches for place in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[place] for place in batch)
        assert len(batch) <= 8
        assert len(batch) * longest <= max(512, longest)
    assert np.array_equal([len(batch) for batch in batches], [8, 5, 2])

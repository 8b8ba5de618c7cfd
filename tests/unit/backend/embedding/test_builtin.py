"""What callers may rely on when they turn texts into vectors."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.folder import ModelUnusable
from slipway_backend.embedding.model import build_model
from slipway_backend.embedding.selftest import SAME_ARITHMETIC

MIXED = [
    "The warranty covers six years or 30,000 operating hours, whichever comes first. " * 6,
    "rope",
    "",
    "Work on the towers stops when the wind meter shows gusts above 45 km/h.",
    "Ähnliche Wörter, andere Sprache.",
    "A flight is paid only when the train would take longer than seven hours. " * 30,
] * 2


def test_rows_keep_the_order_of_the_texts_and_have_length_one(embedder: BuiltinEmbedder) -> None:
    vectors = embedder.embed(MIXED)
    assert vectors.shape == (len(MIXED), embedder.dimension) == (12, 384)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(vectors[:6], vectors[6:12], atol=1e-5)


def test_a_vector_does_not_depend_on_the_other_texts(
    embedder: BuiltinEmbedder, exact_embedder: BuiltinEmbedder
) -> None:
    for each in (embedder, exact_embedder):
        alone = np.concatenate([each.embed([text]) for text in MIXED])
        cosines = (each.embed(MIXED) * alone).sum(axis=1)
        # A kernel for another shape may add in another order, and a byte then round the other way.
        assert cosines.min() >= SAME_ARITHMETIC.least


def test_no_text_gives_no_row(embedder: BuiltinEmbedder) -> None:
    assert embedder.embed([]).shape == (0, 384)


def test_a_paraphrase_is_nearer_than_another_subject(embedder: BuiltinEmbedder) -> None:
    question, answer, other = embedder.embed(
        [
            "Which grease belongs in the sheave bearings?",
            "The bearings behind the liners are filled with a blue lithium lubricant.",
            "Hotels are paid against the receipt up to the limit in the table.",
        ]
    )
    assert question @ answer > question @ other + 0.2


def test_text_beyond_the_maximum_changes_nothing(embedder: BuiltinEmbedder) -> None:
    # "rope" is one token; two more places go to the special tokens.
    readable = " ".join(["rope"] * (embedder.maximum_tokens - 2))
    whole, cut, shorter = embedder.embed(
        [readable, f"{readable} grease and thunder", readable.removesuffix(" rope")]
    )
    np.testing.assert_allclose(whole, cut, atol=1e-5)
    assert not np.allclose(whole, shorter, atol=1e-5)


def test_tokens_are_counted_without_special_ones_and_beyond_the_maximum(
    embedder: BuiltinEmbedder,
) -> None:
    assert embedder.count_tokens("") == 0
    assert embedder.count_tokens("rope") == 1
    assert embedder.count_tokens("rope " * 1000) == 1000


def test_the_name_tells_precisions_apart(
    embedder: BuiltinEmbedder, exact_embedder: BuiltinEmbedder
) -> None:
    assert embedder.name == "all-MiniLM-L6-v2-int8"
    assert exact_embedder.name == "all-MiniLM-L6-v2-fp32"


def test_threads_may_share_one_embedder(embedder: BuiltinEmbedder) -> None:
    expected = embedder.embed(MIXED)
    with ThreadPoolExecutor(3) as pool:
        for vectors in pool.map(embedder.embed, [MIXED] * 3):
            np.testing.assert_allclose(vectors, expected, atol=1e-4)


def test_a_graph_that_the_runtime_cannot_load_names_the_command(tmp_path: Path) -> None:
    rubbish = b"not a graph"
    description = build_model(tmp_path)
    (tmp_path / "model.onnx").write_bytes(rubbish)
    files = {**description.files, "model.onnx": hashlib.sha256(rubbish).hexdigest()}
    (tmp_path / "model.json").write_text(
        replace(description, files=files).to_json(), encoding="utf-8"
    )
    with pytest.raises(ModelUnusable, match=r"python -m slipway_backend\.embedding\.model"):
        BuiltinEmbedder(tmp_path)


def test_embedding_needs_none_of_the_packages_that_build_the_model(model_directory: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "sys.modules.update(dict.fromkeys(['onnx', 'safetensors', 'huggingface_hub']))\n"
        "from slipway_backend.embedding.builtin import BuiltinEmbedder\n"
        "print(BuiltinEmbedder(pathlib.Path(sys.argv[1])).embed(['rope']).shape)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(model_directory)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "(1, 384)\n"), done.stderr

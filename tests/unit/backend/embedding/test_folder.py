"""A model folder is used only when it is whole; otherwise one sentence names the way out."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from slipway_backend.embedding.builtin import BuiltinEmbedder
from slipway_backend.embedding.folder import ModelUnusable


@pytest.fixture
def copy(model_directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(model_directory, tmp_path / "model"))


def refusal(directory: Path) -> str:
    with pytest.raises(ModelUnusable) as caught:
        BuiltinEmbedder(directory)
    message = str(caught.value)
    assert f"`python -m slipway_backend.embedding.model {directory}`" in message
    assert "\n" not in message
    return message


def test_a_missing_folder_is_named_with_the_command_that_builds_it(tmp_path: Path) -> None:
    assert f"no embedding model in {tmp_path / 'nowhere'}" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_single_changed_byte_is_refused(copy: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert str(copy / name) in refusal(copy)


def test_a_missing_file_is_refused(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    assert "No such file" in refusal(copy)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "another"}'])
def test_a_description_of_something_else_is_refused(copy: Path, text: str) -> None:
    (copy / "model.json").write_text(text, encoding="utf-8")
    assert "does not describe an embedding model" in refusal(copy)

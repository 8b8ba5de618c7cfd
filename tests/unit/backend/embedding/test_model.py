"""Building the model folder: from the published weights only, and the same every time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import slipway_backend
from slipway_backend.embedding import model
from slipway_backend.embedding.folder import read_model_folder

FILES = ("model.json", "model.onnx", "tokenizer.json")


def test_the_folder_says_what_it_holds(model_directory: Path) -> None:
    description = json.loads((model_directory / "model.json").read_text(encoding="utf-8"))
    assert description["name"] == "all-MiniLM-L6-v2"
    assert description["precision"] == "int8"
    assert description["dimension"] == 384
    assert description["maximum_tokens"] == 256
    assert sorted(path.name for path in model_directory.iterdir()) == sorted(FILES)
    assert read_model_folder(model_directory).weights_sha256.startswith("53aa5117")


def test_another_process_with_the_embedding_package_alone_builds_the_same_bytes(
    model_directory: Path, tmp_path: Path
) -> None:
    """The image's build stage has neither the service's other code nor the runtime's packages."""
    package = Path(slipway_backend.__file__).parent
    alone = tmp_path / "source" / "slipway_backend"
    shutil.copytree(package / "embedding", alone / "embedding")
    shutil.copy(package / "__init__.py", alone)
    program = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['onnxruntime', 'tokenizers', 'pydantic', 'torch']))\n"
        "from slipway_backend.embedding import model\n"
        "assert model.__file__.startswith(sys.argv[1]), model.__file__\n"
        "sys.exit(model.main(sys.argv[2:]))\n"
    )
    source, target = tmp_path / "source", tmp_path / "model"
    done = subprocess.run(
        [sys.executable, "-c", program, str(source), str(target)],
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for name in FILES:
        assert (target / name).read_bytes() == (model_directory / name).read_bytes(), name


def test_the_command_says_what_it_wrote(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert model.main([str(tmp_path / "model"), "--precision", "fp32"]) == 0
    assert "all-MiniLM-L6-v2 (fp32, " in capsys.readouterr().out
    assert read_model_folder(tmp_path / "model").precision == "fp32"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_weights_that_are_not_the_published_ones_are_refused_untouched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for each in model.SOURCE_SHA256:
        shutil.copy(model.installed_source() / each, source)
    content = bytearray((source / name).read_bytes())
    content[len(content) // 2] ^= 1
    (source / name).write_bytes(content)

    assert model.main([str(tmp_path / "model"), "--source", str(source)]) == 2
    message = capsys.readouterr().err
    assert f"{source / name} is not the published file" in message
    assert message.count("\n") == 1
    assert not (tmp_path / "model").exists()


def test_a_source_without_weights_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert model.main([str(tmp_path / "model"), "--source", str(tmp_path)]) == 2
    assert "model.safetensors cannot be read: No such file" in capsys.readouterr().err


def test_without_the_weights_package_the_message_names_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "WEIGHTS_PACKAGE", "slipway-no-such-package")
    assert model.main([str(tmp_path / "model")]) == 2
    assert "install the requirements of `requirements/model.txt`" in capsys.readouterr().err


def test_without_a_build_package_the_message_names_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    assert model.main([str(tmp_path / "model")]) == 2
    assert "package safetensors.numpy is needed" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_fails_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder", encoding="utf-8")
    assert model.main([str(tmp_path / "occupied")]) == 1
    assert "cannot be written to" in capsys.readouterr().err

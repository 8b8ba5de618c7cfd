"""The model folder: what is in it, and whether it is whole."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from slipway_backend.embedding.precision import Precision

MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
DESCRIPTION_FILE = "model.json"


class ModelUnusable(ValueError):
    """The embedding model cannot be built or loaded; the message is one sentence."""


@dataclass(frozen=True)
class ModelDescription:
    """What `model.json` says about the files beside it."""

    name: str
    precision: str
    dimension: int
    maximum_tokens: int
    license: str
    weights_sha256: str
    files: Mapping[str, str]
    """SHA-256 of each file, by name."""

    def to_json(self) -> str:
        """The text of `model.json`."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal. Raises OSError when it cannot be read."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_model_folder(directory: Path) -> ModelDescription:
    """Read `model.json` and compare every file it names with its hash.

    Raises:
        ModelUnusable: the folder is missing, incomplete or damaged.
    """
    build = f"build it with `python -m slipway_backend.embedding.model {directory}`"
    try:
        text = (directory / DESCRIPTION_FILE).read_text(encoding="utf-8")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelUnusable(
            f"There is no embedding model in {directory} ({DESCRIPTION_FILE}: {reason}): {build}."
        ) from None
    try:
        description = ModelDescription(**json.loads(text))
        Precision(description.precision)
        files = {name: description.files[name] for name in (MODEL_FILE, TOKENIZER_FILE)}
    except (TypeError, ValueError, KeyError):
        raise ModelUnusable(
            f"{directory / DESCRIPTION_FILE} does not describe an embedding model of this release: "
            f"{build}."
        ) from None
    for name, expected in files.items():
        try:
            found = sha256_of(directory / name)
        except OSError as error:
            found = error.strerror or type(error).__name__
        if found != expected:
            raise ModelUnusable(
                f"The embedding model is damaged: {directory / name} should have the SHA-256 "
                f"{expected}, found {found}: {build}."
            )
    return description

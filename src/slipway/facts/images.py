"""What each image is made of: Dockerfile, the files of its contexts, arguments, base."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.commands import bake
from slipway.config.layout import Layout
from slipway.facts import git
from slipway.run import run

# Where a build fetches from does not change what it makes: locks carry hashes, apt signatures.
WHERE_FROM = frozenset({"PYTHON_INDEX_URL", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"})

# Files that a Dockerfile takes from a named context one by one.
_COPY_FROM = re.compile(r"^COPY\s+(?:--\S+\s+)*--from=(\S+)\s+(.+?)\s+\S+$", re.MULTILINE)


@dataclass(frozen=True)
class ImageInputs:
    """An image and the hash (16 hexadecimal digits) of everything that goes into it."""

    name: str
    input_hash: str


def read(layout: Layout, base_id: str, targets: Sequence[str] = ()) -> tuple[ImageInputs, ...]:
    """Read the inputs of `targets`, or of every image of the default group.

    `base_id` is the id of the base image: a new base makes every image new.
    """
    described = run(bake.describe(layout.root / "docker-bake.hcl", targets), cwd=layout.root)
    document = json.loads(described.output)
    return tuple(
        ImageInputs(name, _hash(layout.root, target, base_id))
        for name, target in sorted(document["target"].items())
    )


def _hash(root: Path, target: Mapping[str, Any], base_id: str) -> str:
    context = root / target["context"]
    dockerfile = Path(os.path.normpath(context / target.get("dockerfile", "Dockerfile")))
    arguments = {
        name: value for name, value in target.get("args", {}).items() if name not in WHERE_FROM
    }
    content = hashlib.sha256()
    content.update(base_id.encode())
    content.update(json.dumps(arguments, sort_keys=True).encode())
    content.update(target.get("target", "").encode())
    paths = [dockerfile, *git.files(root, context)]
    for name, folder in sorted(target.get("contexts", {}).items()):
        paths += _copied(root, dockerfile.read_text(), name, root / folder, arguments)
    for path in dict.fromkeys(paths):
        executable = os.access(path, os.X_OK)
        content.update(f"\0{path.relative_to(root)}\0{executable}\0".encode())
        content.update(hashlib.sha256(path.read_bytes()).digest())
    return content.hexdigest()[:16]


def _copied(
    root: Path, dockerfile: str, context: str, folder: Path, arguments: Mapping[str, str]
) -> list[Path]:
    """The files that `dockerfile` copies from a named context, or all where it does not say."""
    files: list[Path] = []
    for source, patterns in _COPY_FROM.findall(dockerfile):
        if source == context:
            for pattern in patterns.split():
                name = re.sub(r"\$\{(\w+)\}", lambda found: arguments.get(found[1], "*"), pattern)
                files += sorted(folder.glob(name))
    return files or list(git.files(root, folder))

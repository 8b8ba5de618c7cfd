"""Command lines that take a part out of a point, and put it back among what is there now."""

from __future__ import annotations

from collections.abc import Sequence

Argv = tuple[str, ...]


def extract(container: str, when: Sequence[str], collection: str, document: str) -> Argv:
    """Print what belonged to a collection or a document, as one archive on standard output.

    `when` is `--point ID` or `--to TIME`.
    """
    chosen = (
        *(("--collection", collection) if collection else ()),
        *(("--document", document) if document else ()),
    )
    return ("docker", "exec", container, "slipway-backup", "extract", *when, *chosen)


def receive(container: str, name: str) -> Argv:
    """Take such an archive from standard input, and print what putting it back would change."""
    command = ("slipway-backend", "parts", "receive", name)
    return ("docker", "exec", "--interactive", container, *command)


def put(container: str, name: str, agreed: str) -> Argv:
    """Do what `receive` told, which `agreed` stands for."""
    command = ("slipway-backend", "parts", "put", name, "--agreed", agreed)
    return ("docker", "exec", container, *command)


def discard(container: str, name: str) -> Argv:
    """Forget what was received."""
    return ("docker", "exec", container, "slipway-backend", "parts", "discard", name)

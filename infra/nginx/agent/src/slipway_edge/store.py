"""The last good list on disk: what NGINX and the agent start from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway_edge.errors import EdgeError


@dataclass(frozen=True)
class Record:
    """The active generation, its last good addresses and the generation before it."""

    generation: int = 0
    addresses: tuple[str, ...] = ()
    previous: int | None = None


class Store:
    """One JSON file, replaced as a whole so that a kill leaves the old or the new one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Record:
        """Return the record; an empty one when there is no file.

        Raises EdgeError when the file cannot be understood.
        """
        try:
            value = read_object(self._path)
            if value is None:
                return Record()
            previous = value["previous"]
            return Record(
                int(value["generation"]),
                tuple(str(address) for address in value["addresses"]),
                None if previous is None else int(previous),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise EdgeError(
                f"{self._path} cannot be understood ({error}); "
                "put the active generation back with: slipway-edge switch N"
            ) from error

    def save(self, record: Record) -> None:
        """Write the record so that it survives a power cut; raises EdgeError when it cannot."""
        replace_object(
            self._path,
            {
                "generation": record.generation,
                "addresses": list(record.addresses),
                "previous": record.previous,
            },
        )


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file, None when there is no file.

    Raises ValueError when it is not JSON, TypeError when it is not an object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    if not isinstance(value, dict):
        raise TypeError("not an object")
    return value


def replace_object(path: Path, value: Mapping[str, object]) -> None:
    """Write a file so that it survives a power cut; raises EdgeError when it cannot."""
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(value, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise EdgeError(f"{path} cannot be written ({error}); check the edge's volume") from error

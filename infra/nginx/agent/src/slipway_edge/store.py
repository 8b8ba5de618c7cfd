"""The last good list on disk: what NGINX and the agent start from."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

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
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return Record()
        try:
            value = json.loads(text)
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
        fresh = self._path.with_suffix(".new")
        value = {
            "generation": record.generation,
            "addresses": list(record.addresses),
            "previous": record.previous,
        }
        try:
            with fresh.open("w", encoding="utf-8") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as error:
            raise EdgeError(
                f"{self._path} cannot be written ({error}); check the edge's volume"
            ) from error

"""Files that the engine renamed while no collector ran are read from where it was."""

from __future__ import annotations

import json
from pathlib import Path

from slipway_logs import missed


def place(folder: Path, file: Path, read: int) -> None:
    """rsyslog's note of how far it read a file."""
    note = folder / f"imfile-state:{file.stat().st_ino}:0a1b"
    note.write_text(json.dumps({"filename": str(file), "curr_offs": read}))


def test_what_was_not_read_of_renamed_files_is_copied_once(tmp_path: Path) -> None:
    container, places, copies = (tmp_path / name for name in ("engine/abc", "places", "missed"))
    for folder in (container, places, copies):
        folder.mkdir(parents=True)
    texts = {".3": "read\n", ".2": "read\nhalf\n", ".1": "unread\n", "": "now\n"}
    files = {name: container / f"abc-json.log{name}" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    place(places, files[".2"], 5)

    made = missed.save(tmp_path / "engine", places, copies)
    assert [copy.read_text() for copy in made] == ["half\n", "unread\n"]
    assert missed.save(tmp_path / "engine", places, copies) == []

    files[".2"].unlink()
    missed.save(tmp_path / "engine", places, copies)
    assert [copy.read_text() for copy in copies.glob("*.log")] == ["unread\n"]


def test_nothing_is_missed_of_a_container_that_was_never_read(tmp_path: Path) -> None:
    container = tmp_path / "engine/abc"
    container.mkdir(parents=True)
    (container / "abc-json.log").write_text("now\n")
    (container / "abc-json.log.1").write_text("before\n")
    assert missed.save(tmp_path / "engine", tmp_path, tmp_path) == []


def test_a_container_that_goes_meanwhile_is_nothing_to_stop_for(tmp_path: Path) -> None:
    going, places, copies = (tmp_path / name for name in ("engine/abc", "places", "missed"))
    for folder in (going, places, copies):
        folder.mkdir(parents=True)
    # As the engine removes them: the name is still listed, and nothing is behind it.
    (going / "abc-json.log").symlink_to(going / "gone")
    assert missed.save(tmp_path / "engine", places, copies) == []


def test_places_in_files_that_are_gone_are_forgotten(tmp_path: Path) -> None:
    container, places, copies = (tmp_path / name for name in ("engine/abc", "places", "missed"))
    for folder in (container, places, copies):
        folder.mkdir(parents=True)
    kept, gone = container / "abc-json.log", container / "gone-json.log"
    for number, file in enumerate((kept, gone), 1):
        file.write_text("read\n")
        (places / f"imfile-state:{number}").write_text(json.dumps({"filename": str(file)}))
    gone.unlink()
    missed.save(tmp_path / "engine", places, copies)
    assert [state.name for state in places.iterdir()] == ["imfile-state:1"]

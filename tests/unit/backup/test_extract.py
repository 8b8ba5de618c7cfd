"""What is taken out of a point goes out as one tar, with an end that tells whether it is whole."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway_backup import belongings, cli, extract, points
from slipway_backup.belongings import Key
from slipway_backup.errors import Failed
from slipway_backup.points import Listed, Point, Stored
from slipway_backup.restoring import Choice
from slipway_backup.settings import Settings
from slipway_backup.sources import files


def test_a_tar_has_a_head_first_and_an_end_last(tmp_path: Path) -> None:
    for name in ("rows/chunks.jsonl", "faces/users.jsonl", "files/ab/abcd"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "17").mkdir()
    (tmp_path / "17" / "PG_VERSION").write_text("17")
    out = io.BytesIO()
    extract.write({"format": 1}, tmp_path, out)
    with tarfile.open(fileobj=io.BytesIO(out.getvalue())) as tar:
        assert tar.getnames() == [
            "part.json",
            "faces/users.jsonl",
            "rows/chunks.jsonl",
            "files/abcd",
            "end.json",
        ]
        end = tar.extractfile("end.json")
        assert end is not None
        assert json.load(end) == {"entries": 3}


def test_what_belongs_is_found_through_several_keys() -> None:
    known = [
        Key("documents", "collections", ("collection_id",), ("id",)),
        Key("documents", "users", ("owner_id",), ("id",)),
        Key("chunks", "documents", ("document_id",), ("id",)),
        Key("notes", "chunks", ("chunk_id", "version"), ("id", "version")),
        Key("sessions", "users", ("user_id",), ("id",)),
    ]
    belongs = belongings.belonging(known)
    assert set(belongs) == {"documents", "collections", "chunks", "notes"}
    assert belongs["notes"].as_string().startswith('("chunk_id", "version") IN (SELECT "id"')
    assert set(belongings.faces(known, belongs)) == {"users"}
    secret = [*known, Key("documents", "vaults", ("vault_id",), ("id",))]
    with pytest.raises(Failed, match="not known what to tell of vaults"):
        belongings.faces(secret, belongs)


def test_a_file_that_a_point_has_not_is_looked_for_in_the_nearest(
    own: Settings,
    point: Callable[..., Point],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = {"20": {"aa"}, "22": {"bb", "cc"}, "24": {"aa", "dd"}}
    listed = [_stored(point(id=day, time=f"2026-11-{day}T12:00:00+00:00")) for day in there]
    restored: list[tuple[str, list[str]]] = []

    def restore(_own: object, _where: object, snapshot: str, *_: object, **told: Any) -> None:
        restored.append((snapshot, told["only"]))

    monkeypatch.setattr(points, "read", lambda *_: Listed(tuple(listed)))
    monkeypatch.setattr(files, "names", lambda _own, _where, snapshot, _folder: there[snapshot])
    monkeypatch.setattr(files, "restore", restore)
    target = SimpleNamespace(time="2026-11-23T00:00:00+00:00")
    choice = cast(
        "Choice",
        SimpleNamespace(repository=None, stored=listed[2], target=target, time=target.time),
    )
    missing = extract._files(own, choice, {"aa", "bb", "ee"}, tmp_path, lambda *_: None)
    assert missing == {"ee"}
    assert restored[:2] == [("24", ["aa/aa"]), ("22", ["bb/bb"])]
    nearest = extract._nearest(own, choice, listed[2])
    assert [each.point.id for each in nearest] == ["24", "22", "20"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--collection", "plans"], "say either --point or --to"),
        (["--point", "p1", "--to", "latest"], "say either --point or --to"),
        (["--point", "p1"], "say --collection or --document"),
    ],
)
def test_what_is_meant_has_to_be_said(
    words: list[str],
    said: str,
    own: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("slipway_backup.settings.load", lambda: own)
    monkeypatch.setattr("slipway_backup.privileges.settle", lambda *_: None)
    assert cli.main(["extract", *words]) == 2
    told = capsys.readouterr()
    # The tar's own bytes are on the standard output.
    assert (told.out, json.loads(told.err)["error"]) == ("", said)


def _stored(point: Point) -> Stored:
    return cast("Stored", SimpleNamespace(point=point, snapshot=SimpleNamespace(id=point.id)))

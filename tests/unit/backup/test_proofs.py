"""Each proof that needs no server says what is wrong, and is content with what is right."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from slipway_backup import fingerprints, proofs, recall
from slipway_backup.errors import Failed
from slipway_backup.fingerprints import Fingerprint
from slipway_backup.points import Point, Stored
from slipway_backup.policy import Policy

NOW = datetime(2026, 11, 30, 12, 0, tzinfo=UTC)
DAILY = Policy(full="0 12 * * *", differential="", incremental="")


def stored(point: Point) -> Stored:
    return cast("Stored", SimpleNamespace(point=point))


def test_a_point_is_stale_half_a_gap_after_the_next_one_was_due(
    point: Callable[..., Point],
) -> None:
    assert "24.0 h old" in proofs.fresh(point(), DAILY, NOW)
    late = point(time="2026-11-28T23:00:00+00:00")
    with pytest.raises(Failed, match=r"37\.0 h old, and the schedule wants one every 24\.0 h"):
        proofs.fresh(late, DAILY, NOW)
    never = Policy(full="", differential="", incremental="")
    assert "nothing is scheduled" in proofs.fresh(late, never, NOW)


def test_a_table_that_is_gone_or_empty_is_told_unless_the_schema_changed(
    point: Callable[..., Point],
) -> None:
    before = stored(point(id="before"))
    assert "as in before" in proofs.tables(point(), [before])
    gone = point(fingerprints={})
    with pytest.raises(Failed, match=r"public\.chunks is not in the point any more"):
        proofs.tables(gone, [before])
    assert "no earlier point" in proofs.tables(point(fingerprints={}, schema="0004"), [before])
    empty = point(fingerprints={"public.chunks": {"rows": 0, "sums": "00"}})
    with pytest.raises(Failed, match="has no rows any more"):
        proofs.tables(empty, [before])


def test_a_point_without_the_products_extension_is_none(point: Callable[..., Point]) -> None:
    server: Any = None
    with pytest.raises(Failed, match="without the extension vector"):
        proofs.extensions(server, point(extensions={"plpgsql": "1.0"}))


def test_points_that_are_damaged_or_lost_are_counted() -> None:
    assert proofs.readable(())
    with pytest.raises(Failed, match="1 points cannot be read: Ignoring"):
        proofs.readable(("Ignoring x",))
    assert proofs.complete(())
    with pytest.raises(Failed, match="2 points are lost, the newest b"):
        proofs.complete(("a", "b"))


def test_files_are_held_to_their_names(tmp_path: Path) -> None:
    good = hashlib.sha256(b"good").hexdigest()
    other = hashlib.sha256(b"other").hexdigest()
    for name, content in ((good, b"good"), (other, b"changed")):
        (tmp_path / name[:2]).mkdir(exist_ok=True)
        (tmp_path / name[:2] / name).write_bytes(content)
    missing = "ff" * 32
    assert proofs.wrong_files(tmp_path, [good]) == []
    found = proofs.wrong_files(tmp_path, [good, other, missing])
    assert [line[:64] for line in found] == [other, missing]


def test_differences_name_tables_and_what_is_different() -> None:
    wanted = {"a": Fingerprint(2, "1"), "b": Fingerprint(2, "1"), "c": Fingerprint(1, "1")}
    found = {"a": Fingerprint(2, "2"), "b": Fingerprint(3, "1"), "d": Fingerprint(1, "1")}
    assert fingerprints.differences(wanted, wanted) == []
    assert fingerprints.differences(wanted, found) == [
        "a has as many rows, 2, and other content",
        "b has 3 rows instead of 2",
        "c is gone",
        "d was not there",
    ]


def test_recall_is_by_distance_so_that_equally_near_ones_count() -> None:
    assert recall.share([0.1, 0.2], [0.1, 0.2]) == 1
    assert recall.share([0.1, 0.2], [0.2, 0.2]) == 1
    assert recall.share([0.1, 0.2], [0.1, 0.3]) == 0.5
    assert recall.share([0.1, 0.2], []) == 0
    assert recall.share([], []) == 1


@pytest.mark.parametrize(
    ("opclass", "wanted"),
    [("halfvec_cosine_ops", "<=>"), ("vector_l2_ops", "<->"), ("vector_ip_ops", "<#>")],
)
def test_the_distance_is_the_indexs_own(opclass: str, wanted: str) -> None:
    assert recall.operator(opclass) == wanted
    with pytest.raises(LookupError, match="bit_hamming_ops"):
        recall.operator("bit_hamming_ops")

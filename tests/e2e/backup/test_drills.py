"""A drill is clean on what is clean, and catches what is not: each sabotage by its own proof.

The gate has five sabotages, one for each kind of proof; all of them: `nox -s exhaustive`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from backup_rig import REPOSITORY, SERVICE, Answer, Rig
from docker.types import Mount

DAILY = {"BACKUP_POLICY": json.dumps({"full": "0 2 * * 0", "incremental": "0 2 * * *"})}
#: The gate drills once; as often as that is worth an evening: `nox -s exhaustive`.
ROUNDS = [0, *(pytest.param(number, marks=pytest.mark.exhaustive) for number in range(1, 20))]


def failed(answer: Answer) -> set[str]:
    """The names of the proofs that failed."""
    lines = [json.loads(line) for line in answer.text.splitlines() if line.startswith('{"drill"')]
    assert lines, answer.text
    return {each["name"] for each in lines[-1]["drill"]["proofs"] if not each["ok"]}


@pytest.fixture(scope="module")
def good(rig: Rig) -> str:
    """A repository with good points alone, the newest an incremental one."""
    for kind in ("full", "incr"):
        taken = rig.verb("run", "--kind", kind)
        assert taken.code == 0, taken.text
    return "repository"


@pytest.mark.parametrize("round", ROUNDS)
def test_a_clean_point_gives_no_alarm(rig: Rig, good: str, round: int) -> None:
    rig.query(f"INSERT INTO ledger VALUES ({1000 + round})")
    taken = rig.verb("run")
    assert taken.code == 0, taken.text
    answer = rig.verb("drill", **DAILY)
    assert answer.code == 0, answer.text
    drill = answer.told["drill"]
    assert drill["point"] == taken.told["point"]["id"]
    assert len(drill["proofs"]) == 12
    assert drill["rto_seconds"] < 60
    assert drill["key"] == "live"
    left = rig.service.exec_run(["ls", f"{REPOSITORY}/work/scratch"], user="10006")
    assert left.exit_code != 0, left.output
    found = rig.verb("list").told["points"][-1]["verified"]
    assert found["ok"] and "live" in found["what"]


def test_a_drill_works_with_the_escrowed_copy_where_there_is_one(rig: Rig, good: str) -> None:
    answer = rig.once("drill", secrets="secrets-escrow", **DAILY)
    assert answer.code == 0, answer.text
    assert answer.told["drill"]["key"] == "escrow"


def test_a_missing_file_of_the_log(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("no-log")
    # The point's own: the newest one may be of what came after it.
    newest = rig.verb("list").told["points"][-1]
    (segment,) = rig.query(f"SELECT pg_walfile_name('{newest['lsn']}')")
    rig.shell(f"rm /r/pgbackrest/archive/slipway/17-1/*/{segment}-*", {copy: "/r"})
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"restore"}
    assert "is not in the archive" in answer.told["error"]


def test_a_flipped_byte_in_the_repository(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("flipped")
    flip(rig, copy, "pgbackrest/backup/slipway/*F/bundle/*")
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"restore"}
    verified = rig.once("verify", repository=copy)
    assert verified.code == 1, verified.text


@pytest.mark.exhaustive
def test_a_flipped_byte_in_a_kept_file(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("flipped-file")
    flip(rig, copy, "restic/data/*/*")
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) & {"files", "readable", "repository"}


def test_another_key(rig: Rig, good: str) -> None:
    for secrets in ("secrets-wrong", "secrets-wrong-escrow"):
        answer = rig.once("drill", secrets=secrets, **DAILY)
        assert answer.code == 1
        assert failed(answer) == {"key"}


@pytest.mark.exhaustive
def test_a_truncated_point(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("truncated")
    newest = "ls -t /r/restic/snapshots/* | head -1"
    rig.shell(f"f=$({newest}); chmod u+w $f; truncate -s 60 $f", {copy: "/r"})
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"readable", "complete"}


@pytest.mark.exhaustive
def test_a_lost_snapshot(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("lost")
    rig.shell("ls -t /r/restic/snapshots/* | head -1 | xargs rm -f", {copy: "/r"})
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"complete"}


@pytest.mark.exhaustive
def test_a_stale_point(rig: Rig, good: str) -> None:
    copy = rig.copy_of_repository("stale")
    rewrite(rig, copy, "point = replace(point, time='2026-01-01T00:00:00+00:00')")
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"fresh"}


def test_rows_swapped_at_equal_counts(rig: Rig, good: str) -> None:
    # As if the copy had what the database had later: as many rows, other content.
    swap = (
        "UPDATE settings AS a SET value = b.value FROM settings AS b WHERE"
        " (a.name, b.name) IN (('setting 1', 'setting 2'), ('setting 2', 'setting 1'))"
    )
    earlier = rig.verb("run").told["point"]["id"]
    rig.query(swap)
    assert rig.verb("run").code == 0
    copy = rig.copy_of_repository("swapped")
    rig.query(swap)
    rewrite(
        rig,
        copy,
        f"other = points.find(own, {earlier!r}).point\n"
        "point = replace(point, fingerprints=other.fingerprints)",
    )
    answer = rig.once("drill", repository=copy, **DAILY)
    assert answer.code == 1
    assert failed(answer) == {"content"}
    assert "public.settings has as many rows, 200, and other content" in answer.told["error"]


@pytest.mark.exhaustive
def test_a_table_dropped_before_the_backup(rig: Rig, good: str) -> None:
    rig.query("CREATE TABLE kept AS SELECT * FROM settings; DROP TABLE settings")
    assert rig.verb("run").code == 0
    answer = rig.verb("drill", **DAILY)
    rig.query("CREATE TABLE settings AS SELECT * FROM kept; DROP TABLE kept")
    assert answer.code == 1
    assert failed(answer) == {"tables"}
    assert "public.settings is not in the point any more" in answer.told["error"]
    assert rig.verb("run").code == 0


@pytest.mark.exhaustive
def test_a_missing_extension(rig: Rig, good: str) -> None:
    # Where the drill is held, the extension's library is none.
    rig.put("nothing", {"vector.so": ""}, 0, mode=0o644)
    container = rig.engine.containers.create(
        rig.images["backup"],
        ["drill"],
        user="0:0",
        cap_drop=["ALL"],
        cap_add=list(SERVICE),
        network_mode="none",
        environment=rig.environment(**DAILY),
        mounts=[
            *(rig._mount(volume, place) for volume, place in rig.mounts().items()),
            Mount("/usr/lib/postgresql/17/lib/vector.so", "/dev/null", type="bind"),
        ],
        labels={"rig": rig.network.name},
    )
    container.start()
    code = int(container.wait()["StatusCode"])
    text = container.logs().decode()
    container.remove(force=True)
    assert code == 1
    found = failed(Answer(code, {}, text, 0))
    assert "extensions" in found, text


def test_a_damaged_vector_index(rig: Rig, good: str) -> None:
    # Entries that are lost from the index, as a vacuum of pgvector before 0.8.3 can leave it: its
    # file is that of an index over a tenth of the rows.
    rig.query(
        "CREATE INDEX tenth ON chunks USING hnsw ((embedding::halfvec(32)) halfvec_cosine_ops)"
        " WHERE embedding_set_id = 1 AND id % 10 = 0"
    )
    exchange = (
        "SET allow_system_table_mods = on; UPDATE pg_class AS a SET relfilenode = b.relfilenode"
        " FROM pg_class AS b WHERE (a.relname, b.relname) IN"
        " (('chunks_embedding_1', 'tenth'), ('tenth', 'chunks_embedding_1'))"
    )
    rig.query(exchange)
    assert rig.verb("run").code == 0
    answer = rig.verb("drill", **DAILY)
    rig.query(exchange)
    rig.query("DROP INDEX tenth")
    assert answer.code == 1
    assert failed(answer) == {"vectors"}
    assert "chunks_embedding_1 finds" in answer.told["error"]
    assert rig.verb("run").code == 0


@pytest.mark.exhaustive
def test_a_lost_uploaded_file(rig: Rig, good: str) -> None:
    name, content = rig.names[5], rig.contents[5]
    rig.shell(f"rm /f/{name[:2]}/{name}", {"files": "/f"})
    assert rig.verb("run").code == 0
    answer = rig.verb("drill", **DAILY)
    rig.put("files", {f"{name[:2]}/{name}": content}, 10001, mode=0o600)
    assert answer.code == 1
    assert failed(answer) == {"files"}
    assert name in answer.told["error"]
    assert rig.verb("run").code == 0


def flip(rig: Rig, repository: str, pattern: str) -> None:
    """Change one byte in the middle of the largest file of a pattern."""
    script = (
        "import glob, os, sys\n"
        f"path = max(glob.glob('/r/{pattern}'), key=os.path.getsize)\n"
        "os.chmod(path, 0o640)\n"
        "with open(path, 'r+b') as file:\n"
        "    file.seek(os.path.getsize(path) // 2); byte = file.read(1)[0]\n"
        "    file.seek(-1, 1); file.write(bytes([byte ^ 1]))\n"
    )
    rig.shell(f'python3 -c "{script}"', {repository: "/r"})


def rewrite(rig: Rig, repository: str, change: str) -> Any:
    """Write the newest point again with something changed in it, as only the key's owner can."""
    rig.python(
        "from dataclasses import replace\n"
        "from slipway_backup import points, repositories, settings\n"
        "from slipway_backup.sources import files\n"
        "own = settings.load()\n"
        "point = points.find(own, 'latest').point\n"
        f"{change}\n"
        "place = repositories.all_of(own)[0]\n"
        "paths = [own.files_directory, own.state_directory, points.write(own, point)]\n"
        "files.backup(own, place, paths, ('point',))\n",
        repository,
    )

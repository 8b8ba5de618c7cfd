"""One document or one collection is taken out of a point, with its rows and its file."""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
from pathlib import Path

from backup_rig import Rig


def taken(rig: Rig, path: Path, *words: str) -> tuple[int, str]:
    """How taking a part out ends, and what it says; the tar is at the path."""
    command = ("docker", "exec", rig.service.id or "", "slipway-backup", "extract", *words)
    with path.open("wb") as out:
        done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, check=False)
    return done.returncode, done.stderr.decode()


def entries(path: Path) -> dict[str, bytes]:
    """What is in a tar."""
    with tarfile.open(path) as tar:
        found = {each.name: tar.extractfile(each) for each in tar.getmembers()}
        return {name: stream.read() for name, stream in found.items() if stream is not None}


def test_a_document_comes_with_its_passages_and_its_file(rig: Rig, tmp_path: Path) -> None:
    taken_point = rig.verb("run")
    assert taken_point.code == 0, taken_point.text
    sha256 = rig.names[5]
    (number,) = rig.query(f"SELECT id FROM documents WHERE sha256 = '{sha256}'")
    (passages,) = rig.query(f"SELECT count(*) FROM chunks WHERE document_id = '{number}'")
    tar = tmp_path / "part.tar"
    words = ("--collection", "default", "--document", "document 5")
    code, said = taken(rig, tar, "--point", taken_point.told["point"]["id"], *words)
    assert code == 0, said
    found = entries(tar)
    head = json.loads(found["part.json"])
    assert (head["document"], head["missing"]) == (number, [])
    assert head["tables"] == {"collections": 1, "documents": 1, "chunks": int(passages)}
    assert hashlib.sha256(found[f"files/{sha256}"]).hexdigest() == sha256
    rows = [json.loads(line) for line in found["rows/chunks.jsonl"].splitlines()]
    assert {row["document_id"] for row in rows} == {number}
    # What the database makes of a row itself is no part of it.
    assert "lexemes" not in rows[0]
    assert list(found)[-1] == "end.json"
    assert rig.service.exec_run(["ls", "/var/lib/slipway-backup/repository/work/scratch"])[0] != 0


def test_at_a_time_between_two_points_a_file_comes_from_the_one_before(
    rig: Rig, tmp_path: Path
) -> None:
    content = b"a file for a while"
    sha256 = hashlib.sha256(content).hexdigest()
    rig.put("files", {f"{sha256[:2]}/{sha256}": content}, 10001)
    rig.query(f"INSERT INTO documents (filename, sha256) VALUES ('for a while', '{sha256}')")
    before = rig.verb("run")
    assert before.code == 0, before.text
    (between,) = rig.query("SELECT clock_timestamp()::text FROM pg_sleep(0.3)")
    rig.query("SELECT pg_sleep(0.3); DELETE FROM documents WHERE filename = 'for a while'")
    rig.shell(f"rm /files/{sha256[:2]}/{sha256}", {"files": "/files"})
    after = rig.verb("run")
    assert after.code == 0, after.text
    tar = tmp_path / "part.tar"
    time = between.replace(" ", "T").replace("+00", "+00:00")
    words = ("--collection", "default", "--document", "for a while")
    code, said = taken(rig, tar, "--to", time, *words)
    assert code == 0, said
    assert entries(tar)[f"files/{sha256}"] == content
    gone, said = taken(rig, tar, "--point", after.told["point"]["id"], *words)
    assert gone == 2
    assert "there was no document 'for a while' in default then" in said


def test_a_collection_without_documents_is_one_all_the_same(rig: Rig, tmp_path: Path) -> None:
    tar = tmp_path / "part.tar"
    code, said = taken(rig, tar, "--point", "latest", "--collection", "empty")
    assert code == 0, said
    head = json.loads(entries(tar)["part.json"])
    assert head["tables"] == {"collections": 1, "documents": 0, "chunks": 0}
    code, said = taken(rig, tar, "--point", "latest", "--collection", "nowhere")
    assert code == 2
    told = json.loads(said.splitlines()[-1])
    assert told["error"] == "there was no collection 'nowhere' then; there were: default, empty"

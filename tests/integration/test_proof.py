"""The proof of a release holds against the real backend: server, worker, model and database."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from slipway import acceptance, proof
from slipway.config.layout import checkout
from slipway.errors import SlipwayError

PASSWORD = "an admin password for tests"


@pytest.fixture
def http(
    start_process: Callable[..., subprocess.Popen[bytes]], eventually: Callable[..., None]
) -> Iterator[httpx.Client]:
    """A client of a running server that has a worker beside it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start_process("serve", PORT=str(port), HOST="127.0.0.1")
    start_process("worker")

    def ready() -> bool:
        try:
            return client.get("/health/ready").is_success
        except httpx.TransportError:
            return False

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
        eventually(ready, "the server's start")
        yield client


def prove(
    http: httpx.Client, folder: Path, password: str = PASSWORD, *, keep: bool = True
) -> proof.Proved:
    return proof.prove(http, username="admin", password=password, folder=folder, keep=keep)


def test_the_shipped_samples_are_ingested_and_answered_again_and_again(http: httpx.Client) -> None:
    folder = checkout().samples
    first = prove(http, folder)
    assert first.questions == len(proof.samples(folder))
    assert first.documents == len({each.document for each in proof.samples(folder)})
    assert first.chunks >= first.documents
    assert prove(http, folder) == first
    assert len(http.get("/v1/documents").json()["documents"]) == first.documents
    assert prove(http, folder, keep=False) == first
    assert http.get("/v1/documents").json()["documents"] == []


def test_a_wrong_password_and_a_wrong_answer_are_told(http: httpx.Client, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="proof: could not log in: 401 "):
        prove(http, checkout().samples, "not the password")
    shutil.copy(checkout().samples / "incident-report.md", tmp_path)
    (tmp_path / "questions.json").write_text(
        '[{"question": "Why did the database stop accepting writes?",'
        ' "document": "incident-report.md", "answer_contains": "a flock of geese"}]'
    )
    with pytest.raises(SlipwayError, match="does not contain 'a flock of geese'"):
        prove(http, tmp_path)


def test_the_quality_gate_is_passed_and_leaves_nothing(http: httpx.Client, tmp_path: Path) -> None:
    whole = checkout().samples / "quality"
    lines = (whole / "questions.jsonl").read_text().splitlines()[:8]
    (tmp_path / "questions.jsonl").write_text("\n".join(lines))
    (tmp_path / "documents").mkdir()
    for source in {label["source"] for line in lines for label in json.loads(line)["relevant"]}:
        shutil.copy(whole / "documents" / source, tmp_path / "documents")
    login = http.post("/v1/login", json={"username": "admin", "password": PASSWORD})
    http.headers["authorization"] = f"Bearer {login.json()['access_token']}"
    before = http.get("/v1/collections").json()
    gate = acceptance.quality(http, tmp_path)
    assert gate.ok, gate
    assert gate.figures["questions"] == 2
    assert http.get("/v1/collections").json() == before


def test_the_quality_gate_asks_a_part_of_the_whole_labelled_set() -> None:
    whole = acceptance.labelled(checkout().samples / "quality")
    assert len(whole[:: acceptance.EVERY]) > 50

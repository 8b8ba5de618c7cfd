"""The proof of a release holds against the real backend: server, worker, model and database."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from slipway import proof
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

"""Proving a release the way a user would notice: log in, upload, wait, ask, check the citation."""

from __future__ import annotations

import hashlib
import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from slipway.errors import SlipwayError

POLL_SECONDS = 0.5
INGESTION_SECONDS = 180.0


@dataclass(frozen=True)
class Sample:
    """A question and the one document of the samples in which its answer stands."""

    question: str
    document: str
    answer_contains: str


@dataclass(frozen=True)
class Proved:
    """What the proof did: documents ingested, chunks made, questions answered as they should."""

    documents: int
    chunks: int
    questions: int


def samples(folder: Path) -> tuple[Sample, ...]:
    """The questions of the samples folder."""
    return tuple(Sample(**entry) for entry in json.loads((folder / "questions.json").read_text()))


def client(url: str, authority: str) -> httpx.Client:
    """A client that reaches the environment on this machine and trusts its authority alone.

    `authority` is PEM text. Connections go to the loopback address whatever the domain is
    called, so that a release is proved before the site's DNS knows about it.
    """
    context = ssl.create_default_context(cadata=authority)
    return httpx.Client(base_url=url, verify=context, timeout=30, trust_env=False)


def prove(http: httpx.Client, *, username: str, password: str, folder: Path) -> Proved:
    """Log in, ingest the sample documents afresh, ask every sample question.

    Raises SlipwayError that names the first thing a user would have missed.
    """
    token = _json(
        http.post("/v1/login", json={"username": username, "password": password}), "log in"
    )["access_token"]
    http.headers["authorization"] = f"Bearer {token}"
    questions = samples(folder)
    paths = [folder / name for name in sorted({sample.document for sample in questions})]
    _forget(http, paths)
    uploaded = {path.name: _upload(http, path) for path in paths}
    ready = [_wait(http, name, identity) for name, identity in uploaded.items()]
    for sample in questions:
        _ask(http, sample)
    return Proved(len(ready), sum(int(each["chunks"]) for each in ready), len(questions))


def _forget(http: httpx.Client, paths: list[Path]) -> None:
    """Delete the samples of an earlier proof, so that this one ingests them itself."""
    ours = {(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}
    listed = _json(http.get("/v1/documents", params={"limit": 500}), "list the documents")
    for document in listed["documents"]:
        if (document["filename"], document["sha256"]) in ours:
            answer = http.delete(f"/v1/documents/{document['id']}")
            if answer.status_code not in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}:
                raise _failed("delete an earlier sample", answer)


def _upload(http: httpx.Client, path: Path) -> str:
    with path.open("rb") as stream:
        answer = http.post("/v1/documents", files={"file": (path.name, stream)})
    if answer.status_code != httpx.codes.ACCEPTED:
        raise _failed(f"upload {path.name}", answer)
    return str(answer.json()["id"])


def _wait(http: httpx.Client, name: str, identity: str) -> Mapping[str, Any]:
    deadline = time.monotonic() + INGESTION_SECONDS
    while True:
        document = _json(http.get(f"/v1/documents/{identity}"), f"look at {name}")
        if document["status"] == "ready":
            return document
        if document["status"] == "failed":
            raise SlipwayError(f"proof: {name} could not be ingested: {document['error']}")
        if time.monotonic() > deadline:
            raise SlipwayError(
                f"proof: {name} is still {document['status']} after {INGESTION_SECONDS:.0f} s"
            )
        time.sleep(POLL_SECONDS)


def _ask(http: httpx.Client, sample: Sample) -> None:
    answer = _json(
        http.post("/v1/query", json={"question": sample.question}), f"ask {sample.question!r}"
    )
    cited = [citation["filename"] for citation in answer["citations"]]
    if sample.document not in cited:
        raise SlipwayError(
            f"proof: the answer to {sample.question!r} cites {cited or 'nothing'}, "
            f"not {sample.document}"
        )
    if answer["mode"] == "extractive" and sample.answer_contains not in _said(answer):
        raise SlipwayError(
            f"proof: the answer to {sample.question!r} does not contain "
            f"{sample.answer_contains!r}"
        )


def _said(answer: Mapping[str, Any]) -> str:
    passages = " ".join(citation["passage"] for citation in answer["citations"])
    return " ".join(f"{answer['answer']} {passages}".split())


def _json(answer: httpx.Response, what: str) -> Mapping[str, Any]:
    if not answer.is_success:
        raise _failed(what, answer)
    content = answer.json()
    assert isinstance(content, dict)
    return content


def _failed(what: str, answer: httpx.Response) -> SlipwayError:
    try:
        problem = answer.json()
        said = f"{problem.get('title', '')}: {problem.get('detail', '')}"
    except ValueError:
        said = answer.text[:200]
    return SlipwayError(f"proof: could not {what}: {answer.status_code} {said}")

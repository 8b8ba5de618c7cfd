"""Proving a release the way a user would notice: log in, upload, wait, ask, check the citation."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from slipway.errors import SlipwayError

POLL_SECONDS = 0.5
PAGE = 500
INGESTION_SECONDS = 180.0
# The service makes nobody wait longer than the minute in which it counts failed logins.
LOGIN_SECONDS = 120.0


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


def client(
    url: str, authority: str, port: int, headers: Mapping[str, str] | None = None
) -> httpx.Client:
    """A client that reaches the environment on this machine and trusts its authority alone.

    `authority` is PEM text: the authority's certificate, or the server's own. Connections go to
    `port` of the loopback address whatever the domain is called, so that a release is proved
    before the site's DNS knows about it. `headers` go with every request.
    """
    context = ssl.create_default_context(cadata=authority)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    transport = _Loopback(port, context)
    return httpx.Client(
        base_url=url, transport=transport, timeout=30, trust_env=False, headers=headers
    )


class _Loopback(httpx.HTTPTransport):
    """Dials this machine under whatever name the URL has; the certificate must be for that name."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(verify=context)
        self._port = port

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {**request.extensions, "sni_hostname": request.url.host}
        request.url = request.url.copy_with(host="localhost", port=self._port)
        return super().handle_request(request)


def prove(http: httpx.Client, *, username: str, password: str, folder: Path, keep: bool) -> Proved:
    """Log in, ingest the sample documents afresh, ask every sample question.

    The samples of earlier proofs go; with `keep` those of this one stay, for a person to try.
    Raises SlipwayError that names the first thing a user would have missed.
    """
    try:
        return _prove(http, username, password, folder, keep=keep)
    except httpx.HTTPError as error:
        raise SlipwayError(
            f"proof: the environment did not answer: {type(error).__name__}: {error}"
        ) from error


def _prove(http: httpx.Client, username: str, password: str, folder: Path, *, keep: bool) -> Proved:
    token = _log_in(http, username, password)
    http.headers["authorization"] = f"Bearer {token}"
    questions = samples(folder)
    paths = [folder / name for name in sorted({sample.document for sample in questions})]
    _forget(http, paths)
    uploaded: dict[str, str] = {}
    try:
        for path in paths:
            uploaded[path.name] = _upload(http, path)
        ready = [_wait(http, name, identity) for name, identity in uploaded.items()]
        for sample in questions:
            _ask(http, sample)
    finally:
        if not keep:
            _delete(http, uploaded.values())
    return Proved(len(ready), sum(int(each["chunks"]) for each in ready), len(questions))


def _log_in(http: httpx.Client, username: str, password: str) -> str:
    """Log in, as late as the service asks for after somebody's failed logins."""
    deadline = time.monotonic() + LOGIN_SECONDS
    while True:
        answer = http.post("/v1/login", json={"username": username, "password": password})
        wait = answer.headers.get("retry-after", "")
        if (
            answer.status_code != httpx.codes.TOO_MANY_REQUESTS
            or not wait.isdecimal()
            or time.monotonic() + int(wait) > deadline
        ):
            return str(_json(answer, "log in")["access_token"])
        time.sleep(max(int(wait), POLL_SECONDS))


def _forget(http: httpx.Client, paths: list[Path]) -> None:
    """Delete the samples of an earlier proof, so that this one ingests them itself."""
    ours = {(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}
    found = [
        document["id"]
        for document in _documents(http)
        if (document["filename"], document["sha256"]) in ours
    ]
    _delete(http, found)


def _delete(http: httpx.Client, identities: Iterable[str]) -> None:
    for identity in identities:
        answer = http.delete(f"/v1/documents/{identity}")
        if answer.status_code not in {httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND}:
            raise _failed("delete a sample", answer)


def _documents(http: httpx.Client) -> Iterator[Mapping[str, Any]]:
    """Every document, page by page."""
    offset = 0
    while True:
        page = {"limit": PAGE, "offset": offset}
        listed = _json(http.get("/v1/documents", params=page), "list the documents")["documents"]
        yield from listed
        if len(listed) < PAGE:
            return
        offset += PAGE


def _upload(http: httpx.Client, path: Path) -> str:
    # A source of its own: users who hold the same document must not make the proof find theirs.
    mark = secrets.token_hex(16)
    with path.open("rb") as stream:
        answer = http.post(
            "/v1/documents",
            params={"source": f"proof/{mark}/{path.name}"},
            files={"file": (path.name, stream)},
            headers={"idempotency-key": f"proof-{mark}"},
        )
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
            f"proof: the answer to {sample.question!r} does not contain {sample.answer_contains!r}"
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

"""The gates that a promoted release passes through its front door before others may take it."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import httpx

from slipway import proof
from slipway.errors import SlipwayError
from slipway.facts.manifest import Gate

#: recall@5 that search must reach on the labelled set; docs/decisions/0017 has the measurement.
LEAST_RECALL = 0.75
PLACES = 5
#: Every so many of the labelled questions, so that the gate takes seconds and not minutes.
EVERY = 4
INGESTION_SECONDS = 300.0
POLL_SECONDS = 0.5
PAGE = 500


@dataclass(frozen=True)
class Labelled:
    """A question and the sections (source, heading) in which its answer stands."""

    question: str
    sections: frozenset[tuple[str, str]]


def labelled(folder: Path) -> tuple[Labelled, ...]:
    """The questions of a labelled set, laid out as its README.md says, that have an answer."""
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return tuple(
        Labelled(
            row["question"],
            frozenset((label["source"], label["heading"]) for label in row["relevant"]),
        )
        for row in rows
        if row["relevant"]
    )


def quality(http: httpx.Client, folder: Path) -> Gate:
    """Ingest the labelled documents into a collection of their own, and search in it.

    The collection is deleted again. `http` is logged in as somebody who may make collections.
    Raises SlipwayError when a document could not be ingested, or a search failed.
    """
    try:
        with _collection(http) as collection:
            documents = _ingest(http, collection, folder / "documents")
            asked = labelled(folder)[::EVERY]
            began = time.monotonic()
            recalls = [_recall(http, collection, each) for each in asked]
            seconds = time.monotonic() - began
    except httpx.HTTPError as error:
        raise SlipwayError(
            f"quality: the environment did not answer: {type(error).__name__}: {error}"
        ) from error
    recall = round(fmean(recalls), 4) if recalls else 0.0
    return Gate(
        name="quality",
        ok=recall >= LEAST_RECALL,
        figures={
            "documents": documents,
            "questions": len(asked),
            "recall_at_5": recall,
            "least": LEAST_RECALL,
            "milliseconds_per_search": round(1000 * seconds / max(1, len(asked)), 1),
        },
    )


def proved(done: proof.Proved) -> Gate:
    """What the proof did, as a gate that was passed."""
    figures = {
        "documents": done.documents,
        "passages": done.chunks,
        "questions": done.questions,
    }
    return Gate(name="proof", ok=True, figures=figures)


def requests(counted: Mapping[str, int] | None) -> Gate | None:
    """Whether no request failed at the edge during the release; None where nobody counted."""
    if counted is None:
        return None
    return Gate(name="requests", ok=counted["failed"] == 0, figures=dict(counted))


def failed(reason: str) -> Gate:
    """That the release did not get as far as the gates."""
    return Gate(name="release", ok=False, figures={"reason": reason})


def refuse_failed(gates: Iterable[Gate], *, again: str = "") -> None:
    """Raise SlipwayError that names the first gate which was not passed, with its figures.

    `again` is the command that tries it once more.
    """
    for gate in gates:
        if not gate.ok:
            figures = ", ".join(f"{name} {value}" for name, value in gate.figures.items())
            raise SlipwayError(
                f"the gate {gate.name} was not passed: {figures}", next_command=again
            )


@contextmanager
def _collection(http: httpx.Client) -> Iterator[str]:
    name = f"acceptance-{secrets.token_hex(6)}"
    made = http.post("/v1/collections", json={"name": name, "description": "acceptance gate"})
    _expect(made, httpx.codes.CREATED, "make a collection")
    try:
        yield name
    finally:
        _again(lambda: http.delete(f"/v1/collections/{name}", params={"force": "true"}))


def _ingest(http: httpx.Client, collection: str, folder: Path) -> int:
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    for path in paths:
        content = path.read_bytes()

        def upload(path: Path = path, content: bytes = content) -> httpx.Response:
            return http.post(
                "/v1/documents",
                params={"collection": collection, "source": path.name},
                files={"file": (path.name, content)},
            )

        _expect(_again(upload), httpx.codes.ACCEPTED, f"upload {path.name}")
    deadline = time.monotonic() + INGESTION_SECONDS
    while True:
        listed = _again(
            lambda: http.get("/v1/documents", params={"collection": collection, "limit": PAGE})
        )
        _expect(listed, httpx.codes.OK, "list the documents")
        documents = listed.json()["documents"]
        for each in documents:
            if each["status"] == "failed":
                raise SlipwayError(
                    f"quality: {each['filename']} could not be ingested: {each['error']}"
                )
        ready: int = sum(each["status"] == "ready" for each in documents)
        if ready == len(paths):
            return ready
        if time.monotonic() > deadline:
            raise SlipwayError(
                f"quality: {ready} of {len(paths)} documents were ingested "
                f"in {INGESTION_SECONDS:.0f} s"
            )
        time.sleep(POLL_SECONDS)


def _recall(http: httpx.Client, collection: str, asked: Labelled) -> float:
    """How many of the labelled sections are among the first places, of as many as fit there."""
    body = {"query": asked.question, "limit": 50, "filters": {"collections": [collection]}}
    answer = _again(lambda: http.post("/v1/search", json=body))
    _expect(answer, httpx.codes.OK, f"search for {asked.question!r}")
    found = [_section(each) for each in answer.json()["results"]]
    first = set(list(dict.fromkeys(found))[:PLACES])
    return len(first & asked.sections) / min(len(asked.sections), PLACES)


def _section(result: Mapping[str, Any]) -> tuple[str, str]:
    heading = str(result.get("heading") or "")
    return str(result["source"] or result["filename"]), heading.rpartition(" > ")[2]


def _again(call: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer, after as many waits as the edge's rate limit asks for."""
    while True:
        answer = call()
        if answer.status_code != httpx.codes.TOO_MANY_REQUESTS:
            return answer
        time.sleep(float(answer.headers.get("retry-after", 1)))


def _expect(answer: httpx.Response, status: int, what: str) -> None:
    if answer.status_code != status:
        raise SlipwayError(f"quality: could not {what}: {answer.status_code} {answer.text[:200]}")

"""The kinds of requests that a load is mixed of, and what each must be answered with."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from load_client import Request, Response

READY_SECONDS = 180.0
PAGE = 500
#: Longer than the longest stream and the longest wait for its first word.
STREAM_SECONDS = 150.0
QUESTION = "When does the night ferry to the northern island leave?"
ANSWERING = b"The night ferry to the northern island leaves at seven from the second pier.\n"
#: A whole answer ends with this.
LAST_WORDS = "That is the whole timetable"


def answered(response: Response) -> str:
    """Why this is no success; empty when it is one."""
    return "" if response.status == 200 else f"status {response.status}"


@dataclass(frozen=True)
class Traffic:
    """`rate` requests a second of one kind; `judge` says why an answer is a loss."""

    name: str
    rate: float
    make: Callable[[int], Request]
    judge: Callable[[Response], str] = answered


def same(name: str, rate: float, request: Request) -> Traffic:
    """The same request again and again."""
    return Traffic(name, rate, lambda _: request)


def listing(authorization: str, rate: float) -> Traffic:
    """Lists of the newest documents."""
    headers = {"authorization": authorization}
    return same("list", rate, Request("GET", "/v1/documents?limit=5", b"", headers))


def searching(authorization: str, rate: float) -> Traffic:
    """Searches, each for other words."""
    headers = {"authorization": authorization, "content-type": "application/json"}

    def make(number: int) -> Request:
        body = json.dumps({"query": f"{QUESTION} Sailing {number}", "limit": 3}).encode()
        return Request("POST", "/v1/search", body, headers)

    return Traffic("search", rate, make)


def streaming(authorization: str, rate: float) -> Traffic:
    """Answers that a slow language model writes word by word."""
    headers = {"authorization": authorization, "content-type": "application/json"}
    body = json.dumps({"question": QUESTION, "stream": True}).encode()
    request = Request("POST", "/v1/query", body, headers, seconds=STREAM_SECONDS)
    return Traffic("stream", rate, lambda _: request, whole)


def whole(response: Response) -> str:
    """Why a stream is not whole: it must end with `done`, which repeats all that came before."""
    if response.status != 200:
        return f"status {response.status}"
    said: list[str] = []
    last, answer = "", ""
    for block in response.body.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "event" not in lines:
            continue
        last = lines["event"]
        data: Any = json.loads(lines["data"])
        if last == "delta":
            said.append(data.get("text", ""))
        elif last == "done":
            answer = data["answer"]
        elif last == "error":
            return f"stream: error {data.get('status')} {data.get('cause', '')}".rstrip()
    if last != "done":
        return f"stream: ended with {last or 'nothing'}"
    if LAST_WORDS not in answer or "".join(said).strip() != answer.strip():
        return f"stream: {len(said)} pieces, not the whole answer"
    return ""


def wait_until_ready(http: httpx.Client, document_id: str) -> None:
    """Wait until a document is ingested."""
    deadline = time.monotonic() + READY_SECONDS
    while (found := http.get(f"/v1/documents/{document_id}").json())["status"] != "ready":
        assert found["status"] in {"queued", "processing"}, found
        assert time.monotonic() < deadline, found
        time.sleep(0.5)


@dataclass
class Uploads:
    """Small documents with idempotency keys, and the record to hold the product to afterwards."""

    authorization: str
    rate: float
    run: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    sent: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)

    @property
    def traffic(self) -> Traffic:
        """The uploads as a part of a load."""
        return Traffic("upload", self.rate, self._make, self._judge)

    def check(self, http: httpx.Client) -> Checked:
        """Wait until everything accepted is ingested, and count what is lost or doubled."""
        deadline = time.monotonic() + READY_SECONDS
        while True:
            found = list(self._found(http))
            unfinished = sum(each["status"] in {"queued", "processing"} for each in found)
            if not unfinished or time.monotonic() > deadline:
                break
            time.sleep(1)
        times = Counter(each["source"] for each in found)
        right = {
            each["source"]
            for each in found
            if each["status"] == "ready"
            and each["sha256"] == self.sent.get(each["source"])
            and each["chunks"] == 1
        }
        return Checked(
            accepted=len(self.accepted),
            lost=sorted(set(self.accepted) - right),
            doubled=sorted(
                {source for source, count in times.items() if count > 1}
                | {each["source"] for each in found if each["version"] > 1 or each["chunks"] > 1}
                | (set(times) - set(self.sent))
            ),
        )

    def forget(self, http: httpx.Client) -> None:
        """Delete the documents of this run."""
        for each in list(self._found(http)):
            http.delete(f"/v1/documents/{each['id']}")

    def _make(self, number: int) -> Request:
        source = f"load/{self.run}/{number}.txt"
        content = f"Sailing {number} of run {self.run} leaves the harbour on time.\n".encode()
        self.sent[source] = hashlib.sha256(content).hexdigest()
        boundary = f"load{self.run}"
        body = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="file"; filename="{number}.txt"\r\n'
            "Content-Type: text/plain\r\n\r\n"
        ).encode() + content
        body += f"\r\n--{boundary}--\r\n".encode()
        headers = {
            "authorization": self.authorization,
            "content-type": f"multipart/form-data; boundary={boundary}",
            "idempotency-key": f"{self.run}-{number}",
        }
        return Request("POST", f"/v1/documents?source={source}", body, headers)

    def _judge(self, response: Response) -> str:
        # 200: the edge sent it a second time after a backend died, and the key held.
        if response.status not in {200, 202}:
            return f"status {response.status}"
        document = json.loads(response.body)
        self.accepted[document["source"]] = document["id"]
        return ""

    def _found(self, http: httpx.Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            words = {"source_prefix": f"load/{self.run}/", "limit": PAGE, "offset": len(found)}
            answer = http.get("/v1/documents", params=words)
            assert answer.status_code == 200, answer.text
            page = answer.json()["documents"]
            found += page
            if len(page) < PAGE:
                return found


@dataclass(frozen=True)
class Checked:
    """What became of the uploads that were accepted."""

    accepted: int
    lost: list[str]
    doubled: list[str]

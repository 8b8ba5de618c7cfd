"""A stand-in for the product behind the edge: what a proof of a release asks of it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx


class Product:
    """Login, documents and answers as the HTTP contract of the backend has them.

    `password` tells the admin's password. `broken` maps a path's pattern to the answer that is
    given in place of the right one.
    """

    def __init__(self, samples: Path, password: Callable[[], str]) -> None:
        self.samples = json.loads((samples / "questions.json").read_text())
        self.password = password
        self.documents: dict[str, dict[str, Any]] = {}
        self.broken: dict[str, tuple[int, Any]] = {}
        self.asked: list[str] = []
        self.passes: set[str | None] = set()
        self.candidates: list[str | None] = []
        self.polls_until_ready = 1
        self.refused_logins = 0
        self.retry_after = 7
        #: What every search finds; the labelled set of the stand-in's checkout knows one place.
        self.found = [{"filename": "crane.md", "source": "crane.md", "heading": "Cranes > Wind"}]

    def client(
        self,
        url: str = "https://localhost",
        _authority: str = "",
        _port: int = 443,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Client:
        """A client whose far end is this product."""
        return httpx.Client(
            base_url=url, transport=httpx.MockTransport(self.answer), headers=headers
        )

    def answer(self, request: httpx.Request) -> httpx.Response:
        """Answer one request."""
        called = f"{request.method} {request.url.path}"
        self.asked.append(called)
        self.passes.add(request.headers.get("x-slipway-maintenance"))
        self.candidates.append(request.headers.get("x-slipway-candidate"))
        for pattern, (status, content) in self.broken.items():
            if re.fullmatch(pattern, called):
                return (
                    httpx.Response(status, text=content)
                    if isinstance(content, str)
                    else httpx.Response(status, json=content)
                )
        if called == "POST /v1/login" and self.refused_logins:
            self.refused_logins -= 1
            return httpx.Response(
                429,
                json={"title": "Too many failed tries", "detail": "Wait."},
                headers={"Retry-After": str(self.retry_after)},
            )
        if called == "POST /v1/login":
            right = {"username": "admin", "password": self.password()}
            if json.loads(request.content) != right:
                return httpx.Response(401, json={"title": "Unauthorized", "detail": "wrong"})
            return httpx.Response(200, json={"access_token": "token"})
        assert request.headers["authorization"] == "Bearer token"
        return self._with_login(called, request)

    def _with_login(self, called: str, request: httpx.Request) -> httpx.Response:
        identity = request.url.path.rpartition("/")[2]
        match called.split():
            case ["GET", "/v1/documents"]:
                return httpx.Response(200, json={"documents": self._listed(request.url.params)})
            case ["POST", "/v1/documents"]:
                kept = self._keep(request.content)
                kept["collection"] = request.url.params.get("collection", "default")
                return httpx.Response(202, json=kept)
            case ["POST", "/v1/collections"]:
                return httpx.Response(201, json=json.loads(request.content))
            case ["DELETE", path] if path.startswith("/v1/collections/"):
                kept_there = self._in(identity)
                self.documents = {k: v for k, v in self.documents.items() if k not in kept_there}
                return httpx.Response(204)
            case ["POST", "/v1/search"]:
                return httpx.Response(200, json={"results": self.found})
            case ["POST", "/v1/query"]:
                return httpx.Response(200, json=self._cite(json.loads(request.content)))
            case ["DELETE", _] if self.documents.pop(identity, None):
                return httpx.Response(204)
            case ["GET", _] if identity in self.documents:
                document = self.documents[identity]
                document["polls"] += 1
                ready = document["polls"] > self.polls_until_ready
                document["status"] = "ready" if ready else "processing"
                return httpx.Response(200, json=document)
        return httpx.Response(404, json={"title": "Not Found", "detail": called})

    def _in(self, collection: str) -> set[str]:
        return {k for k, v in self.documents.items() if v["collection"] == collection}

    def _listed(self, params: httpx.QueryParams) -> list[dict[str, Any]]:
        if "collection" not in params:
            return list(self.documents.values())
        found = [self.documents[each] for each in sorted(self._in(params["collection"]))]
        for document in found:
            document["status"] = "ready"
        return found

    def _keep(self, body: bytes) -> dict[str, Any]:
        boundary, _, rest = body.partition(b"\r\n")
        head, _, content = rest.partition(b"\r\n\r\n")
        named = re.search(rb'filename="([^"]+)"', head)
        assert named
        content = content[: content.rindex(b"\r\n" + boundary)]
        digest = hashlib.sha256(content).hexdigest()
        document = {
            "id": digest[:8],
            "filename": named[1].decode(),
            "sha256": digest,
            "status": "queued",
            "error": None,
            "chunks": 2,
            "polls": 0,
        }
        self.documents[digest[:8]] = document
        return document

    def _cite(self, asked: dict[str, str]) -> dict[str, Any]:
        found = next(each for each in self.samples if each["question"] == asked["question"])
        cited = {"filename": found["document"], "passage": f"It says {found['answer_contains']}."}
        return {"answer": cited["passage"], "mode": "extractive", "citations": [cited]}

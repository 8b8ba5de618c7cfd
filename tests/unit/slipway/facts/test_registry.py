"""A tag's digest is asked of a registry, a real server on the loopback."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from slipway.errors import Refused
from slipway.facts import registry

DIGEST = "sha256:" + "a" * 64


class _Registry(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        known = self.path == "/v2/slipway/edge/manifests/1234"
        status = 500 if "broken" in self.path else 200 if known else 404
        self.send_response(status)
        if "application/vnd.oci.image.manifest.v1+json" in self.headers["accept"]:
            self.send_header("docker-content-digest", DIGEST)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Registry) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"localhost:{server.server_address[1]}"
        server.shutdown()


def test_a_tag_names_a_digest(address: str) -> None:
    assert registry.digest(address, "slipway/edge", "1234") == DIGEST


def test_a_tag_that_is_not_there_names_none(address: str) -> None:
    assert registry.digest(address, "slipway/edge", "5678") is None


def test_a_proxy_is_not_asked_for_this_machine(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert registry.digest(address, "slipway/edge", "1234") == DIGEST


@pytest.mark.parametrize("tag", ["broken", None])
def test_a_registry_that_fails_or_is_not_there_is_refused(address: str, tag: str | None) -> None:
    where = address if tag else "localhost:1"
    with pytest.raises(Refused, match=f"The registry at {where} does not answer") as refused:
        registry.digest(where, "slipway/edge", tag or "1234")
    assert refused.value.next_command == "invoke host.prepare"


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("localhost:5000", "http://localhost:5000"),
        ("127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("registry.internal:5000", "https://registry.internal:5000"),
        ("registry.internal", "https://registry.internal"),
        ("10.0.0.5:5000", "https://10.0.0.5:5000"),
    ],
)
def test_only_the_loopback_is_spoken_to_in_the_clear(name: str, url: str) -> None:
    assert registry.base_url(name) == url

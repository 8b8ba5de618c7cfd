"""The edge is replaced while it serves: nothing is lost, what is under way stays where it is."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Any

import yaml
from load import Load
from site_copy import HTTPS, NAME, Site

from slipway.report import Result

# One user has a limit of requests in flight (429), which a busy machine reaches at 60.
RATE = 20
# Longer than anything a hand-over does by itself.
STREAM_SECONDS = 30


class SlowUpload(threading.Thread):
    """One request whose body takes half a minute: a connection that outlives the hand-over."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        with site.client() as client:
            self._token = client.headers["authorization"]
        self._context = site.trust
        self.status = 0
        self.failure = ""
        self.began = threading.Event()

    def run(self) -> None:
        """Send a question, a byte at a time."""
        body = b'{"query": "' + b"grease " * STREAM_SECONDS + b'"}'
        connection = http.client.HTTPSConnection(
            "localhost", HTTPS, timeout=60, context=self._context
        )
        try:
            connection.putrequest("POST", "/v1/search")
            connection.putheader("Authorization", self._token)
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders()
            self.began.set()
            for start in range(0, len(body), 7):
                connection.send(body[start : start + 7])
                time.sleep(1)
            response = connection.getresponse()
            response.read()
            self.status = response.status
        except (OSError, http.client.HTTPException) as error:
            self.failure = f"{type(error).__name__}: {error}"
        finally:
            connection.close()


def configure_edge(site: Site, **environment: str) -> None:
    """Change settings of the edge in the overlay of the environment."""
    path = site.root / "infra/compose/environments" / f"{NAME}.yaml"
    overlay = yaml.safe_load(path.read_text())
    overlay["services"]["edge"]["environment"] |= environment
    path.write_text(yaml.safe_dump(overlay, sort_keys=False))


def platform(site: Site) -> dict[str, Any]:
    """The platform's services that run, with the times of their starts."""
    return {
        each["service"]: each["started"]
        for each in site.status()["containers"]
        if each["generation"] is None
    }


def test_a_changed_edge_takes_over_and_nothing_is_lost(
    released: Site, figures: list[Result]
) -> None:
    """And back again: the other edge is as good a place as the first."""
    with released.client() as client:
        token = client.headers["authorization"]
    # The second takes back what the first has changed.
    for seconds, old, new in ((41, "edge", "edge-b"), (None, "edge-b", "edge")):
        before = platform(released)
        assert old in before
        assert new not in before
        released.set_environment()
        if seconds is not None:
            configure_edge(released, EDGE_CLIENT_SECONDS=str(seconds))
        slow = SlowUpload(released)
        target = f"{released.url}/v1/documents?limit=5"
        headers = {"authorization": token}
        with Load(target, released.authority, RATE, 280, headers=headers) as load:
            slow.start()
            assert slow.began.wait(10)
            began = time.monotonic()
            answer = released.invoke("release", "--env", NAME, "--yes")
            took = round(time.monotonic() - began, 1)
            slow.join()
            result = load.stop()
        figures.append(result.figure(f"the edge is replaced ({old} to {new})"))
        figures.append(Result("release that replaces the edge", took, "s"))
        assert answer.exit_code == 0, answer.text
        assert f"hand over to {new}" in answer.text
        assert dict(result.failed) == {}
        assert (slow.status, slow.failure) == (200, "")
        after = platform(released)
        assert set(after) == (set(before) - {old}) | {new}
        assert after["door"] == before["door"]
        assert after["postgres"] == before["postgres"]

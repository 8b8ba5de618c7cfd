"""An environment with two replicas, and a writer that keeps count."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import httpx
import yaml
from docker.models.containers import Container
from site_copy import HTTP, HTTPS, NAME, Answer, Site

TIER = f"{NAME}tier"
PORTS = {"address": "127.0.0.1", "https": HTTPS + 5, "http": HTTP + 5}
# What a member runs to lose its server at once.
KILL = ["sh", "-c", "kill -9 $(head -1 /var/lib/postgresql/17/postmaster.pid)"]
LEDGER = (Path(__file__).parent / "ledger.py").read_text()
# What is waited for takes seconds; a machine that others use too may need longer.
PATIENCE_SECONDS = 90


class DataTier:
    """An environment of one backend and one worker over a primary with two replicas."""

    def __init__(self, site: Site, *, synchronous: bool = True) -> None:
        self.site = site
        self.synchronous = synchronous
        folder = site.root / "infra/compose/environments"
        overlay = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
        overlay["x-slipway"] |= {
            "ports": PORTS,
            "replicas": {"backend": 1, "worker": 1},
            "database": {"replicas": 2, "synchronous": synchronous},
        }
        self._overlay = folder / f"{TIER}.yaml"
        self._overlay.write_text(yaml.safe_dump(overlay, sort_keys=False))

    def invoke(self, *words: str) -> Answer:
        """Type `invoke WORDS --env TIER`."""
        return self.site.invoke(*words, "--env", TIER)

    def remove(self) -> Answer:
        """Take the environment down with its data, and forget its file."""
        answer = self.invoke("down", "--volumes", "--yes")
        self._overlay.unlink(missing_ok=True)
        return answer

    def status(self) -> dict[str, Any]:
        """What `invoke db.status --json` says."""
        answer = self.invoke("db.status", "--json")
        found = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found

    def container(self, service: str) -> Container:
        """The running container of a platform service."""
        return self.site.engine.containers.get(f"slipway-{TIER}-platform-{service}-1")

    def images(self) -> set[str]:
        """The images that the members run from."""
        return {
            str(self.container(name).attrs["Config"]["Image"])
            for name in ("postgres", "postgres-2", "postgres-3")
        }

    def whole(self) -> dict[str, Any]:
        """The status once one member takes writes and the two others follow it closely.

        A member tells its timeline a moment after it has begun to follow.
        """

        def ordered() -> dict[str, Any] | None:
            found = self.status()
            states = sorted(each["state"] for each in found["members"])
            good = found["primary"] and states == ["running", "streaming", "streaming"]
            synchronous = [each["role"] for each in found["members"]].count("synchronous replica")
            one = len({each["timeline"] for each in found["members"]}) == 1
            return found if good and one and synchronous == int(self.synchronous) else None

        return eventually(ordered, "a primary that two replicas follow")

    def query(self, service: str, statement: str) -> list[str]:
        """What one member answers, row by row."""
        words = ["psql", "--no-psqlrc", "-U", "postgres", "-d", "slipway", "-Atc", statement]
        done = self.container(service).exec_run(words)
        assert done.exit_code == 0, done.output
        return done.output.decode().split()

    def client(self) -> httpx.Client:
        """A client of the environment, logged in as its administrator."""
        left = self.site.root / ".slipway" / TIER
        url = f"https://localhost:{PORTS['https']}"
        trust = ssl.create_default_context(cafile=str(left / "ca.crt"))
        login = {"username": "admin", "password": (left / "admin_password").read_text()}
        answer = httpx.post(f"{url}/v1/login", json=login, verify=trust, timeout=30)
        headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
        return httpx.Client(base_url=url, verify=trust, headers=headers, timeout=30)


class Ledger:
    """Writers on the clients' network; used as a context manager.

    `pinned` adds one writer for each member, which goes to that one alone.
    """

    def __init__(self, tier: DataTier, *, pinned: bool = False) -> None:
        self.tier = tier
        self._environment = {"PINNED": "yes"} if pinned else {}

    def __enter__(self) -> Ledger:
        self._container = self.tier.site.engine.containers.run(
            next(iter(self.tier.images())),
            ["-c", LEDGER],
            entrypoint="python3",
            detach=True,
            environment=self._environment,
            user="10001",
            network=f"slipway-{TIER}-app-data",
            volumes={f"slipway-{TIER}-secrets-backend": {"bind": "/run/secrets", "mode": "ro"}},
            name=f"slipway-{TIER}-ledger",
        )
        self.wait_for_writes()
        return self

    def __exit__(self, *_: object) -> None:
        self._container.remove(force=True)

    def pause(self) -> None:
        """Write nothing more."""
        self._container.pause()

    def entries(self) -> list[dict[str, Any]]:
        """Every line that was written so far."""
        lines = self._container.logs(stdout=True, stderr=False).decode().splitlines()
        return [json.loads(line) for line in lines]

    def acknowledged(self) -> list[dict[str, Any]]:
        """The writes that the database acknowledged."""
        return [each for each in self.entries() if "acknowledged" in each]

    def wait_for_writes(self, count: int = 30) -> None:
        """Wait until so many more writes are acknowledged."""
        least = len(self.acknowledged()) + count
        eventually(lambda: len(self.acknowledged()) >= least, "writes that are acknowledged")

    def longest_gap(self) -> float:
        """The longest time between two acknowledged writes, in seconds."""
        times = [each["at"] for each in self.acknowledged() if each["by"] == "any"]
        return max(later - earlier for earlier, later in pairwise(times))

    def takers(self) -> list[str]:
        """The members in the order in which they took the writes of those who go to them alone."""
        pinned = [each for each in self.acknowledged() if each["by"] != "any"]
        ordered = sorted(pinned, key=lambda each: float(each["at"]))
        return [name for name, _ in groupby(str(each["by"]) for each in ordered)]

    def lost(self) -> set[int]:
        """What was acknowledged and is not in the database."""
        wanted = {each["acknowledged"] for each in self.acknowledged()}
        primary = self.tier.status()["primary"]
        return wanted - {int(each) for each in self.tier.query(primary, "SELECT * FROM ledger")}


def eventually(look: Callable[[], Any], what: str) -> Any:
    """What `look` finds, as soon as it finds anything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline, f"no {what} within {PATIENCE_SECONDS} s"
        time.sleep(0.3)
    return found

"""Root on an environment's host attacks the backups: it is told, and the last good one comes back.

The other machine has a keeper beside its SFTP server. Each attack is what a hostile root would do.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from attacks import ATTACKS, BEGIN
from backup_rig import BECOME, KEY, NAME, SERVICE, Answer, Rig
from docker.models.containers import Container
from keeper_rig import Keeper

COUNTED = "SELECT count(*) || ' ' || sum(hashtext(text)) FROM chunks"
KEEPER = "/var/lib/slipway-backup/keeper"
RECEIVER = """
import http.server

class Alerts(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        print(self.rfile.read(int(self.headers["content-length"])).decode(), flush=True)
        self.send_response(200)
        self.end_headers()

http.server.HTTPServer(("", 8000), Alerts).serve_forever()
"""
pytestmark = pytest.mark.exhaustive


@dataclass
class Guarded:
    """An environment with a second repository on a machine that has a keeper."""

    rig: Rig
    machine: Keeper
    service: Container
    receiver: Container
    policy: str
    kept: Container | None = None

    def start_keeper(self, **policy: float) -> None:
        """Start a keeper that has nothing yet, in place of the one before."""
        if self.kept is not None:
            self.rig.end(self.kept)
            self.rig.engine.volumes.get(f"{NAME}-kept").remove()
        # In memory, and smaller than what an attack may bring.
        room = "size=160m,uid=10006,gid=10006,mode=0750"
        self.rig.volume("kept", type="tmpfs", device="tmpfs", o=room)
        self.kept = self.rig.run(
            self.rig.images["backup"],
            "service-keeper",
            mounts={
                "keeper": "/landing:ro",
                "kept": KEEPER,
                "copy": "/copy",
                "secrets-keeper": "/run/secrets:ro",
            },
            user="0:0",
            cap_add=list(SERVICE),
            environment=self.rig.environment(
                KEEPER_POLICY=json.dumps({"look_seconds": 0.5, **policy})
            ),
            command=["keep"],
        )

    def tells(self, *words: str) -> Answer:
        """What `slipway-backup kept` tells."""
        assert self.kept is not None
        return self.rig.verb("kept", *words, container=self.kept)

    def quiet(self, point: str) -> dict[str, Any]:
        """What it tells as soon as nothing is wrong and this point, the newest, is good."""

        def found() -> dict[str, Any]:
            answer = self.tells()
            told = answer.told
            good = [each["name"] for each in told.get("points", ()) if each["in_landing"]]
            return told if answer.code == 0 and good[-1:] == [point] and told["good"] else {}

        told: dict[str, Any] = self.rig.eventually(found, f"a keeper that has {point}")
        return told

    def told(self) -> list[str]:
        """The alerts that came."""
        lines = self.receiver.logs(stderr=False).splitlines()
        return [str(json.loads(line)["text"]) for line in lines]

    def attack(self, script: str) -> None:
        """Do something in the service's container, as root there could."""
        done = self.service.exec_run([*BECOME, "python3", "-c", BEGIN + script])
        assert done.exit_code == 0, done.output.decode()

    def comes_back(self, expected: list[str], *words: str) -> None:
        """Have the keeper lay out its repository, and restore the newest point of it."""
        self.rig.shell("rm -rf /v/* && chown 10006:10006 /v", {"copy": "/v"})
        given = self.tells("--to", "/copy", *words)
        assert given.code == 0, given.text
        volume = "attacked"
        self.rig.postgres_volume(volume)
        restored = self.rig.restore("--point", "latest", volume=volume, repository="copy")
        assert restored.code == 0, restored.text
        with self.rig.restored(volume) as server:
            assert self.rig.query(COUNTED, server) == expected
        self.rig.engine.volumes.get(f"{NAME}-{volume}").remove()


@pytest.fixture(scope="module")
def guarded(rig: Rig) -> Iterator[Guarded]:
    """Two points in the second repository, which lies on a disk that can be filled."""
    room = {"type": "tmpfs", "device": "tmpfs", "o": "size=128m,uid=1000,gid=1000,mode=0700"}
    machine = Keeper(rig, **room)
    receiver = rig.run(
        rig.images["backup"],
        "receiver",
        mounts={},
        aliases=["receiver"],
        entrypoint=["python3", "-c", RECEIVER],
    )
    rig.put("secrets-backup", machine.secrets, 10006)
    alerts = {"backup_key": KEY, "keeper_webhook_url": "http://receiver:8000/"}
    rig.put("secrets-keeper", alerts, 10006)
    for name in ("first", "copy", "saved"):
        rig.volume(name)
        rig.shell("chown 10006:10006 /v", {name: "/v"})
    policy = json.dumps({**rig.never, "second": {**machine.second, "keep": {"full": 2}}})
    rig.end(rig.service)
    service = rig.start_service("first", BACKUP_POLICY=policy)
    made = Guarded(rig, machine, service, receiver, policy)
    take(made, "before")
    rig.query("DELETE FROM chunks WHERE id IN (SELECT id FROM chunks LIMIT 10)")
    take(made, "between")
    yield made
    rig.end(made.service)
    if made.kept is not None:
        rig.end(made.kept)
    for container in (machine.container, receiver):
        container.remove(force=True)
    for name in ("first", "copy", "saved", "kept", "keeper"):
        rig.engine.volumes.get(f"{NAME}-{name}").remove(force=True)
    rig.service = rig.start_service()


def take(guarded: Guarded, name: str) -> None:
    """A full point in both repositories."""
    taken = guarded.rig.verb("run", "--kind", "full", "--name", name, container=guarded.service)
    assert taken.code == 0, taken.text
    assert taken.told["missed"] == []


def test_what_an_environment_removes_by_its_own_rule_is_no_attack_and_comes_back(
    guarded: Guarded,
) -> None:
    guarded.start_keeper(guarded_days=0)
    then = guarded.quiet("between")
    rows = guarded.rig.query(COUNTED)
    guarded.rig.query("DELETE FROM chunks WHERE id IN (SELECT id FROM chunks LIMIT 10)")
    take(guarded, "newest")
    now = guarded.quiet("newest")
    assert [each["name"] for each in now["points"]] == ["before", "between", "newest"]
    assert [each["in_landing"] for each in now["points"]] == [False, True, True]
    assert guarded.told() == []
    guarded.comes_back(rows, "--at", then["good"])


@pytest.fixture(scope="module")
def attacked(guarded: Guarded) -> Callable[[], None]:
    """A keeper that has seen two points; called, it has the landing folder as it was then."""
    guarded.start_keeper()
    guarded.quiet("newest")
    guarded.rig.shell("cp -a /l/. /s/", {"keeper": "/l", "saved": "/s"})

    def again() -> None:
        guarded.rig.shell(
            "find /l -mindepth 1 -delete && cp -a /s/. /l/", {"keeper": "/l", "saved": "/s"}
        )
        guarded.quiet("newest")

    return again


@pytest.mark.parametrize("code", ATTACKS)
def test_an_attack_is_told_and_the_last_good_point_comes_back(
    guarded: Guarded, attacked: Callable[[], None], code: str
) -> None:
    attacked()
    before = len(guarded.told())
    guarded.attack(ATTACKS[code])
    guarded.rig.eventually(
        lambda: any(f"] {code}: " in each for each in guarded.told()[before:]), f"alert {code}"
    )
    guarded.comes_back(guarded.rig.query(COUNTED))

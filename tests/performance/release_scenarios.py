"""What is done to an environment while the load goes on: good and bad releases, kills, changes."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from site_copy import NAME, Answer, Site, merged

READY_SECONDS = 240
BUSY_SECONDS = 150.0
#: A soak that the load on this machine does not end.
LENIENT = {"requests": 1_000_000, "failed_percent": 100, "slower": 1000, "restarts": 100}
LINE = "services/backend/src/slipway_backend/__init__.py"
LISTS = "services/backend/src/slipway_backend/api/routes/documents.py"
LISTING = "    listing = Listing(collection, status, source, source_prefix, sha256)\n"


@dataclass(frozen=True)
class Scenario:
    """Something that happens under load; returns what was typed."""

    act: Callable[[Site], str]
    #: What must be under way before; it ends by what is done.
    prepare: Callable[[Site], subprocess.Popen[str]] | None = None
    #: Whether all requests go to another generation afterwards.
    replaces: bool = False
    quick: bool = True


def one_line_change(site: Site) -> None:
    """Change one line of the backend, never twice to the same."""
    path = site.root / LINE
    path.write_text(path.read_text() + f"\nCHANGED = {uuid.uuid4().hex!r}\n")


def good(site: Site) -> str:
    """The one-line change is there already: its plan was measured."""
    return _release(site)


def never_ready(site: Site) -> str:
    """A backend that runs, but listens where nobody asks."""
    known = site.services
    site.services = merged(known, {"backend": {"environment": {"PORT": "9000"}}})
    site.set_environment(ready_seconds=20)
    try:
        return _release(site, exit_code=1)
    finally:
        site.services = known
        site.set_environment(ready_seconds=READY_SECONDS)


def answers_500(site: Site) -> str:
    """A backend that is ready, and answers every list of documents with 500."""
    path = site.root / LISTS
    whole = path.read_text()
    site.edit(LISTS, LISTING, f"    raise RuntimeError({uuid.uuid4().hex!r})\n{LISTING}")
    try:
        return _release(site, exit_code=1)
    finally:
        path.write_text(whole)


def soaking(site: Site) -> subprocess.Popen[str]:
    """A release in its soak, while what it replaced is still warm."""
    one_line_change(site)
    soak = {**LENIENT, "seconds": 300}
    site.set_environment(ready_seconds=READY_SECONDS, log_level=_level(site), soak=soak)
    process = site.start("release", "--env", NAME)
    try:
        _until_said(process, "soak")
        # By now its first figures are taken.
        time.sleep(5)
    except BaseException:
        process.kill()
        raise
    return process


def rollback(site: Site) -> str:
    """Back to the release before."""
    answer = site.invoke("rollback", "--env", NAME, "--yes")
    assert answer.exit_code == 0, answer.text
    return _typed(answer, "invoke rollback")


def killed(marker: str) -> Callable[[Site], str]:
    """A release that gets SIGKILL at a step, and the next one that finishes what it began."""

    def act(site: Site) -> str:
        site.set_environment(
            ready_seconds=READY_SECONDS, log_level="debug" if _level(site) == "info" else "info"
        )
        _kill_at(site, marker)
        began = time.monotonic()
        while (answer := site.invoke("release", "--env", NAME)).exit_code == 2:
            assert "is busy" in answer.text and time.monotonic() < began + BUSY_SECONDS, answer.text
            time.sleep(3)
        assert answer.exit_code == 0, answer.text
        waited = time.monotonic() - began
        return f"killed at {marker!r}; the next release had finished {waited:.0f} s later"

    return act


def backend_killed(site: Site) -> str:
    """One backend of two gets SIGKILL, and is started again."""
    backends = [
        each["name"] for each in site.status()["containers"] if each["service"] == "backend"
    ]
    victim = site.engine.containers.get(backends[0])
    victim.kill("SIGKILL")
    time.sleep(6)
    victim.start()
    deadline = time.monotonic() + READY_SECONDS
    while not all(address["ready"] for address in site.status()["edge"]["addresses"]):
        assert time.monotonic() < deadline, "the killed backend did not come back"
        time.sleep(1)
    return "docker kill --signal KILL, docker start"


def edge_configuration(site: Site) -> str:
    """A setting of the edge is changed."""
    site.services = merged(site.services, {"edge": {"environment": {"EDGE_CLIENT_SECONDS": "31"}}})
    site.set_environment(ready_seconds=READY_SECONDS, log_level=_level(site))
    return _release(site)


def edge_image(site: Site) -> str:
    """A line of NGINX's configuration is changed, and with it the edge's image."""
    path = site.root / "infra/nginx/nginx.conf"
    path.write_text(path.read_text() + f"# {uuid.uuid4().hex}\n")
    return _release(site)


def _release(site: Site, *, exit_code: int = 0) -> str:
    answer = site.invoke("release", "--env", NAME)
    assert answer.exit_code == exit_code, answer.text
    return _typed(answer, "invoke release")


def _typed(answer: Answer, command: str) -> str:
    lines = [line.split(" ..")[0] + " " + line.split()[-2] + " s" for line in _timed(answer.text)]
    return f"{command}: {', '.join(' '.join(line.split()) for line in lines)}"


def _timed(text: str) -> list[str]:
    return [line for line in text.splitlines() if " .." in line and line.endswith(" s")]


def _kill_at(site: Site, marker: str) -> None:
    """Start a release and kill it as soon as it says that it is at a step."""
    with site.start("release", "--env", NAME) as process:
        _until_said(process, marker)
        process.kill()


def _until_said(process: subprocess.Popen[str], marker: str) -> None:
    """Wait until a release says that it is at a step; its line is complete when that is done."""
    assert process.stdout is not None
    said = ""
    while f"\n{marker}" not in said:
        piece = process.stdout.read(1)
        assert piece, said
        said += piece


def _level(site: Site) -> str:
    overlay = Path(site.root / "infra/compose/environments" / f"{NAME}.yaml").read_text()
    return "debug" if "log_level: debug" in overlay else "info"


SCENARIOS = {
    "good release": Scenario(good, replaces=True),
    "bad release, never ready": Scenario(never_ready),
    "bad release, answers 500": Scenario(answers_500, quick=False),
    "rollback": Scenario(rollback, replaces=True),
    "rollback while the old one is warm": Scenario(rollback, prepare=soaking, replaces=True),
    "release killed while starting": Scenario(killed("start generation"), quick=False),
    "release killed while switching": Scenario(killed("switch edge")),
    "release killed while draining": Scenario(killed("drain generation"), quick=False),
    "backend killed": Scenario(backend_killed),
    "edge configuration changed": Scenario(edge_configuration),
    "edge image changed": Scenario(edge_image, quick=False),
}

"""The advisory gate, with the real pip-audit and a small OSV-compatible service."""

from __future__ import annotations

import datetime
import json
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from slipway.errors import Refused
from slipway.gates import advisories
from slipway.gates.advisories import CANARY, Outcome, Service

Answer = Callable[[str, str], bytes]

KNOWN = {CANARY: "CANARY-1", ("jinja2", "2.4.1"): "PYSEC-2019-217"}


def osv(known: dict[tuple[str, str], str]) -> Answer:
    """Answer as OSV does: nothing for a version without a fault, and the fault for one with."""

    def answer(name: str, version: str) -> bytes:
        if (name, version) not in known:
            return b"{}"
        fault: dict[str, Any] = {
            "id": known[name, version],
            "aliases": ["CVE-2016-10745"],
            "summary": "A fault.",
            "affected": [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": []}],
        }
        return json.dumps({"vulns": [fault]}).encode()

    return answer


@contextmanager
def service(answer: Answer) -> Iterator[str]:
    """Serve `answer` on a free port of this host; yields the address to ask."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = answer(asked["package"]["name"], asked["version"])
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def pip_audit() -> Path:
    """The pip-audit of this environment."""
    found = shutil.which("pip-audit")
    assert found
    return Path(found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A checkout with one lock, which pins two versions of one package, as forks of Python do."""
    (tmp_path / "pyproject.toml").write_text("", encoding="utf-8")
    write_lock(tmp_path, "idna==3.10\nidna==3.11\nrequests==2.32.5 ; sys_platform == 'win32'\n")
    return tmp_path


def write_lock(root: Path, pins: str) -> None:
    (root / "requirements").mkdir(exist_ok=True)
    text = f"# A lock\n# inputs 0\n# body 0\n{pins}"
    (root / "requirements/backend.txt").write_text(text, encoding="utf-8")


def audit(root: Path, pip_audit: Path, url: str) -> advisories.Audit:
    return advisories.audit(root, pip_audit, {advisories.URL_VARIABLE: url})


def test_versions_without_a_known_fault_pass(root: Path, pip_audit: Path) -> None:
    with service(osv(KNOWN)) as url:
        result = audit(root, pip_audit, url)
    assert (result.outcome, result.text) == (Outcome.CLEAN, "3 locked versions, no known fault")
    assert not result.fatal({"SLIPWAY_STRICT": "1"})


def test_a_version_with_a_known_fault_fails_and_is_named_with_its_lock(
    root: Path, pip_audit: Path
) -> None:
    write_lock(root, "idna==3.10\njinja2==2.4.1\n")
    with service(osv(KNOWN)) as url:
        result = audit(root, pip_audit, url)
    assert result.outcome is Outcome.VULNERABLE
    assert result.fatal({})
    assert "jinja2 2.4.1: PYSEC-2019-217 (in backend)" in result.text
    assert "idna" not in result.text


def test_a_fault_that_only_another_platform_meets_fails_too(root: Path, pip_audit: Path) -> None:
    write_lock(root, "jinja2==2.4.1 ; sys_platform == 'win32' \\\n    --hash=sha256:0\n")
    with service(osv(KNOWN)) as url:
        assert audit(root, pip_audit, url).outcome is Outcome.VULNERABLE


def test_an_unreachable_service_is_no_success(root: Path, pip_audit: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    result = audit(root, pip_audit, f"http://127.0.0.1:{port}/v1/query")
    assert result.outcome is Outcome.NOT_RUN
    assert result.headline == "not run: no advisory service"
    assert not result.fatal({})
    assert result.fatal({"SLIPWAY_STRICT": "1"})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(lambda name, version: b"{}", id="nothing for everything"),
        pytest.param(lambda name, version: b"<html>Sign in</html>", id="a sign-in page"),
        pytest.param(lambda name, version: b'{"vulns": [{"id": 7}]}', id="another schema"),
        pytest.param(
            lambda name, version: osv(KNOWN)(name, version) if name == CANARY[0] else b"[",
            id="real at first, then broken",
        ),
    ],
)
def test_a_service_that_answers_nonsense_is_no_success(
    root: Path, pip_audit: Path, answer: Answer
) -> None:
    with service(answer) as url:
        assert audit(root, pip_audit, url).outcome is Outcome.NOT_RUN


def test_without_pip_audit_nothing_is_claimed(root: Path, tmp_path: Path) -> None:
    assert audit(root, tmp_path / "absent", "http://127.0.0.1:9/").outcome is Outcome.NOT_RUN


def accept(root: Path, until: datetime.date, identity: str = "CVE-2016-10745") -> None:
    (root / "pyproject.toml").write_text(
        "[[tool.slipway.accepted-advisories]]\n"
        f'id = "{identity}"\nreason = "templates are ours"\nuntil = {until.isoformat()}\n',
        encoding="utf-8",
    )


def test_an_accepted_advisory_passes_until_its_last_day(root: Path, pip_audit: Path) -> None:
    write_lock(root, "jinja2==2.4.1\n")
    today = datetime.datetime.now(datetime.UTC).date()
    with service(osv(KNOWN)) as url:
        accept(root, today + datetime.timedelta(days=1))
        assert audit(root, pip_audit, url).outcome is Outcome.CLEAN
        accept(root, today - datetime.timedelta(days=1))
        assert audit(root, pip_audit, url).outcome is Outcome.VULNERABLE


def test_an_accepted_advisory_without_a_reason_is_refused(root: Path) -> None:
    (root / "pyproject.toml").write_text(
        '[[tool.slipway.accepted-advisories]]\nid = "CVE-2016-10745"\n', encoding="utf-8"
    )
    with pytest.raises(Refused, match="needs id, reason and until"):
        advisories.accepted_advisories(root, datetime.date(2026, 1, 1))


def test_a_site_can_name_its_own_service() -> None:
    own = advisories.services({advisories.URL_VARIABLE: "http://osv.example/v1/query"})
    assert own == (Service("osv", "http://osv.example/v1/query"),)
    assert [service.kind for service in advisories.services({})] == ["osv", "pypi"]

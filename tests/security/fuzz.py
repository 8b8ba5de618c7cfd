"""Speak nonsense to a real server, as every role, and hold its answers to its own OpenAPI.

Run by `nox -s fuzz`. Cases are made by schemathesis, the same in every run; a failure prints the
request as a curl line. Writes reports/fuzz.json and its twin.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from served import Process, Site, site

from slipway import report
from slipway_backend.security import hash_password

ROOT = Path(__file__).parents[2]
LEAST_CASES = 2000
LONGEST_SECONDS = 10.0
RUN_SECONDS = 180
ROLES = ("reader", "editor", "admin")
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)
# Ends the session that all other cases need, so it has a run of its own, after them.
LOGOUT = "/v1/logout"
# An event stream ends when its reader leaves, which this reader never does.
ENDLESS = r"/events$"


@dataclass
class Outcome:
    """What one role's cases came to."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0
    failed: bool = False


def main() -> int:
    """Run all roles; 0 when every answer was as described."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=8, help="most cases of one kind per route")
    parser.add_argument("--role", action="append", choices=ROLES, help="only this role")
    chosen = parser.parse_args()
    started = time.monotonic()
    with site(Path(os.environ["SLIPWAY_MODEL_CACHE"])) as made:
        made.migrate()
        server, base = made.serve()
        _add_users(made)
        outcomes = {
            role: _speak(made, base, role, chosen.examples) for role in chosen.role or ROLES
        }
        alive = server.popen.poll() is None
        errors = _logged(server)
    figures = _figures(outcomes, time.monotonic() - started, alive=alive, errors=errors)
    path = report.write(ROOT / "reports", "fuzz", figures, commit=_commit())
    sys.stdout.write(path.with_suffix(".md").read_text())
    whole = not chosen.role
    wrong = [each for each in figures if each.ok is False and (whole or each.unit != "cases")]
    return 1 if wrong else 0


def _speak(made: Site, base: str, role: str, examples: int) -> Outcome:
    outcome = Outcome()
    for chosen in (f"--exclude-path={LOGOUT}", f"--include-path={LOGOUT}"):
        _speak_about(made, base, role, examples, chosen, outcome)
    return outcome


def _speak_about(
    made: Site, base: str, role: str, examples: int, chosen: str, outcome: Outcome
) -> None:
    token = _login(base, role, made.password)
    with tempfile.TemporaryDirectory(prefix="slipway-fuzz-") as folder:
        events = Path(folder) / "events.ndjson"
        print(f"as {role}:", flush=True)
        finished = subprocess.run(
            [
                *(str(Path(sys.executable).with_name("schemathesis")), "run"),
                f"{base}/openapi.json",
                f"--header=Authorization: Bearer {token}",
                f"--max-examples={examples}",
                "--generation-deterministic",
                "--continue-on-failure",
                f"--checks={','.join(CHECKS)}",
                f"--request-timeout={LONGEST_SECONDS}",
                f"--exclude-path-regex={ENDLESS}",
                chosen,
                "--warnings=off",
                "--report=ndjson",
                f"--report-ndjson-path={events}",
            ],
            timeout=RUN_SECONDS,
            check=False,
        )
        outcome.failed = outcome.failed or finished.returncode != 0
        for interaction in _interactions(events):
            outcome.cases += 1
            answer = interaction.get("response") or {}
            outcome.statuses[int(answer.get("status_code") or 0)] += 1
            outcome.slowest = max(outcome.slowest, float(answer.get("elapsed") or 0.0))


def _interactions(events: Path) -> Iterator[dict[str, object]]:
    with events.open() as stream:
        for line in stream:
            scenario = json.loads(line).get("ScenarioFinished")
            if scenario:
                yield from (scenario["recorder"].get("interactions") or {}).values()


def _figures(
    outcomes: dict[str, Outcome], seconds: float, *, alive: bool, errors: int
) -> list[report.Result]:
    total = sum(outcome.cases for outcome in outcomes.values())
    statuses = sum((outcome.statuses for outcome in outcomes.values()), Counter[int]())
    unknown = statuses[401] / max(total, 1)
    broken = sum(count for status, count in statuses.items() if status >= 500 and status != 503)
    figures = [
        report.Result("cases", total, "cases", f">= {LEAST_CASES}"),
        report.Result("answers 5xx other than 503", broken, "answers", "== 0"),
        report.Result("answers to nobody, 401", round(unknown, 3), "of all", "<= 0.2"),
        report.Result("answers none within the time", statuses[0], "answers", "== 0"),
        report.Result("unexpected failures in the log", errors, "lines", "== 0"),
        report.Result("servers that died", int(not alive), "servers", "== 0"),
        report.Result(
            "slowest answer",
            max(outcome.slowest for outcome in outcomes.values()),
            "s",
            f"<= {LONGEST_SECONDS:g}",
        ),
        report.Result("whole run", round(seconds, 1), "s", "<= 240"),
    ]
    for role, outcome in outcomes.items():
        seen = ", ".join(
            f"{count} x {status}" for status, count in sorted(outcome.statuses.items())
        )
        figures.append(
            report.Result(
                f"as {role}: runs with an answer that is not as described",
                int(outcome.failed),
                "runs",
                "== 0",
                note=f"{outcome.cases} cases: {seen}",
            )
        )
    return figures


def _add_users(made: Site) -> None:
    with psycopg.connect(made.database_url, autocommit=True) as connection:
        for role in ("reader", "editor"):
            connection.execute(
                "INSERT INTO users (username, password_hash, role) VALUES (%s, %s, %s)",
                [role, hash_password(made.password), role],
            )
            connection.execute(
                "INSERT INTO grants (collection_id, user_id, access)"
                " SELECT 1, id, CASE role WHEN 'editor' THEN 'write' ELSE 'read' END"
                " FROM users WHERE username = %s",
                [role],
            )


def _login(base: str, username: str, password: str) -> str:
    request = urllib.request.Request(
        f"{base}/v1/login",
        json.dumps({"username": username, "password": password}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(json.load(answer)["access_token"])


def _logged(server: Process) -> int:
    return sum('"event": "request_failed"' in line for line in server.log.open(errors="replace"))


def _commit() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())

"""Real faults on a real engine: each gets its own name, and no request is lost."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from load import Load
from site_copy import NAME, Site

from slipway.config import names

READY_SECONDS = 20
#: Fault -> what the overlay says of the services, and what the answer must show.
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "wrong-port": (
        {"backend": {"environment": {"PORT": "9000"}}},
        "8000 is asked for, it listens on 9000",
    ),
    "secret-missing": (
        {"backend": {"environment": {"JWT_SECRET": "short"}}},
        "JWT_SECRET has 5 bytes but needs at least 32",
    ),
    "image-unusable": (
        {"backend": {"entrypoint": ["/no/such/program"], "command": []}},
        "/no/such/program",
    ),
    "out-of-memory": (
        {"backend": {"mem_limit": "48m"}},
        "ended for want of memory: its limit is 48 MiB",
    ),
    "database-gone": (
        {"backend": {"environment": {"DATABASE_URL": "postgresql://slipway:x@nowhere/slipway"}}},
        "failed to resolve host 'nowhere'",
    ),
    "slow-start": (
        {
            "backend": {
                "entrypoint": ["sh", "-c", "sleep 300; exec slipway-backend serve"],
                "command": [],
            }
        },
        f"did not become healthy within {READY_SECONDS} s",
    ),
    "migration-failed": (
        {
            "migrate": {"environment": {"DATABASE_URL": "postgresql://slipway:x@nowhere/slipway"}},
            "backend": {"environment": {"LOG_LEVEL": "warning"}},
        },
        "The database cannot be used",
    ),
}


@contextlib.contextmanager
def overlaid(site: Site, services: dict[str, Any]) -> Iterator[None]:
    """The environment's overlay says this of the services, for as long as the block lasts."""
    site.set_environment(ready_seconds=READY_SECONDS)
    path = site.root / "infra/compose/environments" / f"{NAME}.yaml"
    overlay = yaml.safe_load(path.read_text())
    for service, changes in services.items():
        overlay["services"][service] = overlay["services"].get(service, {}) | changes
    path.write_text(yaml.safe_dump(overlay, sort_keys=False))
    try:
        yield
    finally:
        site.set_environment()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_seeded_fault_is_named_with_its_evidence(released: Site, fault: str) -> None:
    services, evidence = FAULTS[fault]
    before = released.status()
    with (
        overlaid(released, services),
        Load(f"{released.url}/health", released.authority, 10, 120) as load,
    ):
        answer = released.invoke("release", "--env", NAME)
        result = load.stop()
    assert answer.exit_code == 1, answer.text
    assert f"release: {fault}: " in answer.text
    assert evidence in answer.text
    assert "Traceback" not in answer.text
    after = released.status()
    assert after["generation"] == before["generation"]
    assert after["serving"]
    assert dict(result.failed) == {}


def test_whoever_holds_the_lock_that_a_migration_waits_for_is_named(released: Site) -> None:
    postgres = released.engine.containers.get(f"{names.platform_project(NAME)}-postgres-1")
    psql = ["psql", "--no-psqlrc", "--username=postgres", "--dbname=slipway"]
    hold = "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600); COMMIT"
    postgres.exec_run([*psql, f"--command={hold}"], user="10003:10003", detach=True)
    time.sleep(6)
    end = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%'"
    )
    try:
        with overlaid(released, {"backend": {"environment": {"LOG_LEVEL": "warning"}}}):
            answer = released.invoke("release", "--env", NAME)
    finally:
        postgres.exec_run(
            [*psql, f"--command={end} AND pid <> pg_backend_pid()"], user="10003:10003"
        )
    assert answer.exit_code == 1, answer.text
    assert "release: migration-locked: " in answer.text
    assert "of postgres (psql, active): BEGIN; LOCK TABLE users" in answer.text


def test_a_registry_that_does_not_answer_is_named_and_nothing_is_touched(released: Site) -> None:
    before = released.containers()
    released.set_environment(registry="localhost:1")
    try:
        answer = released.invoke("release", "--env", NAME)
    finally:
        released.set_environment()
    assert answer.exit_code == 2, answer.text
    assert "release: registry-gone: " in answer.text
    assert released.containers() == before


def test_diagnose_names_what_is_wrong_now_and_nothing_once_it_is_mended(
    released: Site, configure: Callable[..., None]
) -> None:
    backend = next(
        each["name"] for each in released.status()["containers"] if each["service"] == "backend"
    )
    victim = released.engine.containers.get(backend)
    victim.kill("SIGKILL")
    try:
        answer = released.invoke("diagnose", "--env", NAME)
        assert answer.exit_code == 1, answer.text
        assert f"stopped: {backend}: " in answer.text
    finally:
        victim.start()
    deadline = time.monotonic() + 60
    while not all(each["ready"] for each in released.status()["edge"]["addresses"]):
        assert time.monotonic() < deadline
        time.sleep(1)
    # The last release of this file failed on purpose; one that succeeds clears the record.
    configure(log_level="warning")
    assert released.invoke("release", "--env", NAME).exit_code == 0
    answer = released.invoke("diagnose", "--env", NAME)
    assert answer.exit_code == 0, answer.text

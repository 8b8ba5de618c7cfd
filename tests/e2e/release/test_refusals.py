"""Bad input is refused with one message, before anything is touched."""

from __future__ import annotations

import socket

import pytest
import yaml
from site_copy import NAME, PORTS, Site


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("replica", {"backend": 2}, "x-slipway/replica: unknown key (accepted here: engine,"),
        ("drain_seconds", "soon", "x-slipway/drain_seconds: 'soon' is wrong"),
        ("free_disk_gib", 9999, "9999 GiB are needed"),
    ],
)
def test_a_wrong_environment_is_refused(
    released: Site, key: str, value: object, expected: str
) -> None:
    before = released.containers()
    released.set_environment(**{key: value})
    try:
        answer = released.invoke("release", "--env", NAME)
    finally:
        released.set_environment()
    assert answer.exit_code == 2
    assert expected in answer.text
    assert "Traceback" not in answer.text
    assert released.containers() == before


def test_a_stale_lock_is_refused(released: Site) -> None:
    path = "services/backend/pyproject.toml"
    whole = (released.root / path).read_text()
    changed = whole.replace("dependencies = [\n", 'dependencies = [\n    "tomli>=2",\n', 1)
    assert changed != whole
    (released.root / path).write_text(changed)
    try:
        answer = released.invoke("release", "--env", NAME)
    finally:
        (released.root / path).write_text(whole)
    assert answer.exit_code == 2
    assert "invoke lock" in answer.text


def test_an_unknown_environment_is_named_with_those_there_are(released: Site) -> None:
    answer = released.invoke("release", "--env", "production")
    assert answer.exit_code == 2
    assert "no environment 'production' (there are: dev, e2e, prod, staging)" in answer.text


def test_a_taken_port_is_named_with_the_key_that_sets_it(released: Site) -> None:
    folder = released.root / "infra" / "compose" / "environments"
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        overlay = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
        overlay["x-slipway"]["ports"] |= {"https": port, "http": 18081}
        (folder / "porttest.yaml").write_text(yaml.safe_dump(overlay))
        try:
            answer = released.invoke("release", "--env", "porttest")
        finally:
            (folder / "porttest.yaml").unlink()
    assert answer.exit_code == 2
    assert f"Port {port} on this host is taken" in answer.text
    assert "x-slipway/ports/https" in answer.text


def test_missing_secrets_are_listed_with_the_command_that_puts_them(released: Site) -> None:
    folder = released.root / "infra" / "compose" / "environments"
    overlay = yaml.safe_load((folder / f"{NAME}.yaml").read_text())
    overlay["x-slipway"] |= {
        "secrets": "supplied",
        "ports": PORTS | {"https": 18543, "http": 18581},
    }
    (folder / "secrettest.yaml").write_text(yaml.safe_dump(overlay))
    try:
        answer = released.invoke("release", "--env", "secrettest")
    finally:
        (folder / "secrettest.yaml").unlink()
    assert answer.exit_code == 2
    assert "jwt_secret" in answer.text
    assert "invoke secrets.put --env secrettest --name postgres_password" in answer.text
    assert not released.engine.volumes.list(filters={"name": "slipway-secrettest-"})


def test_deleting_data_without_a_terminal_needs_the_flag(released: Site) -> None:
    before = released.containers()
    answer = released.invoke("down", "--env", NAME, "--volumes")
    assert answer.exit_code == 2
    assert "--yes" in answer.text
    assert released.containers() == before

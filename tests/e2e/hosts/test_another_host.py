"""An environment on another host: nothing but Docker and SSH is needed there."""

from __future__ import annotations

import json
import os
import signal
import ssl
import uuid
from collections.abc import Iterator

import httpx
import pytest
import yaml
from other_host import OtherHost, docker
from site_copy import PORTS, Site

from slipway.report import Result

NAME = "faraway"
REGISTRY = "slipway-registry"


def configure(site: Site, other: OtherHost, **changes: object) -> None:
    """Write the overlay of the environment on the other host."""
    folder = site.root / "infra/compose/environments"
    overlay = yaml.safe_load((folder / "dev.yaml").read_text())
    ports = PORTS | {"address": "0.0.0.0"}  # noqa: S104
    overlay["x-slipway"] |= {"host": other.address, "ports": ports, "free_disk_gib": 1, **changes}
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(overlay, sort_keys=False))


def sent(site: Site) -> int:
    """The bytes that the registry has sent since it was started."""
    stats = site.engine.containers.get(REGISTRY).stats(stream=False)
    return sum(each["tx_bytes"] for each in stats["networks"].values())


def health(site: Site, other: OtherHost) -> httpx.Response:
    """What the edge on the other host answers to somebody on its network."""
    authority = str(site.root / ".slipway" / NAME / "ca.crt")
    context = ssl.create_default_context(cafile=authority)
    with httpx.Client(verify=context, trust_env=False) as http:
        return http.get(
            f"https://{other.ip}:{PORTS['https']}/health",
            headers={"host": "localhost"},
            extensions={"sni_hostname": "localhost"},
        )


@pytest.fixture(scope="module")
def far(released: Site, other: OtherHost) -> Iterator[Site]:
    """The copy of the checkout, with its environment on the other host released once."""
    configure(released, other)
    answer = released.invoke("release", "--env", NAME)
    assert answer.exit_code == 0, answer.text
    yield released
    ended = released.invoke("down", "--env", NAME, "--volumes", "--yes")
    (released.root / "infra/compose/environments" / f"{NAME}.yaml").unlink()
    assert ended.exit_code == 0, ended.text


def test_it_is_released_proved_and_answers_there_and_not_here(far: Site, other: OtherHost) -> None:
    assert health(far, other).json() == {"status": "serving"}
    programs = docker("exec", other.name, "sh", "-c", "command -v docker python3 || true")
    assert programs == "", "an engine and an SSH server are all it has"
    mine = far.engine.containers.list(filters={"label": f"slipway.environment={NAME}"})
    assert mine == []
    answer = far.invoke("status", "--env", NAME, "--json")
    found = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
    assert found["serving"]
    assert found["drift"] == []
    assert other.connections() == []


def test_a_one_line_change_moves_only_the_layers_that_the_host_lacks(
    far: Site, figures: list[Result]
) -> None:
    path = far.root / "services/backend/src/slipway_backend/__init__.py"
    whole = path.read_text()
    path.write_text(whole + f"\nCHANGED = {uuid.uuid4().hex!r}\n")
    before = sent(far)
    try:
        answer = far.invoke("release", "--env", NAME)
    finally:
        path.write_text(whole)
    moved = sent(far) - before
    assert answer.exit_code == 0, answer.text
    figures.append(Result("a one-line change moved to another host", round(moved / 1e6, 1), "MB"))
    assert 0 < moved < 30e6, "the image has 440 MB, its last layer 0.7"


def test_a_connection_that_breaks_loses_nothing_and_the_next_release_goes_on(
    far: Site, other: OtherHost
) -> None:
    configure(far, other, log_level="debug")
    with far.start("release", "--env", NAME) as broken:
        assert broken.stdout is not None
        for line in broken.stdout:
            if line.startswith("migrate"):
                for process in other.connections():
                    os.kill(process, signal.SIGKILL)
                break
        rest = broken.stdout.read()
    assert broken.returncode == 1, rest
    assert "Traceback" not in rest
    assert health(far, other).status_code == 200
    assert far.invoke("release", "--env", NAME).exit_code in {0, 2}
    assert health(far, other).status_code == 200


def test_a_port_that_is_taken_there_is_refused_before_anything_is_touched(
    far: Site, other: OtherHost
) -> None:
    configure(far, other, ports=PORTS | {"address": "0.0.0.0", "https": 22})  # noqa: S104
    answer = far.invoke("release", "--env", NAME)
    configure(far, other)
    assert answer.exit_code == 2, answer.text
    assert f"port-taken: Port 22 on {other.address} is taken" in answer.text


def test_a_host_that_cannot_be_reached_is_named_with_ssh_s_own_words(
    far: Site, other: OtherHost
) -> None:
    configure(far, other, host=f"ssh://nobody@127.0.0.1:{other.port}")
    answer = far.invoke("status", "--env", NAME)
    configure(far, other)
    assert answer.exit_code == 2, answer.text
    assert f"host-gone: ssh://nobody@127.0.0.1:{other.port} cannot be reached" in answer.text
    assert "Permission denied" in answer.text

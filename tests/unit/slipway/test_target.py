"""The engine that an environment runs on; a program that says what it does stands in for ssh."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import target
from slipway.config.environment import Environment, Ports
from slipway.errors import Refused

FAR = Environment.model_construct(
    host="ssh://deploy@far",
    registry="localhost:5000",
    ports=Ports(address="0.0.0.0", https=443, http=80),  # noqa: S104
)

LOCAL = FAR.model_copy(update={"host": "local"})
LISTEN = """
path = next(word for word in argv if word.endswith(":/var/run/docker.sock")).partition(":")[0]
server = socket.socket(socket.AF_UNIX)
server.bind(path)
server.listen()
while True:
    server.accept()[0].close()
"""


def program(folder: Path, body: str) -> str:
    """A stand-in for ssh: a Python program with the words of the command line in `argv`."""
    file = folder / "ssh.py"
    file.write_text(f"import sys, socket, time\nargv = sys.argv[1:]\n{body}")
    return f"{sys.executable} {file}"


def test_a_host_that_refuses_is_named_with_ssh_s_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "SLIPWAY_SSH", program(tmp_path, "sys.exit('Permission denied (publickey).')")
    )
    with pytest.raises(Refused) as refused, target.reached(FAR):
        pass
    assert refused.value.code == "host-gone"
    assert "ssh://deploy@far cannot be reached:\n    Permission denied" in refused.value.message


def test_a_host_that_is_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SSH", program(tmp_path, "time.sleep(600)"))
    monkeypatch.setattr(target, "CONNECT_SECONDS", 0.2)
    with pytest.raises(Refused, match=r"did not answer within 0\.2 s"), target.reached(FAR):
        pass


def test_a_host_without_an_engine_is_told_and_the_own_engine_is_meant_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SSH", program(tmp_path, LISTEN))
    monkeypatch.setenv("DOCKER_HOST", "unix:///mine")
    with pytest.raises(Refused) as refused, target.reached(FAR):
        pass
    assert refused.value.code == "engine-gone"
    assert os.environ["DOCKER_HOST"] == "unix:///mine"


@pytest.mark.parametrize("own", [None, "unix:///mine"])
def test_inside_another_host_s_engine_a_local_environment_means_this_machine_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    """As a prune does, which reads every environment that takes from the same registry."""

    @contextlib.contextmanager
    def meant() -> Iterator[str | None]:
        yield os.environ.get("DOCKER_HOST")

    monkeypatch.setenv("SLIPWAY_SSH", program(tmp_path, LISTEN))
    monkeypatch.setattr(target.engine_facts, "client", meant)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if own:
        monkeypatch.setenv("DOCKER_HOST", own)
    with target.reached(FAR) as far:
        with target.reached(LOCAL) as local, target.reached(FAR) as farther:
            assert local.engine == own
            assert farther.engine not in {own, far.engine}
            with target.reached(None) as here:
                assert here.engine == own
        assert os.environ["DOCKER_HOST"] == far.engine
    assert os.environ.get("DOCKER_HOST") == own


def test_a_registry_on_the_loopback_is_lent_and_any_other_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_SSH", program(tmp_path, "sys.exit(' '.join(argv))"))
    with pytest.raises(Refused, match=r"-R 127\.0\.0\.1:5000:127\.0\.0\.1:5000"):
        target.reached(FAR).__enter__()
    site = FAR.model_copy(update={"registry": "registry.internal:5000"})
    with pytest.raises(Refused) as refused:
        target.reached(site).__enter__()
    assert "-R" not in refused.value.message.split()

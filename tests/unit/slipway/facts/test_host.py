"""The facts of a host are read from its files, its programs and its engine."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.commands import engine as engine_commands
from slipway.errors import SlipwayError
from slipway.facts import host as facts

IMAGE = "debian:trixie-slim@sha256:" + "0" * 64


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """A free port that stands for the registry's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        number: int = probe.getsockname()[1]
    monkeypatch.setattr(engine_commands, "REGISTRY_PORT", number)
    return number


@pytest.fixture
def registry(port: int) -> Iterator[type[http.server.BaseHTTPRequestHandler]]:
    """A server at the registry's port, whose answer the test chooses."""

    class Answer(http.server.BaseHTTPRequestHandler):
        status = 200

        def do_GET(self) -> None:
            self.send_response(self.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Answer
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Debian 12 host's files, with everything that a kernel should show."""
    files = {
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'
        'VERSION_ID="12"\nVERSION_CODENAME=bookworm\n',
        "etc/apt/sources.list": "deb http://mirror.test/debian bookworm main\n",
        "etc/ssl/certs/ca-certificates.crt": "certificates",
        "sys/fs/cgroup/memory": "",
        **{f"proc/self/ns/{name}": "" for name in ("ipc", "mnt", "net", "pid", "uts")},
    }
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "root"


def test_the_system_is_what_os_release_says(root: Path) -> None:
    system = facts.read_system(root)
    assert (system.id, system.version, system.codename) == ("debian", "12", "bookworm")
    assert system.name == "Debian GNU/Linux 12"
    assert system.kernel_lacks == ()


def test_a_system_without_os_release_is_unknown_and_not_an_error(tmp_path: Path) -> None:
    system = facts.read_system(tmp_path)
    assert (system.id, system.name) == ("unknown", "an unknown system")


def test_a_kernel_that_lacks_what_a_container_is_made_of_is_named(root: Path) -> None:
    (root / "proc/self/ns/net").unlink()
    (root / "sys/fs/cgroup/memory").unlink()
    assert facts.read_system(root).kernel_lacks == (
        "net namespaces",
        "control groups mounted at /sys/fs/cgroup",
    )


def test_a_host_with_everything(root: Path, engine: Any, programs: Path, registry: object) -> None:
    engine.images = {engine_commands.BASE, engine_commands.REGISTRY_IMAGE}
    program(programs, "docker", 'echo "github.com/docker/$1 v2.26.1-4 abcdef9.9"')
    program(programs, "mmdebstrap", "")
    found = facts.read(root)
    assert found.engine == facts.Engine("26.1.5", storage="overlay2")
    assert found.base
    assert found.registry == facts.Registry(answers=True, image=True, port_taken=False)
    assert (found.tools.compose, found.tools.buildx) == ("2.26.1", "2.26.1")
    assert found.tools.client
    assert found.tools.mmdebstrap
    assert found.tools.ca_bundle
    assert not found.systemd
    assert found.machine.disk_path == str(engine.path.parent)
    assert found.mirror is not None
    assert found.mirror.archive == "http://mirror.test/debian"


def test_a_client_without_an_engine_and_plugins_is_only_a_client(
    root: Path, no_engine: Path, programs: Path, port: int
) -> None:
    program(programs, "docker", "exit 1")
    found = facts.read(root)
    assert found.engine == facts.Engine(None, "no engine is running")
    assert (found.tools.client, found.tools.compose, found.tools.buildx) == (True, None, None)
    assert found.registry == facts.Registry(answers=False, image=False, port_taken=False)


def test_a_socket_at_which_nothing_listens_is_told_from_no_engine(no_engine: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(no_engine))
    assert facts.read_engine().complaint == "its socket is there but nothing listens"


def test_an_engine_of_another_host_is_not_this_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    assert facts.local_engine() == "unix:///var/run/docker.sock"


def test_another_program_at_the_registrys_port_is_noticed(
    registry: Any, root: Path, no_engine: Path
) -> None:
    registry.status = 404
    assert facts.read(root).registry.port_taken
    assert not facts.registry_answers()


CONTAINER = engine_commands.REGISTRY_CONTAINER


@pytest.mark.parametrize("status", ["running", "restarting"])
def test_slipways_own_registry_that_does_not_answer_yet_is_not_another_program(
    status: str, registry: Any, root: Path, engine: Any, programs: Path
) -> None:
    registry.status = 503
    engine.images = {engine_commands.REGISTRY_IMAGE}
    engine.containers = {CONTAINER: {"State": {"Status": status}, "Image": "sha256:0"}}
    assert facts.read(root).registry == facts.Registry(
        answers=False, image=True, port_taken=False, starting=True
    )


def test_a_registry_of_an_older_image_is_not_worth_waiting_for(
    registry: Any, root: Path, engine: Any, programs: Path
) -> None:
    registry.status = 503
    engine.images = {engine_commands.REGISTRY_IMAGE}
    engine.containers = {CONTAINER: {"State": {"Status": "running"}, "Image": "sha256:1"}}
    found = facts.read(root).registry
    assert (found.port_taken, found.starting) == (False, False)


def test_a_registry_that_has_ended_does_not_hold_the_port(
    registry: Any, root: Path, engine: Any, programs: Path
) -> None:
    registry.status = 404
    engine.images = {engine_commands.REGISTRY_IMAGE}
    engine.containers = {CONTAINER: {"State": {"Status": "exited"}, "Image": "sha256:0"}}
    found = facts.read(root).registry
    assert (found.port_taken, found.starting) == (True, False)


def test_programs_of_the_administrator_are_found_on_a_users_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert facts.search_path().split(":") == ["/usr/bin", "/usr/local/sbin", "/usr/sbin", "/sbin"]


def test_a_policy_is_known_as_left_behind_only_by_its_mark(root: Path) -> None:
    policy = root / facts.POLICY
    policy.parent.mkdir(parents=True)
    policy.write_text("#!/bin/sh\nexit 101\n")
    assert not facts.read_broken_off(root).policy
    policy.write_text(f"#!/bin/sh\n# {facts.POLICY_MARK}\nexit 101\n")
    assert facts.read_broken_off(root).policy


def test_half_installed_packages_are_noticed(root: Path, programs: Path) -> None:
    program(programs, "dpkg", "echo 'The following packages are only half configured'")
    assert facts.read_broken_off(root).packages
    program(programs, "dpkg", "")
    assert not facts.read_broken_off(root).packages


def test_a_registry_out_of_reach_offers_nothing(engine: Any) -> None:
    assert not facts.offered(IMAGE)
    engine.offered = {IMAGE}
    assert facts.offered(IMAGE)


def test_the_image_that_the_base_is_made_from_is_named_with_its_digest(tmp_path: Path) -> None:
    settings = tmp_path / "root.toml"
    settings.write_text(f'image = "debian:trixie-slim"\ndigest = "sha256:{"0" * 64}"\n')
    assert facts.read_root_image(tmp_path) == IMAGE


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('image = "debian"\ndigest = "latest"\n', "'latest' is not sha256:"),
        ('image = "debian"\n', "cannot be read"),
        ("image =", "cannot be read"),
    ],
)
def test_a_base_without_a_good_digest_is_refused(text: str, complaint: str, tmp_path: Path) -> None:
    (tmp_path / "root.toml").write_text(text)
    with pytest.raises(SlipwayError, match=complaint):
        facts.read_root_image(tmp_path)


def test_the_projects_own_settings_name_a_digest() -> None:
    checkout = Path(__file__).resolve().parents[4]
    assert facts.read_root_image(checkout / "infra" / "base").startswith("debian:trixie-slim@")

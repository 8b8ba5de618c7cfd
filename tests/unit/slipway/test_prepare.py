"""A host is prepared by its plan: only what is missing, and a broken-off run is finished.

The programs are small scripts on PATH that write down how they were called; processes, files,
locks and signals are real.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from slipway import prepare as preparation
from slipway.commands import engine as engine_commands
from slipway.config.layout import Layout
from slipway.config.mirror import Mirror
from slipway.errors import CommandFailed, Refused, SlipwayError
from slipway.facts import host as facts
from slipway.plans import host as plans

GIB = 1024**3
READY = facts.HostFacts(
    system=facts.System("debian", "12", "bookworm", "Debian GNU/Linux 12", "x86_64", "6.1.0"),
    machine=facts.Machine(2, 8 * GIB, 40 * GIB, "/var/lib/docker"),
    root=True,
    systemd=False,
    tools=facts.Tools(
        client=True,
        dockerd=True,
        compose="2.26.1",
        buildx="0.13.1",
        mmdebstrap=True,
        ca_bundle=True,
    ),
    engine=facts.Engine("26.1.5", storage="overlay2"),
    base=True,
    registry=facts.Registry(answers=True, image=True, port_taken=False),
    mirror=Mirror("http://mirror.test/debian", "http://mirror.test/debian-security"),
)
NO_TOOLS = facts.Tools(
    client=False, dockerd=False, compose=None, buildx=None, mmdebstrap=False, ca_bundle=True
)
NO_REGISTRY = facts.Registry(answers=False, image=False, port_taken=False)
STOPPED = facts.Engine(None, "no engine is running")
BARE = replace(READY, tools=NO_TOOLS, engine=STOPPED, base=False, registry=NO_REGISTRY)

RECORD = 'printf "%s %s\\n" "$(basename "$0")" "$*" >> "$RECORD"\n'


class Host:
    """A host in a folder: its programs, what was called, and what it is found to be next."""

    def __init__(self, folder: Path, programs: Path, found: list[facts.HostFacts]) -> None:
        self.folder = folder
        self.programs = programs
        self.found = found
        self.record = folder / "record"
        self.layout = Layout(folder / "checkout")

    def program(self, name: str, body: str = "") -> None:
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{RECORD}{body}\n")
        path.chmod(0o755)

    def read(self) -> facts.HostFacts:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]

    @property
    def calls(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands first on PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.fixture
def host(tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Host]:
    """Make a host that is found to be each of the given facts in turn."""
    monkeypatch.setenv("RECORD", str(tmp_path / "record"))
    for name, place in {
        "STATE": "run",
        "LOG": "log/dockerd.log",
        "SOURCES": "apt/slipway-trixie.sources",
        "PREFERENCES": "apt/slipway-trixie",
        "POLICY": "policy-rc.d",
        "ENGINE_STATE": "var-run",
        "DPKG_LOCK": "lock-frontend",
    }.items():
        monkeypatch.setattr(preparation, name, tmp_path / place)
    base = tmp_path / "checkout/infra/base"
    base.mkdir(parents=True)
    (base / "dpkg.cfg").write_text("# Why\npath-exclude=/usr/share/man/*\n")
    (tmp_path / "var-run/docker/containerd").mkdir(parents=True)
    (base / "root.toml").write_text(f'image = "debian:test"\ndigest = "sha256:{"0" * 64}"\n')

    def make(*found: facts.HostFacts) -> Host:
        made = Host(tmp_path, programs, list(found))
        for name in ("apt-get", "dpkg", "docker", "dockerd", "mmdebstrap", "systemctl"):
            made.program(name)
        monkeypatch.setattr(facts, "read", made.read)
        return made

    return make


def test_a_ready_host_is_left_alone(
    host: Callable[..., Host], capsys: pytest.CaptureFixture[str]
) -> None:
    ready = host(READY)
    assert preparation.prepare(ready.layout) is False
    assert "nothing to do" in capsys.readouterr().out
    assert ready.calls == []


def test_a_plan_is_only_printed(
    host: Callable[..., Host], capsys: pytest.CaptureFixture[str]
) -> None:
    bare = host(BARE)
    assert preparation.prepare(bare.layout, only_plan=True) is True
    assert "add trixie as a package source at priority 100" in capsys.readouterr().out
    assert bare.calls == []


def test_packages_are_installed_from_the_second_suite_with_services_held_back(
    host: Callable[..., Host],
) -> None:
    needed = replace(READY, tools=replace(READY.tools, compose=None))
    made = host(needed, needed, READY)
    made.program("apt-get", f'[ "$1" = update ] || cat "{preparation.POLICY}" >> "$RECORD"')
    assert preparation.prepare(made.layout) is True
    assert preparation.PREFERENCES.read_text().endswith("Pin-Priority: 100\n")
    assert "URIs: http://mirror.test/debian\n" in preparation.SOURCES.read_text()
    assert "docker-compose/trixie" in made.calls[1]
    assert made.calls[-1] == "exit 101"
    assert not preparation.POLICY.exists()


def test_the_policy_goes_also_when_the_installation_fails(host: Callable[..., Host]) -> None:
    needed = replace(READY, tools=replace(READY.tools, compose=None))
    made = host(needed)
    made.program("apt-get", '[ "$1" = update ] || { echo "E: no such package" >&2; exit 100; }')
    with pytest.raises(CommandFailed, match="no such package"):
        preparation.prepare(made.layout)
    assert not preparation.POLICY.exists()


def test_a_policy_of_the_site_stays(host: Callable[..., Host]) -> None:
    needed = replace(READY, tools=replace(READY.tools, compose=None))
    made = host(needed, needed, READY)
    preparation.POLICY.write_text("#!/bin/sh\nexit 0\n")
    preparation.prepare(made.layout)
    assert preparation.POLICY.read_text() == "#!/bin/sh\nexit 0\n"


def test_a_source_out_of_reach_is_a_warning_and_the_installation_decides(
    host: Callable[..., Host], capsys: pytest.CaptureFixture[str]
) -> None:
    needed = replace(READY, tools=replace(READY.tools, compose=None))
    made = host(needed, needed, READY)
    made.program(
        "apt-get", '[ "$1" != update ] || { echo "E: vendor.test is away" >&2; exit 100; }'
    )
    assert preparation.prepare(made.layout) is True
    assert "vendor.test is away" in capsys.readouterr().err


def test_what_a_killed_run_left_is_finished_first(host: Callable[..., Host]) -> None:
    left = replace(READY, engine=STOPPED, broken_off=facts.BrokenOff(policy=True, packages=True))
    made = host(left, READY)
    preparation.POLICY.write_text(preparation.POLICY_TEXT)
    preparation.prepare(made.layout)
    assert made.calls[0].startswith("dpkg --configure -a")
    assert "--fix-broken" in made.calls[1]
    assert not preparation.POLICY.exists()


def test_an_apt_that_outlived_its_preparation_is_waited_for_but_not_for_ever(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, engine=STOPPED, broken_off=facts.BrokenOff(packages=True)))
    monkeypatch.setattr(preparation, "DPKG_SECONDS", 0)
    os.mkfifo(made.folder / "end")
    child = os.fork()
    if child == 0:  # locks belong to a process: another one must hold it
        try:
            with preparation.DPKG_LOCK.open("w") as held:
                fcntl.lockf(held, fcntl.LOCK_EX)
                (made.folder / "held").touch()
                os.read(os.open(made.folder / "end", os.O_RDONLY), 1)
        finally:
            os._exit(0)
    while not (made.folder / "held").exists():
        os.sched_yield()
    with pytest.raises(SlipwayError, match="another program installs packages"):
        preparation.prepare(made.layout)
    (made.folder / "end").write_text("x")
    os.waitpid(child, 0)
    assert made.calls == []


def test_a_base_is_pulled_by_digest_where_a_registry_can_be_reached(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f"debian:test@sha256:{'0' * 64}"
    monkeypatch.setattr(facts, "offered", lambda name: name == image)
    made = host(replace(READY, base=False), READY)
    preparation.prepare(made.layout)
    bake = made.layout.root / "docker-bake.hcl"
    assert made.calls == [
        f"docker pull --quiet {image}",
        f"docker tag {image} slipway/base-root:trixie",
        f"docker buildx bake --progress=plain --file={bake} base",
        "docker image rm --no-prune slipway/base-root:trixie",
    ]


def test_elsewhere_the_base_is_bootstrapped_from_the_hosts_mirror(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "offered", lambda _name: False)
    made = host(replace(READY, base=False), READY)
    made.program("docker", 'printf "%s|%s\\n" "$BASE_ORIGIN" "$BASE_SOURCES" >> "$RECORD"')
    preparation.prepare(made.layout)
    assert made.calls[0].startswith("mmdebstrap --variant=minbase")
    assert " --dpkgopt=path-exclude=/usr/share/man/* trixie " in made.calls[0]
    assert "deb http://mirror.test/debian trixie main" in made.calls[0]
    assert made.calls[1].startswith("docker import ")
    assert "mmdebstrap trixie|deb http://mirror.test/debian trixie main" in made.calls


def test_a_base_that_can_neither_be_pulled_nor_made_says_so(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(facts, "offered", lambda _name: False)
    tools = replace(READY.tools, mmdebstrap=False)
    system = replace(READY.system, id="fedora", version="42")
    made = host(replace(READY, system=system, tools=tools, base=False))
    monkeypatch.setattr(facts, "has_program", lambda _name: False)
    with pytest.raises(SlipwayError, match="mmdebstrap is not installed"):
        preparation.prepare(made.layout)


def test_the_registry_is_built_and_started_and_waited_for(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, registry=NO_REGISTRY), replace(READY, registry=NO_REGISTRY), READY)
    answers = iter([False, True])
    monkeypatch.setattr(facts, "registry_answers", lambda: next(answers))
    preparation.prepare(made.layout)
    assert [call.split()[1] for call in made.calls] == ["buildx", "rm", "run"]


STARTING = replace(NO_REGISTRY, image=True, starting=True)


def test_a_registry_that_the_engine_brings_along_is_waited_for(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, registry=STARTING), READY)
    answers = iter([False, True])
    monkeypatch.setattr(facts, "registry_answers", lambda: next(answers))
    assert preparation.prepare(made.layout) is True
    assert made.calls == []


def test_a_registry_that_is_up_and_never_answers_is_started_anew(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, registry=STARTING), READY)
    monkeypatch.setattr(facts, "registry_answers", lambda: bool(made.calls))
    monkeypatch.setattr(preparation, "START_SECONDS", 0)
    preparation.prepare(made.layout)
    assert [call.split()[1] for call in made.calls] == ["rm", "run"]


def test_a_registry_that_does_not_come_up_names_where_to_look(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, registry=replace(NO_REGISTRY, image=True)))
    monkeypatch.setattr(facts, "registry_answers", lambda: False)
    monkeypatch.setattr(preparation, "START_SECONDS", 0)
    with pytest.raises(SlipwayError, match="docker logs slipway-registry"):
        preparation.prepare(made.layout)


@pytest.fixture
def ended() -> Iterator[None]:
    """Whatever engine a test starts has ended with the test."""
    yield
    preparation.stop()


def test_an_engine_is_started_detached_and_only_that_one_is_stopped(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, ended: None
) -> None:
    made = host(replace(READY, engine=STOPPED), READY)
    number = 'echo $$ > "${1#--pidfile=}"'
    made.program("dockerd", f"echo started; {number}; while :; do sleep 0.05; done")

    def answer() -> facts.Engine:
        return READY.engine if preparation.started_engine() else STOPPED

    monkeypatch.setattr(facts, "read_engine", answer)
    assert preparation.stop() is False
    preparation.prepare(made.layout)
    process = preparation.started_engine()
    assert process is not None
    assert preparation.LOG.read_text() == "started\n"
    assert preparation.stop() is True
    assert preparation.started_engine() is None


def test_a_process_that_took_over_the_number_is_not_ours(host: Callable[..., Host]) -> None:
    host(READY)
    preparation.STATE.mkdir()
    (preparation.STATE / "dockerd.pid").write_text(str(os.getpid()))
    assert preparation.started_engine() is None
    assert preparation.stop() is False


def test_an_engine_that_gives_up_is_not_waited_for_and_its_reason_is_shown(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path / 'absent.sock'}")
    made = host(replace(READY, engine=STOPPED))
    made.program(
        "dockerd", "echo 'failed to start daemon: no iptables'; echo ' (exit status 4)'; exit 1"
    )
    with pytest.raises(SlipwayError, match="failed to start daemon: no iptables"):
        preparation.prepare(made.layout)


def test_what_an_earlier_engine_said_is_not_taken_for_the_words_of_the_next(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, engine=STOPPED), READY)
    preparation.LOG.parent.mkdir()
    preparation.LOG.write_text("failed to start daemon: of last week\n")
    answers = iter([STOPPED, READY.engine])
    monkeypatch.setattr(facts, "read_engine", lambda: next(answers))
    assert preparation.prepare(made.layout) is True


def test_numbers_of_processes_that_are_gone_do_not_keep_an_engine_from_starting(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = host(replace(READY, engine=STOPPED), READY)
    left = [
        preparation.STATE / "dockerd.pid",
        preparation.ENGINE_STATE / "docker.pid",
        preparation.ENGINE_STATE / "docker/containerd/containerd.pid",
    ]
    preparation.STATE.mkdir()
    for path in left:
        path.write_text(str(os.getpid()))  # after a restart the number is another process's
    # The files are there until the engine starts, and it must not find them.
    found = tmp_path / "found"
    made.program(
        "dockerd", f'cat {" ".join(map(str, left))} > "{found}.new"; mv "{found}.new" "{found}"'
    )
    monkeypatch.setattr(facts, "read_engine", lambda: READY.engine if found.exists() else STOPPED)
    preparation.prepare(made.layout)
    assert found.read_text() == ""


def test_an_engine_that_hangs_is_not_started_beside(
    host: Callable[..., Host], tmp_path: Path
) -> None:
    made = host(replace(READY, engine=STOPPED))
    made.program("sleeper")
    # The name of a process is its program's: a copy of sleep stands for the hanging engine.
    hanging = tmp_path / "dockerd"
    hanging.write_bytes(Path("/bin/sleep").read_bytes())
    hanging.chmod(0o755)
    process = os.spawnv(os.P_NOWAIT, str(hanging), ["dockerd", "60"])
    try:
        (preparation.ENGINE_STATE / "docker.pid").write_text(str(process))
        while Path(f"/proc/{process}/comm").read_text() != "dockerd\n":
            os.sched_yield()
        with pytest.raises(SlipwayError, match=f"process {process}"):
            preparation.prepare(made.layout)
    finally:
        os.kill(process, 9)
        os.waitpid(process, 0)


def test_systemd_starts_the_engine_where_there_is_one(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, systemd=True, engine=STOPPED), READY)
    monkeypatch.setattr(facts, "read_engine", lambda: READY.engine)
    preparation.prepare(made.layout)
    assert made.calls == ["systemctl enable --now docker.service"]


def test_a_service_is_stopped_only_if_it_was_started_here(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = host(replace(READY, systemd=True, engine=STOPPED), READY)
    monkeypatch.setattr(facts, "read_engine", lambda: READY.engine)
    assert preparation.stop() is False
    preparation.prepare(made.layout)
    assert preparation.stop() is True
    assert made.calls[1:] == ["systemctl stop docker.socket docker.service"]
    assert preparation.stop() is False


def test_something_still_missing_after_all_steps_is_a_failure(
    host: Callable[..., Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = replace(READY, tools=replace(READY.tools, compose="2.20.0"))
    made = host(needed)
    with pytest.raises(SlipwayError, match=r"still missing: docker compose 2\.26"):
        preparation.prepare(made.layout)


REFUSALS = {
    "not root": (replace(BARE, root=False), "docker.io/trixie .* needs root"),
    "not root, and the engine stopped": (
        replace(READY, root=False, engine=STOPPED),
        "Starting the engine needs root",
    ),
    "a distribution that is not known": (
        replace(BARE, system=replace(BARE.system, id="fedora", name="Fedora 42")),
        "does not know how Fedora 42 installs",
    ),
    "no room": (
        replace(BARE, machine=replace(BARE.machine, disk_free=GIB)),
        "lacks disk space at /var/lib/docker",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_what_cannot_be_done_here_is_refused_before_anything_is_touched(
    case: str, host: Callable[..., Host]
) -> None:
    found, message = REFUSALS[case]
    made = host(found)
    with pytest.raises(Refused, match=message):
        preparation.prepare(made.layout)
    assert made.calls == []


def test_without_a_debian_source_it_is_not_guessed_where_packages_come_from(
    host: Callable[..., Host],
) -> None:
    made = host(replace(BARE, mirror=None))
    with pytest.raises(Refused, match="No apt source of this host serves bookworm"):
        preparation.prepare(made.layout)
    assert made.calls == []


def test_two_preparations_do_not_meet(host: Callable[..., Host]) -> None:
    made = host(replace(READY, registry=NO_REGISTRY))
    preparation.STATE.mkdir()
    name = f"slipway-host-{os.geteuid()}.lock"
    folder = preparation.STATE if os.geteuid() == 0 else Path("/tmp")
    with (folder / name).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(Refused, match=r"Another host\.prepare"):
            preparation.prepare(made.layout)
    assert made.calls == []


def test_the_registry_that_is_started_is_the_image_that_is_built() -> None:
    bake = (Path(__file__).resolve().parents[3] / "docker-bake.hcl").read_text()
    assert f'"{engine_commands.REGISTRY_IMAGE}"' in bake
    assert f'"{engine_commands.BASE}"' in bake
    assert plans.STEPS[-1] == "registry"

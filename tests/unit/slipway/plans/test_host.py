"""What a host lacks follows from its facts alone, and so do the steps that bring it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slipway.config.mirror import Mirror
from slipway.facts.host import (
    BrokenOff,
    Engine,
    HostFacts,
    Machine,
    Registry,
    System,
    Tools,
)
from slipway.plans import host as plans

READY = HostFacts(
    system=System("debian", "12", "bookworm", "Debian GNU/Linux 12", "x86_64", "6.1.0"),
    machine=Machine(
        cpus=2, memory=8 * plans.GIB, disk_free=40 * plans.GIB, disk_path="/var/lib/docker"
    ),
    root=True,
    systemd=False,
    tools=Tools(
        client=True,
        dockerd=True,
        compose="2.26.1",
        buildx="0.13.1",
        mmdebstrap=True,
        ca_bundle=True,
    ),
    engine=Engine("26.1.5+dfsg1", storage="overlay2"),
    base=True,
    registry=Registry(answers=True, image=True, port_taken=False),
    mirror=Mirror("http://mirror.test/debian", "http://mirror.test/debian-security"),
)
BARE = replace(
    READY,
    tools=Tools(
        client=False, dockerd=False, compose=None, buildx=None, mmdebstrap=False, ca_bundle=True
    ),
    engine=Engine(None, "no engine is running"),
    base=False,
    registry=Registry(answers=False, image=False, port_taken=False),
)


def on(name: str, version: str, facts: HostFacts) -> HostFacts:
    return replace(facts, system=replace(facts.system, id=name, version=version, name=name))


def texts(facts: HostFacts, *, refresh: bool = False) -> list[str]:
    return [step.text for step in plans.steps(facts, refresh=refresh)]


INSTALL_ON_DEBIAN_12 = (
    "install packages: docker.io/trixie containerd/trixie docker-cli/trixie runc/bookworm"
    " iptables docker-compose/trixie docker-buildx/trixie mmdebstrap"
)
INSTALL_ON_DEBIAN_13 = (
    "install packages: docker.io docker-cli iptables docker-compose docker-buildx mmdebstrap"
)
INSTALL_ON_UBUNTU = (
    "install packages: docker.io iptables docker-compose-v2 docker-buildx mmdebstrap"
    " debian-archive-keyring"
)
END_OF_BARE = [
    "make the base image, unless the engine has it",
    "build the registry's image, unless the engine has it",
    "start the registry on the loopback, unless the engine has it",
]

CASES: dict[str, tuple[HostFacts, list[str]]] = {
    "a ready host needs nothing": (READY, []),
    "Debian 12 without anything takes the engine from trixie and runc from its own suite": (
        BARE,
        [
            "add trixie as a package source at priority 100",
            INSTALL_ON_DEBIAN_12,
            "start the engine detached",
            *END_OF_BARE,
        ],
    ),
    "Debian 13 takes its own packages, and systemd starts the engine": (
        replace(on("debian", "13", BARE), systemd=True),
        [
            INSTALL_ON_DEBIAN_13,
            "start the engine",
            *END_OF_BARE,
        ],
    ),
    "Ubuntu takes its own packages, and Debian's keys": (
        replace(on("ubuntu", "24.04", BARE), systemd=True),
        [
            INSTALL_ON_UBUNTU,
            "start the engine",
            *END_OF_BARE,
        ],
    ),
    "a docker client that stands there without an engine is left alone": (
        replace(BARE, tools=replace(BARE.tools, client=True)),
        [
            "add trixie as a package source at priority 100",
            INSTALL_ON_DEBIAN_12,
            "start the engine detached",
            *END_OF_BARE,
        ],
    ),
    "an engine that has only stopped is only started": (
        replace(
            READY,
            engine=Engine(None, "no engine is running"),
            base=False,
            registry=Registry(answers=False, image=False, port_taken=False),
        ),
        ["start the engine detached", *END_OF_BARE],
    ),
    "what a killed run left half installed is finished first": (
        replace(BARE, broken_off=BrokenOff(policy=True, packages=True)),
        ["finish what a broken-off preparation left", *texts(BARE)],
    ),
    "a package that the site left half installed is not Slipway's matter on a ready host": (
        replace(READY, broken_off=BrokenOff(packages=True)),
        [],
    ),
    "a Compose that is too old is replaced, and nothing else": (
        replace(READY, tools=replace(READY.tools, compose="2.20.0")),
        [
            "add trixie as a package source at priority 100",
            "install packages: docker-compose/trixie",
        ],
    ),
    "mmdebstrap is not asked for once there is a base": (
        replace(READY, tools=replace(READY.tools, mmdebstrap=False)),
        [],
    ),
    "a registry that stopped is started from the image that is there": (
        replace(READY, registry=Registry(answers=False, image=True, port_taken=False)),
        ["start the registry on the loopback"],
    ),
    "a host without authorities gets their bundle": (
        on("debian", "13", replace(READY, tools=replace(READY.tools, ca_bundle=False))),
        ["install packages: ca-certificates"],
    ),
    "an engine without a client gets the client": (
        on("debian", "13", replace(READY, tools=replace(READY.tools, client=False))),
        ["install packages: docker-cli"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_steps(case: str) -> None:
    facts, expected = CASES[case]
    assert texts(facts) == expected


def test_a_refresh_of_a_ready_host_makes_the_images_anew_and_installs_nothing() -> None:
    assert texts(READY, refresh=True) == [
        "make the base image",
        "build the registry's image",
        "start the registry on the loopback",
    ]


def test_an_unknown_distribution_is_told_what_it_lacks_but_no_package() -> None:
    facts = on("fedora", "42", BARE)
    assert plans.recipe(facts) is None
    assert plans.wanted_packages(facts) == ()
    assert "a running engine (no engine is running)" in [each.what for each in plans.missing(facts)]


def test_an_unknown_distribution_with_an_engine_only_needs_what_runs_on_it() -> None:
    facts = on(
        "fedora", "42", replace(READY, base=False, tools=replace(READY.tools, mmdebstrap=False))
    )
    assert texts(facts) == ["make the base image"]


BY_HAND = {
    "memory": (
        replace(READY, machine=replace(READY.machine, memory=plans.GIB)),
        "memory (1.0 GiB; needed: 3.5 GiB)",
    ),
    "disk": (
        replace(READY, machine=replace(READY.machine, disk_free=plans.GIB)),
        "disk space at /var/lib/docker (1.0 GiB free; needed: 8 GiB)",
    ),
    "an engine that is too old": (
        replace(READY, engine=Engine("20.10.24+dfsg1")),
        "an engine that is new enough (20.10.24+dfsg1 answers; needed: 25.0)",
    ),
    "an architecture without images": (
        replace(READY, system=replace(READY.system, architecture="riscv64")),
        "a known architecture (x86_64 or aarch64; this is riscv64)",
    ),
    "a kernel without namespaces": (
        replace(BARE, system=replace(BARE.system, kernel_lacks=("net namespaces",))),
        "kernel features (net namespaces)",
    ),
    "a user whom the engine refuses": (
        replace(READY, engine=Engine(None, "this user may not talk to it (group docker, or root)")),
        "a running engine (this user may not talk to it (group docker, or root))",
    ),
    "a port that another program has": (
        replace(READY, registry=Registry(answers=False, image=True, port_taken=True)),
        "port 5000 of the loopback (another program has it)",
    ),
}


@pytest.mark.parametrize("case", BY_HAND)
def test_what_no_step_brings_is_named_with_its_figure_and_left_to_a_person(case: str) -> None:
    facts, what = BY_HAND[case]
    assert [each.what for each in plans.by_hand(facts)] == [what]


def test_every_missing_thing_names_the_command_that_mends_it() -> None:
    for facts in (BARE, *(facts for facts, _ in BY_HAND.values())):
        assert all(each.mend for each in plans.missing(facts))
    assert {each.mend for each in plans.missing(BARE)} == {"invoke host.prepare"}


def test_a_check_has_a_line_for_each_thing_and_the_command_on_those_that_are_missing() -> None:
    lacking = replace(
        READY, base=False, registry=Registry(answers=False, image=False, port_taken=False)
    )
    assert plans.report(plans.check(lacking)).splitlines() == [
        "system        ok       Debian GNU/Linux 12, x86_64, root",
        "kernel        ok       6.1.0",
        "memory        ok       8.0 GiB, 2 cores",
        "disk          ok       40.0 GiB free at /var/lib/docker",
        "packages      ok       complete",
        "certificates  ok       the host's bundle is there",
        "engine        ok       26.1.5+dfsg1, overlay2",
        "compose       ok       2.26.1",
        "buildx        ok       0.13.1",
        "base image    missing  not there  -> invoke host.prepare",
        "registry      missing  does not answer  -> invoke host.prepare",
    ]


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("2.26.1-4", True),
        ("v2.40.3", True),
        ("5.0.1", True),
        ("2.25.9", False),
        ("1.29.2", False),
        (None, False),
        ("unknown", False),
    ],
)
def test_compose_from_2_26_to_5_is_new_enough(version: str | None, enough: bool) -> None:
    assert plans.at_least(version, plans.COMPOSE) is enough


def test_a_persons_part_is_named_before_a_preparation_that_would_refuse() -> None:
    assert plans.next_command(BARE, "invoke release --prepare-host") == (
        "invoke release --prepare-host"
    )
    small = replace(BARE, machine=replace(BARE.machine, disk_free=plans.GIB))
    assert "docker system df" in plans.next_command(small, "invoke release --prepare-host")

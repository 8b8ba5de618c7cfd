"""A lock is installed only while it says what the members ask for, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import pytest

from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import lock as facts
from slipway.facts.lock import Lock, Project
from slipway.plans import lock as plans

PROJECTS = {
    "slipway": Project(
        "slipway",
        dependencies=("invoke>=2",),
        groups={
            name: (f"{name}-tool>=1",) for e in plans.ENVIRONMENTS.values() for name in e.groups
        },
        excluded=("Torch",),
    ),
    "slipway-backend": Project(
        "slipway-backend",
        dependencies=("fastapi>=1",),
        extras={"embedded": ("database>=3",), "model": ("weights",)},
    ),
    "slipway-edge": Project("slipway-edge"),
    "slipway-toolbox": Project("slipway-toolbox"),
    "slipway-backup": Project("slipway-backup"),
    "slipway-monitoring": Project("slipway-monitoring"),
    "slipway-postgres": Project("slipway-postgres"),
    "slipway-logs": Project("slipway-logs"),
}


def compiled(projects: Mapping[str, Project] = PROJECTS, pins: str = "") -> dict[str, Lock | None]:
    """Make the locks that compiling `projects` would give, each with the text `pins`."""
    wanted = {name: plans.wanted(e, projects) for name, e in plans.ENVIRONMENTS.items()}
    wanted[plans.CONSTRAINTS] = plans.everything(projects)
    return {
        name: locked(plans.inputs_digest(asked, ("torch",)), pins) for name, asked in wanted.items()
    }


def locked(inputs: str, pins: str) -> Lock:
    match = re.search(r"# body (\w+)", plans.text(inputs, pins))
    assert match
    return Lock(inputs, match[1], pins)


def test_locks_that_were_just_compiled_are_fresh() -> None:
    assert plans.complaints(PROJECTS, compiled(pins="invoke==2.2\n")) == ()


def test_a_changed_dependency_makes_exactly_the_locks_that_hold_it_stale() -> None:
    edge = replace(PROJECTS["slipway-edge"], dependencies=("anyio>=4",))
    complaints = plans.complaints({**PROJECTS, "slipway-edge": edge}, compiled())
    stale = {complaint.split()[0] for complaint in complaints}
    assert stale == {
        "requirements/constraints.txt",
        "requirements/edge-test.txt",
        "requirements/integration.txt",
        "requirements/types.txt",
    }


def test_a_lock_edited_by_hand_is_found() -> None:
    locks = compiled(pins="invoke==2.2\n")
    backend = locks["backend"]
    assert backend
    locks["backend"] = replace(backend, body="invoke==2.3\n")
    assert plans.complaints(PROJECTS, locks) == (
        "requirements/backend.txt was changed by hand after it was compiled",
    )


def test_an_excluded_package_is_never_accepted_in_a_lock() -> None:
    complaints = plans.complaints(PROJECTS, compiled(pins="torch==2.9 \\\n    --hash=sha256:0\n"))
    assert "requirements/backend.txt holds torch, which must not be installed" in complaints


def test_two_locks_cannot_disagree_on_a_version() -> None:
    locks = compiled(pins="invoke==2.2\n")
    backend = locks["backend"]
    assert backend
    locks["backend"] = locked(backend.inputs, "invoke==2.1\n")
    assert plans.complaints(PROJECTS, locks) == (
        "requirements/backend.txt pins invoke 2.1, and constraints.txt does not",
    )


def test_a_missing_lock_and_a_lock_of_nothing_are_named() -> None:
    locks = compiled()
    del locks["lint"]
    locks["left-over"] = None
    assert plans.complaints(PROJECTS, locks) == (
        "requirements/lint.txt is missing, or its first lines are not a lock's",
        "requirements/left-over.txt belongs to no environment; delete it",
    )


@pytest.mark.parametrize(
    ("environment", "complaint"),
    [
        (plans.Environment(extras=(("slipway-backend", "gpu"),)), "no extra 'gpu'"),
        (plans.Environment(groups=("docs",)), "no dependency group 'docs'"),
        (
            plans.Environment(members=("slipway-edge",)),
            "infra/nginx/agent/pyproject.toml: not there",
        ),
    ],
)
def test_asking_for_what_no_pyproject_has_is_refused(
    environment: plans.Environment, complaint: str
) -> None:
    projects = {name: p for name, p in PROJECTS.items() if name != "slipway-edge"}
    with pytest.raises(Refused, match=complaint):
        plans.wanted(environment, projects)


def test_members_are_not_taken_from_an_index() -> None:
    edge = replace(PROJECTS["slipway-edge"], dependencies=("slipway-toolbox", "anyio>=4"))
    environment = plans.Environment(members=("slipway-edge",))
    assert plans.wanted(environment, {**PROJECTS, "slipway-edge": edge}) == ("anyio>=4",)


def test_no_lock_of_this_checkout_names_an_index_or_a_folder() -> None:
    for name, lock in facts.locks(checkout().root).items():
        assert lock, name
        assert "://" not in lock.body, name
        assert not re.search(r"^\s*(-|/|\.)(?!-hash=)", lock.body, re.MULTILINE), name


def test_every_pin_of_this_checkout_that_is_installed_has_a_hash() -> None:
    for name, lock in facts.locks(checkout().root).items():
        assert lock, name
        pins = re.findall(r"^\S+==\S+.*$", lock.body, re.MULTILINE)
        if name != plans.CONSTRAINTS:
            assert all(pin.endswith("\\") for pin in pins), name


def test_an_environment_apart_neither_holds_the_others_back_nor_is_held_by_them() -> None:
    apart = [name for name, environment in plans.ENVIRONMENTS.items() if environment.apart]
    assert apart == ["peers"]
    assert "peers-tool>=1" not in plans.everything(PROJECTS)
    locks = compiled(pins="invoke==2.2\n")
    theirs = locks["peers"]
    assert theirs is not None
    locks["peers"] = locked(theirs.inputs, "invoke==1.0\n")
    assert plans.complaints(PROJECTS, locks) == ()

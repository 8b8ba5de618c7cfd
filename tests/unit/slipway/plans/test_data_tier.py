"""A data tier changes replicas first, then hands the writes over, then changes the old primary.

Every case is run twice: after its steps are done, the next plan is empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from running_dev import DEV, container

from slipway.config import names, secrets
from slipway.errors import Refused
from slipway.facts.engine import Container, EngineFacts
from slipway.facts.state import StateFacts
from slipway.plans import data_tier, release
from slipway.plans.release import Have, Plan, Want
from slipway.plans.stacks import Stack
from slipway.plans.steps import Kind

PROJECT = names.platform_project(DEV)
REPLICAS = {"backend": 2, "worker": 1}
APP = {"backend": "backend-1", "worker": "worker-1"}
TIER = ("etcd", "postgres", "postgres-2", "postgres-3")
EVERY_SECRET = tuple(secret.name for secret in (*secrets.SECRETS, *secrets.TIER))


def want(*services: str, **hashes: str) -> Want:
    """An environment whose platform has these services of the data tier."""
    wanted = {name: f"{name}-1" for name in ("edge", "door", *services)}
    wanted |= {name.replace("_", "-"): value for name, value in hashes.items()}
    document = {"services": {name: {"scale": REPLICAS.get(name, 1)} for name in wanted}}
    return Want(
        environment=DEV,
        platform=Stack("", document, wanted),
        app=Stack("", {"services": {name: {"scale": REPLICAS[name]} for name in APP}}, APP),
        secrets=tuple(secret.name for secret in secrets.SECRETS),
        secrets_generated=True,
        certificate_due=False,
        soak_seconds=0,
    )


def servers(*services: str, **changes: Any) -> tuple[Container, ...]:
    """Containers of the data tier; every server but a plain one is a member."""
    return tuple(
        container(
            PROJECT,
            name,
            settings={} if name == "etcd" else {"environment MEMBER": name},
            **changes,
        )
        for name in services
    )


def have(*tier: Container, primary: str | None = "postgres") -> Have:
    """Generation 1 runs on this data tier."""
    edges = (container(PROJECT, "edge"), container(PROJECT, "door"))
    app = [
        container(names.generation_project(DEV, 1), name, number + 1)
        for name, count in REPLICAS.items()
        for number in range(count)
    ]
    known = dict.fromkeys(EVERY_SECRET, "1")
    return Have(
        engine=EngineFacts(
            containers=(*edges, *tier, *app),
            networks=frozenset(names.networks(DEV)),
            volumes=frozenset((*names.volumes(DEV), *names.tier_volumes(DEV))),
        ),
        state=StateFacts(
            ledger=({"generation": 1, "result": "done", "version": "3f2a"},),
            secrets=known,
            handed=known,
        ),
        active=1,
        door="edge",
        primary=primary,
    )


PLAIN = (container(PROJECT, "postgres", config_hash="postgres-0"),)
NEW = {"postgres": "postgres-9", "postgres_2": "postgres-2-9", "postgres_3": "postgres-3-9"}
WHOLE = have(*servers(*TIER))


@dataclass(frozen=True)
class Case:
    """A data tier, a wanted one, and the steps between them."""

    name: str
    want: Want
    have: Have
    steps: Sequence[str]


CASES = (
    Case("nothing to do", want(*TIER), WHOLE, ()),
    Case(
        "all begins",
        want(*TIER),
        have(primary=None),
        (
            "platform etcd: does not run yet",
            "platform postgres: does not run yet",
            "member postgres-2: does not run yet",
            "member postgres-3: does not run yet",
        ),
    ),
    Case(
        "a plain server is given replicas",
        want(*TIER),
        have(*PLAIN, primary=None),
        (
            "platform etcd: does not run yet",
            "platform postgres: image or configuration changed (in place: a short gap)",
            "member postgres-2: does not run yet",
            "member postgres-3: does not run yet",
        ),
    ),
    Case(
        "a new image",
        want(*TIER, **NEW),
        WHOLE,
        (
            "member postgres-2: image or configuration changed (a replica: no gap)",
            "member postgres-3: image or configuration changed (a replica: no gap)",
            "switchover postgres: a replica takes the writes over: at most 5 s without",
            "member postgres: image or configuration changed (a replica by then: no gap)",
        ),
    ),
    Case(
        "a new image where another member takes the writes",
        want(*TIER, **NEW),
        have(*servers(*TIER), primary="postgres-3"),
        (
            "member postgres: image or configuration changed (a replica: no gap)",
            "member postgres-2: image or configuration changed (a replica: no gap)",
            "switchover postgres-3: a replica takes the writes over: at most 5 s without",
            "member postgres-3: image or configuration changed (a replica by then: no gap)",
        ),
    ),
    Case(
        "killed between the switchover and the old primary",
        want(*TIER, postgres="postgres-9"),
        have(*servers(*TIER), primary="postgres-2"),
        ("member postgres: image or configuration changed (a replica: no gap)",),
    ),
    Case(
        "killed before the switchover",
        want(*TIER, postgres="postgres-9"),
        WHOLE,
        (
            "switchover postgres: a replica takes the writes over: at most 5 s without",
            "member postgres: image or configuration changed (a replica by then: no gap)",
        ),
    ),
    Case(
        "another etcd",
        want(*TIER, etcd="etcd-9"),
        WHOLE,
        (
            "platform etcd: image or configuration changed "
            "(in place: the primary goes on meanwhile)",
        ),
    ),
    Case(
        "one more replica",
        want(*TIER),
        have(*servers(*TIER[:3])),
        ("member postgres-3: does not run yet",),
    ),
    Case(
        "one replica less",
        want(*TIER[:3]),
        WHOLE,
        ("dismiss postgres-3: is wanted no more; its volume stays",),
    ),
    Case(
        "one replica less, and it takes the writes",
        want(*TIER[:3]),
        have(*servers(*TIER), primary="postgres-3"),
        (
            "switchover postgres-3: a replica takes the writes over: at most 5 s without",
            "dismiss postgres-3: is wanted no more; its volume stays",
        ),
    ),
    Case(
        "a plain server again",
        want("postgres", postgres="postgres-0"),
        WHOLE,
        (
            "dismiss postgres-2: is wanted no more; its volume stays",
            "dismiss postgres-3: is wanted no more; its volume stays",
            "platform postgres: image or configuration changed (in place: a short gap)",
            "dismiss etcd: is wanted no more; its volume stays",
        ),
    ),
    Case(
        "an unhealthy replica",
        want(*TIER),
        have(*servers(*TIER[:3]), *servers("postgres-3", health="unhealthy")),
        ("member postgres-3: is unhealthy (a replica: no gap)",),
    ),
    Case(
        "no primary, and a new image",
        want(*TIER, **NEW),
        have(*servers(*TIER), primary=None),
        (
            "platform postgres: image or configuration changed (in place: a short gap)",
            "member postgres-2: image or configuration changed (in place: a short gap)",
            "member postgres-3: image or configuration changed (in place: a short gap)",
        ),
    ),
)
OF_TIER = {Kind.PLATFORM, Kind.MEMBER, Kind.SWITCHOVER, Kind.DISMISS}


def done(wanted: Want, before: Have, plan: Plan) -> Have:
    """The data tier after every step of `plan`."""
    found = {each.service: each for each in before.engine.containers if each.project == PROJECT}
    primary = before.primary
    for step in plan.steps:
        match step.kind:
            case Kind.PLATFORM | Kind.MEMBER:
                # What takes writes is not stopped while there is another that could.
                assert step.kind is not Kind.MEMBER or step.subject != primary
                tier = "etcd" in wanted.platform.hashes
                made = servers(step.subject) if tier else PLAIN
                found[step.subject] = replace(
                    made[0], config_hash=wanted.platform.hashes[step.subject]
                )
                if primary is None and step.subject == "postgres" and tier:
                    primary = step.subject
            case Kind.SWITCHOVER:
                assert step.subject == primary
                primary = next(
                    name
                    for name in wanted.platform.hashes
                    if name.startswith("postgres") and name != primary
                )
            case Kind.DISMISS:
                assert step.subject != primary
                del found[step.subject]
    others = [each for each in before.engine.containers if each.project != PROJECT]
    engine = replace(before.engine, containers=(*found.values(), *others))
    return replace(before, engine=engine, primary=primary)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_steps_are_these_and_then_nothing_is_left(case: Case) -> None:
    plan = release.plan(case.want, case.have)
    shown = [f"{each.kind} {each.subject}: {each.reason}" for each in plan.steps]
    kinds = tuple(f"{kind} " for kind in OF_TIER)
    assert tuple(each for each in shown if each.startswith(kinds)) == tuple(case.steps)
    again = release.plan(case.want, done(case.want, case.have, plan))
    assert again.empty, str(again)


def test_networks_volumes_and_secrets_come_with_the_first_replica() -> None:
    bare = Have(EngineFacts((), frozenset(), frozenset()), StateFacts(), None)
    wanted = want(*TIER)
    document = {
        **wanted.platform.document,
        "networks": {"data": {"name": "slipway-dev-data"}},
        "volumes": {name: {"name": f"slipway-dev-{name}"} for name in TIER},
    }
    wanted = replace(wanted, platform=replace(wanted.platform, document=document))
    plan = release.plan(wanted, bare)
    made = {step.subject for step in plan.steps if step.kind in {Kind.NETWORK, Kind.VOLUME}}
    assert {"slipway-dev-data", *(f"slipway-dev-{name}" for name in TIER)} <= made
    (given,) = plan.of(Kind.SECRET)
    assert "replication_password, rewind_password" in given.reason
    supplied = release.plan(replace(wanted, secrets_generated=False), bare).of(Kind.SECRET)[0]
    assert supplied.reason.startswith("made: replication_password")
    assert "jwt_secret" not in supplied.reason


def test_who_takes_the_writes_is_part_of_what_a_plan_starts_from() -> None:
    planned = release.plan(want(*TIER, **NEW), WHOLE)
    moved = replace(WHOLE, primary="postgres-2")
    assert not planned.holds(release.plan(want(*TIER, **NEW), moved))


class TestRefused:
    """A plain server begins with the first member's volume, which must have everything."""

    wanted = want("postgres")

    @pytest.mark.parametrize("primary", ["postgres-2", None])
    def test_while_the_newest_data_may_be_elsewhere(self, primary: str | None) -> None:
        with pytest.raises(Refused, match="what postgres lacks would be lost") as refused:
            data_tier.refuse(self.wanted, replace(WHOLE, primary=primary))
        assert refused.value.next_command == "invoke db.switchover --env dev --to postgres"

    def test_not_where_the_first_member_takes_the_writes(self) -> None:
        data_tier.refuse(self.wanted, WHOLE)

    def test_not_where_no_other_member_ever_ran(self) -> None:
        data_tier.refuse(self.wanted, have(*servers("etcd", "postgres"), primary=None))

    def test_not_where_replicas_are_wanted(self) -> None:
        data_tier.refuse(want(*TIER), replace(WHOLE, primary=None))

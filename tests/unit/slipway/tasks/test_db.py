"""A data tier with replicas, as a person releases it, looks at it and switches it over."""

from __future__ import annotations

import json

import pytest
from standin_world import World


@pytest.fixture
def tier(released: World) -> World:
    """An environment whose plain server was just given two replicas."""
    released.configure(database={"replicas": 2, "synchronous": True})
    ended = released.release()
    assert ended.exit_code == 0, ended
    released.standin.forget()
    return released


def changes(world: World) -> list[str]:
    """What the last release did to the data tier, in order."""
    tier = ("postgres", "switchover", "etcd")
    return [
        each.removeprefix("up slipway-dev-platform ").replace("slipway-dev-platform-", "")
        for each in world.standin.changes
        if any(name in each for name in tier) and not each.startswith(("POST", "build"))
    ]


def test_a_plain_server_is_given_replicas_and_then_there_is_nothing_to_do(released: World) -> None:
    released.configure(database={"replicas": 2, "synchronous": True})
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert changes(released) == [
        "etcd",
        # The volume belongs to one server at a time.
        "stop postgres-1",
        "remove postgres-1",
        "postgres adopt",
        "postgres again",
        "postgres-2",
        "postgres-3",
    ]
    assert "Nothing to do" in released.release().output
    backend = released.standin.volume("slipway-dev-secrets-backend")
    hosts = "@postgres:5432,postgres-2:5432,postgres-3:5432/slipway"
    assert hosts in (backend / "database_url").read_text()
    assert hosts in (backend / "database_replica_url").read_text()


def test_an_environment_begins_with_replicas(world: World) -> None:
    world.configure(database={"replicas": 1, "synchronous": True})
    ended = world.release()
    assert ended.exit_code == 0, ended
    assert changes(world) == ["etcd", "postgres create", "postgres", "postgres-2"]
    etcd = world.standin.volume("slipway-dev-secrets-etcd")
    assert {each.name for each in etcd.iterdir()} == {"data_ca.crt", "etcd.crt", "etcd.key"}


def test_a_new_image_reaches_replicas_first_and_the_primary_as_a_replica(tier: World) -> None:
    tier.change("infra/postgres/Dockerfile")
    planned = tier.release("--plan").output
    for step in (
        "member    postgres-2                       image or configuration changed (a replica",
        "switchover postgres                        a replica takes the writes over",
        "member    postgres                         image or configuration changed (a replica",
    ):
        assert step in planned
    assert "a gap" not in planned
    ended = tier.release()
    assert ended.exit_code == 0, ended
    assert changes(tier) == [
        "postgres-2 again",
        "postgres-3 again",
        "switchover to postgres-2",
        "postgres again",
    ]
    assert "postgres-2 takes the writes, after 1.5 s" in ended.output
    assert "Nothing to do" in tier.release().output


def test_without_a_replica_that_has_everything_the_primary_is_left_alone(tier: World) -> None:
    tier.standin.faults.member = {"postgres-2": "starting", "postgres-3": "starting"}
    tier.change("infra/postgres/Dockerfile")
    ended = tier.release()
    assert ended.exit_code == 1
    assert "postgres-2 of dev did not join the data tier within 5 s: it is starting" in ended.errors
    assert "switchover" not in " ".join(changes(tier))
    assert "remove postgres-1" not in changes(tier)


def test_a_refused_switchover_is_told_and_what_ran_before_is_put_back(tier: World) -> None:
    before = {each["Name"]: each["Image"] for each in tier.standin.containers.values()}
    tier.standin.faults.switchover = "candidate is not synchronous"
    tier.change("infra/postgres/Dockerfile")
    ended = tier.release()
    assert ended.exit_code == 1
    assert "did not hand the writes over: refused (412): candidate is not sync" in ended.errors
    assert "dev runs" in ended.output + ended.errors
    assert {each["Name"]: each["Image"] for each in tier.standin.containers.values()} == before


def test_a_stopped_tier_starts_again_though_the_first_member_is_a_replica(tier: World) -> None:
    """Nobody but who had the writes last takes them, and that one is started second."""
    tier.standin.primaries["dev"] = "postgres-2"
    assert tier.invoke("down", "--env", "dev").exit_code == 0
    tier.standin.faults.fails_over = False
    ended = tier.release()
    assert ended.exit_code == 0, ended
    # What was a member's is left as it is by `adopt`.
    started = ["etcd", "postgres adopt", "postgres", "postgres-2", "postgres-3"]
    assert changes(tier)[-5:] == started
    assert "Nothing to do" in tier.release().output


def test_replicas_are_dismissed_and_their_volumes_stay(tier: World) -> None:
    tier.configure(database={"replicas": 0, "synchronous": True})
    ended = tier.release()
    assert ended.exit_code == 0, ended
    names = {each["Name"] for each in tier.standin.project("slipway-dev-platform")}
    assert not {name for name in names if "postgres-2-" in name or "etcd" in name}
    assert "slipway-dev-postgres-2" in tier.standin.volumes
    assert "Nothing to do" in tier.release().output


def test_a_plain_server_is_not_made_of_a_volume_that_lacks_something(tier: World) -> None:
    tier.standin.primaries["dev"] = "postgres-3"
    tier.configure(database={"replicas": 0, "synchronous": True})
    ended = tier.release()
    assert ended.exit_code == 2
    assert "what postgres lacks would be lost" in ended.errors
    assert "invoke db.switchover --env dev --to postgres" in ended.errors
    assert changes(tier) == []


class TestStatus:
    """`invoke db.status`."""

    def test_each_member_is_told_with_its_role(self, tier: World) -> None:
        ended = tier.invoke("db.status", "--env", "dev")
        assert (ended.exit_code, ended.errors) == (0, "")
        assert ended.output.splitlines() == [
            "member       role                 state        timeline  behind",
            "postgres     primary              running             3  -",
            "postgres-2   synchronous replica  streaming           3  0 bytes",
            "postgres-3   replica              streaming           3  0 bytes",
        ]

    def test_it_is_json_for_programs(self, tier: World) -> None:
        told = json.loads(tier.invoke("db.status", "--env", "dev", "--json").output)
        assert told["primary"] == "postgres"
        assert [each["name"] for each in told["members"]] == [
            *("postgres", "postgres-2", "postgres-3"),
        ]

    def test_a_primary_without_a_replica_that_could_take_over_is_warned_of(
        self, tier: World
    ) -> None:
        tier.standin.faults.member = {"postgres-2": "starting", "postgres-3": "starting"}
        ended = tier.invoke("db.status", "--env", "dev")
        assert ended.exit_code == 0
        assert "no replica could take over without losing a write" in ended.errors

    def test_a_plain_server_has_no_data_tier(self, released: World) -> None:
        ended = released.invoke("db.status", "--env", "dev")
        assert ended.exit_code == 2
        assert "dev has no data tier with replicas that runs" in ended.errors


class TestSwitchover:
    """`invoke db.switchover`."""

    def test_a_replica_that_has_everything_takes_over(self, tier: World) -> None:
        ended = tier.invoke("db.switchover", "--env", "dev")
        assert (ended.exit_code, ended.errors) == (0, "")
        assert "postgres-2 takes the writes of dev, after 1.5 s; postgres follows it." in (
            ended.output
        )
        assert tier.standin.toolboxes == {}
        assert "Nothing to do" in tier.release().output

    def test_to_who_takes_them_already_is_nothing_to_do(self, tier: World) -> None:
        ended = tier.invoke("db.switchover", "--env", "dev", "--to", "postgres")
        assert ended.exit_code == 0
        assert "Nothing to do" in ended.output
        assert changes(tier) == []

    def test_to_a_stranger_is_refused_with_who_is_there(self, tier: World) -> None:
        ended = tier.invoke("db.switchover", "--env", "dev", "--to", "postgres-9")
        assert ended.exit_code == 2
        assert "(there are: postgres, postgres-2, postgres-3)" in ended.errors

    def test_it_is_refused_while_no_replica_has_everything(self, tier: World) -> None:
        tier.standin.faults.member = {"postgres-2": "starting"}
        tier.standin.faults.member |= {"postgres-3": "starting"}
        ended = tier.invoke("db.switchover", "--env", "dev")
        assert ended.exit_code == 2
        assert "No replica of dev has everything that was written" in ended.errors

    def test_the_tiers_own_refusal_is_told(self, tier: World) -> None:
        tier.standin.faults.switchover = "candidate is not synchronous"
        ended = tier.invoke("db.switchover", "--env", "dev")
        assert ended.exit_code == 1
        assert "refused (412): candidate is not synchronous" in ended.errors
        assert tier.standin.toolboxes == {}

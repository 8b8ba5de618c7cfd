"""The edge is replaced by another beside it, and a killed release leaves what the next one ends."""

from __future__ import annotations

import json

import pytest
from standin_engine import Answers
from standin_world import World

EDGE, OTHER = "slipway-dev-platform-edge-1", "slipway-dev-platform-edge-b-1"
# Secrets, the other edge, the hand-over, the one that was left.
STEPS = 4


def platform(world: World) -> set[str]:
    return {each["Name"][1:] for each in world.standin.project("slipway-dev-platform")}


def identity(world: World, name: str) -> str:
    """The id of a platform container."""
    found = world.standin.project("slipway-dev-platform")
    return next(str(each["Id"]) for each in found if each["Name"] == f"/{name}")


def steps(world: World) -> list[str]:
    """What was done to the edges, in order."""
    words = ("up slipway-dev-platform", "switch", "hand over", "stop", "remove", "maintenance")
    return [each for each in world.standin.changes if each.startswith(words)]


def test_a_changed_edge_is_started_beside_handed_over_to_drained_and_removed(
    released: World,
) -> None:
    """The new one serves the same generation before anybody is sent to it."""
    released.change("infra/nginx/Dockerfile")
    released.standin.open_connections = [3, 1]
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert steps(released) == [
        "up slipway-dev-platform edge-b",
        "switch 1",
        "switch 1",
        "hand over to edge-b",
        f"stop {EDGE}",
        f"remove {EDGE}",
    ]
    assert released.standin.open_connections == []
    assert platform(released) >= {OTHER, "slipway-dev-platform-door-1"}
    assert EDGE not in platform(released)
    assert released.release().output.count("Nothing to do") == 1


def test_the_next_change_goes_back_to_the_first_place(released: World) -> None:
    for there, gone in ((OTHER, EDGE), (EDGE, OTHER)):
        released.change("infra/nginx/Dockerfile")
        assert released.release().exit_code == 0
        assert there in platform(released)
        assert gone not in platform(released)
    assert released.invoke("status", "--env", "dev", "--json").exit_code == 0


def test_the_door_keeps_its_image_and_is_not_touched(released: World) -> None:
    """Replacing it is the one thing that costs a gap."""

    def door() -> tuple[str, str]:
        found = released.standin.project("slipway-dev-platform")
        (made,) = (each for each in found if each["Name"].endswith("-door-1"))
        return made["Id"], made["Config"]["Image"]

    before = door()
    released.change("infra/nginx/Dockerfile")
    assert released.release().exit_code == 0
    assert door() == before
    assert "drift: none" in released.invoke("status", "--env", "dev").output


@pytest.mark.parametrize("done", range(1, STEPS + 1))
def test_a_release_that_is_killed_after_any_step_is_finished_by_the_next(
    released: World, done: int
) -> None:
    released.change("infra/nginx/Dockerfile")
    released.standin.faults.die_after_step = done
    assert released.release().exit_code != 0
    released.standin.revive()
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert released.standin.serving_edge == "edge-b"
    assert OTHER in platform(released)
    assert EDGE not in platform(released)
    assert released.standin.generations["dev"] == 1


def test_the_drain_limit_is_told_and_ends_the_wait(released: World) -> None:
    released.change("infra/nginx/Dockerfile")
    released.standin.open_connections = [2] * 1000
    ended = released.release()
    assert ended.exit_code == 0
    assert "drain limit of 1 s reached; still open at the edge: 2" in ended.errors
    assert EDGE not in platform(released)


@pytest.mark.parametrize("changed", [None, "infra/nginx/Dockerfile", "services/backend/app.py"])
def test_an_edge_that_runs_and_does_not_answer_is_replaced(
    released: World, changed: str | None
) -> None:
    hung = identity(released, EDGE)
    released.standin.containers[hung]["State"]["Health"]["Status"] = "unhealthy"
    released.standin.faults.edge_hung = hung
    if changed:
        released.change(changed)
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert "edge does not answer, so its connections are not waited for" in ended.errors
    assert steps(released)[:4] == [
        "up slipway-dev-platform edge-b",
        "switch 1",
        "switch 1",
        "hand over to edge-b",
    ]
    assert EDGE not in platform(released)
    assert released.release().output.count("Nothing to do") == 1


def test_an_edge_that_is_gone_back_to_keeps_its_connections_again(released: World) -> None:
    """It was told to drain before it could not be stopped."""
    released.change("infra/nginx/Dockerfile")
    released.standin.faults.unstoppable = identity(released, EDGE)
    told: list[str] = []
    released.standin.on_moment = lambda _when, _step: told.extend(released.standin.draining)
    ended = released.release()
    assert ended.exit_code == 1
    assert "as before" in ended.output
    assert released.standin.serving_edge == "edge"
    assert identity(released, EDGE) in told
    assert identity(released, EDGE) not in released.standin.draining


def test_a_door_that_refuses_leaves_the_old_edge_serving(released: World) -> None:
    released.change("infra/nginx/Dockerfile")
    released.standin.faults.door_refuses = "edge-b has no address; start it first"
    ended = released.release()
    assert ended.exit_code == 1
    assert "The door did not hand over to edge-b: edge-b has no address" in ended.errors
    assert EDGE in platform(released)


def test_maintenance_goes_with_the_hand_over(released: World) -> None:
    """The new edge turns callers away with the same words before the first of them comes."""
    released.invoke("maintenance", "--env", "dev", "on", "--message", "back at noon")
    released.change("infra/nginx/Dockerfile")
    released.standin.changes.clear()
    assert released.release().exit_code == 0
    done = steps(released)
    assert done.index("maintenance on") < done.index("hand over to edge-b")
    assert released.standin.maintenance["message"] == "back at noon"


def undo_door(released: World) -> None:
    """Put the platform as a version of Slipway without a door left it."""
    found = released.standin.project("slipway-dev-platform")
    edge, door = (
        next(each for each in found if each["Name"].endswith(f"-{name}-1"))
        for name in ("edge", "door")
    )
    edge["HostConfig"]["PortBindings"] = door["HostConfig"]["PortBindings"]
    del released.standin.containers[door["Id"]]
    released.standin.serving_edge = None
    path = released.standin.volume("slipway-dev-state") / "rendered" / "platform.json"
    document = json.loads(path.read_text())
    del document["services"]["door"]
    path.write_text(json.dumps(document))


def test_an_edge_that_publishes_the_ports_gives_them_to_the_door_once(released: World) -> None:
    """The plan says that this costs a gap."""
    undo_door(released)
    planned = released.release("--plan")
    assert "takes the ports from edge, once (a short gap)" in planned.output
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert released.standin.serving_edge == "edge-b"
    assert EDGE not in platform(released)


REFUSED = "the kernel refused the door's rules: Error: Operation not supported"


def published(world: World) -> dict[str, int]:
    """Which containers publish ports, and how many."""
    return {
        each["Name"][1:]: len(each["HostConfig"]["PortBindings"])
        for each in world.standin.project("slipway-dev-platform")
        if each["HostConfig"].get("PortBindings")
    }


def test_where_no_door_may_route_the_plan_says_that_the_edge_is_changed_in_place(
    released: World,
) -> None:
    undo_door(released)
    released.standin.faults.no_nat = REFUSED
    assert released.release().exit_code == 0
    assert published(released) == {EDGE: 2}
    released.change("infra/nginx/Dockerfile")
    planned = released.release("--plan")
    told = "image or configuration changed (in place: a short gap); this host lets no door route"
    assert told in planned.output
    assert "Operation not supported" in planned.errors
    assert released.release().exit_code == 0
    assert published(released) == {EDGE: 2}
    assert not any(name.endswith(("door-1", "edge-b-1")) for name in platform(released))
    assert "drift: none" in released.invoke("status", "--env", "dev").output
    assert "Nothing to do" in released.release().output


def test_what_failed_at_an_edge_that_is_changed_in_place_is_in_the_ledger(released: World) -> None:
    undo_door(released)
    released.standin.faults.no_nat = REFUSED
    released.change("infra/nginx/Dockerfile")
    released.standin.faults.answers = {1: Answers(requests=50, failed=1)}

    def moment(when: str, step: str) -> None:
        if when == "after" and step.startswith("platform"):
            released.standin.faults.answers = {1: Answers(requests=50)}

    released.standin.on_moment = moment
    assert released.release().exit_code == 0
    assert released.ledger()[-1]["requests"]["failed"] > 0


def test_a_first_release_learns_from_its_build_that_no_door_may_route(world: World) -> None:
    """Nothing is there beforehand to try it with; the plan is made again, and told."""
    world.standin.faults.no_nat = REFUSED
    ended = world.release()
    assert ended.exit_code == 0, ended
    assert "does not run yet; this host lets no door route" in ended.output
    assert published(world) == {EDGE: 2}
    assert "Nothing to do" in world.release().output


def test_a_plan_that_was_agreed_to_by_its_hash_is_not_exchanged(world: World) -> None:
    world.standin.faults.no_nat = REFUSED
    assert world.release("--plan").exit_code == 0
    planned = json.loads(world.release("--plan", "--json").output)
    ended = world.release("--expect", planned["hash"])
    assert ended.exit_code == 2
    assert "lets no door route" in ended.errors
    assert world.standin.containers == {}


def test_a_host_that_lets_no_door_route_any_more_gets_its_edge_back(released: World) -> None:
    """After a change of its kernel: the door is not healthy, and the kernel refuses."""
    released.change("infra/nginx/Dockerfile")
    assert released.release().exit_code == 0
    (door,) = (
        each
        for each in released.standin.project("slipway-dev-platform")
        if each["Name"].endswith("-door-1")
    )
    door["State"]["Health"]["Status"] = "unhealthy"
    released.standin.faults.no_nat = REFUSED
    assert "takes the ports from the door, once (a short gap)" in released.release("--plan").output
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert published(released) == {EDGE: 2}
    assert released.standin.generation == 1
    assert OTHER not in platform(released)


def test_going_back_to_a_release_without_a_door_takes_the_ports_from_it(released: World) -> None:
    undo_door(released)
    released.standin.faults.no_nat = REFUSED
    released.change("services/backend/app.py")
    assert released.release().exit_code == 0
    released.standin.faults.no_nat = ""
    released.change("infra/nginx/Dockerfile")
    assert released.release().exit_code == 0
    assert published(released) == {"slipway-dev-platform-door-1": 2}
    planned = released.invoke("rollback", "--env", "dev", "--plan")
    assert "takes the ports from the door, once (a short gap)" in planned.output
    ended = released.invoke("rollback", "--env", "dev")
    assert ended.exit_code == 0, ended
    assert published(released) == {EDGE: 2}


@pytest.mark.parametrize("fault", ["backend", "worker"])
def test_a_release_that_fails_hands_over_to_the_edge_as_it_was(released: World, fault: str) -> None:
    """The app fails after the edge was replaced: everything goes back, without a gap."""
    before = {
        each["Name"]: each["Config"]["Image"]
        for each in released.standin.project("slipway-dev-platform")
    }
    released.change("infra/nginx/Dockerfile")
    released.change("services/backend/app.py")
    released.standin.faults.service[fault] = "unhealthy"
    ended = released.release()
    assert ended.exit_code == 1
    assert "runs" in ended.output
    assert "as before" in ended.output, ended
    after = {
        each["Name"]: each["Config"]["Image"]
        for each in released.standin.project("slipway-dev-platform")
    }
    assert after == before
    assert released.standin.serving_edge == "edge"

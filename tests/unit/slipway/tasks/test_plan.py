"""A plan shows all that will be done and touches nothing; what is agreed to is what happens."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from standin_world import World

BACKEND = "services/backend/app.py"
VERSIONS = "services/backend/src/slipway_backend/migrations/versions"


def plan(world: World) -> dict[str, Any]:
    ended = world.release("--plan", "--json")
    assert (ended.exit_code, ended.errors) == (0, "")
    found = json.loads(ended.output)
    assert isinstance(found, dict)
    return found


class TestShown:
    def test_an_image_that_is_not_built_is_named_by_what_goes_into_it(
        self, released: World
    ) -> None:
        released.change(BACKEND)
        told = released.release("--plan").output
        assert "-> to be built from inputs " in told
        assert "without backend, known once built" in told
        assert released.standin.changes == []

    def test_changed_settings_are_shown_old_and_new_and_secrets_hidden(
        self, released: World
    ) -> None:
        path = released.layout.overlay("dev")
        released.configure(log_level="debug", replicas={"backend": 3, "worker": 1})
        template = released.standin.template
        released.standin.template = template.replace(
            '"DRAIN_SECONDS": "5"', '"DRAIN_SECONDS": "5", "LLM_API_KEY": "sk-1"'
        )
        told = released.release("--plan").output
        released.standin.template = template
        assert path.is_file()
        assert "environment LOG_LEVEL: info -> debug" in told
        assert "environment LLM_API_KEY: nothing -> (hidden)" in told
        assert "sk-1" not in told
        assert "replicas: 2 -> 3" in told

    def test_a_secret_changes_by_its_fingerprint_alone(self, released: World) -> None:
        before = plan(released)["secrets"]
        ended = released.invoke(
            *("secrets.put", "--env", "dev", "--name", "jwt_secret"), typed="x" * 40
        )
        assert ended.exit_code == 0
        changed, previous = plan(released)["secrets"]
        assert before == []
        assert (changed["subject"], previous["subject"]) == ("jwt_secret", "jwt_secret_previous")
        assert len(changed["before"]) == len(changed["after"]) == 16
        assert "x" * 40 not in released.release("--plan").output

    def test_a_step_with_a_gap_says_how_long_it_was_last_time(self, released: World) -> None:
        released.change("infra/postgres/Dockerfile")
        told = released.release("--plan").output
        gap = r"postgres is stopped before it is started: a gap, at most [\d.]+ s last time"
        assert re.search(gap, told)

    def test_seconds_are_estimated_from_past_releases(self, released: World) -> None:
        released.change(BACKEND)
        found = plan(released)["estimate"]
        assert found["releases"] == 1
        assert found["unknown"] == ["drain generation 1", "retire generation 1"]

    def test_bytes_are_those_of_the_layers_that_the_engine_lacks(self, released: World) -> None:
        released.change(BACKEND)
        assert released.invoke("build").exit_code == 0
        assert plan(released)["transfer"] == {"bytes": 0, "not_known": []}
        newest = [*released.standin.store.tags.values()][-1]
        released.standin.absent.add(newest)
        (layer,) = released.standin.store.manifest(newest)["layers"]
        assert plan(released)["transfer"]["bytes"] == layer["size"] > 0
        assert "to fetch:\n    0.0 MiB\n" in released.release("--plan").output

    def test_drift_is_shown_beside_what_mends_it(self, released: World) -> None:
        released.standin.project("slipway-dev-g1")[0]["HostConfig"]["Memory"] = 1 << 30
        told = released.release("--plan").output
        assert "slipway-dev-g1-backend-1: memory: 768 MiB -> 1024 MiB" in told

    def test_nothing_to_do_is_a_plan_without_steps(self, released: World) -> None:
        assert plan(released)["steps"] == []
        assert "Nothing to do" in released.release("--plan").output

    def test_json_is_for_a_plan(self, world: World) -> None:
        ended = world.release("--json")
        assert (ended.exit_code, world.standin.changes) == (2, [])

    def test_a_toolbox_that_is_not_built_yet_is_no_hindrance(self, released: World) -> None:
        released.change("infra/toolbox/Dockerfile")
        released.change(BACKEND)
        ended = released.release("--plan")
        assert (ended.exit_code, ended.errors) == (0, "")
        assert "start     generation 2" in ended.output


class TestMigrations:
    def add(self, world: World, number: str, phase: str) -> None:
        path = world.layout.root / VERSIONS / f"v{number}_more.py"
        path.write_text(f'revision = "{number}"\nphase = "{phase}"\n')

    def test_those_that_will_run_are_named_from_the_checkout_or_the_image(
        self, released: World
    ) -> None:
        released.standin.database = {"current": "0001", "applied": {"0001": "first"}}
        self.add(released, "0002", "expand")
        assert plan(released)["migrations"]["now"] == ["0002:expand"]
        assert released.invoke("build").exit_code == 0
        assert plan(released)["migrations"]["now"] == ["0002:expand"]

    def test_a_contract_waits_for_the_release_after_its_expand(self, released: World) -> None:
        released.standin.database = {"current": "0001", "applied": {"0001": "first"}}
        self.add(released, "0002", "expand")
        self.add(released, "0003", "contract")
        told = released.release("--plan").output
        assert "0002 (expand) runs" in told
        assert "0003 (contract) waits for the next release" in told

    def test_a_contract_that_what_serves_cannot_bear_is_refused(self, released: World) -> None:
        """As after going back: the database has the expand, the release that serves has it not."""
        released.standin.database = {"current": "0002", "applied": {"0002": "after-g0"}}
        self.add(released, "0002", "expand")
        self.add(released, "0003", "contract")
        ended = released.release()
        assert ended.exit_code == 2
        assert "it does not know 0002" in ended.errors
        assert released.standin.changes == []

    def test_one_that_only_a_generation_cannot_bear_that_nobody_reaches_is_not(
        self, released: World
    ) -> None:
        """As when a release was killed before it removed the old generation."""
        left = {each["Id"]: each for each in released.standin.project("slipway-dev-g1")}
        released.standin.database = {"current": "0001", "applied": {"0001": "first"}}
        self.add(released, "0002", "expand")
        released.change(BACKEND)
        assert released.release().exit_code == 0
        released.standin.containers |= left
        applied = {"0001": "first", "0002": "after-g1"}
        released.standin.database = {"current": "0002", "applied": applied}
        self.add(released, "0003", "contract")
        assert plan(released)["migrations"]["now"] == ["0003:contract"]


class TestExpected:
    def test_the_plan_that_was_agreed_to_is_applied(self, released: World) -> None:
        released.change(BACKEND)
        agreed = plan(released)["hash"]
        ended = released.release("--expect", agreed)
        assert (ended.exit_code, ended.errors) == (0, "")
        assert released.ledger()[-1]["plan"] == agreed

    def test_a_build_in_between_changes_nothing(self, released: World) -> None:
        released.change(BACKEND)
        agreed = plan(released)["hash"]
        assert released.invoke("build").exit_code == 0
        assert plan(released)["hash"] == agreed
        assert released.release("--expect", agreed).exit_code == 0

    def test_another_plan_is_refused_and_the_difference_told(self, released: World) -> None:
        released.change(BACKEND)
        agreed = plan(released)["hash"]
        released.change(BACKEND)
        released.configure(log_level="debug")
        ended = released.release("--expect", agreed)
        assert ended.exit_code == 2
        assert f"not {agreed}. What differs, then and now:" in ended.errors
        assert "images backend: inputs " in ended.errors
        assert "changes backend environment LOG_LEVEL: nothing -> info => debug" in ended.errors
        assert released.standin.changes == []

    def test_a_secret_put_since_is_another_plan(self, released: World) -> None:
        released.change(BACKEND)
        agreed = plan(released)["hash"]
        released.invoke(*("secrets.put", "--env", "dev", "--name", "jwt_secret"), typed="x" * 40)
        ended = released.release("--expect", agreed)
        assert ended.exit_code == 2
        assert "secrets jwt_secret fingerprint" in ended.errors

    def test_a_plan_of_another_checkout_is_refused_too(self, released: World) -> None:
        released.change(BACKEND)
        ended = released.release("--expect", "0123456789ab")
        assert ended.exit_code == 2
        assert "not 0123456789ab. That one was made in another checkout" in ended.errors

    def test_applied_twice_it_does_nothing(self, released: World) -> None:
        released.change(BACKEND)
        agreed = plan(released)["hash"]
        assert released.release("--expect", agreed).exit_code == 0
        released.standin.forget()
        ended = released.release("--expect", agreed)
        assert (ended.exit_code, released.standin.changes) == (0, [])
        assert "Nothing to do" in ended.output


def journal(world: World) -> list[tuple[str, bool]]:
    path = world.standin.volume("slipway-dev-state") / "journal.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line["step"], line["done"]) for line in lines]


def shown(step: dict[str, str]) -> str:
    return f"{step['kind']:<9} {step['subject']:<32} {step['reason']}".rstrip()


class TestDone:
    @pytest.mark.parametrize("first", [True, False], ids=["first", "update"])
    def test_the_journal_has_the_steps_of_the_plan_and_no_others(
        self, request: pytest.FixtureRequest, first: bool
    ) -> None:
        world: World = request.getfixturevalue("world" if first else "released")
        world.change(BACKEND)
        planned = [
            shown(step)
            for step in plan(world)["steps"]
            if step["kind"] not in ("network", "volume")
        ]
        world.standin.faults.die_before = "commit"
        assert world.release().exit_code == 1
        assert journal(world) == [(step, done) for step in planned for done in (False, True)]

    def test_the_ledger_keeps_what_was_done(self, released: World) -> None:
        released.change(BACKEND)
        planned = [shown(step) for step in plan(released)["steps"]]
        assert released.release().exit_code == 0
        line = released.ledger()[-1]
        assert line["steps"] == planned
        assert (line["kind"], line["source"]) == ("release", "tree")

    def test_a_failed_release_did_a_beginning_of_the_plan(self, released: World) -> None:
        released.change(BACKEND)
        released.standin.faults.edge_refuses[2] = "no backend answers"
        planned = [shown(step) for step in plan(released)["steps"]]
        assert released.release().exit_code == 1
        assert released.ledger()[-1]["steps"] == planned[:3]

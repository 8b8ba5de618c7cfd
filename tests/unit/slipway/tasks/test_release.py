"""What a release promises, through the task that a person types, on the stand-in engine.

Of the product behind the edge only the HTTP client's far end is a stand-in: the proof itself runs.
"""

from __future__ import annotations

import gc
import json
import shutil
import socket
from collections.abc import Callable

import pytest
import yaml
from standin_world import World

from slipway import access
from slipway.facts import host, registry
from slipway.facts.manifest import REPOSITORY


def serving(world: World, generation: int) -> None:
    """Hold the world to serving exactly this generation, whole and committed."""
    assert world.standin.generation == generation
    assert world.generations() == {f"slipway-dev-g{generation}"}
    services = [
        each["Config"]["Labels"]["com.docker.compose.service"]
        for each in world.standin.project(f"slipway-dev-g{generation}")
    ]
    assert sorted(services) == ["backend", "backend", "worker"]
    assert world.ledger()[-1]["result"] == "done"
    assert world.ledger()[-1]["generation"] == generation
    assert world.standin.toolboxes == {}


class TestFirst:
    def test_it_serves_and_says_where_and_what_next(self, world: World) -> None:
        ended = world.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        serving(world, 1)
        assert "dev serves generation 1, released in" in ended.output
        assert ".slipway/dev/ca.crt" in ended.output
        left = world.layout.local / "dev"
        assert (left / "admin_password").read_text() == world.secret("admin_password")
        assert world.standin.networks["slipway-dev-app-data"]["Internal"] is True
        assert world.standin.networks["slipway-dev-front"]["Internal"] is False

    def test_it_is_followed_by_others_where_every_command_is_a_process(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        world.connect(monkeypatch, processes=True)
        for words in (("release",), ("release",), ("rollback",)):
            ended = world.invoke(*words, "--env", "dev")
            assert (ended.exit_code, ended.errors) == (0, "")
            world.change("services/backend/app.py")
        serving(world, 3)

    def test_containers_get_their_own_secrets_and_no_others(self, released: World) -> None:
        found = {
            consumer: sorted(
                path.name
                for path in released.standin.volume(f"slipway-dev-secrets-{consumer}").iterdir()
            )
            for consumer in ("backend", "migrate", "postgres", "edge")
        }
        assert found == {
            "backend": ["database_url", "jwt_secret"],
            "migrate": ["admin_password", "database_url", "jwt_secret"],
            "postgres": ["postgres_password", "slipway_password"],
            "edge": ["tls.crt", "tls.key"],
        }

    def test_the_stacks_run_the_images_that_were_built_by_digest(self, released: World) -> None:
        images = {each["Config"]["Image"] for each in released.standin.containers.values()}
        built = released.ledger()[-1]["images"]
        assert images == {built[name] for name in ("backend", "edge", "postgres")}
        assert all("@sha256:" in image for image in images)

    def test_a_plan_touches_nothing(self, world: World) -> None:
        ended = world.release("--plan")
        assert ended.exit_code == 0
        assert "switch    edge to generation 1" in ended.output
        assert world.standin.changes == []

    def test_one_that_fails_is_finished_by_the_next(self, world: World) -> None:
        world.standin.faults.service["worker"] = "exited"
        ended = world.release()
        assert ended.exit_code == 1
        assert world.ledger()[-1]["result"] == "failed"
        world.standin.forget()
        assert world.release().exit_code == 0
        serving(world, 2)


class TestUnchanged:
    def test_nothing_is_touched(self, released: World) -> None:
        ended = released.release()
        assert ended.exit_code == 0
        assert "Nothing to do: dev runs release" in ended.output
        assert "as generation 1, healthy" in ended.output
        assert released.standin.changes == []
        assert len(released.ledger()) == 1

    def test_another_checkout_gets_the_files_that_its_user_needs(self, released: World) -> None:
        folder = access.folder(released.layout, "dev")
        shutil.rmtree(folder)
        # A toolbox that nothing else changes with is not built for it.
        released.change("infra/toolbox/Dockerfile")
        ended = released.release()
        assert "Nothing to do" in ended.output
        assert (folder / "admin_password").read_text() == released.secret("admin_password")
        assert "CERTIFICATE" in (folder / "ca.crt").read_text()
        assert len(released.ledger()) == 1


class TestChanged:
    def test_a_new_image_becomes_a_new_generation_and_the_old_one_goes(
        self, released: World
    ) -> None:
        released.change("services/backend/app.py")
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        serving(released, 2)
        assert (
            "images: build backend; unchanged: backup, edge, etcd, logs, monitoring, postgres, "
            "toolbox" in ended.output
        )
        order = [each for each in released.standin.changes if not each.startswith("toolbox")]
        assert order == [
            "build backend",
            "migrate",
            "up slipway-dev-g2 backend worker",
            "switch 2",
            "down slipway-dev-g1",
        ]

    def test_it_is_proved_before_anybody_else_gets_there(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served: set[int | None] = set()
        answer = released.product.answer
        monkeypatch.setattr(
            released.product,
            "answer",
            lambda request: (served.add(released.standin.generation), answer(request))[1],
        )
        released.product.candidates.clear()
        released.change("services/backend/app.py")
        assert released.release().exit_code == 0
        assert served == {1}
        assert set(released.product.candidates) == {"2" * 32}

    def test_a_container_that_falls_ill_meanwhile_is_no_other_release(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was agreed to is done; whatever is still wrong then is told at the end."""
        ill = released.standin.project("slipway-dev-g1")[0]["State"]["Health"]

        def meanwhile(*_: object) -> None:
            ill["Status"] = "unhealthy"

        released.change("services/backend/app.py")
        monkeypatch.setattr("slipway.releasing.ground", meanwhile)
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        serving(released, 2)

    def test_the_database_is_changed_in_place_and_the_generation_stays(
        self, released: World
    ) -> None:
        released.change("infra/postgres/Dockerfile")
        assert released.release().exit_code == 0
        serving(released, 1)
        assert "up slipway-dev-platform postgres again" in released.standin.changes

    def test_requests_in_flight_are_waited_for(self, released: World) -> None:
        address, *_ = (
            network["IPAddress"]
            for each in released.standin.project("slipway-dev-g1")
            for name, network in each["NetworkSettings"]["Networks"].items()
            if name == "slipway-dev-edge-app"
        )
        busy = {f"{address}:8000": 2}
        # One answer for each time the edge is asked: plan, proof, switch, then the drain.
        released.standin.in_flight = [{}, {}, {}, busy, busy, {}]
        released.change("services/backend/app.py")
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        assert released.standin.in_flight == []
        serving(released, 2)

    def test_requests_that_outlast_the_drain_limit_are_named(self, released: World) -> None:
        address = released.standin.project("slipway-dev-g1")[0]
        busy = address["NetworkSettings"]["Networks"]["slipway-dev-edge-app"]["IPAddress"]
        released.standin.in_flight = [{f"{busy}:8000": 1}] * 1000
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 0
        assert f"drain limit of 1 s reached; still in flight: {{'{busy}:8000': 1}}" in ended.errors

    def test_the_old_one_stays_warm_for_the_soak(self, released: World) -> None:
        released.soak(seconds=1)
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 0
        assert "soak 1 s" in ended.output
        serving(released, 2)

    def test_a_certificate_that_is_due_is_renewed_by_the_same_authority(
        self, released: World
    ) -> None:
        before = {name: released.secret(name) for name in ("ca.crt", "tls.crt", "jwt_secret")}
        released.configure(domain="other.internal")
        released.change("services/backend/app.py")
        assert released.release().exit_code == 0
        assert released.secret("ca.crt") == before["ca.crt"]
        assert released.secret("jwt_secret") == before["jwt_secret"]
        assert released.secret("tls.crt") != before["tls.crt"]


FAILURES: dict[str, tuple[Callable[[World], None], str]] = {
    "a replica never gets healthy": (
        lambda world: world.standin.faults.service.update(backend="unhealthy"),
        "exit code 1: 503 the database does not answer",
    ),
    "a container exits": (
        lambda world: world.standin.faults.service.update(worker="exited"),
        "slipway-dev-g2-worker-1 is exited (exit code 3)",
    ),
    "memory runs out": (
        lambda world: world.standin.faults.service.update(worker="oom"),
        "ended for want of memory: its limit is 2304 MiB",
    ),
    "the edge refuses": (
        lambda world: world.standin.faults.edge_refuses.update({2: "no backend answers"}),
        "The edge refused to offer generation 2: no backend answers",
    ),
    "the edge breaks off": (
        lambda world: world.standin.faults.edge_refuses.update({2: ""}),
        "The edge refused to offer generation 2: panic",
    ),
    "the proof fails": (
        lambda world: world.product.broken.update({"POST /v1/query": (500, "boom")}),
        "proof: could not ask 'With what?': 500 boom",
    ),
}


class TestFailing:
    @pytest.mark.parametrize(("break_it", "said"), FAILURES.values(), ids=FAILURES)
    def test_the_old_generation_serves_on_and_the_reason_is_told(
        self, released: World, break_it: Callable[[World], None], said: str
    ) -> None:
        old = {each["Id"] for each in released.standin.project("slipway-dev-g1")}
        released.change("services/backend/app.py")
        break_it(released)
        ended = released.release()
        assert ended.exit_code == 1
        assert said in ended.errors
        assert "Traceback" not in ended.errors
        assert "reverting to generation 1" in ended.output
        assert released.standin.generation == 1
        assert released.generations() == {"slipway-dev-g1"}
        assert {each["Id"] for each in released.standin.project("slipway-dev-g1")} == old
        last = released.ledger()[-1]
        assert (last["result"], last["generation"]) == ("failed", 2)
        assert released.standin.toolboxes == {}
        assert "switch 2" not in released.standin.changes, "nobody was ever sent there"

    def test_a_container_that_fails_is_shown_with_its_last_log_lines_and_the_next_command(
        self, released: World
    ) -> None:
        released.standin.faults.service["worker"] = "exited"
        released.change("services/backend/app.py")
        errors = released.release().errors
        assert errors.startswith("release: crash-on-start: slipway-dev-g2 did not become healthy: ")
        assert "    last log lines:\n      /slipway-dev-g2-worker-1 said this\n" in errors
        assert errors.endswith("  next: invoke logs --env dev --service worker\n")

    def test_one_that_never_gets_healthy_is_given_its_time(self, released: World) -> None:
        released.configure(ready_seconds=5)
        released.standin.faults.service["backend"] = "starting"
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 1
        assert "slipway-dev-g2 did not become healthy within 5 s:" in ended.errors
        assert "not checked yet" in ended.errors

    def test_a_failed_migration_starts_nothing(self, released: World) -> None:
        released.standin.faults.migrate = 'column "pages" already exists'
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 1
        assert (
            'migration-failed: The migration failed:\n    column "pages" already exists'
            in ended.errors
        )
        assert "next: invoke logs --env dev --service postgres" in ended.errors
        assert "up slipway-dev-g2 backend worker" not in released.standin.changes
        assert released.standin.generation == 1

    def test_a_migration_that_outlasts_its_limit_is_ended_and_named(self, released: World) -> None:
        released.standin.faults.migrate_goes_on = True
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 1
        assert "migration-failed: The migration failed: `docker compose" in ended.errors
        assert "did not end within 86400 s" in ended.errors
        assert "next: invoke logs --env dev --service postgres" in ended.errors
        assert released.ledger()[-1]["code"] == "migration-failed"
        assert released.generations() == {"slipway-dev-g1"}
        services = {
            each["Config"]["Labels"]["com.docker.compose.service"]
            for each in released.standin.containers.values()
        }
        assert "migrate" not in services

    def test_a_port_that_was_taken_meanwhile_is_told(self, world: World) -> None:
        world.standin.faults.port_taken = "Bind for 0.0.0.0:8443 failed: port is already allocated"
        ended = world.release()
        assert ended.exit_code == 1
        assert "port-taken: slipway-dev-platform could not be started: a port is" in ended.errors
        assert "    Bind for 0.0.0.0:8443 failed: port is already allocated\n" in ended.errors

    def test_any_other_refusal_of_compose_is_shown_as_it_is(self, world: World) -> None:
        world.standin.faults.port_taken = "no space left on device"
        ended = world.release()
        assert ended.exit_code == 1
        assert "no space left on device" in ended.errors

    def test_an_edge_that_is_gone_is_named(self, released: World) -> None:
        released.standin.faults.service["edge-b"] = "exited"
        released.change("infra/nginx/Dockerfile")
        ended = released.release()
        assert ended.exit_code == 1
        assert "slipway-dev-platform-edge-b-1 is exited (exit code 3)" in ended.errors


class TestBuild:
    def test_a_failed_build_shows_its_last_lines_and_touches_nothing(self, released: World) -> None:
        released.standin.faults.build = "ERROR: No matching distribution found for left"
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 1
        assert "the build failed (all of it: .slipway/build.log):" in ended.errors
        assert "No matching distribution found for left" in ended.errors
        assert released.standin.changes == ["build backend"]
        assert "FROM slipway/base" in (released.layout.local / "build.log").read_text()

    def test_an_image_that_never_arrives_is_named(self, world: World) -> None:
        world.standin.faults.unpushed = True
        ended = world.release()
        assert ended.exit_code == 1
        assert (
            "built, but not in the registry: "
            "backend, backup, edge, etcd, logs, monitoring, postgres, toolbox" in ended.errors
        )


class TestOdd:
    """What should not happen, and is told when it does."""

    def test_an_edge_that_does_not_answer_loses_no_generation(self, released: World) -> None:
        released.standin.faults.edge_silent = True
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 1
        assert "slipway-dev-g1" in released.generations()
        released.standin.forget()
        assert released.release().exit_code == 0
        serving(released, released.standin.generation or 0)

    def test_an_altered_ledger_is_told(self, released: World) -> None:
        path = released.standin.volume("slipway-dev-state") / "ledger.jsonl"
        path.write_text(path.read_text().replace('"seconds":', '"seconds":1'))
        ended = released.release("--plan")
        assert "warning: line 1 of the ledger of dev was altered" in ended.errors

    def test_an_environment_that_is_not_what_was_released_is_told(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A replica that falls ill while the release ends is seen before "done" is said."""

        def commit(*_: object, **__: object) -> None:
            released.standin.project("slipway-dev-g2")[0]["State"]["Health"]["Status"] = "unhealthy"

        released.change("services/backend/app.py")
        monkeypatch.setattr("slipway.state.State.commit", commit)
        ended = released.release()
        assert ended.exit_code == 1
        assert "dev is not what was released; still to do:" in ended.errors
        assert "generation 2 is not whole" in ended.errors

    def test_a_registry_that_is_gone_at_the_end_takes_nothing_from_a_good_release(
        self, released: World
    ) -> None:
        def moment(when: str, step: str) -> None:
            if (when, step.split(maxsplit=1)[0]) == ("after", "retire"):
                released.standin.store.gone = True

        released.standin.on_moment = moment
        released.change("services/backend/app.py")
        ended = released.release()
        assert ended.exit_code == 0
        assert "dev serves generation 2" in ended.output
        assert "others are not told that dev runs" in ended.errors
        serving(released, 2)
        released.standin.store.gone = False
        assert "Nothing to do" in released.release().output
        version = released.ledger()[-1]["version"]
        running, named = (
            registry.digest(released.standin.registry, REPOSITORY, tag)
            for tag in ("running-in-dev", version)
        )
        assert running == named is not None

    def test_the_host_is_prepared_first_when_asked(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        prepared = []
        monkeypatch.setattr(
            "slipway.tasks.release.prepare", lambda layout, **_: prepared.append(layout)
        )
        assert released.release("--prepare-host").exit_code == 0
        assert prepared == [released.layout]


class TestRefused:
    """Exit code 2, one message, and nothing was touched."""

    def refused(self, world: World, *words: str) -> str:
        ended = world.release(*words)
        assert ended.exit_code == 2
        assert "Traceback" not in ended.errors
        assert [each for each in world.standin.changes if not each.startswith("build")] == []
        return ended.errors

    def test_while_another_holds_the_lease(self, released: World) -> None:
        path = released.standin.volume("slipway-dev-state") / "lease.json"
        lease = json.loads(path.read_text())
        lease |= {"holder": "anna@desk (process 7)", "purpose": "release 3f", "expires": 1e11}
        path.write_text(json.dumps(lease))
        released.change("services/backend/app.py")
        assert "anna@desk (process 7) is busy with release 3f since" in self.refused(released)
        assert released.standin.generation == 1

    def test_when_another_release_was_done_since_the_plan(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its generation has the number that this plan would start, and it serves."""

        def meanwhile(*_: object) -> None:
            monkeypatch.undo()
            released.connect(monkeypatch)
            assert released.release().exit_code == 0
            released.standin.forget()

        released.change("services/backend/app.py")
        monkeypatch.setattr("slipway.releasing.ground", meanwhile)
        said = self.refused(released)
        assert "dev was changed by another release while this one was planned" in said
        serving(released, 2)
        assert len(released.ledger()) == 2

    def test_when_a_step_of_the_plan_is_needed_no_more(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An edge that was ill for a moment is not replaced for it."""
        (edge,) = (
            each
            for each in released.standin.containers.values()
            if each["Name"].startswith("/slipway-dev-platform-edge")
        )
        edge["State"]["Health"]["Status"] = "unhealthy"

        def meanwhile(*_: object) -> None:
            edge["State"]["Health"]["Status"] = "healthy"

        monkeypatch.setattr("slipway.releasing.ground", meanwhile)
        assert "a step of the plan is needed no more" in self.refused(released)
        assert edge["Id"] in released.standin.containers

    def test_with_a_stale_lock(self, world: World) -> None:
        path = world.layout.root / "requirements/backend.txt"
        path.write_text(path.read_text() + "left==1.0\n")
        errors = self.refused(world)
        assert "requirements/backend.txt was changed by hand" in errors
        assert "next: invoke lock" in errors

    def test_on_a_host_that_is_not_prepared(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ready = host.read()
        without = {**ready.__dict__, "base": False}
        monkeypatch.setattr(host, "read", lambda: host.HostFacts(**without))
        errors = self.refused(world)
        assert "This host is not prepared. It lacks:" in errors
        assert "next: invoke release --env dev --prepare-host" in errors

    def test_without_room_on_the_disk(self, world: World) -> None:
        world.configure(free_disk_gib=9999)
        assert "/var/lib has 1024.0 GiB free, 9999 GiB are needed" in self.refused(world)

    def test_while_another_program_has_a_port(self, world: World) -> None:
        overlay = yaml.safe_load(world.layout.overlay("dev").read_text())
        port = overlay["x-slipway"]["ports"]["http"]
        with socket.socket() as taken:
            taken.bind(("", port))
            taken.listen()
            errors = self.refused(world)
        assert f"Port {port} on this host is taken by another program" in errors
        assert "(x-slipway/ports/http in infra/compose/environments/dev.yaml)" in errors

    def test_at_an_address_that_this_host_has_not(self, world: World) -> None:
        overlay = yaml.safe_load(world.layout.overlay("dev").read_text())
        world.configure(ports=overlay["x-slipway"]["ports"] | {"address": "192.0.2.77"})
        assert "192.0.2.77 is not an address of this host" in self.refused(world)

    def test_without_the_base_image(self, world: World) -> None:
        world.standin.images.clear()
        errors = self.refused(world)
        assert "The base image slipway/base:trixie is not there" in errors

    def test_without_the_secrets_that_a_person_supplies(self, world: World) -> None:
        world.configure(secrets="supplied")
        errors = self.refused(world)
        assert "Secrets of dev are missing:\n  - postgres_password: superuser" in errors
        assert "next: invoke secrets.put --env dev --name postgres_password --file" in errors

    def test_with_a_compose_file_that_is_wrong(self, world: World) -> None:
        world.standin.faults.config = "services.edge Additional property prots is not allowed"
        errors = self.refused(world)
        assert "services.edge Additional property prots is not allowed" in errors
        assert "next: edit infra/compose/environments/dev.yaml" in errors

    # The docker SDK leaves a socket open that it could not connect.
    @pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
    def test_without_an_engine(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        assert "No Docker engine answers" in self.refused(world)
        gc.collect()

    def test_without_a_registry(self, world: World) -> None:
        world.configure(registry="localhost:1")
        assert "The registry at localhost:1 does not answer" in self.refused(world)


class TestKilled:
    """Whoever releases dies, and its lease ends; the next run finishes, and nobody noticed."""

    def die(self, world: World) -> None:
        ended = world.release()
        assert ended.exit_code == 1
        assert world.standin.dead

    @pytest.mark.parametrize("steps", [1, 3, 5, 6])
    def test_after_a_step_of_a_first_release(self, world: World, steps: int) -> None:
        world.standin.faults.die_after_step = steps
        self.die(world)
        world.standin.revive()
        ended = world.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        assert world.standin.generation in {1, 2}
        serving(world, world.standin.generation)

    @pytest.mark.parametrize("steps", range(1, 8))
    def test_after_a_step_of_an_update(self, released: World, steps: int) -> None:
        released.change("services/backend/app.py")
        released.standin.faults.die_after_step = steps
        self.die(released)
        serves = released.standin.project(f"slipway-dev-g{released.standin.generation}")
        assert {each["State"]["Health"]["Status"] for each in serves} == {"healthy"}
        released.standin.revive()
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        assert released.standin.generation in {2, 3}
        serving(released, released.standin.generation)

    def test_before_the_outcome_was_written(self, released: World) -> None:
        released.change("services/backend/app.py")
        released.standin.faults.die_before = "commit"
        self.die(released)
        released.standin.revive()
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        assert "serves, not yet proved" in ended.output
        serving(released, 2)

    def test_after_the_switch_and_what_it_switched_to_does_not_hold(self, released: World) -> None:
        """The next run goes back: the old generation is kept until the new one is proved."""
        released.change("services/backend/app.py")
        released.standin.faults.die_after_step = 5
        self.die(released)
        assert released.standin.generation == 2
        released.standin.revive()
        released.product.broken["POST /v1/query"] = (500, "boom")
        ended = released.release()
        assert ended.exit_code == 1
        assert "reverting to generation 1" in ended.output
        assert released.standin.generation == 1
        assert released.generations() == {"slipway-dev-g1"}

    def test_in_the_middle_of_a_failed_release_too(self, released: World) -> None:
        """The new generation was left unhealthy, and nobody was there to take it back."""
        released.change("services/backend/app.py")
        released.standin.faults.service["worker"] = "exited"
        released.standin.faults.die_before = "commit"
        self.die(released)
        released.standin.revive()
        ended = released.release()
        assert (ended.exit_code, ended.errors) == (0, "")
        assert released.standin.generation is not None
        serving(released, released.standin.generation)

    def test_by_a_person_at_the_keyboard(
        self, released: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        released.change("services/backend/app.py")
        with monkeypatch.context() as patch:
            patch.setattr("slipway.proof.prove", interrupted)
            ended = released.release()
        assert ended.exit_code == 130
        assert "Interrupted. The next run finishes or reverts." in ended.errors
        assert released.release().exit_code == 0
        serving(released, 2)

    def test_and_its_lease_went_to_another_meanwhile(self, released: World) -> None:
        """A release that was cut off for long writes nothing more when it is back."""
        released.change("services/backend/app.py")
        released.standin.faults.steal_lease_after_step = 4
        ended = released.release()
        assert ended.exit_code == 1
        assert "The state refused a write: the lease went to somebody else" in ended.errors
        assert len(released.ledger()) == 1

"""What promotion promises: the same bytes, signed and tried, or a refusal that touches nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from standin_engine import Answers
from standin_registry import Registry
from standin_world import World

from slipway import artifacts, publishing
from slipway.config import keys
from slipway.facts import manifest as manifests
from slipway.facts import registry
from slipway.facts.manifest import REPOSITORY, Approval, Evidence, Manifest

RELEASES = "slipway/releases"


def make(world: World) -> None:
    """Three environments in a row, a key, and a release that dev and staging run."""
    world.environment("staging", source="dev", keys=["release"])
    world.environment("prod", source="staging", keys=["release", "approver"], approvals=0)
    assert world.invoke("keys.new").exit_code == 0
    assert world.invoke("keys.new", "--name", "approver").exit_code == 0
    assert world.release().exit_code == 0
    ended = world.release_to("staging", "--yes")
    assert (ended.exit_code, ended.errors) == (0, "")
    world.save()


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which staging has accepted what dev runs."""
    made = World(tmp_path_factory.mktemp("staged"))
    with made.standin, pytest.MonkeyPatch.context() as patch:
        made.connect(patch)
        make(made)
        yield made


@pytest.fixture
def world(staged: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """That world, as it was when staging had accepted."""
    staged.restore()
    staged.connect(monkeypatch)
    yield staged
    assert staged.standin.unknown == []


def version(world: World) -> str:
    return str(world.ledger("staging")[-1]["version"])


def images(world: World, environment: str) -> dict[str, str]:
    """Service -> image, as they run."""
    return {
        each["Config"]["Labels"]["com.docker.compose.service"]: each["Config"]["Image"]
        for each in world.standin.containers.values()
        if each["Config"]["Labels"]["slipway.environment"] == environment
    }


def document(world: World, tag: str, media_type: str) -> str:
    """The digest of one content of an artifact."""
    layers = world.standin.store.manifest(f"{RELEASES}:{tag}")["layers"]
    return next(str(each["digest"]) for each in layers if each["mediaType"] == media_type)


def refused(world: World, environment: str, code: str, *words: str) -> str:
    """Hold a release to being refused under this code before anything is touched."""
    ended = world.release_to(environment, "--yes", *words)
    assert ended.exit_code == 2, ended
    assert f"release: {code}: " in ended.errors
    assert "\n  next: invoke " in ended.errors
    assert world.standin.changes == []
    return ended.errors


class TestSameBytes:
    def test_prod_runs_what_dev_built_and_staging_tried(self, world: World) -> None:
        ended = world.release_to("prod", "--yes")
        assert (ended.exit_code, ended.errors) == (0, "")
        assert not any(each.startswith("build") for each in world.standin.changes)
        assert images(world, "prod") == images(world, "staging") == images(world, "dev")
        lines = [world.ledger(name)[-1] for name in ("dev", "staging", "prod")]
        assert len({line["manifest"] for line in lines}) == 1
        assert len({line["version"] for line in lines}) == 1
        assert [line["source"] for line in lines] == ["tree", "dev", "staging"]

    def test_the_plan_says_what_is_taken_and_what_the_gates_found(self, world: World) -> None:
        ended = world.release_to("prod", "--plan")
        assert ended.exit_code == 0
        assert f"release {version(world)} of dev" in ended.output
        assert "signed by release" in ended.output
        assert "passed  proof     documents 1, passages 2, questions 1" in ended.output
        assert "passed  quality   documents 1, least 0.75, " in ended.output
        assert "questions 1, recall_at_5 1.0" in ended.output
        assert world.standin.changes == []

    def test_the_compose_files_are_the_release_s_and_not_the_checkout_s(self, world: World) -> None:
        app = world.layout.root / "infra/compose/app.yaml"
        before = app.read_text()
        app.write_text("# edited\n")
        overlay = world.layout.overlay("prod").read_text() + "# of today\n"
        world.layout.overlay("prod").write_text(overlay)
        assert world.release_to("prod", "--yes").exit_code == 0
        assert world.standin.resolved["app.yaml"] == before
        assert world.standin.resolved["prod.yaml"] == overlay

    def test_the_checkout_need_not_be_the_one_that_built(self, world: World) -> None:
        world.change("services/backend/app.py")
        (world.layout.root / "requirements/backend.txt").unlink(missing_ok=True)
        assert world.release_to("prod", "--yes").exit_code == 0
        assert images(world, "prod") == images(world, "staging")

    def test_another_version_can_be_picked(self, world: World) -> None:
        first = version(world)
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        assert world.release_to("staging", "--yes").exit_code == 0
        assert version(world) != first
        assert world.release_to("prod", "--yes", "--version", first).exit_code == 0
        assert world.ledger("prod")[-1]["version"] == first
        assert world.release_to("prod", "--yes").exit_code == 0
        assert world.ledger("prod")[-1]["version"] == version(world)

    def test_what_the_source_went_back_from_is_taken_only_by_its_name(self, world: World) -> None:
        first = version(world)
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        assert world.release_to("staging", "--yes").exit_code == 0
        second = version(world)
        assert world.invoke("rollback", "--env", "staging", "--yes").exit_code == 0
        world.standin.changes.clear()
        told = refused(world, "prod", "gone-back")
        assert f"staging runs {first}, and not {second}, which it accepted last" in told
        assert f"next: invoke release --env prod --version {first}" in told
        for each in (second, first):
            assert world.release_to("prod", "--yes", "--version", each).exit_code == 0
            assert world.ledger("prod")[-1]["version"] == each

    def test_twice_does_nothing(self, world: World) -> None:
        ended = world.release_to("staging")
        assert ended.exit_code == 0
        assert "Nothing to do: staging runs release" in ended.output
        assert world.standin.changes == []

    def test_a_mirror_registry_gets_what_it_lacks(self, world: World) -> None:
        with Registry() as mirror:
            world.environment("prod", source="staging", keys=["release"], registry=mirror.name)
            assert world.release_to("prod", "--plan").exit_code == 0
            assert f"copy it to {mirror.name}" in world.release_to("prod", "--plan").output
            running = world.standin.store.manifest(f"{RELEASES}:running-in-staging")
            assert mirror.manifest(f"{RELEASES}:{version(world)}") == running
            for reference in world.ledger("staging")[-1]["images"].values():
                assert reference.partition("@")[2] in mirror.manifests

    def test_an_engine_that_lacks_the_images_fetches_them_first(self, world: World) -> None:
        built = world.ledger("dev")[-1]["images"].values()
        world.standin.absent = {each.partition("@")[2] for each in built}
        assert world.release_to("prod", "--yes").exit_code == 0
        fetched = [each for each in world.standin.changes if each.startswith("pull ")]
        images = ("backend", "backup", "edge", "etcd", "logs", "monitoring", "postgres", "toolbox")
        assert fetched == [f"pull slipway/{name}" for name in images]
        assert world.standin.changes[:8] == fetched


class TestAsks:
    def test_without_a_terminal_it_names_the_flag(self, world: World) -> None:
        ended = world.release_to("prod")
        assert ended.exit_code == 2
        assert "There is no terminal to ask on: give --yes" in ended.errors
        assert world.standin.changes == []


class TestTampering:
    """One byte, and nothing is touched."""

    def test_with_a_layer_of_an_image(self, world: World) -> None:
        for reference in world.ledger("staging")[-1]["images"].values():
            manifest = world.standin.store.manifest(reference.partition("@")[2])
        world.standin.store.alter(manifest["layers"][0]["digest"])
        assert "was altered: the registry's bytes have the digest" in refused(
            world, "prod", "bytes-changed"
        )

    def test_with_the_configuration_or_the_manifest_of_an_image(self, world: World) -> None:
        reference = world.ledger("staging")[-1]["images"]["backend"].partition("@")[2]
        config = world.standin.store.manifest(reference)["config"]["digest"]
        for digest in (config, reference):
            world.standin.store.alter(digest)
            assert digest in refused(world, "prod", "bytes-changed")
            world.standin.store.alter(digest)

    def test_with_a_compose_file_or_the_manifest_or_its_signature(self, world: World) -> None:
        for media_type in (artifacts.CONFIG, Manifest.media_type(), artifacts.SIGNATURE):
            digest = document(world, "running-in-dev", media_type)
            world.standin.store.alter(digest)
            for environment in ("staging", "prod"):
                assert digest in refused(world, environment, "bytes-changed")
            world.standin.store.alter(digest)

    def test_with_the_evidence(self, world: World) -> None:
        tag = f"{version(world)}.evidence-of-staging"
        digest = document(world, tag, Evidence.media_type())
        world.standin.store.alter(digest)
        assert digest in refused(world, "prod", "bytes-changed")

    def test_with_a_layer_that_is_gone(self, world: World) -> None:
        reference = world.ledger("staging")[-1]["images"]["edge"].partition("@")[2]
        layer = world.standin.store.manifest(reference)["layers"][0]["digest"]
        del world.standin.store.blobs[layer]
        assert "has no slipway/edge@" in refused(world, "prod", "bytes-missing")


def resigned(world: World, change: Callable[[dict[str, object]], object], *, key: str) -> None:
    """Whoever holds a key puts another manifest under the tags of the one that runs."""
    where = world.standin.registry
    known = artifacts.known(where, Manifest, "running-in-dev")
    assert known
    content = json.loads(known.document.canonical())
    change(content)
    written = json.dumps(content).encode()
    found = keys.find(world.layout, key)
    signing = keys.read_private(*found, "") if found else None
    made = artifacts.push(where, known.document, tags=(), key=signing)
    artifact = world.standin.store.manifest(made)
    artifacts.put_blob(where, RELEASES, written)
    layers = [artifact["layers"][0] | {"digest": registry.hashed(written), "size": len(written)}]
    if signing:
        signature = json.dumps(
            {"key": signing.id, "signature": keys.encoded(signing.sign(written))}
        )
        artifacts.put_blob(where, RELEASES, signature.encode())
        digest = registry.hashed(signature.encode())
        layers.append({"mediaType": artifacts.SIGNATURE, "digest": digest, "size": len(signature)})
    artifact["layers"] = layers
    for tag in ("running-in-dev", version(world)):
        body = json.dumps(artifact).encode()
        artifacts.put_document(where, RELEASES, tag, registry.OCI_MANIFEST, body)


class TestSignatures:
    def test_nobody_signed_it(self, world: World) -> None:
        resigned(world, lambda _: None, key="nobody")
        told = refused(world, "staging", "unsigned")
        assert "`invoke keys.new`" in told
        assert "next: invoke release --env dev" in told

    def test_a_stranger_signed_it(self, world: World) -> None:
        assert world.invoke("keys.new", "--name", "stranger").exit_code == 0
        resigned(world, lambda _: None, key="stranger")
        assert "which is not trusted here (trusted: release (" in refused(
            world, "staging", "unknown-key"
        )

    def test_an_image_is_named_by_a_tag_alone(self, world: World) -> None:
        def by_tag(content: dict[str, object]) -> None:
            content["images"] = {"backend": "slipway/backend:latest"}

        resigned(world, by_tag, key="release")
        assert "names an image without its digest: slipway/backend:latest" in refused(
            world, "staging", "not-by-digest"
        )

    def test_the_environment_trusts_nobody(self, world: World) -> None:
        world.environment("staging", source="dev", keys=[])
        assert "staging trusts no key" in refused(world, "staging", "unknown-key")

    def test_a_release_from_before_the_key_is_signed_by_the_next(self, world: World) -> None:
        resigned(world, lambda _: None, key="nobody")
        assert world.release().exit_code == 0
        assert world.standin.changes == []
        assert world.release_to("staging", "--yes").exit_code == 0

    def test_dev_without_a_key_says_who_will_not_take_it(self, world: World) -> None:
        keys.private_path(world.layout, "release").unlink()
        world.change("services/backend/app.py")
        ended = world.release()
        assert ended.exit_code == 0
        assert "is not signed, so staging will not take it; invoke keys.new" in ended.output
        world.standin.changes.clear()
        assert "is not signed" in refused(world, "staging", "unsigned")

    def test_staging_needs_a_key_before_it_begins_because_prod_wants_evidence(
        self, world: World
    ) -> None:
        keys.private_path(world.layout, "release").unlink()
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 2
        assert "prod will want the evidence of staging" in ended.errors
        assert world.release_to("prod", "--yes").exit_code == 0


class TestEvidence:
    def test_there_is_none(self, world: World) -> None:
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.changes.clear()
        new = world.ledger("dev")[-1]["version"]
        told = refused(world, "prod", "evidence-missing", "--version", new)
        assert f"next: invoke release --env staging --version {new}" in told
        del world.standin.store.tags[f"{RELEASES}:accepted-in-staging"]
        assert "staging has accepted nothing yet" in refused(world, "prod", "evidence-missing")

    def test_it_is_of_another_manifest(self, world: World) -> None:
        first = version(world)
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.changes.clear()
        new = world.ledger("dev")[-1]["version"]
        tags = world.standin.store.tags
        tags[f"{RELEASES}:{new}.evidence-of-staging"] = tags[
            f"{RELEASES}:{first}.evidence-of-staging"
        ]
        assert "is of another manifest" in refused(
            world, "prod", "evidence-of-another", "--version", new
        )

    def test_it_expired(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        later = artifacts.now() + publishing.VALID + timedelta(seconds=1)
        monkeypatch.setattr(artifacts, "now", lambda: later)
        told = refused(world, "prod", "evidence-expired")
        assert "next: invoke release --env staging --version" in told
        # The same release once more is proved again, and nothing else is done.
        assert world.release_to("staging", "--yes").exit_code == 0
        assert [each for each in world.standin.changes if each.startswith("up ")] == []
        assert world.release_to("prod", "--yes").exit_code == 0

    def test_a_gate_that_is_not_passed_goes_back_and_is_written_down(self, world: World) -> None:
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.product.found = []
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        assert "the gate quality was not passed" in ended.errors
        assert world.standin.generations["staging"] == 1
        world.standin.changes.clear()
        new = world.ledger("dev")[-1]["version"]
        told = refused(world, "prod", "not-accepted", "--version", new)
        assert f"staging did not accept {new}: not passed: quality" in told

    def test_what_requests_failed_with_goes_back_and_is_accepted_when_tried_without_a_loss(
        self, world: World
    ) -> None:
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.faults.answers = {1: Answers(requests=50), 2: Answers(requests=50, failed=1)}
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        line = world.ledger("staging")[-1]
        assert line["result"] == "failed"
        assert line["reason"].startswith("the gate requests was not passed: served ")
        assert line["requests"]["failed"] > 0
        assert line["reason"] in ended.errors
        assert "next: invoke release --env staging" in ended.errors
        assert world.standin.generations["staging"] == 1
        world.standin.forget()
        told = refused(world, "prod", "not-accepted", "--version", line["version"])
        assert f"staging did not accept {line['version']}: not passed: requests" in told
        world.standin.faults.answers = {1: Answers(requests=50), 3: Answers(requests=50)}
        assert world.release_to("staging", "--yes").exit_code == 0
        assert world.release_to("prod", "--yes", "--version", line["version"]).exit_code == 0

    def test_what_requests_failed_with_at_the_very_end_serves_on_and_is_not_accepted(
        self, world: World
    ) -> None:
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.faults.answers = {1: Answers(requests=50), 2: Answers(requests=50)}
        world.standin.faults.answers_after_down = {2: Answers(requests=50, failed=1)}
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        line = world.ledger("staging")[-1]
        assert line["result"] == "done"
        lost, served = line["requests"]["failed"], line["requests"]["served"]
        assert f"the gate requests was not passed: served {served}, failed {lost}" in ended.errors
        assert world.standin.generations["staging"] == 2
        world.standin.forget()
        told = refused(world, "prod", "not-accepted", "--version", line["version"])
        assert f"staging did not accept {line['version']}: not passed: requests" in told
        world.standin.faults.answers = {2: Answers(requests=50)}
        assert world.release_to("staging", "--yes").exit_code == 0
        assert world.release_to("prod", "--yes", "--version", line["version"]).exit_code == 0

    def test_what_fails_at_an_edge_that_is_replaced_meanwhile_counts(self, world: World) -> None:
        world.change("infra/nginx/Dockerfile")
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.faults.answers = {1: Answers(requests=50, failed=1)}

        def moment(when: str, step: str) -> None:
            if when == "after" and step.startswith("hand-over"):
                world.standin.faults.answers = {1: Answers(requests=50), 2: Answers(requests=50)}

        world.standin.on_moment = moment
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        assert "the gate requests was not passed: served " in ended.errors
        assert world.ledger("staging")[-1]["requests"]["failed"] > 0

    def test_what_failed_before_at_an_edge_that_is_replaced_does_not_count(
        self, world: World
    ) -> None:
        world.change("infra/nginx/Dockerfile")
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.faults.answers = {1: Answers(requests=50, failed=5)}
        assert world.invoke("status", "--env", "staging").exit_code == 0
        world.standin.faults.answers = {1: Answers(requests=50), 2: Answers(requests=50)}
        ended = world.release_to("staging", "--yes")
        assert (ended.exit_code, ended.errors) == (0, "")
        requests = world.ledger("staging")[-1]["requests"]
        assert requests["failed"] == 0
        # Beside a question each to the old edge at its end, and to the new one at its.
        assert requests["served"] > 150

    def test_what_serves_already_is_not_judged_where_nobody_takes_it(self, world: World) -> None:
        world.standin.faults.answers = {1: Answers(requests=50, failed=1)}
        ended = world.release_to("prod", "--yes")
        assert ended.exit_code == 0
        lost = world.ledger("prod")[-1]["requests"]["failed"]
        assert f"warning: {lost} requests failed at the edge meanwhile" in ended.errors

    def test_it_says_who_tried_what_and_when_and_is_left_in_reports(self, world: World) -> None:
        path = world.layout.root / "reports/evidence-staging.json"
        said = manifests.parse(Evidence, path.read_bytes(), "the report")
        assert said.accepted
        assert said.manifest == world.ledger("staging")[-1]["manifest"]
        assert [gate.name for gate in said.gates][:2] == ["proof", "quality"]
        assert "@" in said.by
        tag = f"{RELEASES}:{said.version}.evidence-of-staging"
        assert world.standin.store.manifest(tag)["subject"]["digest"] == said.manifest


class TestApprovals:
    @pytest.fixture(autouse=True)
    def _wanted(self, world: World) -> None:
        world.environment("prod", source="staging", keys=["release", "approver"], approvals=1)

    def test_one_is_wanted_and_given(self, world: World) -> None:
        told = refused(world, "prod", "approval-missing")
        assert f"next: invoke approve --env prod --version {version(world)}" in told
        ended = world.invoke("approve", "--env", "prod", "--version", version(world), "--yes")
        assert (ended.exit_code, ended.errors) == (0, "")
        assert "passed  quality" in ended.output
        assert world.release_to("prod", "--yes").exit_code == 0
        (by,) = world.ledger("prod")[-1]["approved_by"]
        assert by.endswith("(approver)")

    def test_the_key_of_the_evidence_cannot_approve(self, world: World) -> None:
        ended = world.invoke("approve", "--env", "prod", "--key", "release", "--yes")
        assert ended.exit_code == 2
        assert "The key release has signed the evidence" in ended.errors

    def test_a_key_that_is_not_trusted_cannot_approve(self, world: World) -> None:
        assert world.invoke("keys.new", "--name", "stranger").exit_code == 0
        ended = world.invoke("approve", "--env", "prod", "--key", "stranger", "--yes")
        assert ended.exit_code == 2
        assert "prod does not trust the key" in ended.errors
        ended = world.invoke("approve", "--env", "prod", "--key", "nobody", "--yes")
        assert "There is no private key 'nobody'" in ended.errors

    def test_an_altered_approval_is_refused(self, world: World) -> None:
        assert world.invoke("approve", "--env", "prod", "--yes").exit_code == 0
        (tag,) = [each for each in world.standin.store.tags if ".approved-for-prod." in each]
        digest = document(world, tag.partition(":")[2], Approval.media_type())
        world.standin.store.alter(digest)
        assert digest in refused(world, "prod", "bytes-changed")

    def test_an_approval_is_for_one_release(self, world: World) -> None:
        assert world.invoke("approve", "--env", "prod", "--yes").exit_code == 0
        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        assert world.release_to("staging", "--yes").exit_code == 0
        world.standin.changes.clear()
        refused(world, "prod", "approval-missing")

    @pytest.mark.parametrize("code", ["approval-expired", "evidence-of-another"])
    def test_one_that_does_not_count_blocks_none_that_does(
        self, world: World, monkeypatch: pytest.MonkeyPatch, code: str
    ) -> None:
        assert world.invoke("keys.new", "--name", "second").exit_code == 0
        trusted = ["release", "approver", "second"]
        world.environment("prod", source="staging", keys=trusted, approvals=1)
        approve = ("approve", "--env", "prod", "--yes")
        if code == "approval-expired":
            earlier = artifacts.now() - publishing.VALID
            with monkeypatch.context() as patch:
                patch.setattr(artifacts, "now", lambda: earlier)
                assert world.invoke(*approve).exit_code == 0
        else:
            assert world.invoke(*approve).exit_code == 0
            first = version(world)
            world.change("services/backend/app.py")
            assert world.release().exit_code == 0
            assert world.release_to("staging", "--yes").exit_code == 0
            tags = world.standin.store.tags
            (tag,) = [each for each in tags if ".approved-for-prod." in each]
            tags[tag.replace(first, version(world))] = tags[tag]
            world.standin.changes.clear()
        told = refused(world, "prod", code)
        assert f"next: invoke approve --env prod --version {version(world)}" in told
        assert world.invoke(*approve, "--key", "second").exit_code == 0
        assert world.release_to("prod", "--yes").exit_code == 0
        (by,) = world.ledger("prod")[-1]["approved_by"]
        assert by.endswith("(second)")

    def test_a_release_of_the_tree_needs_none(self, world: World) -> None:
        ended = world.invoke("approve", "--env", "dev", "--yes")
        assert ended.exit_code == 2
        assert "there is nothing to approve" in ended.errors


class TestRegistry:
    def gone(self, world: World, moment: str, step: str) -> None:
        """Let the registry be gone from this moment of the next release on."""

        def look(when: str, now: str) -> None:
            if (when, now.split(maxsplit=1)[0]) == (moment, step):
                world.standin.store.gone = True

        world.change("services/backend/app.py")
        assert world.release().exit_code == 0
        world.standin.forget()
        world.standin.on_moment = look

    def test_one_that_is_gone_when_a_release_fails_hides_no_cause(self, world: World) -> None:
        self.gone(world, "before", "start")
        world.standin.faults.service["worker"] = "exited"
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        assert "others are not told that it failed: The registry at" in ended.errors
        assert "release: crash-on-start: slipway-staging-g2 did not become" in ended.errors
        assert world.ledger("staging")[-1]["code"] == "crash-on-start"
        assert world.standin.generations["staging"] == 1

    def test_one_that_is_gone_at_the_end_gets_the_evidence_when_the_same_is_typed_again(
        self, world: World
    ) -> None:
        self.gone(world, "after", "retire")
        ended = world.release_to("staging", "--yes")
        assert ended.exit_code == 1
        assert "registry-gone: staging serves generation 2, but its evidence could" in ended.errors
        assert "next: invoke release --env staging" in ended.errors
        assert world.ledger("staging")[-1]["result"] == "done"
        world.standin.store.gone = False
        world.standin.forget()
        assert world.release_to("staging", "--yes").exit_code == 0
        assert world.release_to("prod", "--yes").exit_code == 0
        assert images(world, "prod") == images(world, "staging")

    def test_one_that_is_gone_is_named(self, world: World) -> None:
        world.standin.store.gone = True
        told = refused(world, "prod", "registry-gone")
        assert f"The registry at {world.standin.registry} does not answer" in told


def test_a_version_is_for_environments_that_take_releases(world: World) -> None:
    ended = world.release("--version", "1")
    assert ended.exit_code == 2
    assert "dev releases the working tree" in ended.errors


def test_nothing_was_released_yet(world: World) -> None:
    for tag in [*world.standin.store.tags]:
        if tag.startswith(REPOSITORY):
            del world.standin.store.tags[tag]
    ended = world.release_to("staging", "--yes")
    assert ended.exit_code == 2
    assert "has nothing that dev released" in ended.errors
    assert "next: invoke release --env dev" in ended.errors


def test_environments_that_take_from_each_other_are_named(world: World) -> None:
    world.environment("staging", source="prod", keys=["release"])
    ended = world.release_to("prod", "--yes")
    assert ended.exit_code == 2

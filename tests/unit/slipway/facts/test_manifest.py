"""A manifest has one way to be written, and names everything by its digest."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.config.layout import Layout, checkout
from slipway.errors import Refused
from slipway.facts import manifest as manifests
from slipway.facts.manifest import Evidence, Gate, Manifest

DIGEST = "sha256:" + "a" * 64
CONTENT: dict[str, Any] = {
    "schema": 1,
    "version": "6e179e1b2",
    "commit": "6e179e1b2" + "0" * 31,
    "changed": False,
    "created": "2026-01-02T03:04:05+00:00",
    "source": "dev",
    "images": {"backend": f"slipway/backend@{DIGEST}"},
    "config": {"app.yaml": "b" * 64},
    "database": {"revision": "0002"},
}


def parsed(**changes: object) -> Manifest:
    return manifests.parse(Manifest, json.dumps(CONTENT | changes).encode(), "release V")


def test_it_is_written_in_one_way() -> None:
    written = parsed().canonical()
    backwards = dict(reversed(CONTENT.items()))
    again = manifests.parse(Manifest, json.dumps(backwards, indent=4).encode(), "release V")
    assert again.canonical() == written
    assert b" " not in written
    assert json.loads(written) == CONTENT


def test_images_are_pulled_from_the_registry_of_the_site_that_runs_them() -> None:
    reference = parsed().references("registry.internal:5000")["backend"]
    assert reference == f"registry.internal:5000/slipway/backend@{DIGEST}"


@pytest.mark.parametrize(
    "reference",
    [
        "slipway/backend:latest",
        "slipway/backend",
        f"slipway/backend@{DIGEST[:-1]}",
        "slipway/backend@sha512:" + "a" * 64,
    ],
)
def test_an_image_without_its_digest_is_refused(reference: str) -> None:
    with pytest.raises(Refused, match="names an image without its digest") as refused:
        parsed(images={"backend": reference})
    assert refused.value.code == "not-by-digest"


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": 2},
        {"more": 1},
        {"version": "with spaces"},
        {"created": "2026-01-02T03:04:05"},
        {"created": "yesterday"},
        {"config": {"app.yaml": "short"}},
    ],
)
def test_what_is_not_understood_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(Refused, match="release V: ") as refused:
        parsed(**changes)
    assert refused.value.code == "not-understood"


@pytest.mark.parametrize(("passed", "accepted"), [((True, True), True), ((True, False), False)])
def test_evidence_accepts_when_every_gate_was_passed(
    passed: tuple[bool, ...], accepted: bool
) -> None:
    gates = tuple(Gate(name=str(n), ok=ok, figures={"n": n}) for n, ok in enumerate(passed))
    evidence = Evidence(
        environment="staging",
        version="1",
        manifest=DIGEST,
        generation=3,
        time=CONTENT["created"],
        expires=CONTENT["created"],
        by="somebody",
        gates=gates,
    )
    assert evidence.accepted is accepted
    assert manifests.parse(Evidence, evidence.canonical(), "evidence") == evidence
    assert not evidence.model_copy(update={"gates": ()}).accepted


class TestConfig:
    def test_the_tar_depends_on_nothing_but_paths_and_contents(self, tmp_path: Path) -> None:
        files = manifests.config_files(checkout())
        assert {"app.yaml", "platform.yaml", "common.yaml"} <= files.keys()
        assert not [path for path in files if path.startswith("environments")]
        packed = manifests.pack(files)
        manifests.write_config(files, tmp_path / "infra/compose")
        assert manifests.pack(manifests.config_files(Layout(tmp_path))) == packed
        assert manifests.unpack(packed, manifests.config_hashes(files), "V") == files

    @pytest.mark.parametrize(
        "others",
        [
            {"app.yaml": b"other"},
            {"app.yaml": b"services: {}", "more.yaml": b""},
            {},
        ],
    )
    def test_other_files_than_the_manifest_names_are_refused(
        self, others: dict[str, bytes]
    ) -> None:
        hashes = manifests.config_hashes({"app.yaml": b"services: {}"})
        with pytest.raises(Refused, match=r"its Compose file (app|more).yaml is not the one"):
            manifests.unpack(manifests.pack(others), hashes, "release V")

    def test_what_is_no_tar_is_refused(self) -> None:
        with pytest.raises(Refused, match="no tar"):
            manifests.unpack(b"hello" * 400, {}, "release V")

    def test_files_stay_below_their_folder(self) -> None:
        with pytest.raises(Refused, match="config"):
            parsed(config={"../app.yaml": "b" * 64})


def test_the_newest_revision_of_the_database_is_known(tmp_path: Path) -> None:
    assert manifests.revision(checkout()) >= "0002"
    assert manifests.revision(Layout(tmp_path)) == ""

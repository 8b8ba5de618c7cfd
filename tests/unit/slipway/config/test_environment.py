"""A wrong overlay file is refused with its name, the path of the key, and what is accepted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from slipway.config import environment as environments
from slipway.config.layout import Layout, checkout
from slipway.errors import Refused

SCHEDULED = {
    "policy": "scheduled",
    "full": "0 2 * * 0",
    "differential": "0 2 * * 1-6",
    "incremental": "15 * * * *",
    "drill": "0 4 * * 0",
    "keep": {"full": 2, "differential": 6},
    "second": None,
}
ACCEPTED = ", ".join(environments.Environment.model_fields)
SHOWN = "infra/compose/environments/dev.yaml"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    shutil.copytree(checkout().environments, Layout(tmp_path).environments)
    return Layout(tmp_path)


def complaint(layout: Layout, name: str = "dev") -> str:
    with pytest.raises(Refused) as refused:
        environments.load(name, layout)
    return str(refused.value)


@pytest.mark.parametrize("name", ["dev", "staging", "prod"])
def test_every_shipped_environment_is_complete(name: str) -> None:
    assert environments.load(name, checkout()).engine == "compose"


def test_the_shipped_environments_are_these() -> None:
    assert environments.names(checkout()) == ("dev", "prod", "staging")


@pytest.mark.parametrize(
    ("name", "url"),
    [("dev", "https://localhost:8443"), ("prod", "https://slipway.internal")],
)
def test_the_url_names_the_port_only_where_it_is_not_the_usual_one(name: str, url: str) -> None:
    assert environments.load(name, checkout()).url == url


WRONG: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "misspelt key": (
        lambda block: block.update(replica=1),
        f"{SHOWN}: x-slipway/replica: unknown key (accepted here: {ACCEPTED})",
    ),
    "misspelt key in a section": (
        lambda block: block["ports"].update(htps=1),
        f"{SHOWN}: x-slipway/ports/htps: unknown key (accepted here: address, https, http)",
    ),
    "wrong type": (
        lambda block: block.update(drain_seconds="60"),
        f"{SHOWN}: x-slipway/drain_seconds: '60' is wrong (it should be a valid integer)",
    ),
    "wrong type of a section": (
        lambda block: block.update(replicas=2),
        f"{SHOWN}: x-slipway/replicas: 2 is wrong (it should be a valid dictionary or instance"
        " of Replicas)",
    ),
    "not among the choices": (
        lambda block: block.update(log_level="loud"),
        f"{SHOWN}: x-slipway/log_level: 'loud' is wrong (it should be 'debug', 'info', 'warning'"
        " or 'error')",
    ),
    "out of range": (
        lambda block: block["replicas"].update(backend=0),
        f"{SHOWN}: x-slipway/replicas/backend: 0 is wrong (it should be greater than or equal"
        " to 1)",
    ),
    "not of the form": (
        lambda block: block.update(registry="http://localhost"),
        f"{SHOWN}: x-slipway/registry: 'http://localhost' is wrong (it should match pattern"
        r" '^[a-z0-9.-]+(:\d+)?$')",
    ),
    "missing": (
        lambda block: block.pop("drain_seconds"),
        f"{SHOWN}: x-slipway/drain_seconds: missing (how long requests in flight may take to"
        " finish on the old generation)",
    ),
    "missing section": (
        lambda block: block.pop("replicas"),
        f"{SHOWN}: x-slipway/replicas: missing (a section with backend, worker)",
    ),
    "missing in a section": (
        lambda block: block["retention"].pop("releases"),
        f"{SHOWN}: x-slipway/retention/releases: missing (ways back, in releases)",
    ),
    "wrong choice between sections": (
        lambda block: block["backup"].update(policy="daily"),
        f"{SHOWN}: x-slipway/backup/policy: 'daily' is wrong (it should be 'none' or 'scheduled')",
    ),
    "missing choice between sections": (
        lambda block: block["backup"].pop("policy"),
        f"{SHOWN}: x-slipway/backup/policy: missing (it says which keys follow)",
    ),
    "a key of the other section": (
        lambda block: block["backup"].update(full="0 2 * * 0"),
        f"{SHOWN}: x-slipway/backup/full: unknown key (accepted here: policy)",
    ),
    "missing in the section that was chosen": (
        lambda block: block.update(backup={**SCHEDULED, "keep": {"full": 1}}),
        f"{SHOWN}: x-slipway/backup/keep/differential: missing (differential backups)",
    ),
    "a time that cron does not take": (
        lambda block: block.update(backup={**SCHEDULED, "drill": "0 25 * * *"}),
        f"{SHOWN}: x-slipway/backup/drill: '0 25 * * *' is wrong ('25' is no hour: 0 to 23, a-b,"
        " */n or *)",
    ),
    "a second repository of no known kind": (
        lambda block: block.update(backup={**SCHEDULED, "second": {"kind": "ftp"}}),
        f"{SHOWN}: x-slipway/backup/second/kind: 'ftp' is wrong (it should be 's3' or 'sftp')",
    ),
    "missing choice": (
        lambda block: block.pop("log_level"),
        f"{SHOWN}: x-slipway/log_level: missing (Literal['debug', 'info', 'warning', 'error'])",
    ),
}


@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_key_is_named_with_what_is_accepted(
    layout: Layout, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    overlay = layout.overlay("dev")
    content = yaml.safe_load(overlay.read_text())
    change(content["x-slipway"])
    overlay.write_text(yaml.safe_dump(content))
    assert complaint(layout) == f"{said}\n  next: edit {SHOWN}"


def test_all_wrong_keys_are_named_at_once(layout: Layout) -> None:
    overlay = layout.overlay("dev")
    content = yaml.safe_load(overlay.read_text())
    del content["x-slipway"]["domain"]
    content["x-slipway"]["registri"] = "localhost"
    overlay.write_text(yaml.safe_dump(content))
    said = complaint(layout)
    assert "x-slipway/domain: missing" in said
    assert "x-slipway/registri: unknown key" in said


@pytest.mark.parametrize("text", ["services: {}\n", "", "- a list\n"])
def test_a_file_without_the_block_is_refused(layout: Layout, text: str) -> None:
    layout.overlay("dev").write_text(text)
    assert complaint(layout) == (
        f"{SHOWN}: x-slipway: missing (every environment states its block completely)\n"
        "  next: copy the block of another file in infra/compose/environments"
    )


def test_what_is_not_yaml_is_refused_in_one_line_with_its_place(layout: Layout) -> None:
    layout.overlay("dev").write_text("x-slipway: {\n")
    said = complaint(layout)
    assert said.startswith(f"{SHOWN}: not YAML: while parsing")
    assert "line 2, column 1" in said
    assert "\n" not in said


def test_an_empty_block_is_refused(layout: Layout) -> None:
    layout.overlay("dev").write_text("x-slipway:\n")
    assert f"{SHOWN}: x-slipway: None is wrong" in complaint(layout)


def test_an_unknown_environment_is_refused_with_those_there_are(layout: Layout) -> None:
    assert complaint(layout, "production") == (
        "There is no environment 'production' (there are: dev, prod, staging)\n"
        "  next: invoke status --env dev"
    )


def test_a_name_is_no_path(layout: Layout) -> None:
    for name in ("../environments/dev", "dev-2", "Dev", "2dev"):
        assert f"{name!r} cannot be an environment's name" in complaint(layout, name)


def test_without_a_name_the_question_is_which(layout: Layout) -> None:
    assert complaint(layout, "") == (
        "Which environment? (there are: dev, prod, staging)\n  next: the same with --env dev"
    )


def test_tags_of_compose_are_read_past(layout: Layout) -> None:
    overlay = layout.overlay("dev")
    tags = (
        "services:\n"
        "  edge: {ports: !override ['1:1'], labels: !reset null, tmpfs: !override {a: 1}}\n"
    )
    overlay.write_text(tags + overlay.read_text().replace("services:", "x-services:", 1))
    assert environments.load("dev", layout).source == "tree"


@pytest.mark.parametrize(
    "second",
    [
        None,
        {
            "kind": "s3",
            "endpoint": "store.internal:9000",
            "region": "site",
            "bucket": "slipway-prod",
            "uri_style": "path",
            "path": "/slipway",
            "keep": {"full": 8, "differential": 30},
        },
        {
            "kind": "sftp",
            "host": "vault.internal",
            "port": 22,
            "host_fingerprint": "0a" * 32,
            "user": "slipway",
            "path": "/slipway",
            "keep": {"full": 8, "differential": 30},
        },
    ],
    ids=["none", "bucket", "server"],
)
def test_the_backup_service_is_told_what_the_file_says(
    layout: Layout, second: dict[str, Any] | None
) -> None:
    overlay = layout.overlay("dev")
    content = yaml.safe_load(overlay.read_text())
    content["x-slipway"]["backup"] = SCHEDULED | {"second": second}
    overlay.write_text(yaml.safe_dump(content))
    found = environments.load("dev", layout).backup
    assert found.on
    stated = SCHEDULED | {"second": second}
    del stated["policy"]
    assert json.loads(found.told) == stated

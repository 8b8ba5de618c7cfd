"""A stack's hash changes with all that shapes a container, and with nothing else."""

from __future__ import annotations

import copy
import json
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.plans import stacks
from slipway.plans.stacks import Stack

TEMPLATE = Path(__file__).parents[1] / "standin" / "resolved.template"
FINGERPRINTS = {"jwt_secret": "1", "slipway_password": "2", "postgres_password": "3"}


def resolved(generation: int = 1) -> Any:
    return json.loads(
        string.Template(TEMPLATE.read_text()).substitute(
            SLIPWAY_ENVIRONMENT="dev",
            SLIPWAY_GENERATION=generation,
            SLIPWAY_LOG_LEVEL="info",
            SLIPWAY_RELEASE="first",
            SLIPWAY_MONITORING="minimal",
            SLIPWAY_ADDRESS="127.0.0.1",
            SLIPWAY_HTTPS_PORT=8443,
            SLIPWAY_HTTP_PORT=8080,
            SLIPWAY_BACKEND_REPLICAS=2,
            SLIPWAY_WORKER_REPLICAS=1,
            SLIPWAY_BACKEND_IMAGE="backend@sha256:1",
            SLIPWAY_DOOR_IMAGE="edge@sha256:1",
            SLIPWAY_EDGE_IMAGE="edge@sha256:2",
            SLIPWAY_POSTGRES_IMAGE="postgres@sha256:3",
        )
    )


def cut(
    document: Any = None, stack: str = "app", generation: int | None = 1, **fingerprints: str
) -> Stack:
    return stacks.cut(
        resolved(generation or 1) if document is None else document,
        stack,
        project=f"slipway-dev-{stack}",
        environment="dev",
        release="3f2a",
        fingerprints=FINGERPRINTS | fingerprints,
        generation=generation,
    )


def test_the_same_app_hashes_alike_in_two_generations() -> None:
    one, other = cut(generation=1), cut(generation=2)
    assert one.hashes == other.hashes
    assert one.document != other.document


CHANGES: dict[str, tuple[Callable[[Any], object], set[str]]] = {
    "image": (lambda services: services["worker"].update(image="other"), {"worker"}),
    "environment": (
        lambda services: services["backend"]["environment"].update(LOG_LEVEL="debug"),
        {"backend"},
    ),
    "limit": (lambda services: services["worker"].update(mem_limit="1"), {"worker"}),
    "replicas": (lambda services: services["backend"].update(scale=3), {"backend"}),
    "label": (lambda services: services["backend"]["labels"].update(a="b"), {"backend"}),
    "another stack": (lambda services: services["edge"].update(image="other"), set()),
}


@pytest.mark.parametrize(("change", "changed"), CHANGES.values(), ids=CHANGES)
def test_a_change_changes_the_hashes_of_the_services_that_it_is_in(
    change: Callable[[Any], object], changed: set[str]
) -> None:
    document = resolved()
    change(document["services"])
    before, after = cut().hashes, cut(document).hashes
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_changed_secret_changes_the_services_that_use_it() -> None:
    app, platform = cut().hashes, cut(stack="platform", generation=None).hashes
    assert cut(jwt_secret="other").hashes != app
    assert cut(postgres_password="other").hashes == app
    changed = cut(stack="platform", generation=None, postgres_password="other").hashes
    assert changed["postgres"] != platform["postgres"]
    assert changed["edge"] == platform["edge"]


def test_a_platform_is_not_blind_to_a_generation() -> None:
    """Only the app's own number is left out of a hash."""
    document = resolved()
    document["services"]["postgres"]["environment"] = {"GENERATION": "1"}
    other = copy.deepcopy(document)
    other["services"]["postgres"]["environment"] = {"GENERATION": "2"}
    one = cut(document, stack="platform", generation=None)
    assert one.hashes != cut(other, stack="platform", generation=None).hashes


def test_a_stack_has_its_services_and_only_the_networks_and_volumes_they_use() -> None:
    app = cut().document
    assert set(app["services"]) == {"backend", "worker"}
    assert set(app["networks"]) == {"edge-app", "app-data"}
    assert set(app["volumes"]) == {"files", "secrets-backend"}
    once = cut(stack="once").document
    assert set(once["services"]) == {"migrate"}
    assert set(once["networks"]) == {"app-data"}
    assert set(once["volumes"]) == {"secrets-migrate"}


def test_containers_are_labelled_so_that_they_are_recognized() -> None:
    stack = cut()
    assert stack.document["services"]["backend"]["labels"] == {
        "slipway.stack": "app",
        "slipway.config-hash": stack.hashes["backend"],
        "slipway.environment": "dev",
        "slipway.release": "3f2a",
    }


def test_the_release_is_a_label_and_not_a_reason_to_replace_anything() -> None:
    document = resolved()
    arguments: dict[str, Any] = {"project": "", "environment": "dev", "fingerprints": {}}
    one = stacks.cut(document, "app", release="one", **arguments)
    other = stacks.cut(document, "app", release="other", **arguments)
    assert one.hashes == other.hashes


def test_a_service_has_one_container_unless_it_says_otherwise() -> None:
    assert cut().replicas("backend") == 2
    assert cut(stack="once").replicas("migrate") == 1


def test_a_stack_is_written_as_compose_reads_it() -> None:
    stack = cut()
    assert json.loads(stack.text()) == stack.document
    assert stack.document["name"] == "slipway-dev-app"

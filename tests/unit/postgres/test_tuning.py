"""Settings follow the container's limit, and all of them together fit into it."""

from __future__ import annotations

import pytest

from slipway_postgres.tuning import CONNECTIONS, MEBIBYTE, tune

GIBIBYTE = 1024 * MEBIBYTE


def number(text: str) -> int:
    assert text.endswith("MB")
    return int(text.removesuffix("MB")) * MEBIBYTE


@pytest.mark.parametrize(
    ("memory", "connections"),
    [
        (512 * MEBIBYTE, CONNECTIONS),
        (GIBIBYTE, 200),
        (4 * GIBIBYTE, 200),
        (64 * GIBIBYTE, 400),
    ],
)
def test_it_fits(memory: int, connections: int) -> None:
    found = {name: number(value) for name, value in tune(memory, connections).items()}
    used = (
        found["shared_buffers"] + found["maintenance_work_mem"] + 3 * found["autovacuum_work_mem"]
    )
    # A quarter of the sessions sorting at once is more than a busy search service has.
    assert used + connections // 4 * found["work_mem"] <= memory
    assert found["shared_buffers"] < found["effective_cache_size"] < memory


def test_more_memory_gives_more_of_each_and_more_connections_smaller_sorts() -> None:
    few, many = tune(2 * GIBIBYTE), tune(8 * GIBIBYTE)
    assert all(number(few[name]) < number(many[name]) for name in few)
    assert number(tune(8 * GIBIBYTE, 400)["work_mem"]) < number(many["work_mem"])


def test_a_container_of_4_gib_has_these() -> None:
    assert tune(4 * GIBIBYTE, 200) == {
        "shared_buffers": "1024MB",
        "effective_cache_size": "2560MB",
        "work_mem": "8MB",
        "maintenance_work_mem": "768MB",
        "autovacuum_work_mem": "128MB",
        "max_wal_size": "8192MB",
    }

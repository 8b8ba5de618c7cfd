"""What containers write is found in the store; nothing is lost while the store is away."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from docker.models.containers import Container
from site_copy import NAME, Site

PATIENCE_SECONDS = 180
#: Lines that a container writes while the store is away, and how many each second.
LINES, RATE = 20_000, 1000
#: As every service of the environment, but for files that are renamed sooner.
LOGGED = {"tag": "{{.Name}}", "max-size": "1m", "max-file": "5"}
WRITER = f"""
import json, time
for number in range({LINES}):
    print(json.dumps({{"event": "numbered", "number": number}}), flush=number % 100 == 0)
    if number % 100 == 99:
        time.sleep(100 / {RATE})
"""


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(1)


def lines(site: Site, *words: str) -> list[dict[str, Any]]:
    """What `invoke logs --json` finds."""
    answer = site.invoke("logs", "--env", NAME, "--json", *words)
    assert answer.exit_code == 0, answer.text
    return [json.loads(each) for each in answer.text.splitlines() if each.startswith("{")]


def container(site: Site, service: str) -> Container:
    """The container of one of the platform's services."""
    label = [f"slipway.environment={NAME}", f"com.docker.compose.service={service}"]
    (found,) = site.engine.containers.list(all=True, filters={"label": label})
    return found


def counted(site: Site, query: str) -> dict[str, int]:
    """What the store counts, asked from inside its container."""
    asked = json.dumps({"query": query})
    script = f"printf %s '{asked}' | slipway-logs ask /select/logsql/query"
    done = container(site, "logs").exec_run(["sh", "-c", script])
    assert done.exit_code == 0, done.output
    return {name: int(each) for name, each in json.loads(done.output or "{}").items()}


def test_a_request_is_found_by_its_id_from_edge_to_worker(kept: Site) -> None:
    with kept.client() as http:
        file = {"file": ("tide.txt", b"The tide turns at noon.", "text/plain")}
        answer = http.post("/v1/documents", params={"source": "logs/tide.txt"}, files=file)
        assert answer.status_code == 202, answer.text
        identity = answer.headers["x-request-id"]
    wanted = {"edge", "backend", "worker"}

    def found() -> bool:
        return wanted <= {each["service"] for each in lines(kept, "--request", identity)}

    eventually(found, "the request's lines of edge, backend and worker")
    told = [each["service"] for each in lines(kept, "--request", identity)]
    assert told.index("edge") < told.index("worker")
    for each in lines(kept, "--request", identity):
        assert each["level"] in {"debug", "info", "warning", "error"}
        assert each["event"]


def test_every_service_of_the_environment_is_in_the_store(kept: Site) -> None:
    def there() -> bool:
        services = {each["service"] for each in lines(kept, "--since", "1d")}
        return {"edge", "backend", "worker", "postgres"} <= services

    eventually(there, "a line of every service that writes any")
    generations = {each.get("generation") for each in lines(kept, "--service", "backend")}
    assert generations == {"1"}


def test_nothing_is_lost_while_the_store_is_away_and_the_collector_is_replaced(kept: Site) -> None:
    writer = kept.engine.containers.run(
        container(kept, "logs").image,
        ["-c", WRITER],
        entrypoint="python3",
        name=f"slipway-{NAME}-g1-writer-1",
        log_config={"type": "json-file", "config": LOGGED},
        network_mode="none",
        detach=True,
    )
    try:
        store, collector = container(kept, "logs"), container(kept, "collector")
        store.stop()
        time.sleep(LINES / RATE / 3)
        collector.restart()
        assert writer.wait(timeout=300)["StatusCode"] == 0
        store.start()
        query = 'service:="writer" | stats count() as lines, count_uniq(number) as numbers'

        def complete() -> bool:
            return counted(kept, query).get("numbers") == LINES

        eventually(lambda: store_answers(kept), "the store")
        eventually(complete, f"{LINES} lines")
    finally:
        writer.remove(force=True)


def store_answers(site: Site) -> bool:
    """Whether the store answers again."""
    health = ["slipway-logs", "health", "127.0.0.1:9428"]
    return bool(container(site, "logs").exec_run(health).exit_code == 0)

"""What containers write is found in the store; nothing is lost while the store is away."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

from docker.models.containers import Container
from site_copy import NAME, Site

PATIENCE_SECONDS = 180
#: Lines that a container writes while the store is away, and how many each second.
LINES, RATE = 12_000, 2000
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


def store_answers(site: Site) -> bool:
    """Whether the store answers again."""
    health = ["slipway-logs", "health", "127.0.0.1:9428"]
    return bool(container(site, "logs").exec_run(health).exit_code == 0)


def pass_by(site: Site, stop: Event) -> None:
    """Have containers of the environment come and go until told to stop."""
    while not stop.is_set():
        site.engine.containers.run(
            container(site, "logs").image,
            ["passing"],
            entrypoint="echo",
            name=f"slipway-{NAME}-g1-passing-1",
            log_config={"type": "json-file", "config": LOGGED},
            network_mode="none",
            remove=True,
        )


def upload(site: Site, about: str) -> str:
    """Hand in a document that is not there yet; the request's id."""
    with site.client() as http:
        file = {"file": ("tide.txt", f"The tide of {about} turns at noon.".encode(), "text/plain")}
        answer = http.post("/v1/documents", params={"source": f"logs/{about}.txt"}, files=file)
        assert answer.status_code == 202, answer.text
        return str(answer.headers["x-request-id"])


def test_a_request_is_found_by_its_id_from_edge_to_worker(kept: Site) -> None:
    identity = upload(kept, "ebb")

    def services() -> list[str]:
        # Either of two edges serves.
        return [each["service"].removesuffix("-b") for each in lines(kept, "--request", identity)]

    wanted = {"edge", "backend", "worker"}
    eventually(lambda: wanted <= set(services()), "the request's lines of edge, backend and worker")
    told = services()
    assert told.index("edge") < told.index("worker")
    for each in lines(kept, "--request", identity):
        assert each["level"] in {"debug", "info", "warning", "error"}
        assert each["event"]


def test_a_request_is_followed_into_the_database_that_made_it_wait(kept: Site) -> None:
    hold = "BEGIN; LOCK TABLE documents IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3)"
    psql = ["psql", "--no-psqlrc", "-U", "postgres", "-d", "slipway", "-c", hold]
    database = container(kept, "postgres")
    with kept.client() as http:
        http.get("/v1/documents").raise_for_status()
        database.exec_run(psql, user="10003:10003", detach=True)
        eventually(lambda: "pg_sleep" in activity(database), "somebody who holds the table")
        answer = http.get("/v1/documents")
    assert answer.status_code == 200, answer.text
    words = ("--request", answer.headers["x-request-id"])

    def told() -> list[str]:
        return [each["event"] for each in lines(kept, *words) if each["service"] == "postgres"]

    eventually(lambda: any("still waiting for" in each for each in told()), "the lock that it met")


def activity(database: Container) -> str:
    """What sessions of the database do."""
    query = "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    words = ["psql", "--no-psqlrc", "-U", "postgres", "-d", "slipway", "-Atc", query]
    done = database.exec_run(words, user="10003:10003")
    assert done.exit_code == 0, done.output
    return str(done.output.decode())


def test_what_somebody_did_is_found_by_their_name(kept: Site) -> None:
    identity = upload(kept, "slack")

    def there() -> bool:
        found = lines(kept, "--user", "admin", "--since", "10m")
        assert not any("user_id" in each for each in found)
        return identity in {each["request_id"] for each in found}

    eventually(there, "the upload among the admin's requests")


def test_a_running_service_writes_more_for_a_while(kept: Site) -> None:
    words = ("--service", "backend", "--level", "debug", "--minutes", "1")
    answer = kept.invoke("logs.level", "--env", NAME, *words)
    assert answer.exit_code == 0, answer.text
    assert answer.text.count("debug until") == 2

    def detailed() -> bool:
        with kept.client() as http:
            http.post("/v1/search", json={"query": "when does the tide turn"}).raise_for_status()
        found = lines(kept, "--since", "5m", "--service", "backend", "--grep", '"level":"debug"')
        return "search" in {each.get("stage") for each in found}

    eventually(detailed, "a line of a search's stage")
    assert "Nothing to do" in kept.invoke("release", "--env", NAME).text


def test_every_service_of_the_environment_is_in_the_store(kept: Site) -> None:
    def there() -> bool:
        services = {each["service"].removesuffix("-b") for each in lines(kept, "--since", "1d")}
        return {"edge", "backend", "worker", "postgres"} <= services

    eventually(there, "a line of every service that writes any")
    generations = {each.get("generation") for each in lines(kept, "--service", "backend")}
    assert str(kept.status()["generation"]) in generations


def test_a_search_finds_text_in_any_field_and_in_its_time_alone(kept: Site) -> None:
    upload(kept, "flood")
    words = ("--service", "backend", "--grep", '"route":"/v1/documents"')
    eventually(lambda: bool(lines(kept, "--since", "1h", *words)), "the upload's line")
    assert {each["service"] for each in lines(kept, "--since", "1h", *words)} == {"backend"}
    assert len(lines(kept, "--since", "1h", "--tail", "1", *words)) == 1
    assert not lines(kept, "--since", "1h", "--grep", 'nothing" | delete *')


def test_what_comes_is_printed_while_it_is_followed(kept: Site) -> None:
    upload(kept, "neap")
    grep = ("--grep", "document_uploaded")
    eventually(lambda: bool(lines(kept, "--since", "1h", *grep)), "a line of an upload")
    words = ("--follow", "--json", "--since", "1h", *grep)
    with kept.start("logs", "--env", NAME, *words) as following:
        try:
            assert following.stdout is not None
            assert "document_uploaded" in following.stdout.readline()
            identity = upload(kept, "spring")
            assert any(identity in line for line in following.stdout)
            following.send_signal(signal.SIGINT)
            assert following.wait() == 0
        finally:
            following.kill()


def test_nothing_is_lost_while_the_store_is_away_and_the_collector_is_replaced(kept: Site) -> None:
    store, collector = container(kept, "logs"), container(kept, "collector")
    writer = kept.engine.containers.run(
        store.image,
        ["-c", WRITER],
        entrypoint="python3",
        name=f"slipway-{NAME}-g1-writer-1",
        log_config={"type": "json-file", "config": LOGGED},
        network_mode="none",
        detach=True,
    )
    stop = Event()
    others = Thread(target=pass_by, args=(kept, stop))
    try:
        others.start()
        store.stop()

        def third() -> bool:
            last = writer.logs(tail=1)
            return bool(last) and json.loads(last)["number"] >= LINES / 3

        eventually(third, "a third of the lines")
        collector.restart()
        assert writer.wait(timeout=300)["StatusCode"] == 0
        store.start()
        query = 'service:="writer" | stats count() as lines, count_uniq(number) as numbers'
        eventually(lambda: store_answers(kept), "the store")
        eventually(lambda: counted(kept, query).get("numbers") == LINES, f"{LINES} lines")
        # A collector that is told to end forgets nothing, so nothing comes twice.
        assert counted(kept, query)["lines"] == LINES
    finally:
        stop.set()
        others.join()
        writer.remove(force=True)
        store.start()


def test_the_collector_says_nothing_where_nothing_is_wrong(kept: Site) -> None:
    assert container(kept, "collector").logs().decode() == ""


def test_the_last_words_of_a_container_that_is_removed_are_kept(kept: Site) -> None:
    kept.engine.containers.run(
        container(kept, "logs").image,
        # As long as it takes to notice that it is there.
        ["-c", "echo first; sleep 2; echo last words"],
        entrypoint="sh",
        name=f"slipway-{NAME}-g1-brief-1",
        log_config={"type": "json-file", "config": LOGGED},
        network_mode="none",
        remove=True,
    )
    query = 'service:="brief" "last words" | stats count() as lines'
    eventually(lambda: counted(kept, query).get("lines") == 1, "the last words")


def test_without_a_store_its_services_go_and_what_was_kept_stays(kept: Site) -> None:
    kept.put_back()
    services = {each["service"] for each in kept.status()["containers"]}
    assert services.isdisjoint({"logs", "collector"})
    volumes = {each.name for each in kept.engine.volumes.list()}
    assert {f"slipway-{NAME}-logs", f"slipway-{NAME}-collector"} <= volumes

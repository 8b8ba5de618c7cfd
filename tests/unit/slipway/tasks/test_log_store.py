"""Where there is a log store, `invoke logs` asks it; what is typed is never its language."""

from __future__ import annotations

import json

import pytest
from standin_world import World

KEPT = {"days": 7, "gib": 1}
REQUEST = "6f1d8c0a52f04e8e"


def line(second: str, service: str, event: str, **more: str) -> dict[str, str]:
    """A line as the store has it."""
    moment = f"2026-11-30T12:00:{second}00001Z"
    return {
        "_time": moment,
        "_msg": event,
        "level": "info",
        "service": service,
        "instance": f"{service}-1",
        **more,
    }


@pytest.fixture
def kept(released: World) -> World:
    """An environment with a log store."""
    released.configure(logs=KEPT)
    ended = released.release()
    assert ended.exit_code == 0, ended
    return released


def test_store_and_collector_come_and_go_in_place(kept: World) -> None:
    volumes = {"slipway-dev-logs", "slipway-dev-collector"}
    assert volumes <= set(kept.standin.volumes)
    kept.configure(logs=None)
    assert "no store is wanted; what was kept stays" in kept.release().output
    assert volumes <= set(kept.standin.volumes)
    assert kept.release("--plan").output.count("collector") == 0


def test_a_search_is_asked_of_the_store(kept: World) -> None:
    kept.standin.log_store.lines = [
        line("02.0", "worker", "document_indexed"),
        line("01.0", "backend", "request", status="202"),
    ]
    words = ("--since", "2h", "--service", "edge", "--grep", 'a "b" (c')
    said = kept.invoke("logs", "--env", "dev", *words).output.splitlines()
    assert [each.split()[1] for each in said] == ["backend-1", "worker-1"]
    (asked,) = kept.standin.log_store.asked
    assert asked == {
        "path": "/select/logsql/query",
        "query": (
            '_time:7200s service:in("edge","edge-b") | pack_json as whole '
            '| filter whole:~"a\\\\ \\"b\\"\\\\ \\\\(c" | delete whole'
        ),
        "limit": "10000",
    }


def test_a_request_is_followed_in_the_order_in_which_things_began(kept: World) -> None:
    kept.standin.log_store.lines = [
        line("01.0", "backend", "request", seconds="0.4"),
        line("01.1", "edge", "request", seconds="0.9"),
        line("05.0", "worker", "document_indexed", seconds="3.5"),
        line("00.9", "postgres", "still waiting for a lock"),
    ]
    words = ("--request", REQUEST, "--json")
    said = kept.invoke("logs", "--env", "dev", *words).output.splitlines()
    told = [json.loads(each) for each in said]
    assert [each["service"] for each in told] == ["edge", "backend", "postgres", "worker"]
    assert kept.standin.log_store.asked[-1]["query"] == f'_time:315360000s request_id:="{REQUEST}"'


def test_a_request_is_followed_into_the_processes_of_the_database_that_it_asked(
    kept: World,
) -> None:
    asked = "postgres/17 postgres-2/9 127.0.0.1/4"
    kept.standin.log_store.lines = [
        line("02.0", "backend", "request", seconds="0.5", database=asked),
        line("01.6", "edge", "request", seconds="0.9"),
    ]
    kept.invoke("logs", "--env", "dev", "--request", REQUEST)
    span = "_time:[2026-11-30T12:00:01.500001Z, 2026-11-30T12:00:03.000001Z]"
    assert kept.standin.log_store.asked[-1]["query"] == (
        f'({span} service:="postgres" process:="17")'
        f' or ({span} service:="postgres-2" process:="9")'
    )
    kept.standin.log_store.asked.clear()
    kept.invoke("logs", "--env", "dev", "--request", REQUEST, "--service", "edge")
    assert len(kept.standin.log_store.asked) == 1


def test_what_a_user_did_is_found_by_name_though_no_line_has_it(kept: World) -> None:
    kept.standin.log_store.lines = [line("01.0", "backend", "request")]
    ended = kept.invoke("logs", "--env", "dev", "--user", "ada", "--since", "1h")
    assert ended.exit_code == 0, ended
    query = '_time:3600s user_hash:="5c1b0f3a9d27e684"'
    assert kept.standin.log_store.asked[-1]["query"] == query
    nobody = kept.invoke("logs", "--env", "dev", "--user", "bob")
    assert nobody.exit_code == 2
    assert "dev: There is no user 'bob'" in nobody.errors


def test_what_is_cut_off_is_said(kept: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.plans.logs.MOST", 1)
    kept.standin.log_store.lines = [line("01.0", "edge", "request")]
    assert "these are the last 1" in kept.invoke("logs", "--env", "dev", "--json").errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--request", "a b"), "--request 'a b' is no request's id"),
        (("--request", REQUEST, "--follow"), "--request is one request's lines"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    released: World, words: tuple[str, ...], said: str
) -> None:
    ended = released.invoke("logs", "--env", "dev", *words)
    assert ended.exit_code == 2
    assert said in ended.errors


def test_without_a_store_a_request_is_looked_for_in_the_containers(released: World) -> None:
    released.standin.faults.log = {"edge": f'{{"request_id": "{REQUEST}"}}\nother\n'}
    found = released.invoke("logs", "--env", "dev", "--request", REQUEST).output.splitlines()
    assert len(found) == 1

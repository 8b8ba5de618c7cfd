"""The agent keeps NGINX's list true and switches only to what is proved ready."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slipway_edge.agent import SILENT_ROUNDS, choose
from slipway_edge.errors import EdgeError, Refused
from slipway_edge.probe import Answer

if TYPE_CHECKING:
    from conftest import Site


def test_a_switch_is_acknowledged_with_addresses_and_counts_of_old_and_new(site: Site) -> None:
    """What a release needs to know to wait for the drain."""
    old = site.backend(41, "127.0.0.2")
    new = site.backend(42, "127.0.0.3")
    site.agent.switch(41)
    site.nginx.in_flight = {"41": {old.address: 3}, "42": {new.address: 1}}
    assert site.agent.switch(42) == {
        "generation": 42,
        "previous": 41,
        "addresses": [new.address],
        "in_flight": {"old": {old.address: 3}, "new": {new.address: 1}},
    }
    assert site.nginx.peers == {"generation": 42, "ready": 1, "addresses": [new.address]}


def test_switching_to_the_serving_generation_again_keeps_the_way_back(site: Site) -> None:
    """A repeated command is acknowledged and does not forget which generation was before."""
    site.backend(1, "127.0.0.2")
    site.backend(2, "127.0.0.3")
    site.agent.switch(1)
    site.agent.switch(2)
    assert site.agent.switch(2)["previous"] == 1


def test_a_generation_that_never_had_a_request_counts_as_drained(site: Site) -> None:
    """A release that waits for the old generation's zero must find one."""
    site.backend(1, "127.0.0.2")
    site.backend(2, "127.0.0.3")
    site.agent.switch(1)
    site.agent.switch(2)
    assert site.agent.status()["in_flight_by_generation"] == {"1": 0, "2": 0}


def test_only_ready_backends_of_a_generation_serve(site: Site) -> None:
    """One that is still starting is not given requests."""
    ready = site.backend(1, "127.0.0.2")
    starting = site.backend(1, "127.0.0.3")
    starting.status = 503
    site.agent.switch(1)
    assert site.serving == [ready.address]
    starting.status = 200
    site.agent.round()
    assert site.serving == [ready.address, starting.address]


def test_a_generation_without_a_ready_backend_is_refused_and_changes_nothing(site: Site) -> None:
    """The reason names every address and what it said."""
    old = site.backend(1, "127.0.0.2")
    site.agent.switch(1)
    unready = site.backend(2, "127.0.0.3")
    unready.status = 503
    broken = site.backend(2, "127.0.0.4")
    stranger = site.backend(2, "127.0.0.5", stated="9")
    site.names["backend-g2"] = (*site.names["backend-g2"], "127.0.0.6:1")
    broken.status = 500
    with pytest.raises(Refused) as refused:
        site.agent.switch(2)
    message = str(refused.value)
    assert f"{unready.address}: 503" in message
    assert f"{broken.address}: 500" in message
    assert f"{stranger.address}: belongs to generation 9 now" in message
    assert "127.0.0.6:1: connection refused" in message
    assert refused.value.facts == {
        "requested": 2,
        "generation": 1,
        "answers": {
            unready.address: "503",
            broken.address: "500",
            stranger.address: "belongs to generation 9 now",
            "127.0.0.6:1": "connection refused",
        },
    }
    assert site.serving == [old.address]


def test_a_backend_that_is_not_ready_is_quoted(site: Site) -> None:
    """Its own reason reaches the person who releases."""
    site.backend(1, "127.0.0.2")
    site.agent.switch(1)
    waiting = site.backend(2, "127.0.0.3")
    waiting.status = 503
    waiting.body = b'{"status": "not ready", "reason": "The database cannot be reached."}'
    with pytest.raises(Refused) as refused:
        site.agent.switch(2)
    assert f"{waiting.address}: 503 The database cannot be reached." in str(refused.value)
    waiting.body = b"<h1>Bad\n gateway</h1>" + b"x" * 9000
    with pytest.raises(Refused, match=r"503 <h1>Bad gateway</h1>x{170,180}\)"):
        site.agent.switch(2)


def test_a_candidate_is_offered_to_who_has_the_pass_and_nothing_else_changes(site: Site) -> None:
    """A release proves what does not serve yet; each offer has a pass of its own."""
    old = site.backend(1, "127.0.0.2")
    new = site.backend(2, "127.0.0.3")
    site.backend(2, "127.0.0.4").status = 503
    site.agent.switch(1)
    offered = site.agent.offer(2)
    assert offered == {
        "generation": 2,
        "addresses": [new.address],
        "pass": site.nginx.candidate["pass"],
    }
    assert site.nginx.candidate["addresses"] == [new.address]
    assert len(str(offered["pass"])) == 32
    assert site.agent.offer(2)["pass"] != offered["pass"]
    assert site.serving == [old.address]
    site.agent.round()
    assert site.agent.status()["generation"] == 1


def test_a_candidate_that_is_not_ready_or_not_taken_is_refused(site: Site) -> None:
    """With the reason that a switch would give."""
    waiting = site.backend(2, "127.0.0.3")
    waiting.status = 503
    with pytest.raises(Refused, match=f"no backend of generation 2 is ready .{waiting.address}"):
        site.agent.offer(2)
    with pytest.raises(Refused, match="backend-g5 has no address"):
        site.agent.offer(5)
    assert site.nginx.candidate == {}
    waiting.status, site.nginx.status = 200, 500
    with pytest.raises(Refused, match="PUT /candidate with 500"):
        site.agent.offer(2)


def test_a_generation_without_a_name_is_refused(site: Site) -> None:
    """Nothing was started yet, and the message says so."""
    with pytest.raises(Refused, match="backend-g5 has no address"):
        site.agent.switch(5)
    assert site.nginx.puts == 0


@pytest.mark.parametrize("failure", ["refuses", "confirms something else", "talks nonsense"])
def test_a_switch_nginx_does_not_confirm_is_refused_and_taken_back(
    site: Site, failure: str
) -> None:
    """The file on disk names the generation that serves, not the one that was wanted."""
    site.backend(1, "127.0.0.2")
    site.backend(2, "127.0.0.3")
    site.agent.switch(1)
    if failure == "refuses":
        site.nginx.status = 400
    elif failure == "confirms something else":
        site.nginx.mangle = lambda answer: {**answer, "ready": 7}
    else:
        site.nginx.mangle = lambda answer: ["nonsense"]
    with pytest.raises(Refused, match="NGINX"):
        site.agent.switch(2)
    assert json.loads((site.folder / "peers.json").read_text())["generation"] == 1
    site.nginx.status, site.nginx.mangle = 200, lambda answer: answer
    site.agent.round()
    assert site.nginx.peers["generation"] == 1


def test_a_switch_that_cannot_be_kept_on_disk_is_refused(site: Site) -> None:
    """What a restart would forget is not acknowledged."""
    site.backend(1, "127.0.0.2")
    (site.folder / "peers.new").mkdir()
    with pytest.raises(Refused, match="cannot be written"):
        site.agent.switch(1)
    assert site.nginx.peers["generation"] == 0


def test_the_generation_and_its_addresses_outlive_the_agent(site: Site) -> None:
    """A new agent goes on where the old one was killed."""
    backend = site.backend(3, "127.0.0.2")
    site.agent.switch(3)
    site.nginx.peers = {"generation": 0, "ready": 0, "addresses": []}
    site.new_agent().round()
    assert site.nginx.peers == {"generation": 3, "ready": 1, "addresses": [backend.address]}


def test_an_unreadable_file_does_not_keep_the_agent_from_a_new_switch(site: Site) -> None:
    """NGINX keeps what it has until somebody decides."""
    (site.folder / "peers.json").write_text("{}")
    agent = site.new_agent()
    agent.round()
    assert site.nginx.puts == 0
    site.backend(4, "127.0.0.2")
    assert agent.switch(4)["generation"] == 4


def test_a_dead_backend_is_out_after_one_round_and_back_after_another(site: Site) -> None:
    """Refused, unready or hanging: one round decides while another backend is ready."""
    one = site.backend(1, "127.0.0.2")
    two = site.backend(1, "127.0.0.3")
    site.agent.switch(1)
    two.status = 503
    site.agent.round()
    assert site.serving == [one.address]
    two.status = 200
    site.agent.round()
    assert site.serving == [one.address, two.address]
    two.hold.clear()
    site.agent.round()
    assert site.serving == [one.address]
    assert "no answer within 0.3 s" in str(site.agent.status())


def test_a_lost_name_server_does_not_empty_the_list(site: Site) -> None:
    """The backends that are known are asked instead; the status names the failure."""
    one = site.backend(1, "127.0.0.2")
    two = site.backend(1, "127.0.0.3")
    site.agent.switch(1)
    site.names.clear()
    site.agent.round()
    assert site.serving == [one.address, two.address]
    assert "backend-g1" in str(site.agent.status()["agent"])
    two.status = 503
    site.agent.round()
    assert site.serving == [one.address]


def test_draining_backends_serve_on_when_there_is_no_other(site: Site) -> None:
    """None is ready, so callers are told, but requests still reach what answers."""
    backend = site.backend(1, "127.0.0.2")
    site.agent.switch(1)
    backend.status = 503
    for _ in range(SILENT_ROUNDS + 1):
        site.agent.round()
    assert site.nginx.peers == {"generation": 1, "ready": 0, "addresses": [backend.address]}


def test_the_list_is_emptied_only_when_all_are_silent_for_some_rounds(site: Site) -> None:
    """One silent round may be this machine's own fault; later the list heals by itself."""
    backend = site.backend(1, "127.0.0.2")
    site.agent.switch(1)
    backend.hold.clear()
    for _ in range(SILENT_ROUNDS - 1):
        site.agent.round()
        assert site.serving == [backend.address]
    site.agent.round()
    assert site.serving == []
    assert json.loads((site.folder / "peers.json").read_text())["addresses"] == [backend.address]
    backend.hold.set()
    site.agent.round()
    assert site.serving == [backend.address]


def test_an_address_that_went_to_another_generation_is_not_served(site: Site) -> None:
    """The engine gives freed addresses to the next container."""
    right = site.backend(1, "127.0.0.2", stated="1")
    site.backend(1, "127.0.0.3", stated="2")
    site.agent.switch(1)
    assert site.serving == [right.address]


def test_a_round_overtaken_by_a_switch_changes_nothing(site: Site) -> None:
    """Old answers must not bring the old generation back."""
    slow = site.backend(1, "127.0.0.2")
    new = site.backend(2, "127.0.0.3")
    site.agent.switch(1)
    asked = threading.Event()
    resolve = site.resolve

    def resolve_and_tell(name: str, port: int) -> tuple[str, ...]:
        if name == "backend-g1":
            asked.set()
            switched.wait(10)
        return resolve(name, port)

    switched = threading.Event()
    site.agent._resolve = resolve_and_tell
    thread = threading.Thread(target=site.agent.round)
    thread.start()
    asked.wait(10)
    site.agent.switch(2)
    switched.set()
    thread.join()
    assert slow.address not in site.serving
    assert site.serving == [new.address]


def test_the_loop_survives_a_silent_nginx_and_can_be_woken_and_stopped(site: Site) -> None:
    """A round that fails is tried again."""
    site.backend(1, "127.0.0.2")
    site.agent.switch(1)
    site.nginx.status = 500
    with pytest.raises(EdgeError):
        site.agent.round()
    before = site.nginx.puts
    thread = threading.Thread(target=site.agent.run)
    thread.start()
    while site.nginx.puts < before + 2:
        site.agent.wake()
    site.agent.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("answers", "chosen"),
    [
        ((), None),
        ((Answer("a", False, False, ""),), None),
        ((Answer("a", True, False, ""), Answer("b", False, False, "")), ("a",)),
        ((Answer("a", True, False, ""), Answer("b", True, True, "")), ("b",)),
    ],
)
def test_ready_before_answering_before_silent(
    answers: tuple[Answer, ...], chosen: tuple[str, ...] | None
) -> None:
    """The rule in one table."""
    assert choose(answers) == chosen


def test_maintenance_is_told_to_nginx_kept_on_disk_and_taken_back(site: Site) -> None:
    """A second message keeps the time and the pass of the first."""
    state = site.agent.maintain("back at noon")
    assert state is not None
    assert site.nginx.maintenance == state.document()
    assert len(state.pass_) == 32
    again = site.agent.maintain("back at one")
    assert again == replace(state, message="back at one")
    assert site.agent.status()["maintenance"] == {"message": "back at one", "since": state.since}
    assert site.agent.maintain(None) is None
    assert site.nginx.maintenance == {"on": False}
    assert site.agent.status()["maintenance"] is None


def test_maintenance_outlives_the_agent(site: Site) -> None:
    """A new agent finds it on disk and tells NGINX, which may be new as well."""
    site.agent.maintain("back at noon")
    told = site.nginx.maintenance
    site.nginx.maintenance = {"on": False}
    agent = site.new_agent()
    site.nginx.status = 500
    agent.round()
    assert site.nginx.maintenance == {}
    site.nginx.status = 200
    agent.round()
    assert site.nginx.maintenance == told
    assert agent.maintenance is not None


def test_an_unreadable_maintenance_state_does_not_stop_the_rounds(site: Site) -> None:
    """NGINX goes on as it is, and the next command writes a new file."""
    for text in ("torn", "[]", '{"on": true}'):
        (site.folder / "maintenance.json").write_text(text)
        agent = site.new_agent()
        agent.round()
        assert agent.maintenance is None
    assert agent.maintain("") is not None


def test_maintenance_that_nginx_does_not_confirm_is_undone_on_disk(site: Site) -> None:
    """A restart must not come back with what was reported as failed."""
    site.nginx.status = 500
    with pytest.raises(EdgeError):
        site.agent.maintain("back at noon")
    site.nginx.status = 200
    assert site.agent.maintenance is None
    agent = site.new_agent()
    agent.round()
    assert agent.maintenance is None


def test_a_message_too_long_for_a_page_is_refused(site: Site) -> None:
    """With its length and what is accepted."""
    with pytest.raises(Refused, match=r"501 characters; at most 500"):
        site.agent.maintain("x" * 501)

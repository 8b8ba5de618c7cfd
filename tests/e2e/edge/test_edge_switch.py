"""What a switch promises, and what outlives the agent, the container and the backends."""

from __future__ import annotations

import json
import socket
import ssl
from concurrent.futures import ThreadPoolExecutor

from edge_rig import Edge, docker, until

KILL_WORKERS = """
import os, pathlib
for folder in pathlib.Path("/proc").iterdir():
    if folder.name.isdigit():
        words = (folder / "cmdline").read_bytes()
        if words.startswith(b"nginx: worker"):
            os.kill(int(folder.name), 9)
"""


def test_a_generation_without_a_ready_backend_is_refused_and_the_old_one_serves(edge: Edge) -> None:
    """The reason names what each address answered, or that there is none."""
    unready = edge.backend(7, ready=False)
    until("the unready one answering", lambda: "503" in str(edge.command("switch", "7")[1]))
    code, answer = edge.command("switch", "7")
    assert code == 1
    assert "no backend of generation 7 is ready" in answer["refused"]
    assert (answer["requested"], answer["generation"]) == (7, 1)
    assert edge.ask("/")[1]["x-slipway-generation"] == "1"
    edge.remove(unready)

    code, answer = edge.command("switch", "99")
    assert code == 1
    assert "backend-g99 has no address" in answer["refused"]
    assert edge.status()["generation"] == 1


def test_a_request_of_the_old_generation_is_counted_until_it_ends(new_edge: Edge) -> None:
    """Drained is a count: a slow request holds it, and one that was hung up on gives it back."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.backend(2)
    edge.switch(1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(edge.ask, "/slow?4")
        until("the slow request in flight", lambda: edge.in_flight() == 1)
        acknowledged = edge.switch(2)
        assert list(acknowledged["in_flight"]["old"].values()) == [1]
        assert acknowledged["previous"] == 1
        assert edge.status()["in_flight_by_generation"]["1"] == 1
        assert slow.result()[0] == 200
    until("the old generation drained", lambda: edge.in_flight() == 0)

    context = ssl.create_default_context(cafile=str(edge.ca_file))
    with (
        socket.create_connection(("127.0.0.1", edge.https)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /slow?20 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until("the abandoned request in flight", lambda: edge.in_flight() == 1)
    until("the abandoned request given back", lambda: edge.in_flight() == 0, seconds=10)


def test_a_crashed_worker_gives_its_counts_back(new_edge: Edge) -> None:
    """Otherwise a drain would wait for requests that nobody holds any more."""
    edge = new_edge
    edge.start()
    edge.backend(1)
    edge.switch(1)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(edge.ask, "/slow?20").add_done_callback(lambda done: done.exception())
        until("four requests in flight", lambda: edge.in_flight() == 4)
        docker("exec", edge.name, "python3", "-c", KILL_WORKERS)
        until("their counts given back", lambda: edge.in_flight() == 0, seconds=10)
    assert edge.ask("/")[0] == 200
    until("nothing in flight", lambda: edge.in_flight() == 0)


def test_a_killed_agent_is_started_again_while_nginx_serves(edge: Edge) -> None:
    """NGINX keeps the last good list; the agent comes back with the generation from disk."""
    pid = edge.status()["agent"]["pid"]
    docker("exec", edge.name, "python3", "-c", f"import os; os.kill({pid}, 9)")
    assert edge.ask("/")[0] == 200

    def back() -> bool:
        agent = edge.status()["agent"]
        return bool(agent["running"] and agent["pid"] != pid and agent["rounds"] > 0)

    until("a new agent", back)
    assert edge.status()["generation"] == 1
    assert edge.switch(1)["generation"] == 1


def test_a_restarted_container_serves_the_last_generation(edge: Edge) -> None:
    """Generation and addresses are read from the volume before the first connection."""
    before = edge.status()
    docker("restart", "--time", "35", edge.name)
    edge.ports()
    until("answering again", lambda: edge.command("health")[0] == 0)
    assert edge.ask("/")[1]["x-slipway-generation"] == "1"
    after = until("the agent", lambda: (s := edge.status())["agent"]["running"] and s)
    assert after["generation"] == before["generation"]


def test_without_any_backend_callers_get_a_clear_503_and_service_returns(new_edge: Edge) -> None:
    """503 as a problem with Retry-After, from the API and from /health; then it heals by itself."""
    edge = new_edge
    edge.start()
    status, headers, body = edge.ask("/v1/search", "POST", b"{}")
    assert (status, headers["content-type"]) == (503, "application/problem+json")
    assert int(headers["retry-after"]) > 0
    assert json.loads(body)["status"] == 503

    backend = edge.backend(1)
    edge.switch(1)
    assert edge.ask("/health")[::2] == (200, b'{"status":"serving"}\n')
    docker("kill", backend)
    until("503 everywhere", lambda: (edge.ask("/")[0], edge.ask("/health")[0]) == (503, 503))
    docker("start", backend)
    until("serving again", lambda: (edge.ask("/")[0], edge.ask("/health")[0]) == (200, 200))


def test_a_backend_that_fails_to_answer_gives_502_with_retry_after(new_edge: Edge) -> None:
    """The only backend dies under a request: the caller gets a problem, not a torn connection."""
    edge = new_edge
    edge.start()
    backend = edge.backend(1)
    edge.switch(1)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(edge.ask, "/slow?20")
        until("the request in flight", lambda: edge.in_flight() == 1)
        docker("kill", backend)
        status, headers, body = slow.result()
    assert (status, headers["content-type"]) == (502, "application/problem+json")
    assert headers["retry-after"] == "2"
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    until("the count given back", lambda: edge.in_flight() == 0)

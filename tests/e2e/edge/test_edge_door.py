"""What the edge lets in, what it hides, and what it says."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from pathlib import Path

import pytest
from edge_rig import Edge, until


def test_plain_http_is_redirected_with_its_method_and_path(edge: Edge) -> None:
    """308, so that a POST stays a POST, to the public port."""
    connection = http.client.HTTPConnection("localhost", edge.http, timeout=10)
    connection.request("POST", "/v1/search?q=1", b"{}")
    response = connection.getresponse()
    assert response.status == 308
    assert response.getheader("Location") == "https://localhost:8443/v1/search?q=1"
    connection.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_old_tls_is_refused_by_the_edge(edge: Edge, version: ssl.TLSVersion) -> None:
    """The alert comes from the other side, so it is the edge that refuses and not this client."""
    with pytest.raises(ssl.SSLError) as refused:
        _handshake(edge, version)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_current_tls_is_spoken(edge: Edge, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3 both shake hands."""
    assert _handshake(edge, version) == version.name.replace("_", ".")


def _handshake(edge: Edge, version: ssl.TLSVersion) -> str | None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(str(edge.ca_file))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", edge.https), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        return connection.version()


@pytest.mark.parametrize(
    "path",
    [
        "/metrics",
        "/metrics/",
        "//metrics",
        "/%6detrics",
        "/x/../metrics",
        "/x%2f..%2fmetrics",
        "/health/ready",
        "/health/live",
        "/health/",
        "/%68ealth/ready",
        "//health//ready",
    ],
)
def test_operators_pages_are_hidden_in_every_spelling(edge: Edge, path: str) -> None:
    """A problem from the edge, and no backend has seen the request."""
    status, headers, body = edge.ask(path)
    assert (status, headers["content-type"]) == (404, "application/problem+json")
    assert json.loads(body)["title"] == "Not Found"
    assert "x-slipway-generation" not in headers


@pytest.mark.parametrize(
    ("path", "mebibytes"), [("/v1/documents", 102), ("/v1/search", 2), ("/v1/documents/7", 2)]
)
def test_a_body_too_large_is_answered_with_a_problem(edge: Edge, path: str, mebibytes: int) -> None:
    """413 from the length alone, before the body is read."""
    connection = http.client.HTTPSConnection(
        "localhost",
        edge.https,
        timeout=30,
        context=ssl.create_default_context(cafile=str(edge.ca_file)),
    )
    connection.putrequest("POST", path)
    connection.putheader("Content-Length", str(mebibytes << 20))
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == 413
    assert response.getheader("Content-Type") == "application/problem+json"
    assert json.loads(response.read())["status"] == 413
    connection.close()


def test_an_upload_of_100_mebibytes_passes(edge: Edge) -> None:
    """The largest file and the form around it reach the backend whole."""
    size = (100 << 20) + 4096
    status, _, body = edge.ask("/v1/documents", "POST", bytes(size))
    assert (status, json.loads(body)) == (200, {"bytes": size})


def test_every_answer_carries_the_security_headers(edge: Edge) -> None:
    """A backend's answer and the edge's own alike."""
    for path in ("/", "/metrics", "/health"):
        headers = edge.ask(path)[1]
        assert headers["strict-transport-security"] == "max-age=31536000"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["server"] == "nginx"


def test_a_callers_claims_about_itself_are_not_believed(edge: Edge) -> None:
    """Forwarding headers from outside are replaced or dropped."""
    claims = {
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Host": "elsewhere.example",
        "X-Forwarded-Prefix": "/elsewhere",
        "Forwarded": "for=203.0.113.9",
        "X-Real-IP": "203.0.113.9",
    }
    seen = json.loads(edge.ask("/", headers=claims)[2])["headers"]
    assert seen["X-Forwarded-Proto"] == "https"
    assert seen["X-Forwarded-Host"] == f"localhost:{edge.https}"
    assert not {"203.0.113.9", "elsewhere.example", "/elsewhere"} & set(seen.values())
    assert "Forwarded" not in seen


def test_the_request_id_is_passed_on_when_sane_and_made_when_not(edge: Edge) -> None:
    """Backend, answer and log see the same id."""
    _, headers, body = edge.ask("/", headers={"X-Request-ID": "caller-4711-abc"})
    assert headers["x-request-id"] == "caller-4711-abc"
    assert json.loads(body)["headers"]["X-Request-ID"] == "caller-4711-abc"
    made = edge.ask("/", headers={"X-Request-ID": 'a"b {}'})[1]["x-request-id"]
    assert len(made) == 32


def test_the_log_is_json_with_upstream_address_time_and_generation(edge: Edge) -> None:
    """One line per request; the query, which carries what people ask, is not in it."""
    edge.ask("/logged?question=secret", headers={"X-Request-ID": "logged-4711"})
    line = until(
        "the log line",
        lambda: [entry for entry in edge.log() if entry["request_id"] == "logged-4711"],
    )[0]
    assert (line["path"], line["status"], line["generation"]) == ("/logged", "200", "1")
    assert line["upstream_address"].endswith(":8000")
    assert float(line["upstream_seconds"]) >= 0
    assert "secret" not in json.dumps(line)


def test_a_streamed_answer_is_passed_on_as_it_comes(edge: Edge) -> None:
    """The first event arrives before the backend has sent the last one."""
    connection = http.client.HTTPSConnection(
        "localhost",
        edge.https,
        timeout=30,
        context=ssl.create_default_context(cafile=str(edge.ca_file)),
    )
    connection.request("GET", "/stream")
    response = connection.getresponse()
    first = response.readline()
    at_first = time.monotonic()
    rest = response.read()
    assert first == b"data: 0\n"
    assert b"data: 2" in rest
    # The backend sleeps three seconds after the first event; buffered, all would come at once.
    assert time.monotonic() - at_first > 1
    connection.close()


def test_malformed_requests_get_a_problem(edge: Edge) -> None:
    """Also what NGINX refuses before it knows a location."""
    context = ssl.create_default_context(cafile=str(edge.ca_file))
    with (
        socket.create_connection(("127.0.0.1", edge.https), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


def test_a_replaced_certificate_is_served_without_reload(edge: Edge, tmp_path: Path) -> None:
    """New connections get it within seconds; a half-written pair does no harm."""
    old = ssl.get_server_certificate(("127.0.0.1", edge.https))
    new = edge.certify("second")
    until(
        "the new certificate",
        lambda: ssl.get_server_certificate(("127.0.0.1", edge.https)).strip() == new.strip(),
    )
    assert new.strip() != old.strip()
    edge.ca_file.write_text(new, encoding="utf-8")
    assert edge.ask("/")[0] == 200


def test_too_many_requests_and_logins_get_429_with_retry_after(new_edge: Edge) -> None:
    """The limits of the environment hold, and logins have their own."""
    edge = new_edge
    edge.start(EDGE_LOGINS_PER_SECOND="1", EDGE_LOGIN_BURST="1")
    edge.backend(1)
    edge.switch(1)
    answers = [edge.ask("/v1/login", "POST", b"{}") for _ in range(6)]
    limited = [answer for answer in answers if answer[0] == 429]
    assert limited
    assert answers[0][0] == 200
    _, headers, body = limited[0]
    assert (headers["content-type"], headers["retry-after"]) == ("application/problem+json", "1")
    assert json.loads(body)["title"] == "Too Many Requests"
    assert edge.ask("/v1/search", "POST", b"{}")[0] == 200

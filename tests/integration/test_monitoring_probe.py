"""What the probe says of a product that answers, answers wrongly, or does not answer."""

from __future__ import annotations

import datetime
import ipaddress
import json
import math
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from prometheus_client import CollectorRegistry

from slipway_monitoring import probe
from slipway_monitoring.probe import Figures, Probe
from slipway_monitoring.settings import Settings

CITED = {"filename": probe.FILENAME, "passage": probe.DOCUMENT}
PASSWORD = "a password of the probe's"


class Product:
    """What the probe talks to: each answer can be changed, and every request is kept."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.answers: dict[str, tuple[int, Any]] = {
            "/v1/login": (200, {"access_token": "token"}),
            "/v1/collections": (201, {"name": probe.COLLECTION}),
            "/v1/documents": (202, {"status": "ready"}),
            "/v1/query": (200, {"citations": [CITED]}),
        }


@pytest.fixture
def product() -> Product:
    """A product that answers."""
    return Product()


@pytest.fixture
def registry() -> CollectorRegistry:
    """Where the probe counts."""
    return CollectorRegistry()


@pytest.fixture
def asking(
    product: Product, registry: CollectorRegistry, tmp_path: Path
) -> Iterator[Callable[[], str]]:
    """One round of a probe that asks the product over TLS."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            path = self.path.partition("?")[0]
            product.asked.append((path, self.headers.get("authorization", "")))
            if path == "/v1/login":
                assert json.loads(body) == {"username": "slipway-probe", "password": PASSWORD}
            status, content = product.answers[path]
            told = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        def log_message(self, *_: object) -> None:
            pass

    certificate, key = _certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.socket = context.wrap_socket(serving.socket, server_side=True)
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        settings = Settings(
            domain="rag.example.org",
            probe_hosts="no-such-host.invalid,127.0.0.1",
            probe_port=serving.server_address[1],
            probe_password=PASSWORD,
            probe_limit_seconds=5,
            secrets_directory=tmp_path,
        )
        yield Probe(settings, Figures(registry)).round
        serving.shutdown()


def _certificate(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rag.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    hosts = [x509.DNSName("rag.example.org"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    crt, pem = folder / "tls.crt", folder / "tls.key"
    crt.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return crt, pem


def test_an_answer_that_cites_the_document_is_what_users_want(
    product: Product, registry: CollectorRegistry, asking: Callable[[], str]
) -> None:
    assert math.isnan(registry.get_sample_value("slipway_probe_success") or 0)
    assert asking() == "answered"
    assert registry.get_sample_value("slipway_probe_success") == 1
    expires = registry.get_sample_value("slipway_certificate_expiry_timestamp_seconds")
    assert expires == pytest.approx(time.time() + 10 * 86400, abs=60)
    # Afterwards nothing but the question is asked, as the same user.
    product.asked.clear()
    assert asking() == "answered"
    assert product.asked == [("/v1/query", "Bearer token")]


@pytest.mark.parametrize(
    ("path", "answer", "outcome"),
    [
        ("/v1/login", (503, {}), "login"),
        ("/v1/documents", (202, {"status": "queued"}), "preparation"),
        ("/v1/documents", (403, {}), "preparation"),
        ("/v1/query", (503, {}), "refused"),
        ("/v1/query", (200, {"citations": []}), "wrong"),
        ("/v1/query", (200, {"citations": [{"filename": "other.md", "passage": "x"}]}), "wrong"),
    ],
)
def test_what_users_would_see_is_named(
    product: Product,
    registry: CollectorRegistry,
    asking: Callable[[], str],
    path: str,
    answer: tuple[int, Any],
    outcome: str,
) -> None:
    before, product.answers[path] = product.answers[path], answer
    assert asking() == outcome
    assert registry.get_sample_value("slipway_probe_success") == 0
    counted = {"outcome": outcome}
    assert registry.get_sample_value("slipway_probe_questions_total", counted) == 1
    product.answers[path] = before
    assert asking() == "answered"


def test_an_ended_session_is_begun_again(product: Product, asking: Callable[[], str]) -> None:
    assert asking() == "answered"
    before, product.answers["/v1/query"] = product.answers["/v1/query"], (401, {})
    assert asking() == "refused"
    product.answers["/v1/query"] = before
    product.asked.clear()
    assert asking() == "answered"
    assert [path for path, _ in product.asked] == ["/v1/login", "/v1/query"]


def test_a_collection_that_is_there_already_is_used(
    product: Product, asking: Callable[[], str]
) -> None:
    product.answers["/v1/collections"] = (409, {})
    assert asking() == "answered"


def test_a_certificate_of_somebody_else_is_no_answer(
    asking: Callable[[], str], tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    other, _ = _certificate(tmp_path / "elsewhere")
    (tmp_path / "ca.crt").write_bytes(other.read_bytes())
    assert asking() == "unreachable"


def test_without_any_door_nobody_is_reached(tmp_path: Path) -> None:
    _certificate(tmp_path)
    settings = Settings(probe_hosts="no-such-host.invalid", secrets_directory=tmp_path)
    assert Probe(settings, Figures(CollectorRegistry())).round() == "unreachable"

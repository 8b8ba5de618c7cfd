"""A proof passes only when a user would be served, and else names what they would have missed.

The far end of the HTTP client is a stand-in here; tests/integration/test_proof.py has the real one.
"""

from __future__ import annotations

import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from standin_product import Product
from standin_world import SOURCES, Clock

from slipway import proof
from slipway.config import certificates
from slipway.config.layout import checkout
from slipway.errors import SlipwayError


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Product:
    folder = tmp_path / "samples"
    folder.mkdir()
    for name in ("handbook.md", "questions.json"):
        (folder / name).write_text(SOURCES[f"samples/{name}"])
    monkeypatch.setattr(proof, "time", Clock())
    return Product(folder, lambda: "right")


def prove(product: Product, tmp_path: Path, password: str = "right") -> proof.Proved:
    with product.client() as http:
        return proof.prove(
            http, username="admin", password=password, folder=tmp_path / "samples", keep=True
        )


def test_a_served_user_is_counted(product: Product, tmp_path: Path) -> None:
    product.polls_until_ready = 3
    assert prove(product, tmp_path) == proof.Proved(documents=1, chunks=2, questions=1)


def test_a_login_that_must_wait_is_sent_again_after_that_time(
    product: Product, tmp_path: Path
) -> None:
    product.refused_logins = 2
    began = proof.time.monotonic()
    assert prove(product, tmp_path).questions == 1
    assert proof.time.monotonic() - began >= 2 * product.retry_after


def test_a_login_is_not_waited_for_without_end(product: Product, tmp_path: Path) -> None:
    product.refused_logins = 1000
    with pytest.raises(SlipwayError, match="could not log in: 429 Too many failed tries"):
        prove(product, tmp_path)
    product.retry_after, asked = 3600, len(product.asked)
    with pytest.raises(SlipwayError, match="could not log in: 429"):
        prove(product, tmp_path)
    assert len(product.asked) == asked + 1, "an hour is not waited for"


def test_a_second_proof_ingests_the_samples_again(product: Product, tmp_path: Path) -> None:
    prove(product, tmp_path)
    product.asked.clear()
    prove(product, tmp_path)
    assert [each.split("/")[0] for each in product.asked[2:4]] == ["DELETE ", "POST "]


def test_documents_of_users_are_left_alone(product: Product, tmp_path: Path) -> None:
    theirs = {"id": "theirs", "filename": "handbook.md", "sha256": "another", "polls": 0}
    product.documents["theirs"] = theirs
    prove(product, tmp_path)
    assert product.documents["theirs"] == theirs


def test_a_proof_that_keeps_nothing_leaves_nothing(product: Product, tmp_path: Path) -> None:
    with product.client() as http:
        proof.prove(
            http, username="admin", password="right", folder=tmp_path / "samples", keep=False
        )
    assert product.documents == {}


def status(state: str, error: str | None = None) -> tuple[int, object]:
    return 200, {"status": state, "error": error}


UNSERVED: dict[str, tuple[str, tuple[int, object], str]] = {
    "upload": (
        "POST /v1/documents",
        (507, "disk full"),
        "could not upload handbook.md: 507 disk full",
    ),
    "list": (
        "GET /v1/documents",
        (503, {"title": "Unavailable", "detail": "no database"}),
        "could not list the documents: 503 Unavailable: no database",
    ),
    "ingestion": (
        "GET /v1/documents/.+",
        status("failed", "It is encrypted."),
        "handbook.md could not be ingested: It is encrypted.",
    ),
    "ingestion in time": (
        "GET /v1/documents/.+",
        status("queued"),
        "handbook.md is still queued after 180 s",
    ),
    "an answer": ("POST /v1/query", (500, "boom"), "could not ask 'With what?': 500 boom"),
    "the right citation": (
        "POST /v1/query",
        (
            200,
            {
                "answer": "",
                "mode": "extractive",
                "citations": [{"filename": "a.md", "passage": ""}],
            },
        ),
        "the answer to 'With what?' cites ['a.md'], not handbook.md",
    ),
    "any citation": (
        "POST /v1/query",
        (200, {"answer": "Oil.", "mode": "generated", "citations": []}),
        "the answer to 'With what?' cites nothing, not handbook.md",
    ),
    "the right passage": (
        "POST /v1/query",
        (
            200,
            {
                "answer": "Nothing.",
                "mode": "extractive",
                "citations": [{"filename": "handbook.md", "passage": "Nothing."}],
            },
        ),
        "the answer to 'With what?' does not contain 'oil'",
    ),
}


@pytest.mark.parametrize(("asked", "answer", "said"), UNSERVED.values(), ids=UNSERVED)
def test_what_a_user_would_have_missed_is_named(
    product: Product, tmp_path: Path, asked: str, answer: tuple[int, object], said: str
) -> None:
    product.broken[asked] = answer
    with pytest.raises(SlipwayError) as failed:
        prove(product, tmp_path)
    assert str(failed.value) == f"proof: {said}"


def test_a_wrong_password_is_told(product: Product, tmp_path: Path) -> None:
    with pytest.raises(SlipwayError, match="could not log in: 401 Unauthorized: wrong"):
        prove(product, tmp_path, "wrong")


def test_an_earlier_sample_that_cannot_be_deleted_is_told(product: Product, tmp_path: Path) -> None:
    prove(product, tmp_path)
    product.broken["DELETE .*"] = (500, "boom")
    with pytest.raises(SlipwayError, match="could not delete a sample: 500 boom"):
        prove(product, tmp_path)


def test_a_generated_answer_may_use_other_words(product: Product, tmp_path: Path) -> None:
    cited = {"filename": "handbook.md", "passage": "elsewhere"}
    product.broken["POST /v1/query"] = (
        200,
        {"answer": "Lubricant.", "mode": "generated", "citations": [cited]},
    )
    assert prove(product, tmp_path).questions == 1


def test_every_shipped_question_names_a_shipped_document() -> None:
    folder = checkout().samples
    assert {each.document for each in proof.samples(folder)} <= {
        path.name for path in folder.iterdir()
    }


class _Hello(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def authority() -> dict[str, str]:
    return certificates.generate("slipway.internal", datetime.datetime.now(datetime.UTC))


@pytest.fixture
def server(authority: dict[str, str], tmp_path: Path) -> Iterator[Callable[[], str]]:
    """A TLS server with a certificate of ours; its address."""
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text(authority[name])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Hello) as made:
        # The handshake belongs to the connection's thread, where a refused one disturbs nobody.
        made.socket = context.wrap_socket(
            made.socket, server_side=True, do_handshake_on_connect=False
        )
        made.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        yield lambda: f"https://localhost:{made.server_address[1]}"
        made.shutdown()


def port(address: str) -> int:
    """The port in an address."""
    return int(address.rpartition(":")[2])


def test_the_client_trusts_the_authority_of_the_environment(
    authority: dict[str, str], server: Callable[[], str]
) -> None:
    with proof.client(server(), authority["ca.crt"], port(server())) as http:
        assert http.get("/health").status_code == 204


def test_an_environment_that_does_not_answer_fails_its_proof(
    server: Callable[[], str], tmp_path: Path
) -> None:
    other = certificates.generate("localhost", datetime.datetime.now(datetime.UTC))
    with (
        proof.client(server(), other["ca.crt"], port(server())) as http,
        pytest.raises(SlipwayError, match="proof: the environment did not answer: ConnectError"),
    ):
        proof.prove(http, username="admin", password="right", folder=tmp_path, keep=True)


def test_the_client_trusts_no_other(server: Callable[[], str]) -> None:
    other = certificates.generate("localhost", datetime.datetime.now(datetime.UTC))
    with (
        proof.client(server(), other["ca.crt"], port(server())) as http,
        pytest.raises(httpx.ConnectError),
    ):
        http.get("/health")

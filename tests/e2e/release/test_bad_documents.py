"""A bad document fails alone, with a reason that a person can act on."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from site_copy import Site

MEBIBYTE = 1 << 20


def zip_bomb() -> bytes:
    """A DOCX of some hundred kilobytes that says it holds 300 MiB of text."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("word/document.xml", b"\0" * (300 * MEBIBYTE))
    return packed.getvalue()


def ingested(http: httpx.Client, name: str, content: bytes) -> dict[str, object]:
    answer = http.post("/v1/documents", files={"file": (name, content)})
    assert answer.status_code == 202, answer.text
    deadline = time.monotonic() + 60
    while True:
        document = http.get(f"/v1/documents/{answer.json()['id']}").json()
        if document["status"] in {"ready", "failed"}:
            assert isinstance(document, dict)
            return document
        assert time.monotonic() < deadline, document
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bomb.docx", zip_bomb()),
        ("misnamed.pdf", b"This is not a PDF at all. " * 40),
        ("cut-off.pdf", b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog"),
    ],
)
def test_a_bad_document_fails_with_one_sentence(released: Site, name: str, content: bytes) -> None:
    with released.client() as http:
        document = ingested(http, name, content)
        http.delete(f"/v1/documents/{document['id']}")
        assert document["status"] == "failed"
        assert str(document["error"]).endswith(".")
        assert "Traceback" not in str(document["error"])
        good = ingested(http, "good.md", b"# Meanwhile\n\nThe cable of lift seven was replaced.")
        http.delete(f"/v1/documents/{good['id']}")
    assert good["status"] == "ready"


def test_an_empty_document_is_refused_at_once(released: Site) -> None:
    with released.client() as http:
        answer = http.post("/v1/documents", files={"file": ("empty.txt", b"")})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_200_mebibytes_are_refused(released: Site) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(200):
            yield b"\0" * MEBIBYTE

    headers = {"content-length": str(200 * MEBIBYTE), "content-type": "multipart/form-data"}
    with released.client() as http:
        answer = http.post("/v1/documents", content=body(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"

"""What each reader makes of a file, and which files are refused with which sentence."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits, Parsed, formats
from slipway_backend.parsing.budget import Budget
from slipway_backend.parsing.formats import CSV, DOCX, EMAIL, HTML, MARKDOWN, PDF, TEXT, ZIP
from slipway_backend.parsing.readers import read

SAMPLES = Path(__file__).parents[4] / "samples"
LIMITS = Limits(
    memory_bytes=1 << 30,
    seconds=30,
    expanded_bytes=50 << 20,
    pages=100,
    text_characters=100_000,
)


def detect(path: Path, filename: str, limits: Limits) -> str:
    with path.open("rb") as stream:
        return formats.detect(stream, filename, Budget(limits))


def write(tmp_path: Path, content: bytes | str) -> Path:
    path = tmp_path / "stored"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (b"%PDF-1.7 ...", "wrong.docx", PDF),
        (b"<!DOCTYPE html><p>x", "page.txt", HTML),
        (b'\xef\xbb\xbf<?xml version="1.0"?><html>', "page", HTML),
        (b"<p>fragment", "page.html", HTML),
        (b"# Title", "notes.md", MARKDOWN),
        (b"words", "notes.txt", TEXT),
        ("wörter".encode("utf-16"), "notes.txt", TEXT),
        (b"a,b\n1,2", "prices.CSV", CSV),
        (b"Subject: x\nFrom: a@example.org\nDate: today\n\nbody", "mail", EMAIL),
        (b"From: x\n\nbody", "mail.eml", EMAIL),
        (b"Subject: x\nNote: y\n\nbody", "notes.txt", TEXT),
    ],
)
def test_the_content_decides_what_a_file_is(
    tmp_path: Path, content: bytes, name: str, media_type: str
) -> None:
    assert detect(write(tmp_path, content), name, LIMITS) == media_type


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"", "a.txt", "empty"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.docx", "encrypted or old-style"),
        (b"PK\x03\x04 cut off", "a.docx", "damaged ZIP"),
        (b"\x7fELF\x00\x00", "a.txt", "binary"),
        (b"{\\rtf1 words}", "a.doc", "Rich Text"),
        (b"only words", "a.eml", "named .eml but"),
        (b"only words", "a.xlsx", "named .xlsx but"),
        (b"only words", "a.pdf", "named .pdf but its content is not"),
        (b"\x01\x02\x03\x04\x05", "a.txt", "not readable text"),
        (b"# Only a heading", "a.md", "No text was found"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(
    tmp_path: Path, content: bytes, name: str, sentence: str
) -> None:
    with pytest.raises(DocumentError, match=sentence):
        read(write(tmp_path, content), name, LIMITS)


def archive(tmp_path: Path, members: dict[str, bytes]) -> Path:
    path = tmp_path / "stored"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return path


def test_a_zip_is_judged_before_anything_is_unpacked(tmp_path: Path) -> None:
    bomb = archive(tmp_path, {"word/document.xml": bytes(30 << 20)})
    with pytest.raises(DocumentError, match="ZIP bomb"):
        detect(bomb, "a.docx", LIMITS)
    large = archive(tmp_path, {"word/document.xml": bytes(range(256)) * 400})
    with pytest.raises(DocumentError, match="ZIP bomb"):
        detect(large, "a.docx", replace(LIMITS, expanded_bytes=1000))
    assert detect(large, "a.docx", LIMITS) == DOCX
    other = archive(tmp_path, {"notes.txt": b"words"})
    assert detect(other, "a.zip", LIMITS) == ZIP
    with pytest.raises(DocumentError, match=r"named \.docx but its content is not"):
        detect(other, "a.docx", LIMITS)


def test_a_zip_that_begins_with_an_unpacked_pdf_is_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "stored"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.pdf", b"%PDF-1.7")
    assert detect(path, "a.zip", LIMITS) == ZIP


def test_an_encrypted_zip_member_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path, {"word/document.xml": b"words"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(DocumentError, match="encrypted"):
        detect(path, "a.docx", LIMITS)


def test_a_web_page_gives_headings_tables_and_code_without_its_machinery(tmp_path: Path) -> None:
    page = """<html><head><title>Pumps</title><style>p{}</style></head><body>
      <nav>Home</nav><!-- note --><script>alert()</script>
      <h2>Use</h2><div>Loose <b>words</b><br>here<p>A <i>paragraph</i>.</p></div>
      <ul><li>one</li><li>two</li></ul>
      <table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr><tr></tr></table>
      <pre>x = 1
y = 2</pre></body></html>"""
    assert read(write(tmp_path, page), "p.html", LIMITS).blocks == [
        Block("heading", "Pumps", level=1),
        Block("heading", "Use", level=2),
        Block("text", "Loose words here"),
        Block("text", "A paragraph."),
        Block("text", "one"),
        Block("text", "two"),
        Block("table", "A | B\n1 | 2"),
        Block("code", "x = 1\ny = 2"),
    ]


def test_a_web_page_loses_no_text_to_forgotten_ends_and_tables_in_tables(tmp_path: Path) -> None:
    page = """<title>T</title><p>one<p>two<pre>a<br>b</pre>
      <table><caption>Hours</caption><tr><td>x<table><tr><td>in</td><td>side</td></tr></table>
      <tr><td>1<td>2</table><h1>Big <b>head</b></h1>three &amp; <span>four</span><h3>end"""
    assert read(write(tmp_path, page), "p.html", LIMITS).blocks == [
        Block("text", "one"),
        Block("text", "two"),
        Block("code", "a\nb"),
        Block("text", "Hours"),
        Block("table", "x in side\n1 | 2"),
        Block("heading", "Big head", level=1),
        Block("text", "three & four"),
        Block("heading", "end", level=3),
    ]


def test_markdown_keeps_its_structure(tmp_path: Path) -> None:
    text = "# Title\n\nWords.\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\ncode\n```\n"
    assert read(write(tmp_path, text), "a.md", LIMITS).blocks == [
        Block("heading", "Title", level=1),
        Block("text", "Words."),
        Block("table", "a | b\n1 | 2"),
        Block("code", "code"),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_text_is_decoded_whatever_wrote_it(tmp_path: Path, encoding: str) -> None:
    text = "Die Fähre fährt täglich über den Fjord.\n\nZweiter Absatz, schön länger."
    parsed = read(write(tmp_path, text.encode(encoding)), "a.txt", LIMITS)
    assert [block.text for block in parsed.blocks] == text.split("\n\n")


def test_the_sample_pdf_and_word_file_are_read_with_pages_and_headings() -> None:
    pdf = read(SAMPLES / "maintenance-handbook.pdf", "a.pdf", LIMITS)
    assert pdf.pages
    assert {block.page for block in pdf.blocks} == set(range(1, pdf.pages + 1))
    word = read(SAMPLES / "travel-policy.docx", "a.docx", LIMITS)
    assert {block.kind for block in word.blocks} >= {"heading", "text", "table"}
    assert Parsed.from_json(word.to_json()) == word


def test_too_many_pages_and_too_much_text_are_refused_with_the_numbers() -> None:
    pdf = SAMPLES / "maintenance-handbook.pdf"
    with pytest.raises(DocumentError, match="more than the 1 accepted"):
        read(pdf, "a.pdf", replace(LIMITS, pages=1))
    with pytest.raises(DocumentError, match="more than the 10 accepted"):
        read(pdf, "a.pdf", replace(LIMITS, text_characters=10))


def test_a_thousand_comments_are_told_apart_at_once(tmp_path: Path) -> None:
    content = "<!---->" * 500 + "no page"
    assert detect(write(tmp_path, content), "notes.md", LIMITS) == MARKDOWN
    assert detect(write(tmp_path, "<!-- a --> <!-- b --><html>"), "notes.md", LIMITS) == HTML

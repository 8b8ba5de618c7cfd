"""Slides, sheets, tables, e-mails and archives: what becomes page, heading and text."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from pathlib import Path

import pytest
import workbooks
import xlsxwriter  # type: ignore[import-untyped]
from pptx import Presentation
from pptx.util import Inches

from slipway_backend.errors import DocumentError
from slipway_backend.parsing import Block, Limits, Parsed, formats
from slipway_backend.parsing.readers import read

LIMITS = Limits(
    memory_bytes=1 << 30,
    seconds=30,
    expanded_bytes=50 << 20,
    pages=100,
    text_characters=1_000_000,
)
Parse = Callable[[bytes, str], Parsed]


@pytest.fixture
def parse(tmp_path: Path) -> Parse:
    def run(content: bytes, name: str) -> Parsed:
        path = tmp_path / "stored"
        path.write_bytes(content)
        return read(path, name, LIMITS)

    return run


def archive(members: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in members.items():
            made.writestr(name, content)
    return stream.getvalue()


def mail(subject: str, body: str) -> EmailMessage:
    message = EmailMessage()
    message["Subject"] = subject
    message["From"] = "Ada <ada@example.org>"
    message["To"] = "lift@example.org"
    message["Date"] = "Mon, 02 Nov 2026 09:00:00 +0000"
    message.set_content(body)
    return message


def test_a_slide_is_a_page_and_its_title_the_heading(parse: Parse) -> None:
    made = Presentation()
    slide = made.slides.add_slide(made.slide_layouts[1])
    slide.shapes.title.text = "Rope care"
    slide.placeholders[1].text_frame.text = "Grease weekly."
    slide.placeholders[1].text_frame.add_paragraph().text = "Look at the clamps."
    slide.notes_slide.notes_text_frame.text = "Tell the story of 1998."
    bare = made.slides.add_slide(made.slide_layouts[6])
    box = Inches(1)
    table = bare.shapes.add_table(2, 2, box, box, box, box).table
    for place, text in enumerate(("Part", "Hours", "Sheave", "500")):
        table.cell(place // 2, place % 2).text = text
    group = bare.shapes.add_group_shape()
    group.shapes.add_textbox(box, box, box, box).text_frame.text = "In a group"
    stream = io.BytesIO()
    made.save(stream)
    parsed = parse(stream.getvalue(), "a.pptx")
    assert (parsed.media_type, parsed.pages) == (formats.PPTX, 2)
    assert parsed.blocks == [
        Block("heading", "Rope care", 1, 1),
        Block("text", "Grease weekly.", page=1),
        Block("text", "Look at the clamps.", page=1),
        Block("text", "Tell the story of 1998.", page=1),
        Block("heading", "Slide 2", 1, 2),
        Block("table", "Part | Hours\nSheave | 500", page=2),
        Block("text", "In a group", page=2),
    ]


@pytest.mark.parametrize(
    ("write", "media_type"),
    [
        (workbooks.xlsx, formats.XLSX),
        (workbooks.xlsb, formats.XLSB),
        (workbooks.xls, formats.XLS),
        (workbooks.ods, formats.ODS),
    ],
    ids=["xlsx", "xlsb", "xls", "ods"],
)
def test_a_sheet_is_a_page_under_its_name_with_one_table(
    parse: Parse, write: Callable[[workbooks.Sheets], bytes], media_type: str
) -> None:
    rows: list[list[str | float]] = [["Item", "Price", "Stück"], ["Rope", 12.5, 3], ["", "", ""]]
    sheets: workbooks.Sheets = {"Prices & more": rows, "Empty": [], "Notes": [["One\nword"]]}
    parsed = parse(write(sheets), "without a suffix")
    assert (parsed.media_type, parsed.pages) == (media_type, 3)
    assert parsed.blocks == [
        Block("heading", "Prices & more", 1, 1),
        Block("table", "Item | Price | Stück\nRope | 12.5 | 3", page=1),
        Block("heading", "Notes", 1, 3),
        Block("table", "One word", page=3),
    ]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_of_a_csv_file_is_found(parse: Parse, delimiter: str) -> None:
    lines = [["Name", "Note"], ["Rope", '"a, b; c"'], ["Pin", "x"]]
    text = "\r\n".join(delimiter.join(line) for line in lines)
    parsed = parse(text.encode(), "prices.csv")
    assert parsed.blocks == [Block("table", "Name | Note\nRope | a, b; c\nPin | x")]


def test_a_csv_file_with_nuls_and_broken_quotes_keeps_its_words(parse: Parse) -> None:
    parsed = parse(b'a,b\n1,\0two\0\n3,"open', "prices.csv")
    assert parsed.blocks == [Block("table", "a | b\n1 | two\n3 | open")]


def test_an_email_gives_subject_people_body_and_readable_attachments(parse: Parse) -> None:
    message = mail("Rope check", "The rope was checked.\n\nAll is well.")
    message.add_alternative("<p>not taken</p>", subtype="html")
    message.add_attachment(b"# Plan\n\nMonday.", "text", "markdown", filename="../plan.md")
    message.add_attachment(b"\x00\x01", "application", "octet-stream", filename="photo.raw")
    message.add_attachment(mail("Earlier", "Old words."))
    parsed = parse(message.as_bytes(), "check.eml")
    assert parsed.media_type == formats.EMAIL
    assert [(block.kind, block.level, block.text.split("\n")[0]) for block in parsed.blocks] == [
        ("heading", 1, "Rope check"),
        ("text", 0, "From: Ada <ada@example.org>"),
        ("text", 0, "The rope was checked."),
        ("text", 0, "All is well."),
        ("heading", 2, "plan.md"),
        ("heading", 3, "Plan"),
        ("text", 0, "Monday."),
        ("heading", 2, "attachment 3.eml"),
        ("heading", 3, "Earlier"),
        ("text", 0, "From: Ada <ada@example.org>"),
        ("text", 0, "Old words."),
    ]
    assert [entry.partition(":")[0] for entry in parsed.skipped] == ["photo.raw"]


def test_an_email_of_html_alone_in_a_charset_that_is_not_there_is_read(parse: Parse) -> None:
    head = b"From: a@example.org\nSubject: x\nContent-Type: text/html; charset=none-such\n\n"
    parsed = parse(head + b"<h2>Part</h2><p>Some words</p>", "a.eml")
    assert parsed.blocks[-2:] == [Block("heading", "Part", 2), Block("text", "Some words")]


def test_an_archive_gives_each_readable_member_as_a_section_and_names_the_others(
    parse: Parse,
) -> None:
    inner = archive({"deep.txt": b"Deep words."})
    members = {
        "docs/": b"",
        "docs/one.md": b"# One\n\nFirst.",
        "prices.xlsx": workbooks.xlsx({"Prices": [["Item"], ["Rope"]]}),
        "../../etc/more.zip": inner,
        "picture.png": b"\x89PNG\x00\x00",
        "broken.pdf": b"%PDF-1.7 and no more",
        "__MACOSX/docs/._one.md": b"\x00",
    }
    parsed = parse(archive(members), "all.zip")
    assert (parsed.media_type, parsed.pages) == (formats.ZIP, 1)
    assert [(block.level, block.text) for block in parsed.blocks if block.kind == "heading"] == [
        (1, "docs/one.md"),
        (2, "One"),
        (1, "prices.xlsx"),
        (2, "Prices"),
        (1, "etc/more.zip"),
        (2, "deep.txt"),
    ]
    assert [entry.partition(":")[0] for entry in parsed.skipped] == ["picture.png", "broken.pdf"]
    assert Parsed.from_json(parsed.to_json()) == parsed


def test_an_archive_without_any_readable_member_says_why(parse: Parse) -> None:
    with pytest.raises(DocumentError, match=r"No file in the archive .* picture\.png: The content"):
        parse(archive({"picture.png": b"\x89PNG\x00\x00"}), "a.zip")


def test_every_limit_counts_over_the_whole_archive(tmp_path: Path) -> None:
    path = tmp_path / "stored"

    def refused(members: dict[str, bytes], limits: Limits) -> str:
        path.write_bytes(archive(members))
        with pytest.raises(DocumentError) as told:
            read(path, "a.zip", limits)
        return str(told.value)

    texts = {f"{number}.txt": b"words " * 100 for number in range(4)}
    assert "characters of text, more than" in refused(texts, replace(LIMITS, text_characters=2000))
    books = {f"{number}.xlsx": workbooks.xlsx({"A": [["x"]], "B": [["y"]]}) for number in range(3)}
    assert "more than the 5 accepted" in refused(books, replace(LIMITS, pages=5))
    nested = {f"{number}.zip": archive({"a.txt": b"x" * 40_000}) for number in range(3)}
    assert "ZIP bomb" in refused(nested, replace(LIMITS, expanded_bytes=100_000))


def test_archives_nested_too_deep_are_named_and_the_rest_is_read(parse: Parse) -> None:
    content = archive({"deepest.txt": b"Deepest words."})
    for level in range(4):
        content = archive({f"level{level}.zip": content, "note.txt": b"Words here."})
    parsed = parse(content, "a.zip")
    assert sum(block.text == "Words here." for block in parsed.blocks) == 3
    assert any("nested deeper than 3" in entry for entry in parsed.skipped)


def test_a_declared_charset_decides_where_utf_8_fails(parse: Parse) -> None:
    page = '<html><head><meta charset="windows-1251"></head><p>Канатная дорога</p></html>'
    assert parse(page.encode("windows-1251"), "a.html").blocks == [Block("text", "Канатная дорога")]
    hidden = b'<html><head><meta charset="utf-7"></head><p>caf\xe9 +ADw-</p></html>'
    assert "+ADw-" in parse(hidden, "a.html").blocks[0].text
    wide = "Words in UTF-32.".encode("utf-32")
    assert parse(wide, "a.txt").blocks == [Block("text", "Words in UTF-32.")]


def test_nuls_and_halves_of_surrogate_pairs_never_reach_the_database(parse: Parse) -> None:
    blocks = parse(b"<p>a&#0;b</p><p>x</p>", "a.html").blocks
    blocks += parse(b"words " * 1000 + b"\x00 end", "a.txt").blocks
    for block in blocks:
        assert "\0" not in block.text
        assert block.text.encode()


def pdf_with_outline() -> bytes:
    """Two pages of text; the outline names a line of the first page and one of the second."""
    lines = [
        ("1 Ropes", "Grease them.", "Wire care", "Wipe it."),
        ("Look at the clamps.", "Towers"),
    ]
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R/Outlines 8 0 R>>",
        2: b"<</Type/Pages/Kids[3 0 R 4 0 R]/Count 2>>",
        7: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        8: b"<</Type/Outlines/First 9 0 R/Last 11 0 R/Count 3>>",
        9: b"<</Title(Ropes)/Parent 8 0 R/Next 11 0 R/First 10 0 R/Last 10 0 R/Dest[3 0 R/Fit]>>",
        10: b"<</Title(Wire care)/Parent 9 0 R/Dest[3 0 R/Fit]>>",
        11: b"<</Title(Not shown)/Parent 8 0 R/Prev 9 0 R/Dest[4 0 R/Fit]>>",
    }
    for index, texts in enumerate(lines):
        shown = " ".join(f"1 0 0 1 72 {700 - 40 * n} Tm({t})Tj" for n, t in enumerate(texts))
        stream = f"BT /F1 12 Tf {shown} ET".encode()
        objects[3 + index] = (
            f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents {5 + index} 0 R"
            "/Resources<</Font<</F1 7 0 R>>>>>>"
        ).encode()
        objects[5 + index] = b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream)
    made = b"%PDF-1.7\n"
    for number in sorted(objects):
        made += b"%d 0 obj%s\nendobj\n" % (number, objects[number])
    return made + b"trailer<</Root 1 0 R/Size 12>>\n%%EOF"


def test_the_outline_of_a_pdf_gives_its_headings_where_the_lines_stand(parse: Parse) -> None:
    parsed = parse(pdf_with_outline(), "a.pdf")
    assert [(block.kind, block.level, block.page, block.text) for block in parsed.blocks] == [
        ("heading", 1, 1, "Ropes"),
        ("text", 0, 1, "Grease them."),
        ("heading", 2, 1, "Wire care"),
        ("text", 0, 1, "Wipe it."),
        ("heading", 1, 2, "Not shown"),
        ("text", 0, 2, "Look at the clamps.\nTowers"),
    ]


def test_two_cells_far_apart_are_two_rows(parse: Parse) -> None:
    stream = io.BytesIO()
    with xlsxwriter.Workbook(stream, {"in_memory": True}) as made:
        sheet = made.add_worksheet("Far")
        sheet.write(0, 0, "near")
        sheet.write(99_999, 25, "far")
    heading, table = parse(stream.getvalue(), "a.xlsx").blocks
    assert heading.text == "Far"
    assert [line.strip(" |") for line in table.text.splitlines()] == ["near", "far"]

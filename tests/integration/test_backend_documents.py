"""Documents go in, are found and cited, and are gone when deleted."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import workbooks

from slipway_backend.chunking import Chunk
from slipway_backend.sweep import sweep

SAMPLES = Path(__file__).parents[2] / "samples"
DATA = Path(__file__).parent / "data"
QUESTIONS = json.loads((SAMPLES / "questions.json").read_text(encoding="utf-8"))
FILES = sorted({question["document"] for question in QUESTIONS})
GOOD = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"


async def upload_samples(instance: Any) -> dict[str, dict[str, Any]]:
    uploaded = {}
    for name in FILES:
        response = await instance.upload(name, (SAMPLES / name).read_bytes())
        assert response.status_code == 202, response.text
        uploaded[name] = response.json()
    await instance.work()
    return {name: await instance.document(document["id"]) for name, document in uploaded.items()}


async def test_every_sample_becomes_ready_and_every_question_cites_its_document(
    instance: Any,
) -> None:
    documents = await upload_samples(instance)
    assert {name: document["status"] for name, document in documents.items()} == dict.fromkeys(
        FILES, "ready"
    )
    assert documents["maintenance-handbook.pdf"]["pages"]
    for question in QUESTIONS:
        response = await instance.client.post("/v1/query", json={"question": question["question"]})
        answer = response.json()
        assert answer["mode"] == "extractive"
        assert answer["citations"][0]["filename"] == question["document"], question
        assert question["answer_contains"] in answer["answer"], answer["answer"]
        assert any(
            question["answer_contains"] in citation["passage"] for citation in answer["citations"]
        ), question


async def test_every_passage_has_the_vector_of_its_own_text(instance: Any) -> None:
    await upload_samples(instance)
    serving = await instance.state.sets.serving()
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT position, heading, text, tokens, embedding::vector::real[] AS vector"
            " FROM chunks"
        )
        rows = await cursor.fetchall()
    texts = [
        Chunk(row["position"], None, row["heading"], row["text"], row["tokens"]).text_to_embed()
        for row in rows
    ]
    vectors = serving.embedder.embed(texts)
    for row, vector in zip(rows, vectors, strict=True):
        assert vector @ numpy.array(row["vector"], dtype=numpy.float32) > 0.995, row["text"]


async def test_a_pdf_is_cited_with_its_page_and_a_word_file_with_its_heading(
    instance: Any,
) -> None:
    await upload_samples(instance)
    response = await instance.client.post(
        "/v1/search", json={"query": "hotel limit Switzerland", "limit": 3}
    )
    best = response.json()["results"][0]
    assert best["filename"] == "travel-policy.docx"
    assert best["heading"]
    response = await instance.client.post("/v1/search", json={"query": "sheave bearings grease"})
    best = response.json()["results"][0]
    assert (best["filename"], isinstance(best["page"], int)) == ("maintenance-handbook.pdf", True)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("lift.xlsx", workbooks.xlsx),
        ("lift.xlsb", workbooks.xlsb),
        ("lift.xls", workbooks.xls),
        ("lift.ods", workbooks.ods),
    ],
)
async def test_a_workbook_is_cited_with_its_sheet_and_the_head_of_its_table(
    instance: Any, name: str, write: Callable[[workbooks.Sheets], bytes]
) -> None:
    sheets: workbooks.Sheets = {
        "Prices": [["Item", "Price"], ["Rope", 12.5]],
        "Greasing": [["Part", "Hours until the next greasing"], ["Return sheave", 480]],
    }
    document = (await instance.upload(name, write(sheets))).json()
    await instance.work()
    stored = await instance.document(document["id"])
    assert (stored["status"], stored["pages"]) == ("ready", 2)
    question = {"question": "How many hours until the next greasing of the return sheave?"}
    answer = (await instance.client.post("/v1/query", json=question)).json()
    cited = answer["citations"][0]
    assert (cited["source"], cited["heading"], cited["page"]) == (name, "Greasing", 2)
    assert cited["passage"] == "Part | Hours until the next greasing\nReturn sheave | 480"
    assert "480" in answer["answer"]


async def test_a_member_of_an_archive_that_cannot_be_read_is_told_and_the_others_are_served(
    instance: Any,
) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("ferry.md", GOOD)
        archive.writestr("scan.pdf", b"%PDF-1.7 and nothing else")
    response = await instance.upload("harbour.zip", packed.getvalue())
    await instance.work()
    document = await instance.document(response.json()["id"])
    assert (document["status"], document["error"]) == ("ready", None)
    [skipped] = document["progress"]["skipped"]
    assert skipped.startswith("scan.pdf: The PDF is damaged")
    found = await instance.client.post("/v1/search", json={"query": "ferry to Utvik"})
    assert "quay four" in found.json()["results"][0]["text"]


async def test_a_question_about_something_else_gets_no_citation(instance: Any) -> None:
    await upload_samples(instance)
    response = await instance.client.post(
        "/v1/query", json={"question": "How do I bake sourdough bread?"}
    )
    assert response.json()["citations"] == []
    assert "Nothing in the documents" in response.json()["answer"]


async def test_the_same_upload_again_is_the_same_document_and_no_second_job(
    instance: Any,
) -> None:
    first = await instance.upload("ferry.md", GOOD)
    again = await instance.upload("ferry.md", GOOD)
    other_name = await instance.upload("boat.md", GOOD)
    assert (first.status_code, again.status_code, other_name.status_code) == (202, 200, 202)
    assert first.json()["id"] == again.json()["id"] != other_name.json()["id"]
    assert again.headers["location"] == f"/v1/documents/{first.json()['id']}"
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS jobs FROM procrastinate_jobs")
        assert (await cursor.fetchone())["jobs"] == 2


async def test_uploads_of_the_same_file_at_once_make_one_document(instance: Any) -> None:
    answers = await asyncio.gather(*(instance.upload("ferry.md", GOOD) for _ in range(6)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]


async def test_an_idempotency_key_decides_and_is_refused_for_other_content(
    instance: Any,
) -> None:
    key = {"Idempotency-Key": "import-2031-04-11"}
    first = await instance.upload("ferry.md", GOOD, **key)
    again = await instance.upload("renamed.md", GOOD, **key)
    other = await instance.upload("ferry.md", GOOD + b"More.", **key)
    assert first.json()["id"] == again.json()["id"]
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]
    assert stored_files(instance) == {first.json()["sha256"]}


def stored_files(instance: Any) -> set[str]:
    return {path.name for path in instance.state.files.directory.rglob("*") if path.is_file()}


async def test_what_a_crash_left_in_the_file_store_is_removed_and_nothing_else(
    instance: Any,
) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    files = instance.state.files
    orphan = files.receive(1000)
    orphan.write(b"deleted document")
    orphan.sync()
    files.keep(orphan)
    (files.directory / "incoming" / "upload-cut-off").write_bytes(b"first half")
    assert await sweep(instance.state.pool, files) == 0
    assert await sweep(instance.state.pool, files, age_seconds=-60) == 2
    assert stored_files(instance) == {document["sha256"]}


async def test_an_empty_database_does_not_empty_the_file_store(instance: Any) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("DELETE FROM documents")
    assert await sweep(instance.state.pool, instance.state.files, age_seconds=-60) == 0
    assert stored_files(instance) == {document["sha256"]}


async def test_uploads_and_deletions_of_one_content_at_once_keep_rows_and_files_together(
    instance: Any,
) -> None:
    async def come_and_go(name: str) -> None:
        for _ in range(5):
            document = (await instance.upload(name, GOOD)).json()
            await instance.client.delete(f"/v1/documents/{document['id']}")

    kept = (await instance.upload("kept.md", GOOD)).json()
    await asyncio.gather(*(come_and_go(f"{number}.md") for number in range(4)))
    assert stored_files(instance) == {kept["sha256"]}
    await instance.client.delete(f"/v1/documents/{kept['id']}")
    await asyncio.gather(*(come_and_go(f"{number}.md") for number in range(4)))
    assert stored_files(instance) == set()


async def test_deleting_removes_passages_and_the_file_that_nobody_else_uses(
    instance: Any,
) -> None:
    first = (await instance.upload("ferry.md", GOOD)).json()
    second = (await instance.upload("boat.md", GOOD)).json()
    await instance.work()
    stored = instance.state.files.path(first["sha256"])

    assert (await instance.client.delete(f"/v1/documents/{first['id']}")).status_code == 204
    assert stored.exists()
    results = (await instance.client.post("/v1/search", json={"query": "ferry to Utvik"})).json()
    assert {result["document_id"] for result in results["results"]} == {second["id"]}

    assert (await instance.client.delete(f"/v1/documents/{second['id']}")).status_code == 204
    assert not stored.exists()
    results = (await instance.client.post("/v1/search", json={"query": "ferry to Utvik"})).json()
    assert results["results"] == []
    assert (await instance.client.delete(f"/v1/documents/{second['id']}")).status_code == 404


async def test_a_document_deleted_while_it_waits_leaves_nothing_behind(instance: Any) -> None:
    document = (await instance.upload("ferry.md", GOOD)).json()
    await instance.client.delete(f"/v1/documents/{document['id']}")
    await instance.work()
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS chunks FROM chunks")
        assert (await cursor.fetchone())["chunks"] == 0


def zip_bomb() -> bytes:
    packed = io.BytesIO()
    with (
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("word/document.xml", "w") as member,
    ):
        for _ in range(40):
            member.write(bytes(8 * 1024 * 1024))
    return packed.getvalue()


def plain_zip() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("notes.txt", "not a Word document")
    return packed.getvalue()


BAD: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "blank": ("blank.txt", lambda: b" \n\n ", "No text was found"),
    "encrypted PDF": ("locked.pdf", (DATA / "encrypted.pdf").read_bytes, "encrypted"),
    "encrypted Word file": (
        "locked.docx",
        lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),
        "encrypted or old-style",
    ),
    "cut-off PDF": ("cut.pdf", lambda: b"%PDF-1.7\n1 0 obj\n<<", "damaged"),
    "cut-off Word file": (
        "cut.docx",
        lambda: (SAMPLES / "travel-policy.docx").read_bytes()[:9000],
        "damaged ZIP",
    ),
    "picture named PDF": ("scan.pdf", lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), "binary"),
    "text named Word file": ("notes.docx", lambda: b"only text", "misnamed"),
    "ZIP of something else": ("notes.docx", plain_zip, "named .docx but its content is not"),
    "ZIP bomb": ("bomb.docx", zip_bomb, "ZIP bomb"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_document_fails_with_its_reason_while_a_good_one_goes_through(
    instance: Any, kind: str
) -> None:
    name, content, reason = BAD[kind]
    bad = await instance.upload(name, content())
    good = await instance.upload("ferry.md", GOOD)
    assert (bad.status_code, good.status_code) == (202, 202)
    await instance.work()
    document = await instance.document(bad.json()["id"])
    assert document["status"] == "failed"
    assert reason in document["error"]
    assert document["error"].endswith(".")
    assert (await instance.document(good.json()["id"]))["status"] == "ready"


async def test_a_failed_document_is_tried_again_when_it_is_uploaded_again(instance: Any) -> None:
    first = await instance.upload("notes.docx", b"only text")
    await instance.work()
    again = await instance.upload("notes.docx", b"only text")
    assert again.status_code == 202
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["status"] == "queued"


async def test_a_misnamed_document_is_read_as_what_it_is(instance: Any) -> None:
    content = (SAMPLES / "maintenance-handbook.pdf").read_bytes()
    document = (await instance.upload("handbook.docx", content)).json()
    await instance.work()
    document = await instance.document(document["id"])
    assert (document["status"], document["media_type"]) == ("ready", "application/pdf")


async def test_migrating_again_keeps_the_documents_answerable(instance: Any, settings: Any) -> None:
    from slipway_backend.migrate import migrate

    await instance.upload("ferry.md", GOOD)
    await instance.work()
    migrate(settings)
    response = await instance.client.post("/v1/query", json={"question": "When does the ferry go?"})
    assert "07:15" in response.json()["answer"]

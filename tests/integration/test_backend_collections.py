"""Collections hold documents, and give back what they hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from slipway_backend.security import hash_password

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
CRANE = "# Kran\n\nDer Kran wird jeden Montag geschmiert, größere Teile am Freitag.\n".encode()


async def create(instance: Any, name: str, **body: Any) -> Any:
    return await instance.client.post("/v1/collections", json={"name": name, **body})


async def upload(instance: Any, content: bytes, name: str = "ferry.md", **query: str) -> Any:
    return await instance.client.post(
        "/v1/documents", files={"file": (name, content)}, params=query
    )


async def export(instance: Any, name: str) -> list[dict[str, Any]]:
    response = await instance.client.get(f"/v1/collections/{name}/export")
    response.raise_for_status()
    return [json.loads(line) for line in response.text.splitlines()]


async def become(instance: Any, role: str) -> None:
    """Go on as a new user of this role."""
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO users (username, password_hash, role) VALUES (%s, %s, %s)",
            [role, hash_password("a password for tests"), role],
        )
    answer = await instance.client.post(
        "/v1/login", json={"username": role, "password": "a password for tests"}
    )
    instance.client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


async def test_a_collection_is_made_changed_and_counts_what_it_holds(instance: Any) -> None:
    made = await create(instance, "plans", description="Timetables", language="german")
    assert (made.status_code, made.headers["location"]) == (201, "/v1/collections/plans")
    await upload(instance, FERRY, collection="plans")
    await instance.work()
    changed = await instance.client.patch("/v1/collections/plans", json={"description": "Plans"})
    assert changed.json() | {"created_at": 0, "updated_at": 0} == {
        "name": "plans",
        "description": "Plans",
        "language": "german",
        "writable": True,
        "documents": 1,
        "chunks": 1,
        "created_at": 0,
        "updated_at": 0,
    }
    listed = (await instance.client.get("/v1/collections")).json()["collections"]
    assert [each["name"] for each in listed] == ["default", "plans"]
    assert (await create(instance, "plans")).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        {"name": "Plans"},
        {"name": "-plans"},
        {"name": "a/b"},
        {"name": "x" * 64},
        {"name": "plans", "language": "klingon"},
        {"name": "plans", "description": "a\x00b"},
    ],
)
async def test_a_collection_that_cannot_be_is_refused(instance: Any, body: dict[str, str]) -> None:
    assert (await instance.client.post("/v1/collections", json=body)).status_code == 422


async def test_the_same_source_in_two_collections_is_two_documents(instance: Any) -> None:
    await create(instance, "plans")
    first = (await upload(instance, FERRY)).json()
    second = (await upload(instance, FERRY, collection="plans")).json()
    assert first["id"] != second["id"]
    listed = await instance.client.get("/v1/documents", params={"collection": "plans"})
    assert [each["id"] for each in listed.json()["documents"]] == [second["id"]]
    assert (await upload(instance, FERRY, collection="nowhere")).status_code == 404


async def test_a_collection_is_deleted_when_it_is_empty_or_by_force_with_everything(
    instance: Any,
) -> None:
    await create(instance, "plans")
    await upload(instance, FERRY, collection="plans")
    await instance.work()
    await upload(instance, CRANE, "crane.md", collection="plans")
    refused = await instance.client.delete("/v1/collections/plans")
    assert (refused.status_code, "2 documents" in refused.json()["detail"]) == (409, True)
    forced = await instance.client.delete("/v1/collections/plans", params={"force": True})
    assert forced.status_code == 204
    await instance.work()
    async with instance.state.pool.connection() as connection:
        for table in ("documents", "chunks", "procrastinate_jobs"):
            cursor = await connection.execute(f"SELECT count(*) AS rows FROM {table}")
            assert await cursor.fetchone() == {"rows": 0}
    assert [path for path in instance.state.files.directory.rglob("*") if path.is_file()] == []
    assert (await instance.client.get("/v1/collections/plans")).status_code == 404
    for change in (
        instance.client.delete("/v1/collections/default", params={"force": True}),
        instance.client.patch("/v1/collections/default", json={"name": "other"}),
    ):
        assert (await change).status_code == 409


async def test_an_editor_who_makes_a_collection_may_write_to_it_and_sees_no_other(
    instance: Any,
) -> None:
    hidden = (await upload(instance, FERRY)).json()
    await become(instance, "editor")
    assert (await create(instance, "mine")).json()["writable"] is True
    own = await upload(instance, FERRY, collection="mine")
    assert own.status_code == 202
    listed = (await instance.client.get("/v1/documents")).json()
    assert ([each["id"] for each in listed["documents"]], listed["total"]) == (
        [own.json()["id"]],
        1,
    )
    missing = "/v1/documents/00000000-0000-0000-0000-000000000000"
    for path in ("", "/file", "/passages", "/events"):
        answer = await instance.client.get(f"/v1/documents/{hidden['id']}{path}")
        nothing = await instance.client.get(f"{missing}{path}")
        assert answer.status_code == nothing.status_code == 404
        assert answer.json()["title"] == nothing.json()["title"]
    assert (await instance.client.delete(f"/v1/documents/{hidden['id']}")).status_code == 404
    assert (await upload(instance, FERRY)).status_code == 404
    for path in ("/v1/collections/default", "/v1/collections/default/export"):
        assert (await instance.client.get(path)).status_code == 404
    assert (await instance.client.delete("/v1/collections/default")).status_code == 404


async def test_a_collection_that_one_may_only_read_says_so_and_is_not_changed(
    instance: Any,
) -> None:
    document = (await upload(instance, FERRY)).json()
    await become(instance, "editor")
    async with instance.state.pool.connection() as connection:
        await connection.execute(
            "INSERT INTO grants (collection_id, user_id, access)"
            " SELECT 1, id, 'read' FROM users WHERE username = 'editor'"
        )
    assert (await upload(instance, CRANE)).status_code == 403
    assert (await instance.client.delete(f"/v1/documents/{document['id']}")).status_code == 403
    changed = await instance.client.patch("/v1/collections/default", json={"description": "x"})
    assert changed.status_code == 403
    assert (await instance.client.get(f"/v1/documents/{document['id']}")).status_code == 200


async def test_the_original_file_comes_back_as_an_attachment_of_the_served_version(
    instance: Any,
) -> None:
    name = 'plan "2031" \N{EN DASH} år.md'
    document = (await upload(instance, FERRY, name)).json()
    path = f"/v1/documents/{document['id']}"
    early = await instance.client.get(f"{path}/file")
    assert (early.status_code, early.json()["title"]) == (404, "Nothing served yet")
    await instance.work()
    await upload(instance, CRANE, name)
    file = await instance.client.get(f"{path}/file")
    assert file.content == FERRY
    assert file.headers["etag"] == f'"{document["sha256"]}"'
    assert file.headers["content-length"] == str(len(FERRY))
    assert file.headers["x-content-type-options"] == "nosniff"
    disposition = file.headers["content-disposition"]
    assert disposition.startswith('attachment; filename="plan _2031_ _ _r.md"')
    assert "filename*=UTF-8''plan%20%222031%22%20%E2%80%93%20%C3%A5r.md" in disposition
    await instance.work()
    assert (await instance.client.get(f"{path}/file")).content == CRANE


async def test_passages_come_in_the_order_of_the_document_page_by_page(instance: Any) -> None:
    text = "\n\n".join(f"# Part {n}\n\nSentence {n} tells of quay {n}." for n in range(7))
    document = (await upload(instance, text.encode())).json()
    await instance.work()
    path = f"/v1/documents/{document['id']}/passages"
    first = (await instance.client.get(path, params={"limit": 4})).json()
    second = (await instance.client.get(path, params={"limit": 4, "offset": 4})).json()
    assert first["total"] == second["total"] == 7
    positions = [each["position"] for each in first["passages"] + second["passages"]]
    assert positions == list(range(7))
    assert first["passages"][0]["heading"] == "Part 0"


async def test_an_export_is_every_document_with_its_passages_and_an_end(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from slipway_backend import export as exporting

    monkeypatch.setattr(exporting, "DOCUMENTS", 2)
    monkeypatch.setattr(exporting, "PASSAGES", 2)
    await create(instance, "plans")
    text = "\n\n".join(f"# Part {n}\n\nSentence {n} tells of quay {n}." for n in range(5))
    for number in range(5):
        await upload(
            instance, text.encode(), collection="plans", source=f"{number}.md", metadata='{"a": 1}'
        )
    await instance.work()
    await upload(instance, FERRY, collection="plans", source="waits.md")
    lines = await export(instance, "plans")
    assert lines[-1] == {"kind": "end", "documents": 5, "passages": 25}
    documents = [line for line in lines if line["kind"] == "document"]
    assert {line["source"] for line in documents} == {f"{number}.md" for number in range(5)}
    assert documents[0]["metadata"] == {"a": 1}
    for document in documents:
        positions = [
            line["position"] for line in lines if line.get("document_id") == document["id"]
        ]
        assert positions == list(range(5))


async def test_full_text_search_of_a_document_follows_its_collections_language(
    instance: Any,
) -> None:
    await create(instance, "german", language="german")
    document = (await upload(instance, CRANE, "crane.md", collection="german")).json()
    await instance.work()
    assert (await instance.document(document["id"]))["language"] == "german"
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT lexemes @@ to_tsquery('german', 'Montage & Teilen') AS found,"
            " language::text AS language, collection_id > 1 AS other FROM chunks"
        )
        row = await cursor.fetchone()
    assert row == {"found": True, "language": "german", "other": True}


async def test_too_many_unfinished_documents_are_refused_with_the_time_to_wait(
    make_instance: Any, settings: Any
) -> None:
    limits = {"max_unfinished_per_user": 2, "max_unfinished": 3}
    instance = make_instance()
    await instance.start(settings.model_copy(update=limits))
    for number in range(2):
        assert (await upload(instance, FERRY, f"{number}.md")).status_code == 202
    own = await upload(instance, FERRY, "one-too-many.md")
    assert (own.status_code, int(own.headers["retry-after"]) > 0) == (429, True)
    await create(instance, "shared")
    await become(instance, "editor")
    await create(instance, "mine")
    assert (await upload(instance, FERRY, collection="mine")).status_code == 202
    every = await upload(instance, FERRY, "more.md", collection="mine")
    assert (every.status_code, int(every.headers["retry-after"]) > 0) == (503, True)
    # How many others have is nobody's business.
    assert "3" not in every.json()["detail"]
    await instance.work()
    assert (await upload(instance, FERRY, "more.md", collection="mine")).status_code == 202


async def test_a_small_document_that_is_slow_to_parse_moves_to_the_large_lane(
    make_instance: Any, settings: Any
) -> None:
    instance = make_instance()
    await instance.start(settings.model_copy(update={"small_parser_seconds": 0.001}))
    document = (await upload(instance, FERRY)).json()
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT queue_name FROM procrastinate_jobs")
        assert await cursor.fetchall() == [{"queue_name": "ingestion-small"}]
    await instance.work()
    assert (await instance.document(document["id"]))["status"] == "ready"

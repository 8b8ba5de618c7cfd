"""A document is its source within a collection; a changed file replaces it when it is ready."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipway_backend.documents import count_orphan_chunks
from slipway_backend.parsing.sandbox import Parsers

FIRST = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
SECOND = b"# Ferry\n\nThe ferry to Utvik leaves at 09:40 from quay six.\n"
THIRD = b"# Ferry\n\nThe ferry to Utvik leaves at 11:20 from quay two.\n"
UNREADABLE = b"%PDF-1.7\n1 0 obj\n<<"


async def upload(instance: Any, content: bytes, name: str = "ferry.md", **query: str) -> Any:
    return await instance.client.post(
        "/v1/documents", files={"file": (name, content)}, params=query
    )


async def found(instance: Any) -> str:
    response = await instance.client.post("/v1/search", json={"query": "ferry to Utvik"})
    return " ".join(result["text"] for result in response.json()["results"])


def stored_files(instance: Any) -> set[str]:
    return {path.name for path in instance.state.files.directory.rglob("*") if path.is_file()}


async def orphans(instance: Any) -> int:
    async with instance.state.pool.connection() as connection:
        return await count_orphan_chunks(connection)


async def test_a_changed_file_is_a_new_version_and_the_old_one_is_served_until_it_is_ready(
    instance: Any,
) -> None:
    first = await upload(instance, FIRST)
    await instance.work()
    second = await upload(instance, SECOND)
    assert (first.status_code, second.status_code) == (202, 202)
    waiting = second.json()
    assert waiting["id"] == first.json()["id"]
    assert (waiting["version"], waiting["served_version"], waiting["status"]) == (2, 1, "queued")
    assert "07:15" in await found(instance)
    await instance.work()
    ready = await instance.document(waiting["id"])
    assert (ready["version"], ready["served_version"], ready["stage"]) == (2, 2, "ready")
    assert "09:40" in await found(instance)
    assert "07:15" not in await found(instance)
    assert stored_files(instance) == {ready["sha256"]}
    assert await orphans(instance) == 0


async def test_the_same_bytes_again_are_nothing_new_and_no_job(instance: Any) -> None:
    await upload(instance, FIRST)
    await instance.work()
    again = await upload(instance, FIRST)
    assert (again.status_code, again.json()["version"]) == (200, 1)
    assert again.json()["status"] == "ready"


async def test_a_newer_upload_takes_the_place_of_one_that_waits(instance: Any) -> None:
    await upload(instance, FIRST)
    await upload(instance, SECOND)
    last = (await upload(instance, THIRD)).json()
    assert stored_files(instance) == {last["sha256"]}
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS jobs FROM procrastinate_jobs")
        assert (await cursor.fetchone())["jobs"] == 1
    await instance.work()
    assert "11:20" in await found(instance)
    assert (await instance.document(last["id"]))["served_version"] == 3


async def test_a_version_in_work_that_was_superseded_or_deleted_stores_nothing(
    instance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Parsers.parse
    after: list[Any] = []

    async def parse_then(*arguments: Any) -> Any:
        parsed = await real(*arguments)
        await after.pop()()
        return parsed

    monkeypatch.setattr(Parsers, "parse", parse_then)
    document = (await upload(instance, FIRST)).json()

    async def replace() -> None:
        after.append(delete)
        assert (await upload(instance, SECOND)).status_code == 202

    async def delete() -> None:
        await instance.client.delete(f"/v1/documents/{document['id']}")

    after.append(replace)
    await instance.work()
    assert after == []
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute("SELECT count(*) AS chunks FROM chunks")
        assert (await cursor.fetchone())["chunks"] == 0
        cursor = await connection.execute("SELECT count(*) AS jobs FROM procrastinate_jobs")
        assert (await cursor.fetchone())["jobs"] == 0
    assert stored_files(instance) == set()


async def test_a_newer_version_that_fails_leaves_the_served_one_and_says_so(
    instance: Any,
) -> None:
    document = (await upload(instance, FIRST)).json()
    await instance.work()
    await upload(instance, UNREADABLE)
    await instance.work()
    failed = await instance.document(document["id"])
    assert (failed["status"], failed["version"], failed["served_version"]) == ("failed", 2, 1)
    assert failed["chunks"] == 1
    assert "07:15" in await found(instance)
    assert await orphans(instance) == 0
    again = await upload(instance, UNREADABLE)
    assert (again.status_code, again.json()["version"]) == (202, 2)
    back = await upload(instance, FIRST)
    assert (back.status_code, back.json()["version"]) == (202, 3)
    await instance.work()
    assert (await instance.document(document["id"]))["served_version"] == 3
    assert stored_files(instance) == {back.json()["sha256"]}


async def test_a_repeated_key_returns_its_first_document_also_after_later_versions(
    instance: Any,
) -> None:
    key = {"Idempotency-Key": "import-2031-04-11"}
    first = await instance.upload("ferry.md", FIRST, **key)
    await upload(instance, SECOND)
    await instance.work()
    again = await instance.upload("ferry.md", FIRST, **key)
    assert (again.status_code, again.json()["id"]) == (200, first.json()["id"])
    assert again.json()["version"] == 2


async def test_a_key_of_the_release_before_is_kept_through_a_new_version(instance: Any) -> None:
    first = (await upload(instance, FIRST)).json()
    async with instance.state.pool.connection() as connection:
        await connection.execute("UPDATE documents SET idempotency_key = 'of-issue-2'")
    key = {"Idempotency-Key": "of-issue-2"}
    assert (await instance.upload("x.md", FIRST, **key)).json()["id"] == first["id"]
    await upload(instance, SECOND)
    repeated = await instance.upload("x.md", FIRST, **key)
    assert (repeated.status_code, repeated.json()["id"]) == (200, first["id"])


async def test_a_source_may_be_given_in_the_query_or_the_form_and_hold_folders(
    instance: Any,
) -> None:
    asked = (await upload(instance, FIRST, source="plans/2031/ferry.md")).json()
    form = await instance.client.post(
        "/v1/documents",
        data={"source": "plans/2030/ferry.md", "metadata": '{"year": 2030}'},
        files={"file": ("ferry.md", SECOND)},
    )
    assert asked["source"] == "plans/2031/ferry.md"
    assert (form.json()["source"], form.json()["metadata"]) == (
        "plans/2030/ferry.md",
        {"year": 2030},
    )
    listed = await instance.client.get("/v1/documents", params={"source_prefix": "plans/2031/"})
    assert [each["id"] for each in listed.json()["documents"]] == [asked["id"]]
    by_content = await instance.client.get("/v1/documents", params={"sha256": asked["sha256"]})
    assert by_content.json()["total"] == 1


async def test_metadata_and_date_belong_to_the_document_and_may_change_alone(
    instance: Any,
) -> None:
    await upload(instance, FIRST, metadata='{"kind": "plan"}', dated_at="2031-04-11T12:00:00Z")
    await instance.work()
    changed = await upload(instance, FIRST, metadata='{"kind": "timetable"}')
    assert changed.status_code == 200
    assert changed.json()["metadata"] == {"kind": "timetable"}
    assert changed.json()["dated_at"].startswith("2031-04-11T12:00:00")


@pytest.mark.parametrize(
    "query",
    [
        {"metadata": "[1]"},
        {"metadata": "{"},
        {"metadata": '{"a": NaN}'},
        {"metadata": '{"a": 1e999}'},
        {"metadata": '{"a": "\\u0000"}'},
        {"metadata": '{"a": "\\ud800"}'},
        {"metadata": "[" * 8000},
        {"metadata": '{"a": "' + "x" * 9000 + '"}'},
        {"source": "a\x00b"},
        {"source": "x" * 2001},
        {"source": " "},
        {"collection": "Not A Name"},
        {"dated_at": "yesterday"},
        {"dated_at": "9999-12-31T23:59:59-12:00"},
    ],
)
async def test_an_upload_that_describes_itself_badly_is_one_problem_and_stores_nothing(
    instance: Any, query: dict[str, str]
) -> None:
    response = await upload(instance, FIRST, **query)
    assert response.status_code == 422, response.text
    form = await instance.client.post("/v1/documents", data=query, files={"file": ("a.md", FIRST)})
    assert form.status_code == 422, form.text
    assert stored_files(instance) == set()


async def test_versions_uploaded_at_once_end_with_one_of_them_whole(instance: Any) -> None:
    contents = [FIRST, SECOND, THIRD]
    await asyncio.gather(*(upload(instance, content) for content in contents * 3))
    await instance.work()
    listed = (await instance.client.get("/v1/documents")).json()
    assert listed["total"] == 1
    document = listed["documents"][0]
    assert document["status"] == "ready"
    assert document["version"] == document["served_version"]
    assert stored_files(instance) == {document["sha256"]}
    assert await orphans(instance) == 0

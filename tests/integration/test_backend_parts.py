"""One document or one collection, taken out as it was, is put back among what is there now."""

from __future__ import annotations

import asyncio
import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from slipway_backend.errors import StartRefused
from slipway_backend.parts import package, put
from slipway_backend.parts.comparison import Comparison
from slipway_backend.parts.look import Here
from slipway_backend.parts.tables import LEFT, PUT_BACK, REFERRED
from slipway_backend.queue import make_queue, open_queue
from slipway_backend.settings import Settings
from slipway_backup import belongings, extract, fingerprints
from slipway_backup.belongings import Wanted
from slipway_backup.errors import BackupError, Refused

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
LATER = b"# Ferry\n\nThe ferry to Utvik leaves at 09:40 from quay two.\n"
TRAM = b"# Tram\n\nThe tram to Nordheim stops at the old brewery.\n"
QUESTION = "When does the ferry to Utvik leave?"
#: Columns that say when, or by which job, and not what.
PASSING = ["updated_at", "job_id", "progress"]


class World:
    """An instance, and the two services' halves of taking out and putting back."""

    def __init__(self, instance: Any, settings: Settings, folder: Path) -> None:
        self.instance, self.settings, self.folder = instance, settings, folder
        self.client = instance.client
        self.taken = 0

    async def upload(self, name: str, content: bytes, collection: str = "default") -> str:
        """A document that is served; its id."""
        answer = await self.client.post(
            "/v1/documents",
            files={"file": (name, content)},
            data={"collection": collection, "source": name},
        )
        assert answer.status_code in (200, 202), answer.text
        await self.instance.work()
        return str(answer.json()["id"])

    def take(self, collection: str = "", document: str = "", point: str = "p1") -> bytes:
        """What the backup service hands over of a database as it is now."""
        self.taken += 1
        folder = self.folder / f"taken-{self.taken}"
        (folder / "files").mkdir(parents=True)
        with fingerprints.connect(self.settings.require_database()) as session:
            found = belongings.take(session, Wanted(collection, document), folder)
        store = self.instance.state.files
        missing = {each for each in found.contents if not store.path(each).exists()}
        for each in found.contents - missing:
            (folder / "files" / each).write_bytes(store.path(each).read_bytes())
        head = {
            "format": extract.FORMAT,
            "point": point,
            "reached": point,
            "schema": found.schema,
            "collection": found.collection,
            "document": found.documents[0] if document else None,
            "missing": sorted(missing),
        }
        out = io.BytesIO()
        extract.write(head, folder, out)
        return out.getvalue()

    async def compare(self, tar: bytes) -> Comparison:
        """What putting it back would change."""
        package.receive(self.instance.state.files, "one", io.BytesIO(tar))
        with package.opened(self.instance.state.files, "one") as given:
            return await put.compare(await self.here(), given)

    async def put(self, tar: bytes) -> Comparison:
        """Put it back, whatever that changes."""
        told = await self.compare(tar)
        with package.opened(self.instance.state.files, "one") as given:
            return await put.put(await self.here(), given, told.agreed)

    async def here(self) -> Here:
        queue = make_queue()
        await open_queue(queue, self.instance.state.pool)
        state = self.instance.state
        return Here(self.settings, state.pool, queue, state.files)

    def rows(self, query: str, *values: Any) -> list[Any]:
        """What the database has, in plain."""
        with psycopg.connect(self.settings.require_database()) as session:
            return [row[0] for row in session.execute(query.encode(), values)]

    def document(self, number: str) -> list[Any]:
        """A document's row and its passages, without what passes."""
        return [
            *self.rows(
                "SELECT to_jsonb(documents) - %s::text[] FROM documents WHERE id = %s",
                PASSING,
                number,
            ),
            *self.rows(
                "SELECT to_jsonb(chunks) - 'id' FROM chunks WHERE document_id = %s"
                " ORDER BY position",
                number,
            ),
        ]

    async def cited(self, question: str = QUESTION) -> str:
        """The first passage that an answer cites; empty when there is none."""
        answer = (await self.client.post("/v1/query", json={"question": question})).json()
        return str(answer["citations"][0]["passage"]) if answer["citations"] else ""


@pytest.fixture
def world(instance: Any, settings: Settings, tmp_path: Path) -> World:
    return World(instance, settings, tmp_path)


def actions(told: Comparison) -> list[tuple[str, str]]:
    return [(each.name, each.action) for each in told.documents]


async def test_every_table_that_refers_to_a_document_is_decided_about(world: World) -> None:
    with fingerprints.connect(world.settings.require_database()) as session:
        known = belongings.keys(session)
    belongs = belongings.belonging(known)
    assert belongs.keys() == PUT_BACK.keys()
    assert belongings.faces(known, belongs).keys() == REFERRED.keys()
    assert REFERRED.keys() == belongings.FACES.keys()
    names = ("collection", "collections", "collection_id", "document", "documents", "document_id")
    named = world.rows(
        "SELECT table_name || '.' || column_name FROM information_schema.columns"
        " WHERE table_schema = 'public' AND column_name = ANY (%s) AND table_name <> ALL (%s)",
        list(names),
        list(PUT_BACK),
    )
    assert set(named) == set(LEFT)


async def test_a_new_table_that_refers_to_a_passage_is_noticed(world: World) -> None:
    with psycopg.connect(world.settings.require_database(), autocommit=True) as session:
        session.execute(
            "CREATE TABLE notes (id integer PRIMARY KEY, chunk_id bigint REFERENCES chunks (id))"
        )
    with fingerprints.connect(world.settings.require_database()) as session:
        assert "notes" in belongings.belonging(belongings.keys(session))


async def test_a_deleted_document_comes_back_and_is_cited(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    before = world.document(number)
    tar = world.take("default", "ferry.md")
    assert (await world.client.delete(f"/v1/documents/{number}")).status_code == 204
    neighbour = await world.upload("tram.md", TRAM)
    other = world.document(neighbour)
    assert "07:15" not in await world.cited()
    told = await world.put(tar)
    assert actions(told) == [("ferry.md", "return")]
    assert world.document(number) == before
    assert "07:15" in await world.cited()
    original = await world.client.get(f"/v1/documents/{number}/file")
    assert original.content == FERRY
    assert world.document(neighbour) == other
    (entry,) = world.rows("SELECT details FROM audit WHERE action = 'document.restore'")
    assert (entry["point"], entry["replaced"]) == ("p1", 0)
    again = await world.compare(tar)
    assert actions(again) == [("ferry.md", "none")]
    assert again.nothing


async def test_a_changed_document_is_replaced_under_a_version_of_its_own(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    assert await world.upload("ferry.md", LATER) == number
    assert "09:40" in await world.cited()
    told = await world.put(tar)
    assert [each["version"] for each in told.documents[0].replaced] == [2]
    document = await world.instance.document(number)
    assert (document["version"], document["served_version"]) == (3, 3)
    assert "07:15" in await world.cited()
    assert (await world.client.get(f"/v1/documents/{number}/file")).content == FERRY
    assert (await world.compare(tar)).nothing
    assert world.rows("SELECT count(*) FROM chunks WHERE version <> 3") == [0]


async def test_a_later_document_of_the_same_name_is_told_and_replaced(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    later = await world.upload("ferry.md", LATER)
    told = await world.put(tar)
    assert [each["id"] for each in told.documents[0].replaced] == [later]
    assert world.rows("SELECT id::text FROM documents") == [number]
    assert "07:15" in await world.cited()


async def test_a_deleted_collection_comes_back_with_documents_and_grants(world: World) -> None:
    made = await world.client.post("/v1/collections", json={"name": "plans", "description": "P"})
    assert made.status_code == 201, made.text
    ferry = await world.upload("ferry.md", FERRY, "plans")
    tram = await world.upload("tram.md", TRAM, "plans")
    people = {}
    for name in ("ada", "bob"):
        answer = await world.client.post(
            "/v1/users", json={"username": name, "password": "a password of ada", "role": "editor"}
        )
        people[name] = answer.json()["id"]
        given = await world.client.put(
            "/v1/collections/plans/grants", json={"user_id": people[name], "access": "read"}
        )
        assert given.status_code in (200, 201), given.text
    before = [world.document(each) for each in (ferry, tram)]
    collection = world.rows("SELECT to_jsonb(c) FROM collections c WHERE name = 'plans'")
    tar = world.take("plans")
    gone = await world.client.delete("/v1/collections/plans?force=true")
    assert gone.status_code == 204, gone.text
    assert (await world.client.delete(f"/v1/users/{people['bob']}")).status_code == 204
    told = await world.put(tar)
    assert told.collection.place == "return"
    assert (told.grants, told.refused) == (("ada may read",), ("bob may read",))
    assert world.rows("SELECT to_jsonb(c) FROM collections c WHERE name = 'plans'") == collection
    assert [world.document(each) for each in (ferry, tram)] == before
    assert world.rows("SELECT user_id::text FROM grants") == [people["ada"]]
    assert (await world.compare(tar)).nothing


async def test_what_was_added_and_taken_back_since_stays_so(world: World) -> None:
    await world.client.post("/v1/collections", json={"name": "plans"})
    ferry = await world.upload("ferry.md", FERRY, "plans")
    tar = world.take("plans")
    later = await world.upload("tram.md", TRAM, "plans")
    await world.client.patch("/v1/collections/plans", json={"name": "routes"})
    await world.client.delete(f"/v1/documents/{ferry}")
    told = await world.put(tar)
    assert (told.collection.place, told.collection.name, told.later) == ("renamed", "routes", 1)
    assert set(world.rows("SELECT id::text FROM documents")) == {ferry, later}
    assert world.rows("SELECT name FROM collections ORDER BY id") == ["default", "routes"]


async def test_vectors_of_another_model_are_made_anew(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    other = rewritten(tar, "faces/embedding_sets.jsonl", {"model": "older", "fingerprint": "old"})
    told = await world.put(other)
    assert (told.documents[0].again, told.documents[0].unserved) == (True, True)
    assert (await world.instance.document(number))["status"] == "queued"
    assert world.rows("SELECT count(*) FROM chunks") == [0]
    await world.instance.work()
    assert (await world.instance.document(number))["status"] == "ready"
    assert "07:15" in await world.cited()


async def test_an_upload_that_was_not_read_yet_then_is_read_now(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    await world.client.post(
        "/v1/documents", files={"file": ("ferry.md", LATER)}, data={"source": "ferry.md"}
    )
    tar = world.take(document=number)
    await world.instance.work()
    assert (await world.compare(tar)).nothing
    await world.client.delete(f"/v1/documents/{number}")
    told = await world.put(tar)
    assert (told.documents[0].again, told.documents[0].unserved) == (True, False)
    # What was served then is served until the upload is read.
    assert "07:15" in await world.cited()
    await world.instance.work()
    assert "09:40" in await world.cited()
    assert (await world.instance.document(number))["version"] == 2


async def test_with_another_model_what_was_served_comes_back_and_not_what_failed(
    world: World,
) -> None:
    number = await world.upload("ferry.md", FERRY)
    await world.client.post(
        "/v1/documents", files={"file": ("ferry.md", LATER)}, data={"source": "ferry.md"}
    )
    with psycopg.connect(world.settings.require_database()) as session:
        session.execute("UPDATE documents SET status = 'failed', error = 'It has no words.'")
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    other = rewritten(tar, "faces/embedding_sets.jsonl", {"model": "older", "fingerprint": "old"})
    await world.put(other)
    await world.instance.work()
    assert "07:15" in await world.cited()
    assert (await world.client.get(f"/v1/documents/{number}/file")).content == FERRY


async def test_keys_of_uploads_come_back_with_their_document(world: World) -> None:
    answer = await world.instance.upload("ferry.md", FERRY, **{"Idempotency-Key": "one"})
    number = answer.json()["id"]
    await world.instance.work()
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    await world.put(tar)
    again = await world.instance.upload("ferry.md", FERRY, **{"Idempotency-Key": "one"})
    assert again.json()["id"] == number
    assert world.rows("SELECT count(*) FROM documents") == [1]


async def test_an_owner_who_is_gone_owns_nothing(world: World) -> None:
    made = await world.client.post(
        "/v1/users", json={"username": "ada", "password": "a password of ada", "role": "editor"}
    )
    number = await world.upload("ferry.md", FERRY)
    with psycopg.connect(world.settings.require_database()) as session:
        session.execute("UPDATE documents SET owner_id = %s", [made.json()["id"]])
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    await world.client.delete(f"/v1/users/{made.json()['id']}")
    assert (await world.put(tar)).ownerless == 1
    assert world.rows("SELECT owner_id FROM documents") == [None]


async def test_a_lost_file_alone_comes_back(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    (sha256,) = world.rows("SELECT sha256 FROM documents")
    world.instance.state.files.remove(sha256)
    before = world.document(number)
    assert actions(await world.put(tar)) == [("ferry.md", "file")]
    assert (await world.client.get(f"/v1/documents/{number}/file")).content == FERRY
    assert world.document(number) == before


async def test_lost_passages_come_back(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    with psycopg.connect(world.settings.require_database()) as session:
        session.execute("DELETE FROM chunks")
    told = await world.put(tar)
    assert told.documents[0].replaced[0]["whole"] is False
    assert "07:15" in await world.cited()


async def test_what_was_not_agreed_to_is_not_done(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    told = await world.compare(tar)
    later = await world.upload("ferry.md", LATER)
    with (
        package.opened(world.instance.state.files, "one") as given,
        pytest.raises(StartRefused, match="changed by somebody else"),
    ):
        await put.put(await world.here(), given, told.agreed)
    assert world.rows("SELECT id::text FROM documents") == [later]


async def test_what_fails_in_the_middle_leaves_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")

    async def cut(*_: Any, **__: Any) -> None:
        raise RuntimeError("cut")

    monkeypatch.setattr(put, "_tell", cut)
    with pytest.raises(RuntimeError, match="cut"):
        await world.put(tar)
    monkeypatch.undo()
    assert world.rows("SELECT count(*) FROM documents") == [0]
    assert world.rows("SELECT count(*) FROM chunks") == [0]
    assert actions(await world.put(tar)) == [("ferry.md", "return")]
    assert "07:15" in await world.cited()


async def test_a_worker_that_is_killed_in_the_middle_leaves_nothing_half(
    world: World, start_process: Callable[..., subprocess.Popen[bytes]]
) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    told = await world.compare(tar)
    words = ("parts", "put", "one", "--agreed", told.agreed)
    at_work = (
        "SELECT state FROM pg_stat_activity WHERE datname = current_database()"
        " AND starts_with(query, 'INSERT INTO audit') AND state <> 'idle'"
    )
    with psycopg.connect(world.settings.require_database()) as session:
        # The last thing that is written before the end.
        session.execute("LOCK TABLE audit IN SHARE MODE")
        killed = start_process(*words)
        await until(lambda: bool(world.rows(f"{at_work} AND wait_event_type = 'Lock'")))
        killed.kill()
        killed.wait()
    await until(lambda: not world.rows(at_work))
    assert world.rows("SELECT count(*) FROM documents") == [0]
    assert world.rows("SELECT count(*) FROM chunks") == [0]
    again = start_process(*words)
    output, _ = again.communicate(timeout=60)
    assert again.returncode == 0, output
    assert json.loads(output.splitlines()[-1])["done"]["agreed"] == told.agreed
    assert "07:15" in await world.cited()


async def test_what_arrives_on_standard_input_is_compared(world: World, settings: Settings) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    await world.client.delete(f"/v1/documents/{number}")
    code, output = await parts(settings, "receive", "one", given=tar)
    assert code == 0, output
    compared = json.loads(output.splitlines()[-1])["compared"]
    assert [each["action"] for each in compared["documents"]] == ["return"]
    kept = settings.files_directory / "incoming" / "part-one"
    assert kept.stat().st_mode & 0o777 == 0o600
    code, output = await parts(settings, "receive", "two", given=tar[:3000])
    assert (code, b"cut short" in output) == (2, True)
    code, _ = await parts(settings, "discard", "one")
    assert code == 0
    assert list(kept.parent.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
async def test_what_was_cut_short_on_its_way_is_refused(world: World, share: float) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number)
    whole = len(tar.rstrip(b"\0")) - 600
    with pytest.raises(StartRefused, match="cut short"):
        await world.compare(tar[: int(whole * share)])
    assert list((world.instance.state.files.directory / "incoming").iterdir()) == []


async def test_a_file_with_other_content_is_refused(world: World) -> None:
    number = await world.upload("ferry.md", FERRY)
    tar = world.take(document=number).replace(FERRY, FERRY.replace(b"07:15", b"07:51"))
    await world.client.delete(f"/v1/documents/{number}")
    with pytest.raises(StartRefused, match="has other content"):
        await world.put(tar)
    assert world.rows("SELECT count(*) FROM documents") == [0]


async def test_a_schema_of_the_future_is_refused(world: World) -> None:
    await world.upload("ferry.md", FERRY)
    tar = rewritten(world.take("default"), "part.json", {"schema": "9999"})
    with pytest.raises(StartRefused, match="schema 9999"):
        await world.compare(tar)


async def test_what_was_not_there_is_named(world: World) -> None:
    await world.upload("a/ferry.md", FERRY)
    await world.upload("b/ferry.md", LATER)
    for wanted, said in (
        (("plans", ""), "there were: default"),
        (("", "ferry.md"), "is no id of a document"),
        (("default", "tram.md"), "no document 'tram.md' in default"),
    ):
        with pytest.raises(Refused, match=said):
            world.take(*wanted)
    # Names are told apart by the source, which is the whole path.
    assert len(world.take("default", "a/ferry.md")) > 0
    with pytest.raises(BackupError):
        world.take("default", "00000000-0000-0000-0000-000000000000")


async def until(look: Callable[[], bool]) -> None:
    """Wait until a look finds what it looks for."""
    async with asyncio.timeout(60):
        while True:
            if await asyncio.to_thread(look):
                return
            await asyncio.sleep(0.05)


async def parts(settings: Settings, *words: str, given: bytes = b"") -> tuple[int | None, bytes]:
    """How `slipway-backend parts WORDS` ends, and what it prints."""
    environment = os.environ | {
        name.upper(): str(value) for name, value in settings.model_dump().items()
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway_backend", "parts", *words),
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(given)
    return process.returncode, output


def rewritten(tar: bytes, name: str, changes: dict[str, Any]) -> bytes:
    """The same tar with other values in every line of one entry."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(tar)) as source,
        tarfile.open(fileobj=out, mode="w") as target,
    ):
        for entry in source.getmembers():
            stream = source.extractfile(entry)
            assert stream is not None
            content = stream.read()
            if entry.name == name:
                lines = [json.loads(line) | changes for line in content.splitlines()]
                content = "".join(f"{json.dumps(line)}\n" for line in lines).encode()
                entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    return out.getvalue()

"""One document or one collection comes back out of a point, and nothing else is touched."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from kept_rig import SCHEDULED
from site_copy import NAME, Answer, Site
from tier_rig import eventually

from slipway.report import Result

FERRY = b"# Ferry\n\nThe ferry to Utvik leaves at 07:15 from quay four.\n"
LATER = b"# Ferry\n\nThe ferry to Utvik leaves at 09:40 from quay two.\n"
TRAM = b"# Tram\n\nThe tram to Nordheim stops at the old brewery.\n"
QUESTION = "When does the ferry to Utvik leave?"


class Library:
    """A served environment with backups, as somebody with documents sees it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.client = site.client()

    def upload(self, name: str, content: bytes, collection: str) -> str:
        """A document that is ready; its id."""
        answer = self.client.post(
            "/v1/documents",
            files={"file": (name, content)},
            data={"collection": collection, "source": name},
        )
        assert answer.status_code in (200, 202), answer.text
        number = str(answer.json()["id"])
        eventually(lambda: self.document(number)["status"] == "ready", "ready document")
        return number

    def document(self, number: str) -> dict[str, Any]:
        """What is told of a document, without what passes."""
        answer = self.client.get(f"/v1/documents/{number}")
        assert answer.status_code == 200, answer.text
        return {
            name: value
            for name, value in answer.json().items()
            if name not in ("updated_at", "progress")
        }

    def collection(self, name: str) -> None:
        """Make a collection."""
        answer = self.client.post("/v1/collections", json={"name": name})
        assert answer.status_code == 201, answer.text

    def delete(self, path: str) -> None:
        """Delete a document or a collection."""
        answer = self.client.delete(path)
        assert answer.status_code == 204, answer.text

    def cited(self) -> str:
        """The passages that the answer about the ferry cites."""
        answer = self.client.post("/v1/query", json={"question": QUESTION}).json()
        return " ".join(str(each["passage"]) for each in answer["citations"])

    def point(self) -> str:
        """A recovery point of now."""
        return str(self._read("backup")["id"])

    def points(self) -> list[dict[str, Any]]:
        """Every recovery point, the oldest first."""
        found = self._read("backup.list")["points"]
        assert isinstance(found, list)
        return found

    def _read(self, *words: str) -> dict[str, Any]:
        answer = self.site.invoke(*words, "--env", NAME, "--json")
        assert answer.exit_code == 0, answer.text
        found = json.loads(answer.text[answer.text.index("{") : answer.text.rindex("}") + 1])
        assert isinstance(found, dict)
        return found

    def restore(self, *words: str) -> Answer:
        """Type `invoke restore --env NAME WORDS`."""
        return self.site.invoke("restore", "--env", NAME, *words)


@pytest.fixture(scope="module")
def library(released: Site) -> Iterator[Library]:
    """The environment with backups."""
    released.set_environment(backup=SCHEDULED)
    try:
        answer = released.invoke("release", "--env", NAME)
        assert answer.exit_code == 0, answer.text
        made = Library(released)
        # What is due at once: whoever comes in between is told that another one is at work.
        eventually(made.points, "first point")
        eventually(lambda: made.points()[0]["verified"], "first drill")
        yield made
        made.client.close()
    finally:
        # The network that only backups need goes with everything alone.
        assert released.invoke("down", "--env", NAME).exit_code == 0
        released.put_back()


def test_a_deleted_document_comes_back_is_found_and_cited(
    library: Library, figures: list[Result]
) -> None:
    library.collection("ferries")
    ferry = library.upload("ferry.md", FERRY, "ferries")
    point = library.point()
    before = library.document(ferry)
    library.delete(f"/v1/documents/{ferry}")
    tram = library.upload("tram.md", TRAM, "ferries")
    neighbour = library.document(tram)
    assert "07:15" not in library.cited()
    containers = library.site.containers()
    words = ("--to", point, "--collection", "ferries", "--document", "ferry.md")
    planned = library.restore(*words, "--plan")
    assert planned.exit_code == 0, planned.text
    assert "return ferry.md: was deleted since" in planned.text
    assert library.client.get(f"/v1/documents/{ferry}").status_code == 404
    began = time.monotonic()
    answer = library.restore(*words)
    assert answer.exit_code == 0, answer.text
    seconds = round(time.monotonic() - began, 1)
    figures.append(Result("restore of one document", seconds, "s"))
    assert library.document(ferry) == before
    assert "07:15" in library.cited()
    assert library.client.get(f"/v1/documents/{ferry}/file").content == FERRY
    assert library.document(tram) == neighbour
    assert library.site.containers() == containers
    again = library.restore(*words)
    assert again.exit_code == 0, again.text
    assert "Nothing to do" in again.text
    assert "restored" in library.site.invoke("history", "--env", NAME).text


def test_a_changed_document_is_replaced_only_after_its_name(library: Library) -> None:
    library.collection("quays")
    ferry = library.upload("quay.md", FERRY, "quays")
    point = library.point()
    assert library.upload("quay.md", LATER, "quays") == ferry
    words = ("--to", point, "--document", ferry)
    asked = library.restore(*words)
    assert asked.exit_code == 2, asked.text
    assert "give --yes-overwrite quay.md" in asked.text
    original = f"/v1/documents/{ferry}/file"
    assert library.client.get(original).content == LATER
    done = library.restore(*words, "--yes-overwrite", "quay.md")
    assert done.exit_code == 0, done.text
    assert library.client.get(original).content == FERRY


def test_a_deleted_collection_comes_back_also_when_that_was_killed(library: Library) -> None:
    library.collection("trams")
    numbers = [library.upload(f"{each}.md", TRAM + each.encode(), "trams") for each in "abc"]
    point = library.point()
    before = [library.document(each) for each in numbers]
    library.delete("/v1/collections/trams?force=true")
    words = ("restore", "--env", NAME, "--to", point, "--collection", "trams")
    with library.site.start(*words) as restoring:
        time.sleep(6)
        os.kill(restoring.pid, signal.SIGKILL)

    def done() -> bool:
        answer = library.site.invoke(*words)
        if answer.exit_code == 2:
            # What was begun ends by itself.
            assert "another one is at work" in answer.text
            return False
        assert answer.exit_code == 0, answer.text
        return True

    eventually(done, "collection that is back")
    assert [library.document(each) for each in numbers] == before


def test_what_is_not_in_the_point_is_a_refusal(library: Library) -> None:
    refused = library.restore("--collection", "planes")
    assert refused.exit_code == 2, refused.text
    assert "there was no collection 'planes' then" in refused.text

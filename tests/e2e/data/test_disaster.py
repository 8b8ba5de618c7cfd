"""The host is lost; a copy of the repository and the key are enough for users to go on."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from docker.types import Mount
from kept_rig import KEPT, Kept
from site_copy import HTTPS, Site
from tier_rig import eventually

from slipway.report import Result

USER, PASSWORD = "winch-keeper", "a lantern by the slipway"
# Of no sample: what cites it can have it from nowhere but the repository.
NOTE = "The spare key of the Aldgate pump house hangs behind the blue valve wheel.\n"
QUESTION = "Where does the spare key of the Aldgate pump house hang?"
# The promise, which the report of a run is held to.
GOAL = "<= 60"


@pytest.fixture(scope="module")
def kept(released: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """A released environment with backups, a user and a document."""
    made = Kept(released, replicas=0)
    try:
        made.begin()
        yield made
    finally:
        ended = made.remove()
    assert ended.exit_code == 0, ended.text


def client(kept: Kept, username: str, password: str) -> httpx.Client:
    """Somebody who is logged in through the edge."""
    trust = ssl.create_default_context(cafile=str(kept.site.root / ".slipway" / KEPT / "ca.crt"))
    url = f"https://localhost:{HTTPS + 6}"
    login = {"username": username, "password": password}
    answer = httpx.post(f"{url}/v1/login", json=login, verify=trust, timeout=30)
    assert answer.status_code == 200, answer.text
    headers = {"authorization": f"Bearer {answer.json()['access_token']}"}
    return httpx.Client(base_url=url, verify=trust, headers=headers, timeout=30)


def administrator(kept: Kept) -> httpx.Client:
    """The first administrator, with the password that the release left."""
    path = kept.site.root / ".slipway" / KEPT / "admin_password"
    return client(kept, "admin", path.read_text())


def fill(kept: Kept) -> str:
    """Make the user, and a document that they may read; the document's id."""
    with administrator(kept) as http:
        made = http.post("/v1/users", json={"username": USER, "password": PASSWORD})
        assert made.status_code == 201, made.text
        granted = http.put(
            "/v1/collections/default/grants", json={"user_id": made.json()["id"], "access": "read"}
        )
        assert granted.is_success, granted.text
        sent = http.post("/v1/documents", files={"file": ("keys.md", NOTE.encode())})
        assert sent.status_code == 202, sent.text
        document = str(sent.json()["id"])
        eventually(
            lambda: http.get(f"/v1/documents/{document}").json()["status"] == "ready",
            "document that is ready",
        )
    return document


def cited(kept: Kept, document: str) -> None:
    """The user logs in, the document is there as it was, and its citation comes."""
    with client(kept, USER, PASSWORD) as http:
        assert http.get(f"/v1/documents/{document}/file").content == NOTE.encode()
        answer = http.post("/v1/query", json={"question": QUESTION}).json()
        assert document in {each["document_id"] for each in answer["citations"]}, answer


def copied_out(kept: Kept, folder: Path) -> Path:
    """A copy of the volume of the repository, as its owner would take it off the host."""
    folder.mkdir()
    image = kept.container("backup").attrs["Config"]["Image"]
    kept.site.engine.containers.run(
        image,
        ["-ec", "cp -a /volume/. /copy/ && chown -R 12345:12345 /copy"],
        entrypoint="sh",
        user="0:0",
        network_mode="none",
        mounts=[
            Mount("/volume", f"slipway-{KEPT}-backup", type="volume", read_only=True),
            Mount("/copy", str(folder), type="bind"),
        ],
        remove=True,
    )
    return folder


def of_environment(kept: Kept) -> list[str]:
    """What the engine has of it."""
    engine = kept.site.engine
    named = [each.name for each in (*engine.volumes.list(), *engine.containers.list(all=True))]
    return [str(each) for each in named if str(each).startswith(f"slipway-{KEPT}-")]


def test_an_environment_comes_back_from_a_copy_of_its_repository(
    kept: Kept, figures: list[Result], tmp_path: Path
) -> None:
    document = fill(kept)
    cited(kept, document)
    key = tmp_path / "key"
    assert kept.invoke("backup.key", "--to", str(key)).exit_code == 0
    point = kept.point()
    kept.mark(1)
    written = time.time() + 5
    # A file of the log is archived within a minute of a write, and told at once.
    eventually(
        lambda: kept._read("backup.list", "--json")["archived"] > written, "write in the archive"
    )
    copy = copied_out(kept, tmp_path / "copy")
    ledger = json.loads(kept.invoke("history", "--json").text)
    words = ("restore", "--from", str(copy), "--key", str(key))

    lives = kept.invoke(*words)
    assert lives.exit_code == 2
    assert "lives on this engine" in lives.text
    cited(kept, document)

    assert kept.down().exit_code == 0
    assert of_environment(kept) == []
    (tmp_path / "other-key").write_text("k" * 43)
    for wrong in (
        ("restore", "--from", str(copy), "--key", str(tmp_path / "other-key")),
        ("restore", "--from", str(tmp_path), "--key", str(key)),
        ("restore", "--from", str(tmp_path / "nowhere"), "--key", str(key)),
    ):
        refused = kept.invoke(*wrong)
        assert refused.exit_code == 2, refused.text
        assert "Nothing was touched" in refused.text
    other = kept.invoke(*words, env=kept.copy())
    assert other.exit_code == 2
    assert f"is the repository of {KEPT}, not of" in other.text
    shown = kept.invoke(*words, "--plan")
    assert shown.exit_code == 0, shown.text
    assert of_environment(kept) == []

    began = time.monotonic()
    answer = kept.invoke(*words)
    assert answer.exit_code == 0, answer.text
    cited(kept, document)
    seconds = round(time.monotonic() - began, 1)
    figures.append(Result("from empty volumes to the cited answer", seconds, "s", GOAL))
    print(f"from empty volumes to the cited answer: {seconds} s (goal {GOAL})")

    assert "The last write that is there is of" in answer.text
    assert kept.marks() == ["1"]
    now = json.loads(kept.invoke("history", "--json").text)
    assert now[: len(ledger)] == ledger or now[-len(ledger) :] == ledger, now
    assert "Nothing to do" in kept.invoke("release").text
    assert point in {each["id"] for each in kept.points()}
    assert kept.point() != point
    drill = kept.invoke("backup.drill")
    assert drill.exit_code == 0, drill.text

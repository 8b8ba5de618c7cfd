"""Users from the command line, as the API then sees them."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from uuid import UUID

import pytest

from slipway_backend.cli import make_parser
from slipway_backend.errors import StartRefused
from slipway_backend.logs import user_hash
from slipway_backend.settings import Settings
from slipway_backend.user_commands import run_users

PHRASE = "a phrase of somebody"


@pytest.fixture
def command(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Any:
    """Run `slipway-backend users ...` with a line of standard input; what it says."""

    async def run(*arguments: str, given: str = "") -> str:
        monkeypatch.setattr("sys.stdin", io.StringIO(given))
        chosen = make_parser().parse_args(["users", *arguments])
        capsys.readouterr()
        assert await asyncio.to_thread(run_users, settings, chosen) == 0
        return capsys.readouterr().out

    return run


async def log_in(instance: Any, username: str, password: str) -> Any:
    return await instance.client.post(
        "/v1/login", json={"username": username, "password": password}
    )


async def test_a_user_is_added_granted_given_a_new_password_and_deactivated(
    instance: Any, command: Any
) -> None:
    assert "ada was added as editor" in await command(
        "add", "ada", "--role", "editor", given=f"{PHRASE}\n"
    )
    token = (await log_in(instance, "ada", PHRASE)).json()["access_token"]
    mine = {"Authorization": f"Bearer {token}"}
    assert (await instance.client.get("/v1/me", headers=mine)).json()["writable"] == []
    assert "may write 'default'" in await command("grant", "ada", "default", "write")
    assert (await instance.client.get("/v1/me", headers=mine)).json()["writable"] == ["default"]

    said = await command("password", "ada", "--generate")
    made = said.split("password: ")[1].splitlines()[0]
    assert (await instance.client.get("/v1/me", headers=mine)).status_code == 401
    assert (await log_in(instance, "ada", PHRASE)).status_code == 401
    assert (await log_in(instance, "ada", made)).status_code == 200

    await command("deactivate", "ada")
    assert (await log_in(instance, "ada", made)).status_code == 401
    lines = (await command("list")).splitlines()
    assert [line.split()[::3] for line in lines] == [["editor", "ada"], ["admin", "admin"]]
    assert "deactivated" in lines[0]


async def test_a_user_is_known_by_name_to_whoever_looks_for_their_lines(
    instance: Any, command: Any
) -> None:
    me = (await instance.client.get("/v1/me")).json()["id"]
    assert (await command("hash", "admin")).strip() == user_hash(UUID(me))


async def test_every_change_is_in_the_audit_log_without_the_password(
    instance: Any, command: Any
) -> None:
    await command("add", "ada", given=f"{PHRASE}\n")
    await command("grant", "ada", "default", "read")
    await command("deactivate", "ada")
    async with instance.state.pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT action, details::text AS details FROM audit"
            " WHERE details->>'by' = 'command line' ORDER BY id"
        )
        rows = await cursor.fetchall()
    assert [row["action"] for row in rows] == ["user.create", "grant.update", "user.update"]
    assert not any(PHRASE in row["details"] for row in rows)


@pytest.mark.parametrize(
    ("arguments", "given", "complaint"),
    [
        (("add", "ada"), "", "standard input, or --generate"),
        (("add", "ada"), "short\n", "at least 12 characters"),
        (("add", "ada "), f"{PHRASE}\n", "This username is not accepted"),
        (("add", "admin"), f"{PHRASE}\n", "There is a user 'admin' already"),
        (("password", "admin"), f"{PHRASE}\n", "come from ADMIN_PASSWORD"),
        (("deactivate", "admin"), "", "come from ADMIN_PASSWORD"),
        (("password", "nobody"), f"{PHRASE}\n", "There is no user 'nobody'"),
        (("hash", "nobody"), "", "There is no user 'nobody'"),
        (("grant", "admin", "nowhere", "read"), "", "There is no collection 'nowhere'"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_one_sentence(
    command: Any, arguments: tuple[str, ...], given: str, complaint: str
) -> None:
    with pytest.raises(StartRefused, match=complaint):
        await command(*arguments, given=given)


async def test_the_database_that_gives_no_answer_is_named_and_no_password_with_it(
    settings: Settings,
) -> None:
    gone = settings.model_copy(update={"database_url": "host=127.0.0.1 port=1 dbname=x"})
    chosen = make_parser().parse_args(["users", "list"])
    with pytest.raises(StartRefused, match="database"):
        await asyncio.to_thread(run_users, gone, chosen)

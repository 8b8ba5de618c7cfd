"""`invoke secrets.*` tells which secrets there are, keeps new ones, and never prints one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from standin_engine import Answers
from standin_world import Ended, World

from slipway.config import certificates, secrets
from slipway.errors import SlipwayError
from slipway.state import State

LONG = "correct horse battery staple, and more of it"


def put(world: World, name: str, *words: str, typed: str = "") -> tuple[int, str]:
    ended = world.invoke("secrets.put", "--env", "dev", "--name", name, *words, typed=typed)
    assert LONG not in ended.output + ended.errors
    return ended.exit_code, ended.output + ended.errors


def test_a_new_environment_has_none(world: World) -> None:
    ended = world.invoke("secrets.list", "--env", "dev")
    assert ended.exit_code == 0
    assert ended.output.count("missing") == len(secrets.SECRETS)


def test_a_released_environment_has_all_and_shows_none(released: World) -> None:
    ended = released.invoke("secrets.list", "--env", "dev")
    assert ended.output.count("there  ") == len(secrets.SECRETS)
    assert "signs login tokens" in ended.output
    assert released.secret("jwt_secret") not in ended.output
    assert released.standin.changes == []


def test_one_from_standard_input_is_kept_without_its_line_break(released: World) -> None:
    code, said = put(released, "admin_password", typed=f"{LONG}\n")
    assert code == 0
    assert "admin_password of dev is kept; invoke release --env dev hands it out." in said
    assert released.secret("admin_password") == LONG


def test_the_next_release_hands_it_out(released: World) -> None:
    put(released, "jwt_secret", typed=LONG)
    assert released.release().exit_code == 0
    assert released.standin.generation == 2
    volume = released.standin.volume("slipway-dev-secrets-backend")
    assert (volume / "jwt_secret").read_text() == LONG


def test_the_console_gets_a_password_that_a_person_chose(released: World) -> None:
    released.configure(monitoring="standard")
    listed = released.invoke("secrets.list", "--env", "dev").output
    assert "not set  console_password" in listed
    assert put(released, "console_password", typed=LONG)[0] == 0
    assert released.release().exit_code == 0
    volume = released.standin.volume("slipway-dev-secrets-console")
    assert (volume / "console_password").read_text() == LONG


def test_the_key_that_signed_tokens_before_is_handed_out_beside_the_new_one(
    released: World,
) -> None:
    before = released.secret("jwt_secret")
    volume = released.standin.volume("slipway-dev-secrets-backend")
    assert not (volume / "jwt_secret_previous").exists()
    put(released, "jwt_secret", typed=LONG)
    assert released.release().exit_code == 0
    assert (volume / "jwt_secret").read_text() == LONG
    assert (volume / "jwt_secret_previous").read_text() == before
    put(released, "jwt_secret", typed=LONG)
    assert "Nothing to do" in released.release().output


def test_a_new_admin_password_reaches_the_database_without_a_new_generation(
    released: World,
) -> None:
    put(released, "admin_password", typed=LONG)
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert "changed: admin_password" in ended.output
    assert "migrate database" in ended.output
    assert released.standin.generation == 1
    volume = released.standin.volume("slipway-dev-secrets-migrate")
    assert (volume / "admin_password").read_text() == LONG
    assert "Nothing to do" in released.release().output


def start_fails(world: World) -> None:
    world.standin.faults.service["worker"] = "exited"


def proof_fails(world: World) -> None:
    world.product.broken["POST /v1/query"] = (500, "boom")


def soak_fails(world: World) -> None:
    world.soak(seconds=60, requests=20)
    world.standin.faults.answers[2] = Answers(50, failed=50)


def as_before(world: World, ended: Ended, password: str, containers: set[str]) -> None:
    """Hold the world to being served by the first generation, with the secrets it began with."""
    assert ended.exit_code == 1
    assert "as before: generation 1" in ended.output
    assert {each["Id"] for each in world.standin.project("slipway-dev-g1")} == containers
    assert world.generations() == {"slipway-dev-g1"}
    status = world.invoke("status", "--env", "dev")
    assert status.exit_code == 0, status
    backend = world.standin.volume("slipway-dev-secrets-backend")
    postgres = world.standin.volume("slipway-dev-secrets-postgres")
    assert password in (backend / "database_url").read_text()
    assert (postgres / "slipway_password").read_text() == password


@pytest.mark.parametrize("break_it", [start_fails, proof_fails, soak_fails])
def test_after_a_release_that_failed_everybody_has_what_they_had(
    released: World, break_it: Callable[[World], None]
) -> None:
    """The old generation read the database's password when it started, and works with no other."""
    password = released.secret("slipway_password")
    containers = {each["Id"] for each in released.standin.project("slipway-dev-g1")}
    put(released, "slipway_password", typed="another-password")
    break_it(released)
    as_before(released, released.release(), password, containers)
    released.standin.forget()
    released.product.broken.clear()
    released.soak(seconds=0)
    ended = released.release()
    assert (ended.exit_code, ended.errors) == (0, "")
    assert "changed: slipway_password" in ended.output
    backend = released.standin.volume("slipway-dev-secrets-backend")
    assert "another-password" in (backend / "database_url").read_text()
    assert "Nothing to do" in released.release().output


def test_one_that_finishes_a_killed_release_gives_back_what_was_there_before_both(
    released: World,
) -> None:
    password = released.secret("slipway_password")
    containers = {each["Id"] for each in released.standin.project("slipway-dev-g1")}
    put(released, "slipway_password", typed="another-password")
    released.standin.faults.die_after_step = 6
    assert released.release().exit_code == 1
    assert released.standin.generation == 2
    released.standin.revive()
    proof_fails(released)
    as_before(released, released.release(), password, containers)


def test_a_rollback_in_the_soak_that_fails_takes_nothing_from_what_serves(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The generation that soaks has the new password, though it is not the last finished one."""
    put(released, "slipway_password", typed="another-password")
    released.change("services/backend/app.py")
    released.soak(seconds=600)
    check = State.check
    said = []

    def taken(held: State) -> None:
        if held.yields and not said:
            start_fails(released)
            said.append(0)
            said.append(released.invoke("rollback", "--env", "dev").exit_code)
        check(held)

    monkeypatch.setattr(State, "check", taken)
    assert released.release().exit_code == 1
    assert said == [0, 1]
    assert released.standin.generation == 2
    status = released.invoke("status", "--env", "dev")
    assert status.exit_code == 0, status


def test_an_admin_password_that_no_migration_took_is_handed_out_again(released: World) -> None:
    put(released, "admin_password", typed=LONG)
    released.standin.faults.migrate = "a table stayed locked for 10 s"
    assert released.release().exit_code == 1
    released.standin.forget()
    ended = released.release()
    assert ended.exit_code == 0, ended
    assert "changed: admin_password" in ended.output
    assert "migrate" in released.standin.changes


def test_a_toolbox_that_takes_nothing_back_keeps_nothing_else_from_going_back(
    released: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(_held: State) -> list[str]:
        raise SlipwayError("The state volume could not be used (take-back): no verb 'take-back'")

    monkeypatch.setattr(State, "take_back", unknown)
    released.change("services/backend/app.py")
    start_fails(released)
    ended = released.release()
    assert "the secrets stay as they were handed out: " in ended.errors
    assert released.generations() == {"slipway-dev-g1"}


def test_a_certificate_without_its_key_is_refused_and_not_handed_out(released: World) -> None:
    volume = released.standin.volume("slipway-dev-secrets-edge")
    before = (volume / "tls.crt").read_text()
    other = certificates.generate("localhost", datetime.now(UTC))
    released.configure(secrets="supplied")
    put(released, "tls.crt", typed=other["tls.crt"])
    ended = released.release()
    assert "tls.key of dev is not the private key of its tls.crt" in ended.errors
    assert (volume / "tls.crt").read_text() == before


def test_the_same_again_changes_nothing(released: World) -> None:
    put(released, "admin_password", typed=LONG)
    assert "is as it was" in put(released, "admin_password", typed=LONG)[1]


def test_a_file_in_pem_keeps_its_last_line_break(released: World, tmp_path: Path) -> None:
    released.configure(secrets="supplied")
    path = tmp_path / "tls.key"
    path.write_text(released.secret("tls.key"))
    assert put(released, "tls.key", "--file", str(path))[0] == 0
    assert released.secret("tls.key").endswith("-----END PRIVATE KEY-----\n")


def test_one_can_be_put_before_the_first_release(world: World) -> None:
    assert put(world, "admin_password", typed=LONG)[0] == 0
    assert world.release().exit_code == 0
    assert world.secret("admin_password") == LONG


@pytest.mark.parametrize(
    ("name", "words", "typed", "said"),
    [
        ("jwt", (), LONG, "There is no secret 'jwt' (there are: postgres_password, "),
        ("jwt_secret", (), "short", "jwt_secret has 5 characters, 32 are needed"),
        ("tls.crt", (), LONG, "tls.crt of dev is made and renewed by the release"),
        ("jwt_secret", (), " \n", "-: empty; a secret needs a value"),
        ("jwt_secret", ("--file", "/no/such/file"), "", "/no/such/file: No such file or directory"),
    ],
)
def test_what_cannot_be_kept_is_refused(
    released: World, name: str, words: tuple[str, ...], typed: str, said: str
) -> None:
    code, printed = put(released, name, *words, typed=typed)
    assert code == 2
    assert said in printed
    assert released.standin.changes == []

"""`invoke secrets.*` tells which secrets there are, keeps new ones, and never prints one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from standin_world import World

from slipway.config import certificates, secrets

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

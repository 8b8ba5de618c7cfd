"""A container finds the secrets that it uses, and no others."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from slipway.config import names, secrets

VALUES = {secret.name: f"value of {secret.name}" for secret in secrets.SECRETS}


def test_every_consumer_has_a_volume() -> None:
    assert tuple(secrets.CONSUMERS) == tuple(names.secret_volumes("dev"))


@pytest.mark.parametrize(
    ("consumer", "files"),
    [
        ("backend", {"database_url", "jwt_secret"}),
        ("migrate", {"database_url", "jwt_secret", "admin_password"}),
        ("postgres", {"postgres_password", "slipway_password"}),
        ("edge", {"tls.crt", "tls.key"}),
    ],
)
def test_a_consumer_finds_its_own_files(consumer: str, files: set[str]) -> None:
    assert set(secrets.files(consumer, VALUES)) == files


def test_a_key_that_only_some_environments_need_is_handed_out_where_it_is_kept() -> None:
    with_key = VALUES | {"llm_api_key": "a key"}
    assert secrets.files("backend", with_key)["llm_api_key"] == "a key"
    assert "llm_api_key" not in secrets.files("migrate", with_key)
    before = secrets.fingerprint("backend", {"jwt_secret": "1"})
    assert secrets.fingerprint("backend", {"jwt_secret": "1", "llm_api_key": "2"}) != before
    assert secrets.fingerprint("backend", {"jwt_secret": "1", "rerank": "2"}) == before


def test_a_password_with_any_character_survives_in_the_database_url() -> None:
    password = "p@ss/w:rd?#[]% ü"
    url = secrets.files("backend", VALUES | {"slipway_password": password})["database_url"]
    parts = urlsplit(url)
    assert (parts.username, parts.hostname, parts.port) == ("slipway", "postgres", 5432)
    assert unquote(parts.password or "") == password


@pytest.mark.parametrize(
    ("service", "changed"),
    [
        ("backend", {"slipway_password", "jwt_secret"}),
        ("worker", {"slipway_password", "jwt_secret"}),
        ("migrate", {"slipway_password", "jwt_secret", "admin_password"}),
        ("postgres", {"postgres_password", "slipway_password"}),
        ("edge", set()),
    ],
)
def test_a_service_notices_a_change_of_the_secrets_that_it_uses(
    service: str, changed: set[str]
) -> None:
    before = dict.fromkeys(VALUES, "1")
    noticed = {
        name
        for name in VALUES
        if secrets.fingerprint(service, before | {name: "2"})
        != secrets.fingerprint(service, before)
    }
    assert noticed == changed


def test_generated_secrets_are_new_each_time_and_long_enough() -> None:
    one, other = secrets.generate(), secrets.generate()
    assert not set(one.values()) & set(other.values())
    assert secrets.complaints(one) == ()


def test_short_values_are_complained_about_by_name() -> None:
    assert secrets.complaints({"jwt_secret": "short", "admin_password": "secret"}) == (
        "jwt_secret has 5 characters, 32 are needed",
        "admin_password has 6 characters, 12 are needed",
    )

"""A container finds the secrets that it uses, and no others."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from slipway.config import names, secrets

VALUES = {secret.name: f"value of {secret.name}" for secret in secrets.SECRETS}
TIER = {secret.name: f"value of {secret.name}" for secret in secrets.TIER}
SERVERS = ("postgres", "postgres-2", "postgres-3")


def test_every_consumer_has_a_volume() -> None:
    assert tuple(secrets.CONSUMERS) == tuple(names.secret_volumes("dev"))


@pytest.mark.parametrize(
    ("consumer", "files"),
    [
        ("backend", {"database_url", "jwt_secret"}),
        ("migrate", {"database_url", "jwt_secret", "admin_password"}),
        ("postgres", {"postgres_password", "slipway_password"}),
        ("edge", {"tls.crt", "tls.key"}),
        ("etcd", set()),
    ],
)
def test_a_consumer_finds_its_own_files(consumer: str, files: set[str]) -> None:
    assert set(secrets.files(consumer, VALUES)) == files


@pytest.mark.parametrize(
    ("consumer", "more"),
    [
        ("backend", {"data_ca.crt", "database_replica_url"}),
        ("migrate", {"data_ca.crt"}),
        (
            "postgres",
            {
                *(secret.name for secret in secrets.TIER_PASSWORDS),
                *("data_ca.crt", "data.crt", "data.key"),
            },
        ),
        ("etcd", {"data_ca.crt", "etcd.crt", "etcd.key"}),
        ("edge", set()),
    ],
)
def test_a_data_tier_adds_what_its_parts_and_clients_need(consumer: str, more: set[str]) -> None:
    plain = set(secrets.files(consumer, VALUES | TIER))
    assert set(secrets.files(consumer, VALUES | TIER, SERVERS)) == plain | more
    assert plain == set(secrets.files(consumer, VALUES))


def test_clients_of_a_data_tier_are_told_every_member_and_which_sort_they_want() -> None:
    found = secrets.files("backend", VALUES | TIER, SERVERS)
    hosts = "@postgres:5432,postgres-2:5432,postgres-3:5432/slipway?"
    trust = "sslmode=verify-full&sslrootcert=/run/secrets/data_ca.crt"
    writes, reads = found["database_url"], found["database_replica_url"]
    assert writes.startswith("postgresql://slipway:")
    assert writes.endswith(f"{hosts}target_session_attrs=read-write&{trust}")
    assert reads.startswith("postgresql://slipway_reader:")
    assert reads.endswith(
        f"{hosts}target_session_attrs=prefer-standby&{trust}&load_balance_hosts=random"
    )


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
    one, other = (secrets.generate() | secrets.generate_tier() for _ in range(2))
    assert not set(one.values()) & set(other.values())
    assert secrets.complaints(one) == ()


def test_short_values_are_complained_about_by_name() -> None:
    assert secrets.complaints({"jwt_secret": "short", "admin_password": "secret"}) == (
        "jwt_secret has 5 characters, 32 are needed",
        "admin_password has 6 characters, 12 are needed",
    )

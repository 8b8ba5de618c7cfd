"""A container finds the secrets that it uses, and no others."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest

from slipway.config import names, secrets
from slipway.config.secrets import Parts

VALUES = {secret.name: f"value of {secret.name}" for secret in secrets.SECRETS}
TIER = {secret.name: f"value of {secret.name}" for secret in secrets.TIER}
BACKUP = {secret.name: f"value of {secret.name}" for secret in secrets.BACKUP}
TIERED = Parts(("postgres", "postgres-2", "postgres-3"))
BACKED_UP = Parts(backups=True)


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
        ("backup", set()),
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
    assert set(secrets.files(consumer, VALUES | TIER, TIERED)) == plain | more
    assert plain == set(secrets.files(consumer, VALUES))


@pytest.mark.parametrize(
    ("consumer", "more"),
    [
        ("backend", set()),
        ("migrate", set()),
        ("edge", set()),
        ("etcd", set()),
        ("postgres", {"backup_password", "data_ca.crt", "data.crt", "data.key"}),
        ("backup", {"backup_password", "data_ca.crt", *BACKUP}),
    ],
)
def test_backups_give_a_plain_server_and_their_service_what_they_know_each_other_by(
    consumer: str, more: set[str]
) -> None:
    every = VALUES | TIER | BACKUP
    plain = set(secrets.files(consumer, every))
    assert set(secrets.files(consumer, every, BACKED_UP)) == plain | more


@pytest.mark.parametrize("consumer", ["postgres", "etcd", "backend"])
def test_a_data_tier_that_is_backed_up_is_given_what_it_had_already(consumer: str) -> None:
    every = VALUES | TIER | BACKUP
    backed_up = Parts(TIERED.servers, backups=True)
    assert secrets.files(consumer, every, backed_up) == secrets.files(consumer, every, TIERED)


@pytest.mark.parametrize("service", ["backend", "worker", "migrate", "edge"])
def test_who_is_given_nothing_new_for_backups_is_not_replaced_for_them(service: str) -> None:
    before = dict.fromkeys(VALUES, "1")
    after = before | dict.fromkeys((*TIER, *BACKUP), "2")
    assert secrets.fingerprint(service, after, BACKED_UP) == secrets.fingerprint(service, before)


def test_what_a_release_makes_for_backups_is_all_that_nobody_supplies() -> None:
    assert Parts().made == ()
    random = set(secrets.generate_made(BACKED_UP))
    certified = {"data_ca.crt", "data.crt", "data.key", "backup.crt", "backup.key"}
    assert random == {"backup_password", "backup_key", "backup_token"}
    assert random | certified == set(BACKED_UP.made)
    tiered = Parts(TIERED.servers, backups=True)
    assert set(tiered.made) == set(BACKED_UP.made) | set(TIERED.made)


def test_clients_of_a_data_tier_are_told_every_member_and_which_sort_they_want() -> None:
    found = secrets.files("backend", VALUES | TIER, TIERED)
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
    everything = Parts(TIERED.servers, backups=True)
    one, other = (secrets.generate() | secrets.generate_made(everything) for _ in range(2))
    assert not set(one.values()) & set(other.values())
    assert secrets.complaints(one) == ()


def test_short_values_are_complained_about_by_name() -> None:
    assert secrets.complaints({"jwt_secret": "short", "admin_password": "secret"}) == (
        "jwt_secret has 5 characters, 32 are needed",
        "admin_password has 6 characters, 12 are needed",
    )


def test_who_watches_is_given_what_it_needs_where_it_watches() -> None:
    watched = Parts(watched=True)
    assert watched.made == ("monitor_password", "probe_password", "console_password")
    assert set(secrets.generate_made(watched)) == set(watched.made)
    values = VALUES | dict.fromkeys((*TIER, *watched.made, "alert_slack_url", "ca.crt"), "x")
    assert set(secrets.files("monitoring", values, watched)) == {
        *("monitor_password", "probe_password", "ca.crt", "tls.crt"),
    }
    backed_up = Parts(backups=True, watched=True)
    assert "data_ca.crt" in secrets.files("monitoring", values, backed_up)
    assert set(secrets.files("alertmanager", values, watched)) == {"alert_slack_url"}
    assert set(secrets.files("console", values, watched)) == {"console_password"}
    assert "monitor_password" in secrets.files("postgres", values, watched)
    assert "probe_password" in secrets.files("migrate", values, watched)


def test_where_nobody_watches_nothing_of_it_is_handed_out() -> None:
    values = VALUES | dict.fromkeys((*TIER, "probe_password", "alert_slack_url", "ca.crt"), "x")
    for parts in (Parts(), TIERED, BACKED_UP):
        assert secrets.files("monitoring", values, parts) == {}
        assert secrets.files("alertmanager", values, parts) == {}
        assert secrets.files("console", values | {"console_password": "x"}, parts) == {}
        assert "probe_password" not in secrets.files("migrate", values, parts)
    assert "monitor_password" not in secrets.files("postgres", values, Parts())

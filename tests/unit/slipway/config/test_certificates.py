"""The internal authority's certificates are accepted by a client that trusts it, and no other."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from slipway.config import certificates

NOW = datetime.datetime(2026, 5, 1, tzinfo=datetime.UTC)
MADE = certificates.generate("slipway.internal", NOW)


def verify(made: dict[str, str], name: str, authority: str, at: datetime.datetime = NOW) -> None:
    leaf, *between = x509.load_pem_x509_certificates(made["tls.crt"].encode())
    store = Store(x509.load_pem_x509_certificates(authority.encode()))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name))
    verifier.verify(leaf, between)


@pytest.mark.parametrize("name", ["slipway.internal", "localhost"])
def test_the_chain_holds_for_the_domain_and_for_this_machine(name: str) -> None:
    verify(MADE, name, MADE["ca.crt"])


def test_the_chain_holds_for_nothing_else() -> None:
    with pytest.raises(VerificationError):
        verify(MADE, "elsewhere.internal", MADE["ca.crt"])
    with pytest.raises(VerificationError):
        verify(MADE, "localhost", certificates.generate("localhost", NOW)["ca.crt"])


def test_key_and_chain_belong_together(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text(MADE[name])
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")


def test_a_renewed_certificate_is_trusted_by_those_who_trust_the_old_authority() -> None:
    later = NOW + datetime.timedelta(days=380)
    renewed = certificates.generate("slipway.internal", later, MADE)
    assert (renewed["ca.crt"], renewed["ca.key"]) == (MADE["ca.crt"], MADE["ca.key"])
    assert renewed["tls.key"] != MADE["tls.key"]
    verify(renewed, "slipway.internal", MADE["ca.crt"], at=later)


@pytest.mark.parametrize(
    ("domain", "days", "due"),
    [
        ("slipway.internal", 0, False),
        ("slipway.internal", 366, False),
        ("slipway.internal", 368, True),
        ("slipway.internal", 500, True),
        ("other.internal", 0, True),
    ],
)
def test_a_certificate_is_due_in_its_last_month_and_for_another_name(
    domain: str, days: int, due: bool
) -> None:
    at = NOW + datetime.timedelta(days=days)
    assert certificates.due(MADE["tls.crt"], domain, at) is due


class TestDataTier:
    """Members and etcd show each other certificates of an authority that is theirs alone."""

    made = certificates.generate_tier(NOW)

    @pytest.mark.parametrize(
        ("name", "host"), [("data", "postgres"), ("data", "postgres-9"), ("etcd", "etcd")]
    )
    def test_each_is_good_for_its_hosts_on_either_side(self, name: str, host: str) -> None:
        leaf = x509.load_pem_x509_certificate(self.made[f"{name}.crt"].encode())
        store = Store(x509.load_pem_x509_certificates(self.made["data_ca.crt"].encode()))
        at = NOW + datetime.timedelta(days=3640)
        builder = PolicyBuilder().store(store).time(at)
        builder.build_server_verifier(x509.DNSName(host)).verify(leaf, [])
        assert builder.build_client_verifier().verify(leaf, [])

    def test_a_member_cannot_pass_for_etcd(self) -> None:
        leaf = x509.load_pem_x509_certificate(self.made["data.crt"].encode())
        store = Store(x509.load_pem_x509_certificates(self.made["data_ca.crt"].encode()))
        with pytest.raises(VerificationError):
            PolicyBuilder().store(store).time(NOW).build_server_verifier(
                x509.DNSName("etcd")
            ).verify(leaf, [])

    def test_the_backup_service_shows_the_name_that_servers_let_in(self) -> None:
        made = certificates.generate_backup(NOW, self.made)
        leaf = x509.load_pem_x509_certificate(made["backup.crt"].encode())
        assert leaf.subject.rfc4514_string() == "CN=slipway-backup"
        store = Store(x509.load_pem_x509_certificates(self.made["data_ca.crt"].encode()))
        at = NOW + datetime.timedelta(days=3640)
        assert PolicyBuilder().store(store).time(at).build_client_verifier().verify(leaf, [])

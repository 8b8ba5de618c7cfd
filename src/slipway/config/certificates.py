"""The internal certificate authority of an environment that has no certificates of its own."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.config import backup, members
from slipway.errors import SlipwayError

AUTHORITY_DAYS = 3650
# Clients refuse server certificates that are valid for longer than 825 days (Apple) or, from
# public authorities, 398; an internal one renewed by a release can be shorter.
SERVER_DAYS = 397
RENEW_DAYS = 30


def generate(
    domain: str, now: datetime.datetime, authority: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A server certificate for `domain`, and the authority that signed it, all in PEM.

    `authority` with "ca.crt" and "ca.key" is used again when given, so that clients which trust
    it need not be told anything. Returns "ca.crt", "ca.key", "tls.crt" and "tls.key".
    """
    if authority:
        ca_key = _load_key(authority["ca.key"])
        ca = x509.load_pem_x509_certificate(authority["ca.crt"].encode())
    else:
        ca_key = ec.generate_private_key(ec.SECP256R1())
        ca = _authority(ca_key, now)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _server((domain,), key, ca, ca_key, now)
    return {
        "ca.crt": _pem(ca),
        "ca.key": _key_pem(ca_key),
        "tls.crt": _pem(certificate) + _pem(ca),
        "tls.key": _key_pem(key),
    }


def generate_tier(now: datetime.datetime) -> dict[str, str]:
    """An authority of the data tier's own, and the certificates of its members and of etcd.

    Nobody outside the tier is asked to trust them, so they last as long as their authority:
    a renewal would be a rolling change of every member.
    """
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = _authority(ca_key, now, "Slipway data tier")
    made = {"data_ca.crt": _pem(ca), "data_ca.key": _key_pem(ca_key)}
    for name, hosts in (("data", members.MEMBERS), ("etcd", (members.STORE,))):
        key = ec.generate_private_key(ec.SECP256R1())
        # Either side of a connection shows one.
        certificate = _server(hosts, key, ca, ca_key, now, AUTHORITY_DAYS - 1, client=True)
        made |= {f"{name}.crt": _pem(certificate), f"{name}.key": _key_pem(key)}
    return made


def generate_backup(now: datetime.datetime, authority: Mapping[str, str]) -> dict[str, str]:
    """The certificate of the backup service, of the data tier's own `authority`.

    Servers of the database let nobody else copy them, so they are told this very name.
    """
    ca_key = _load_key(authority["data_ca.key"])
    ca = x509.load_pem_x509_certificate(authority["data_ca.crt"].encode())
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = (f"slipway-{backup.SERVICE}", backup.SERVICE)
    # As long as its authority: see `generate_tier`.
    days = (ca.not_valid_after_utc - now).days - 1
    certificate = _server(hosts, key, ca, ca_key, now, days, client=True)
    return {"backup.crt": _pem(certificate), "backup.key": _key_pem(key)}


def check_pair(certificate: str, key: str, environment: str) -> None:
    """Raise SlipwayError when `key` is not the first certificate's private key, both in PEM."""
    try:
        public = x509.load_pem_x509_certificate(certificate.encode()).public_key()
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise SlipwayError(
            f"tls.crt or tls.key of {environment} cannot be read: {error}",
            next_command=f"invoke secrets.put --env {environment} --name tls.crt --file FILE",
        ) from error
    if public != private.public_key():
        raise SlipwayError(
            f"tls.key of {environment} is not the private key of its tls.crt",
            next_command=f"invoke secrets.put --env {environment} --name tls.key --file FILE",
        )


def due(certificate: str, domain: str, now: datetime.datetime) -> bool:
    """Whether a certificate is for another name, or ends within RENEW_DAYS."""
    loaded = x509.load_pem_x509_certificate(certificate.encode())
    names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    if domain not in names.get_values_for_type(x509.DNSName):
        return True
    return loaded.not_valid_after_utc - now < datetime.timedelta(days=RENEW_DAYS)


def _authority(
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    called: str = "Slipway internal authority",
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called)])
    return (
        _builder(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    hosts: Sequence[str],
    key: ec.EllipticCurvePrivateKey,
    ca: x509.Certificate,
    ca_key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int = SERVER_DAYS,
    *,
    client: bool = False,
) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    uses = [ExtendedKeyUsageOID.SERVER_AUTH]
    if client:
        uses.append(ExtendedKeyUsageOID.CLIENT_AUTH)
    names = x509.SubjectAlternativeName(
        [
            *(x509.DNSName(each) for each in dict.fromkeys((*hosts, "localhost"))),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    return (
        _builder(name, ca.subject, key, now, days)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(uses), critical=False)
        .add_extension(signer, critical=False)
        .sign(ca_key, hashes.SHA256())
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime.datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # Clocks of clients may be behind.
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _load_key(pem: str) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

"""The ed25519 pairs that sign what one environment takes from another."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from slipway.config.layout import Layout
from slipway.errors import Refused

NAME = r"[a-z][a-z0-9-]*"
#: Signs releases and evidence where nothing else is asked for.
RELEASE = "release"
#: The path of a private key, or the key itself as PEM text; goes before the file.
KEY_VARIABLE = "SLIPWAY_SIGNING_KEY"
PASSPHRASE_VARIABLE = "SLIPWAY_SIGNING_PASSPHRASE"  # nosec B105
NEW = "invoke keys.new"


@dataclass(frozen=True)
class PublicKey:
    """Who may have signed: the file's name without `.pub`, and the key."""

    name: str
    key: Ed25519PublicKey

    @property
    def id(self) -> str:
        """Sixteen hexadecimal digits that name the key."""
        return _id(self.key)

    def signed(self, content: bytes, signature: bytes) -> bool:
        """Whether this key made `signature` over `content`."""
        try:
            self.key.verify(signature, content)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SigningKey:
    """A private key, ready to sign."""

    key: Ed25519PrivateKey

    @property
    def id(self) -> str:
        """The id of its public key."""
        return _id(self.key.public_key())

    def sign(self, content: bytes) -> bytes:
        """The 64 bytes of the signature over `content`."""
        return self.key.sign(content)


@dataclass(frozen=True)
class Pair:
    """A new pair as PEM text."""

    private: bytes
    public: bytes


def private_path(layout: Layout, name: str) -> Path:
    """Where `keys.new` leaves a private key: beside the checkout's other secrets, never tracked."""
    return layout.local / "keys" / f"{name}.key"


def public_path(layout: Layout, name: str) -> Path:
    """Where environments look for the public key that they name."""
    return layout.environments / "keys" / f"{name}.pub"


def generate(passphrase: str) -> Pair:
    """Make a pair; the private half is encrypted unless `passphrase` is empty."""
    key = Ed25519PrivateKey.generate()
    encryption: serialization.KeySerializationEncryption = (
        serialization.BestAvailableEncryption(passphrase.encode())
        if passphrase
        else serialization.NoEncryption()
    )
    return Pair(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        ),
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        ),
    )


def refuse_existing(layout: Layout, name: str) -> None:
    """Refuse a name that is none, or that a key has already."""
    if not re.fullmatch(NAME, name):
        raise Refused(
            f"{name!r} cannot be a key's name: small letters, digits and dashes, a letter first"
        )
    for path in (private_path(layout, name), public_path(layout, name)):
        if path.exists():
            raise Refused(
                f"{layout.shown(path)} is there already, and a key is never overwritten",
                next_command=f"{NEW} --name another-name",
            )


def keep(layout: Layout, name: str, pair: Pair) -> tuple[Path, Path]:
    """Write a pair (the private half for its owner alone) and return both paths.

    Raises Refused when either is there already: a key that others trust is never overwritten.
    """
    refuse_existing(layout, name)
    private, public = private_path(layout, name), public_path(layout, name)
    private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    public.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(pair.private)
    with public.open("xb") as stream:
        stream.write(pair.public)
    return private, public


def find(layout: Layout, name: str = "") -> tuple[str, bytes] | None:
    """Where the private key is and its PEM text, or None where there is none.

    Without a `name` it is the variable's, or else the file `release`.

    Raises Refused when the variable names no file, or a file may be read by others.
    """
    told = "" if name else os.environ.get(KEY_VARIABLE, "")
    if told.lstrip().startswith("-----BEGIN"):
        return f"${KEY_VARIABLE}", told.encode()
    path = Path(told) if told else private_path(layout, name or RELEASE)
    if not told and not path.exists():
        return None
    try:
        others = stat.S_IMODE(path.stat().st_mode) & 0o077
        content = path.read_bytes()
    except OSError as error:
        raise Refused(f"{path}: {error.strerror} (the private key that signs)") from error
    shown = layout.shown(path)
    if others:
        raise Refused(f"{shown} can be read by others", next_command=f"chmod 600 {shown}")
    return shown, content


def told() -> bool:
    """Whether the variable says which private key signs."""
    return bool(os.environ.get(KEY_VARIABLE))


def encrypted(content: bytes) -> bool:
    """Whether a private key wants a passphrase."""
    return b"ENCRYPTED PRIVATE KEY" in content


def read_private(shown: str, content: bytes, passphrase: str) -> SigningKey:
    """The private key in `content`; `shown` says where it came from.

    Raises Refused when it is none, or the passphrase does not open it.
    """
    try:
        key = serialization.load_pem_private_key(
            content, passphrase.encode() if encrypted(content) else None
        )
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "the passphrase does not open it" if encrypted(content) else "not a private key"
        raise Refused(f"{shown}: {why}", next_command=f"set {PASSPHRASE_VARIABLE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(f"{shown}: not an ed25519 key", next_command=NEW)
    return SigningKey(key)


def trusted(layout: Layout, environment: str, names: Sequence[str]) -> tuple[PublicKey, ...]:
    """The public keys that an environment names. Raises Refused when one is not there."""
    found = []
    for name in names:
        path = public_path(layout, name)
        shown = layout.shown(path)
        try:
            key = serialization.load_pem_public_key(path.read_bytes())
        except FileNotFoundError as error:
            raise Refused(
                f"{environment} trusts the key {name!r}, and {shown} is not there "
                f"(x-slipway/keys in {layout.shown(layout.overlay(environment))})",
                next_command=NEW + ("" if name == RELEASE else f" --name {name}"),
            ) from error
        except (OSError, ValueError, UnsupportedAlgorithm) as error:
            raise Refused(f"{shown}: not a public key in PEM") from error
        if not isinstance(key, Ed25519PublicKey):
            raise Refused(f"{shown}: not an ed25519 key")
        found.append(PublicKey(name, key))
    return tuple(found)


def encoded(signature: bytes) -> str:
    """A signature as text."""
    return base64.b64encode(signature).decode()


def decoded(text: str) -> bytes:
    """The bytes of a signature that was text. Raises ValueError when it was none."""
    return base64.b64decode(text, validate=True)


def _id(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]

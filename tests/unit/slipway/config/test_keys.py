"""Keys: made for their owner alone, never overwritten, found where they are said to be."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from slipway.config import keys
from slipway.config.layout import Layout
from slipway.errors import Refused


@pytest.fixture
def layout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    monkeypatch.delenv(keys.KEY_VARIABLE, raising=False)
    return Layout(tmp_path)


def kept(layout: Layout, name: str = "release", passphrase: str = "") -> keys.PublicKey:
    keys.keep(layout, name, keys.generate(passphrase))
    (key,) = keys.trusted(layout, "staging", [name])
    return key


def private(layout: Layout, passphrase: str = "") -> keys.SigningKey:
    found = keys.find(layout)
    assert found
    return keys.read_private(*found, passphrase)


def refused(layout: Layout, *trusted: str) -> str:
    with pytest.raises(Refused) as error:
        keys.trusted(layout, "staging", trusted) if trusted else private(layout)
    return str(error.value)


def test_what_the_private_half_signs_the_public_half_knows(layout: Layout) -> None:
    public = kept(layout)
    key = private(layout)
    assert key.id == public.id
    assert public.signed(b"these bytes", key.sign(b"these bytes"))
    assert not public.signed(b"other bytes", key.sign(b"these bytes"))
    assert keys.decoded(keys.encoded(key.sign(b"x"))) == key.sign(b"x")


def test_the_private_half_is_for_its_owner_alone(layout: Layout) -> None:
    kept(layout)
    path = keys.private_path(layout, "release")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    assert "release.key can be read by others\n  next: chmod 600 " in refused(layout)


def test_a_passphrase_opens_it_and_no_other(layout: Layout) -> None:
    public = kept(layout, passphrase="open sesame")
    assert private(layout, "open sesame").id == public.id
    with pytest.raises(Refused, match="the passphrase does not open it"):
        private(layout, "open barley")


@pytest.mark.parametrize("half", [keys.private_path, keys.public_path])
def test_what_is_there_is_never_overwritten(layout: Layout, half: object) -> None:
    public = kept(layout)
    assert callable(half)
    half(layout, "release").unlink()
    with pytest.raises(Refused, match="is there already, and a key is never overwritten"):
        keys.keep(layout, "release", keys.generate(""))
    assert public.id


def test_the_variable_goes_before_the_file(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    kept(layout)
    other = keys.generate("")
    path = tmp_path / "elsewhere.pem"
    path.write_bytes(other.private)
    path.chmod(0o600)
    monkeypatch.setenv(keys.KEY_VARIABLE, str(path))
    by_path = private(layout).id
    monkeypatch.setenv(keys.KEY_VARIABLE, other.private.decode())
    assert private(layout).id == by_path
    monkeypatch.setenv(keys.KEY_VARIABLE, str(tmp_path / "nowhere"))
    assert "No such file or directory (the private key that signs)" in refused(layout)


def test_without_a_key_there_is_none(layout: Layout) -> None:
    assert keys.find(layout) is None


def test_a_key_that_is_trusted_and_not_there_is_named(layout: Layout) -> None:
    said = refused(layout, "release")
    assert "staging trusts the key 'release', and infra/compose/environments/keys/" in said
    assert said.endswith("next: invoke keys.new")
    assert refused(layout, "approver").endswith("next: invoke keys.new --name approver")


def test_what_is_no_ed25519_key_is_refused(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    rsa = generate_private_key(65537, 2048)
    pem = rsa.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    monkeypatch.setenv(keys.KEY_VARIABLE, pem.decode())
    assert "not an ed25519 key" in refused(layout)
    monkeypatch.setenv(keys.KEY_VARIABLE, "-----BEGIN nothing")
    assert "$SLIPWAY_SIGNING_KEY: not a private key" in refused(layout)
    path = keys.public_path(layout, "release")
    path.parent.mkdir(parents=True)
    path.write_bytes(
        rsa.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    assert "release.pub: not an ed25519 key" in refused(layout, "release")
    path.write_text("hello")
    assert "release.pub: not a public key in PEM" in refused(layout, "release")


def test_a_name_is_no_path(layout: Layout) -> None:
    with pytest.raises(Refused, match="cannot be a key's name"):
        keys.keep(layout, "../release", keys.generate(""))

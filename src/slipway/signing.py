"""Getting at the private key that signs: its file, and its passphrase from the person."""

from __future__ import annotations

import getpass
import os
import sys

from slipway.config import keys
from slipway.config.keys import SigningKey
from slipway.config.layout import Layout
from slipway.errors import Refused


def key(layout: Layout, name: str = "") -> SigningKey | None:
    """The private key of this checkout's user, the one called `name` if given, or None."""
    found = keys.find(layout, name)
    if found is None:
        return None
    shown, content = found
    return keys.read_private(shown, content, _passphrase(shown) if keys.encrypted(content) else "")


def new_passphrase() -> str:
    """The passphrase of a new key: the variable's, or typed twice; empty without a terminal."""
    told = os.environ.get(keys.PASSPHRASE_VARIABLE)
    if told is not None or not sys.stdin.isatty():
        return told or ""
    first = getpass.getpass("Passphrase of the private key (empty for none): ")
    if first and getpass.getpass("The same again: ") != first:
        raise Refused("The two passphrases differ. Nothing was written.")
    return first


def _passphrase(shown: str) -> str:
    told = os.environ.get(keys.PASSPHRASE_VARIABLE)
    if told is not None:
        return told
    if not sys.stdin.isatty():
        raise Refused(
            f"{shown} wants a passphrase, and there is no terminal to ask on",
            next_command=f"set {keys.PASSPHRASE_VARIABLE}",
        )
    return getpass.getpass(f"Passphrase of {shown}: ")

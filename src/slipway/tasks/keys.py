"""`invoke keys.*`: the pairs that sign releases, evidence and approvals."""

from __future__ import annotations

import invoke

from slipway import console, signing
from slipway.config import keys
from slipway.config.layout import checkout
from slipway.tasks.door import task


@task(help={"name": "what environments call the key in x-slipway/keys"})
def new(_context: invoke.Context, name: str = keys.RELEASE) -> None:
    """Make an ed25519 pair: the private half for you alone, the public half for environments.

    A passphrase is asked for on a terminal, or taken from SLIPWAY_SIGNING_PASSPHRASE. What is
    there is never overwritten.
    """
    layout = checkout()
    keys.refuse_existing(layout, name)
    pair = keys.generate(signing.new_passphrase())
    private, public = keys.keep(layout, name, pair)
    (key,) = keys.trusted(layout, name, (name,))
    console.say(
        f"private key  {layout.shown(private)}   (keep a copy elsewhere; it is in no backup)\n"
        f"public key   {layout.shown(public)}   (commit it; its id is {key.id})\n"
        f"{pair.public.decode().strip()}\n"
        f"Environments that name {name!r} in x-slipway/keys take what it has signed."
    )

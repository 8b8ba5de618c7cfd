"""`invoke approve`: a second person's signature under a release."""

from __future__ import annotations

import invoke

from slipway import console, promotion, publishing, signing
from slipway.config import environment as environments
from slipway.config import keys
from slipway.config.environment import TREE
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.tasks.door import task

#: The key that approves where no other is asked for.
APPROVER = "approver"


@task(
    help={
        "env": "the environment that the release is approved for",
        "version": "which release; without it the one that would be taken now",
        "key": f"the private key to sign with; default {APPROVER}, or SLIPWAY_SIGNING_KEY's",
        "yes": "answer the question beforehand",
    }
)
def approve(
    _context: invoke.Context, env: str = "", version: str = "", key: str = "", yes: bool = False
) -> None:
    """Show what was accepted of a release, and sign that it may go to an environment.

    The key must be one that the environment trusts, and another than the evidence's.
    """
    layout = checkout()
    environment = environments.load(env, layout)
    if environment.source == TREE:
        raise Refused(f"{env} releases the working tree: there is nothing to approve")
    chosen = promotion.choose(layout, env, environment, version, approvals=False)
    anew = f"invoke approve --env {env} --version {chosen.version} --key {APPROVER}"
    own = signing.key(layout, key or ("" if keys.told() else APPROVER))
    if own is None:
        raise Refused(
            f"There is no private key {key or APPROVER!r}",
            next_command=f"{keys.NEW} --name {key or APPROVER}",
        )
    named = [each for each in keys.trusted(layout, env, environment.keys) if each.id == own.id]
    if not named:
        raise Refused(
            f"{env} does not trust the key {own.id} "
            f"(x-slipway/keys in {layout.shown(layout.overlay(env))})",
            next_command=anew,
            code="unknown-key",
        )
    evidence = chosen.evidence
    if evidence is not None and evidence.signer is not None and evidence.signer.id == own.id:
        raise Refused(
            f"The key {named[0].name} has signed the evidence; another one must approve",
            next_command=anew,
        )
    console.say(promotion.described(chosen))
    console.confirm(f"Approve {chosen.version} for {env}?", yes=yes, flag="--yes")
    source = environments.load(environment.source, layout)
    made = publishing.approval(env, chosen)
    publishing.attach(
        source.registry,
        made,
        tags=[promotion.approval_tag(chosen.version, env, own.id)],
        key=own,
        subject=chosen.release.digest,
    )
    console.say(
        f"{chosen.version} is approved for {env} by {made.by} with the key {named[0].name}, "
        f"until {made.expires}."
    )

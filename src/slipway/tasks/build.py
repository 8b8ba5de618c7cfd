"""`invoke build`: images by digest, nothing rebuilt whose inputs did not change."""

from __future__ import annotations

import invoke

from slipway import build as builder
from slipway import checks, console
from slipway.config import environment as environments
from slipway.config.layout import checkout
from slipway.errors import Refused
from slipway.facts import engine, host
from slipway.tasks.door import task

IMAGES = ("backend", "backup", "edge", "etcd", "logs", "monitoring", "postgres", "toolbox")


@task(
    help={
        "service": f"build only this image ({', '.join(IMAGES)}); may be given more than once",
        "env": "the environment whose registry the images go to",
    },
    iterable=["service"],
)
def build(_context: invoke.Context, service: list[str], env: str = "dev") -> None:
    """Build all images in parallel and push them to the registry."""
    layout = checkout()
    environment = environments.load(env, layout)
    unknown = [name for name in service if name not in IMAGES]
    if unknown:
        raise Refused(
            f"There is no image {', '.join(unknown)} (there are: {', '.join(IMAGES)})",
            next_command=f"invoke build --service {IMAGES[0]}",
        )
    checks.locks(layout)
    facts = host.read()
    checks.host(facts, mend="invoke host.prepare")
    checks.disk(facts, environment.free_disk_gib)
    with engine.client() as connection:
        base_id = checks.base_id(connection)
    built = builder.build(
        layout, registry_name=environment.registry, base_id=base_id, targets=service
    )
    for reference in built.values():
        console.say(f"  {reference}")

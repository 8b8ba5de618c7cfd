"""Resolve the real files anew for the stand-in: `python tests/unit/slipway/standin/resolve.py`.

Needs Compose and buildx, but no engine.
"""

from __future__ import annotations

import json
from pathlib import Path

from slipway.commands import bake, compose
from slipway.config.layout import checkout
from slipway.run import run

HERE = Path(__file__).parent
# Values that occur nowhere else, so that they can be made variables again.
PLACES = {
    "SLIPWAY_ADDRESS": "127.9.9.9",
    "SLIPWAY_HTTPS_PORT": "64443",
    "SLIPWAY_HTTP_PORT": "64080",
    "SLIPWAY_GENERATION": "979797",
    "SLIPWAY_BACKEND_REPLICAS": "64077",
    "SLIPWAY_WORKER_REPLICAS": "64078",
    "SLIPWAY_DATABASE_MEMBERS": "64079",
    "SLIPWAY_BACKUPS": "64076",
    "SLIPWAY_WATCHERS": "64075",
    "SLIPWAY_LOGS": "64074",
}
WORDS = {
    f"SLIPWAY_{name}": f"sentinel-{name.lower().replace('_', '-')}"
    for name in (
        "ENVIRONMENT",
        "LOG_LEVEL",
        "MONITORING",
        "RELEASE",
        "SYNCHRONOUS",
        "BACKUP_POLICY",
        "ALERTS",
        "LOGS_DAYS",
        "LOGS_BYTES",
        "DOMAIN",
        "BACKEND_IMAGE",
        "BACKUP_IMAGE",
        "DOOR_IMAGE",
        "EDGE_IMAGE",
        "ETCD_IMAGE",
        "LOGS_IMAGE",
        "MONITORING_IMAGE",
        "POSTGRES_IMAGE",
    )
}


def main() -> None:
    """Write resolved.template and bake.json."""
    layout = checkout()
    values = PLACES | WORDS
    printed = run(compose.config(layout.stack_files("dev"), "resolved"), env=values).output
    resolved = {key: value for key, value in json.loads(printed).items() if key != "x-slipway"}
    text = json.dumps(resolved, indent=1)
    # The longest first: a name may begin as another one does.
    for name, value in sorted(values.items(), key=lambda each: -len(each[1])):
        text = text.replace(value, f"${{{name}}}")
    (HERE / "resolved.template").write_text(f"{text}\n")
    described = run(bake.describe(layout.root / "docker-bake.hcl", ()), cwd=layout.root).output
    (HERE / "bake.json").write_text(json.dumps(json.loads(described), indent=2) + "\n")


if __name__ == "__main__":
    main()

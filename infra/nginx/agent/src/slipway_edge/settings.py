"""Every figure a site may change, with its default and the reason for it.

The values come from environment variables of the same name and are written into the parts of
NGINX's configuration that end in ``.template``.
"""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from slipway_edge.errors import EdgeError


@dataclass(frozen=True)
class Setting:
    """One figure: the variable's name, its default, the smallest and largest value, and why."""

    name: str
    default: int
    least: int
    most: int
    why: str


SETTINGS = (
    Setting("PUBLIC_HTTPS_PORT", 443, 1, 65535, "The port people see; redirects to HTTPS name it."),
    Setting(
        "EDGE_WORKERS",
        2,
        1,
        64,
        "Two workers serve some thousand requests a second; more cost memory on a small host.",
    ),
    Setting(
        "EDGE_REQUESTS_PER_SECOND",
        500,
        1,
        100_000,
        "Per address. A whole office may share one address, and one person needs a few a second.",
    ),
    Setting(
        "EDGE_REQUEST_BURST",
        500,
        1,
        100_000,
        "Requests above the rate that still pass: one second's worth, for many pages at once.",
    ),
    Setting(
        "EDGE_LOGINS_PER_SECOND",
        10,
        1,
        10_000,
        "Per address. Each login costs a backend an argon2 hash, so guessing must stay slow.",
    ),
    Setting(
        "EDGE_LOGIN_BURST",
        20,
        1,
        10_000,
        "An office that comes to work at nine through one address must still get in.",
    ),
    Setting(
        "EDGE_CONNECTIONS_PER_ADDRESS",
        500,
        1,
        4096,
        "An eighth of a worker's 4,096 connections: one address alone cannot take them all.",
    ),
    Setting(
        "EDGE_BODY_MEBIBYTES",
        1,
        1,
        1024,
        "Everything but an upload is a small JSON body.",
    ),
    Setting(
        "EDGE_UPLOAD_MEBIBYTES",
        101,
        1,
        10_240,
        "The backend takes files of 100 MiB; one more leaves room for the form around the file.",
    ),
    Setting(
        "EDGE_CLIENT_SECONDS",
        30,
        1,
        3600,
        "A client that sends or reads nothing for this long is gone, or stays on purpose.",
    ),
    Setting(
        "EDGE_ANSWER_SECONDS",
        300,
        1,
        3600,
        "A generated answer on a processor without a graphics card may think for minutes.",
    ),
    Setting(
        "EDGE_SHUTDOWN_SECONDS",
        30,
        1,
        3600,
        "How long a stopping edge finishes requests; the container's stop grace must be longer.",
    ),
    Setting(
        "EDGE_HSTS_SECONDS",
        31_536_000,
        0,
        63_072_000,
        "A year, as browsers' preload lists ask; 0 where the host name also serves plain HTTP.",
    ),
)


class _Template(string.Template):
    # NGINX's own variables begin with a dollar sign.
    delimiter = "@"


def read(environment: Mapping[str, str]) -> dict[str, int]:
    """The value of every setting; raises EdgeError naming each variable that is wrong."""
    values: dict[str, int] = {}
    wrong: list[str] = []
    for setting in SETTINGS:
        text = environment.get(setting.name) or str(setting.default)
        number = int(text) if text.isascii() and text.isdigit() else -1
        if not setting.least <= number <= setting.most:
            wrong.append(
                f"{setting.name}={text}: expected a number from {setting.least} to {setting.most}"
            )
        values[setting.name] = number
    if wrong:
        raise EdgeError("; ".join(wrong) + ". Correct it in the edge's environment.")
    return values


def write(values: Mapping[str, int], templates: Path, target: Path) -> None:
    """Fill in every ``*.conf.template`` of a folder into ``target``; raises KeyError on a gap."""
    for template in sorted(templates.glob("*.conf.template")):
        text = _Template(template.read_text(encoding="utf-8")).substitute(values)
        (target / template.stem).write_text(text, encoding="utf-8")

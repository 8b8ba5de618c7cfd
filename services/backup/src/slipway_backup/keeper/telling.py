"""Telling people: the keeper does it itself, because an environment's monitoring may be lying."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from slipway_backup.errors import Failed, Refused
from slipway_backup.keeper.rules import Problem

SECONDS = 10
#: By code: what of it was told, and when last.
Told = Mapping[str, Mapping[str, Any]]


def due(
    problems: Sequence[Problem], told: Told, now: datetime, repeat: timedelta
) -> tuple[list[str], Told]:
    """The texts to send, and what is told when they have been.

    A problem is told when it comes, when more of it comes, when it lasts, and when it is over.
    """
    texts: list[str] = []
    after: dict[str, Mapping[str, Any]] = {}
    for code in dict.fromkeys(each.code for each in problems):
        own = [each for each in problems if each.code == code]
        about = sorted({name for each in own for name in each.about})
        before = told.get(code)
        if (
            before is None
            or not set(about) <= set(before["about"])
            or now >= datetime.fromisoformat(before["at"]) + repeat
        ):
            texts += [f"{code}: {each.sentence}. Next: {each.next}" for each in own]
            after[code] = {"about": about, "at": now.isoformat()}
        else:
            after[code] = before
    texts += [f"{code}: over" for code in told if code not in after]
    return texts, after


def send(url: str, environment: str, texts: Sequence[str]) -> None:
    """Send texts to a webhook, as Slack takes them. Raises Failed when it does not take them."""
    if not url.startswith(("https://", "http://")):
        raise Refused("keeper_webhook_url is no URL", "give the one that your chat made for it")
    text = "\n".join(f"[keeper of {environment}] {each}" for each in texts)
    request = urllib.request.Request(  # noqa: S310 - its scheme was looked at
        url, json.dumps({"text": text}).encode(), {"content-type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310  # nosec B310
            status = answer.status
    except (OSError, ValueError) as error:
        raise Failed(f"the webhook does not take alerts: {error}") from None
    if status >= HTTPStatus.MULTIPLE_CHOICES:
        raise Failed(f"the webhook answers {status}")

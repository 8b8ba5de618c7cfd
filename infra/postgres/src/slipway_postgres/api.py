"""Asking this member's Patroni, with certificates on both sides."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
from typing import Any

from slipway_postgres.errors import MemberError
from slipway_postgres.patroni import API_PORT
from slipway_postgres.settings import Settings


def ask(
    settings: Settings,
    method: str,
    path: str,
    body: dict[str, Any] | None = None,
    *,
    seconds: float = 10,
) -> tuple[int, str]:
    """Status and text of this member's answer. Raises MemberError when none comes."""
    authority, certificate, key = (
        settings.file(name) for name in ("data_ca.crt", "data.crt", "data.key")
    )
    try:
        context = ssl.create_default_context(cafile=authority)
        context.load_cert_chain(certificate, key)
        connection = http.client.HTTPSConnection(
            "localhost", API_PORT, timeout=seconds, context=context
        )
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body))
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        raise MemberError(f"Patroni of {settings.name} does not answer: {error}") from error


def read(settings: Settings, path: str) -> dict[str, Any]:
    """What a question is answered with. Raises MemberError when the answer is none."""
    status, text = ask(settings, "GET", path)
    if path != "/patroni" and status != 200:
        raise MemberError(f"Patroni of {settings.name} answers {status} to {path}: {text.strip()}")
    content = json.loads(text)
    if not isinstance(content, dict):
        raise MemberError(f"Patroni of {settings.name} answers {path} with no object")
    return content

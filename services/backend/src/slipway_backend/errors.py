"""The few kinds of failure that this service tells people about."""

from __future__ import annotations

from collections.abc import Mapping


class StartRefused(Exception):
    """The process cannot start as configured; the message is one sentence for the operator."""


class DocumentError(Exception):
    """A document that will never be ingested as it is; the message is its one-sentence reason."""


class Problem(Exception):
    """An answer of the API that is an error, told as problem+json (RFC 9457)."""

    def __init__(
        self,
        status: int,
        title: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        extensions: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = dict(extensions or {})

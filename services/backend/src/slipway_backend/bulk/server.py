"""The server as the bulk upload sees it: every call waits out what passes by itself."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx

from slipway_backend.bulk.files import LocalFile
from slipway_backend.errors import StartRefused

PAGE = 500
# What the edge and the server answer while they are busy, full, restarting or switched over.
PASSING = frozenset({408, 425, 429, 502, 503, 504})
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
TIMEOUT = httpx.Timeout(30.0, read=120.0, write=120.0)


class Refused(Exception):
    """The server refused one file for good; the message is its reason."""


class Lost(Exception):
    """The server did not answer for longer than it is waited for; the message says so."""


class Server:
    """One Slipway server, asked on behalf of one user or API key."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str = "",
        username: str = "",
        password: str = "",
        ca_file: Path | None = None,
        patience: float = 600.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """``tell`` is told once for what is waited; raises StartRefused for what cannot be used."""
        self._tell = tell
        self._told: set[str] = set()
        self._username, self._password = username, password
        self._patience = patience
        self._logging_in = asyncio.Lock()
        verify: ssl.SSLContext | bool = True
        if ca_file is not None:
            try:
                verify = ssl.create_default_context(cafile=str(ca_file))
            except (OSError, ssl.SSLError) as error:
                raise StartRefused(f"--ca-file {ca_file} cannot be used: {error}.") from None
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        try:
            self._client = httpx.AsyncClient(
                base_url=url, verify=verify, timeout=TIMEOUT, headers=headers
            )
        except httpx.InvalidURL as error:
            raise StartRefused(f"--url {url} is no address: {error}.") from None

    async def __aenter__(self) -> Server:
        """Open; raise StartRefused when the server cannot be used as asked."""
        try:
            if self._username:
                await self._log_in("")
            answer = await self._patiently(lambda: self._client.get("/v1/collections"))
        except Lost as error:
            await self.close()
            raise StartRefused(str(error)) from None
        if not answer.is_success:
            await self.close()
            raise StartRefused(f"The server does not let you in: {reason(answer)}")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close."""
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def documents(self, collection: str, prefix: str) -> AsyncIterator[dict[str, Any]]:
        """Yield the collection's documents whose sources begin with ``prefix``."""
        offset = 0
        while True:
            parameters: dict[str, Any] = {
                "collection": collection,
                "limit": PAGE,
                "offset": offset,
                **({"source_prefix": prefix} if prefix else {}),
            }
            page = (await self._get("/v1/documents", parameters))["documents"]
            for document in page:
                yield document
            if len(page) < PAGE:
                return
            offset += PAGE

    async def document(self, document_id: str) -> dict[str, Any] | None:
        """Return one document; None when it is gone."""
        answer = await self._patiently(lambda: self._client.get(f"/v1/documents/{document_id}"))
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _content(answer)

    async def upload(self, file: LocalFile, collection: str) -> dict[str, Any]:
        """Upload a file; raise Refused with the server's reason, OSError when it is not readable.

        To send it again is safe: the same bytes under the same source are nothing new. A file with
        which the connection breaks each time, while the server answers, is refused by itself.
        """

        async def send() -> httpx.Response:
            with file.path.open("rb") as stream:
                return await self._client.post(
                    "/v1/documents",
                    params={"collection": collection, "source": file.source},
                    files={"file": (file.path.name, stream)},
                )

        try:
            return _content(await self._patiently(send))
        except Lost as error:
            if await self._answers():
                raise Refused(str(error)) from None
            raise

    async def _answers(self) -> bool:
        try:
            return (await self._client.get("/v1/collections")).status_code not in PASSING
        except httpx.TransportError:
            return False

    async def _get(self, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return _content(await self._patiently(lambda: self._client.get(path, params=parameters)))

    async def _log_in(self, rejected: str) -> None:
        """Get a token, unless another call has replaced the ``rejected`` one meanwhile."""
        async with self._logging_in:
            if self._client.headers.get("authorization", "") != rejected:
                return
            body = {"username": self._username, "password": self._password}
            answer = await self._patiently(
                lambda: self._client.post("/v1/login", json=body), renew=False
            )
            if not answer.is_success:
                raise StartRefused(f"The server does not let you in: {reason(answer)}")
            self._client.headers["authorization"] = f"Bearer {answer.json()['access_token']}"

    async def _patiently(
        self, call: Callable[[], Awaitable[httpx.Response]], *, renew: bool = True
    ) -> httpx.Response:
        """Call until there is an answer that will not change by waiting; raise Lost otherwise."""
        pause = FIRST_PAUSE_SECONDS
        until = time.monotonic() + self._patience
        renewed = False
        while True:
            token = self._client.headers.get("authorization", "")
            wait = pause
            try:
                answer = await call()
            except httpx.TransportError as error:
                last = f"does not answer: {type(error).__name__}: {error}".rstrip(": ")
            else:
                if answer.status_code == httpx.codes.UNAUTHORIZED and self._username and renew:
                    if renewed:
                        return answer
                    renewed = True
                    await self._log_in(token)
                    continue
                if answer.status_code not in PASSING:
                    return answer
                last = f"says: {reason(answer)}"
                wait = max(retry_after(answer), pause)
            if time.monotonic() + wait > until:
                raise Lost(f"The server at {self._client.base_url} {last}")
            if last not in self._told:
                self._told.add(last)
                self._tell(
                    f"The server at {self._client.base_url} {last} - trying again for up to "
                    f"{self._patience:g} seconds."
                )
            await asyncio.sleep(wait)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def retry_after(answer: httpx.Response) -> float:
    """Seconds that an answer asks to wait; 0 when it does not say."""
    given = answer.headers.get("retry-after", "")
    return float(given) if given.isdigit() else 0.0


def reason(answer: httpx.Response) -> str:
    """What a problem says, in one line."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"


def _content(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise Refused(reason(answer))
    content = answer.json()
    if not isinstance(content, dict):
        raise Refused("the server's answer could not be understood")
    return content

"""The console's pages and what they ask for, below /ops."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from slipway_monitoring.console import logs, public, releases, state
from slipway_monitoring.console.keeper import Keeper
from slipway_monitoring.console.panels import BY_NAME, PANELS
from slipway_monitoring.console.sessions import SECONDS, Door
from slipway_monitoring.console.sources import Sources
from slipway_monitoring.errors import MonitoringError
from slipway_monitoring.settings import Settings

STATIC = Path(__file__).parent / "static"
PREFIX = "/ops"
#: Hours that a graph may show; more is for whoever keeps figures for longer.
HOURS = (1, 6, 24, 168)
#: However many look, Prometheus is asked once in this time.
FRESH_SECONDS = 5.0
LARGEST_BODY = 4096
#: The public page may be kept by whoever stands in between, and asked for by everybody.
PUBLIC = {"cache-control": "public, max-age=30"}
POLICY = "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

Handler = Callable[[Request], Awaitable[Response]]


class Screen:
    """The state of the environment, asked for once in a few seconds however many look."""

    def __init__(self, own: Settings, sources: Sources) -> None:
        self._own = own
        self._sources = sources
        self._turn = asyncio.Lock()
        self._known: dict[str, Any] = {}
        self._asked = float("-inf")

    async def state(self) -> dict[str, Any]:
        """What the page shows, a few seconds old at most."""
        async with self._turn:
            if time.monotonic() - self._asked > FRESH_SECONDS:
                answers, alerts = await asyncio.gather(
                    self._sources.now(state.QUERIES), self._sources.alerts()
                )
                self._known = state.of(
                    self._own.environment, self._own.monitoring, answers, alerts, time.time()
                )
                self._asked = time.monotonic()
            return self._known


def make(own: Settings, http: httpx.AsyncClient | None = None) -> Starlette:
    """The app, which asks through `http`. Raises MonitoringError without a password."""
    if not own.console_password:
        raise MonitoringError(
            f"the secret {own.secrets_directory / 'console_password'} is missing; mount the volume "
            "of secrets there"
        )
    door = Door(own.console_password)

    http = http or httpx.AsyncClient(trust_env=False)
    sources = Sources(http, own.prometheus_url, own.alertmanager_url)
    keeper = Keeper(sources, own.data_directory / "status.json")

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with http:
            keeping = asyncio.create_task(keeper.run())
            yield
            keeping.cancel()

    async def login(request: Request) -> Response:
        if int(request.headers.get("content-length") or LARGEST_BODY + 1) > LARGEST_BODY:
            return _problem(413, "a password is shorter than that")
        try:
            told = await request.json()
            password = told["password"]
        except (ValueError, KeyError, TypeError):
            return _problem(400, 'send {"password": "..."} as JSON')
        if not (isinstance(password, str) and door.opens(password)):
            return _problem(401, "that is not the console's password")
        request.session["since"] = int(time.time())
        return Response(status_code=204)

    middleware = Middleware(
        SessionMiddleware,
        secret_key=door.key,
        session_cookie="slipway-console",
        max_age=SECONDS,
        path=PREFIX,
        same_site="strict",
        https_only=True,
    )
    routes = [
        Route("/health", _health),
        Route("/status", _status_page),
        Route("/status.json", _status),
        Route("/status.css", _status_style),
        Route(PREFIX, _lead),
        Route(f"{PREFIX}/", _page),
        Route(f"{PREFIX}/logs", _log_page),
        Route(f"{PREFIX}/releases", _release_page),
        Mount(f"{PREFIX}/static", StaticFiles(directory=STATIC)),
        Route(f"{PREFIX}/api/login", login, methods=["POST"]),
        Route(f"{PREFIX}/api/logout", _logout, methods=["POST"]),
        Route(f"{PREFIX}/api/state", _inside(_state)),
        Route(f"{PREFIX}/api/panels", _inside(_panels)),
        Route(f"{PREFIX}/api/series", _inside(_series)),
        Route(f"{PREFIX}/api/releases", _inside(_releases)),
        Route(f"{PREFIX}/api/logs", _inside(_lines)),
        Route(f"{PREFIX}/api/logs/counts", _inside(_counts)),
    ]
    zipped = Middleware(GZipMiddleware, minimum_size=1000)
    made = Starlette(routes=routes, middleware=[middleware, zipped], lifespan=lifespan)
    made.state.sources, made.state.screen = sources, Screen(own, sources)
    made.state.own, made.state.keeper = own, keeper
    made.state.logs = logs.Logs(http, own.logs_url) if own.logs else None
    return made


def _inside(handler: Handler) -> Handler:
    """Only for whoever has logged in; the answer is kept by nobody in between."""

    async def guarded(request: Request) -> Response:
        since = request.session.get("since", 0)
        if time.time() - since > SECONDS:
            return _problem(401, "log in first")
        answer = await handler(request)
        answer.headers["cache-control"] = "no-store"
        return answer

    return guarded


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "live"})


async def _told(request: Request) -> dict[str, Any]:
    """What everybody may know."""
    known = await request.app.state.screen.state()
    found = request.app.state.keeper.record
    return public.summary(known["serving"]["state"], found, known["at"])


async def _status(request: Request) -> Response:
    return JSONResponse(await _told(request), headers=PUBLIC)


async def _status_page(request: Request) -> Response:
    text = public.page(request.app.state.own.domain, await _told(request))
    return HTMLResponse(text, headers=PUBLIC | {"content-security-policy": POLICY})


async def _status_style(_request: Request) -> Response:
    return Response(public.STYLE, media_type="text/css", headers=PUBLIC)


async def _lead(_request: Request) -> Response:
    return RedirectResponse(f"{PREFIX}/", status_code=308)


async def _page(_request: Request) -> Response:
    return _static("index.html")


async def _log_page(_request: Request) -> Response:
    return _static("logs.html")


async def _release_page(_request: Request) -> Response:
    return _static("releases.html")


def _static(name: str) -> Response:
    headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
    return FileResponse(STATIC / name, headers=headers)


async def _releases(request: Request) -> Response:
    try:
        found = releases.read(request.app.state.own.data_directory)
    except MonitoringError as error:
        return _problem(503, str(error))
    if found is None:
        return _problem(404, "the next release of this environment tells what there was")
    return JSONResponse({"releases": found})


async def _lines(request: Request) -> Response:
    async def found(store: logs.Logs, question: logs.Question) -> dict[str, Any]:
        lines = await store.lines(question)
        return {"lines": lines, "whole": len(lines) < logs.MOST, "to": question.end}

    return await _searched(request, found)


async def _counts(request: Request) -> Response:
    async def found(store: logs.Logs, question: logs.Question) -> dict[str, Any]:
        counts, services = await asyncio.gather(store.counts(question), store.services(question))
        return {**counts, "services": services}

    return await _searched(request, found)


async def _searched(
    request: Request, found: Callable[[logs.Logs, logs.Question], Awaitable[dict[str, Any]]]
) -> Response:
    store: logs.Logs | None = request.app.state.logs
    if store is None:
        return _problem(404, "this environment has no log store: its file says `logs: null`")
    try:
        return JSONResponse(await found(store, logs.read(request.query_params, time.time())))
    except ValueError as error:
        return _problem(400, str(error))
    except MonitoringError as error:
        return _problem(503, str(error))


async def _logout(request: Request) -> Response:
    request.session.clear()
    return Response(status_code=204)


async def _state(request: Request) -> Response:
    return JSONResponse(await request.app.state.screen.state())


async def _panels(_request: Request) -> Response:
    told = [dataclasses.asdict(panel) for panel in PANELS]
    return JSONResponse({"hours": HOURS, "panels": told})


async def _series(request: Request) -> Response:
    panel = BY_NAME.get(request.query_params.get("panel", ""))
    hours = request.query_params.get("hours", "")
    if panel is None:
        return _problem(404, f"there is no such panel (there are: {', '.join(BY_NAME)})")
    if hours not in map(str, HOURS):
        return _problem(400, f"hours is one of {', '.join(map(str, HOURS))}")
    now = time.time()
    try:
        found = await request.app.state.sources.over(panel.query, now - int(hours) * 3600, now)
    except MonitoringError as error:
        return _problem(503, str(error))
    return JSONResponse({"panel": panel.name, "unit": panel.unit, "legend": panel.legend, **found})


def _problem(status: int, detail: str) -> Response:
    return JSONResponse({"status": status, "detail": detail}, status)

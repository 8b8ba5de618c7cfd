"""The service's interface: health, figures, what there is, and a trigger that asks for a token."""

from __future__ import annotations

import hmac
import threading
import time
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from slipway_backup import history, lock, logs, metrics, status, taking
from slipway_backup.errors import OTHERS, BackupError
from slipway_backup.policy import Kind
from slipway_backup.settings import Settings

#: Asking the repositories takes a second or two.
CACHED_SECONDS = 20


class Wanted(BaseModel):
    """A point that is asked for."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind = "incr"
    name: str = Field("", max_length=64, pattern=r"^[A-Za-z0-9._-]*$")


class Cache:
    """The list of points, for as long as nothing was done and not much time went by."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._at = 0.0
        self._told: dict[str, Any] = {}

    def points(self) -> dict[str, Any]:
        """Every point."""
        with self._lock:
            if not self._told or time.monotonic() - self._at > CACHED_SECONDS:
                self._told = status.points_of(self._settings)
                self._at = time.monotonic()
            return self._told


def make_app(settings: Settings) -> FastAPI:
    """The application; it holds nothing that a start would lose."""
    app = FastAPI(title="Slipway backup", docs_url=None, redoc_url=None)
    registry = metrics.registry(settings)
    cache = Cache(settings)

    @app.get("/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/health/ready")
    def ready(response: Response) -> dict[str, Any]:
        told = status.summary(settings)
        receiving = bool(told["archive"]["receiving"])
        response.status_code = 200 if receiving else 503
        return {"status": "ready" if receiving else "not ready", "problems": told["problems"]}

    @app.get("/metrics")
    def figures() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/points")
    async def every_point() -> dict[str, Any]:
        try:
            return await run_in_threadpool(cache.points)
        except BackupError as error:
            raise HTTPException(503, {"error": str(error), "next": error.next}) from None

    @app.get("/v1/runs")
    def runs() -> dict[str, Any]:
        return {"runs": history.read(settings, "run")[::-1][:200]}

    @app.get("/v1/drills")
    def drills() -> dict[str, Any]:
        return {"drills": history.read(settings, "drill")[::-1][:200]}

    @app.post("/v1/runs", status_code=202)
    def take(request: Request, wanted: Wanted) -> dict[str, str]:
        require_token(settings, request.headers.get("authorization", ""))
        path = settings.work_directory / "run.lock"
        if not lock.is_free(path):
            raise HTTPException(409, {"error": lock.taken(path)})
        work = threading.Thread(target=_take, args=(settings, wanted), daemon=True)
        work.start()
        return {"status": "begun", "kind": wanted.kind}

    return app


def require_token(settings: Settings, header: str) -> None:
    """Answer 401 to whoever does not show the service's token."""
    given = header.removeprefix("Bearer ").encode()
    wanted = settings.backup_token.encode()
    if not wanted or not hmac.compare_digest(given, wanted):
        raise HTTPException(401, {"error": "a bearer token is wanted"})


def _take(settings: Settings, wanted: Wanted) -> None:
    try:
        taking.run(settings, wanted.kind, name=wanted.name, cause="asked for")
    except (BackupError, *OTHERS) as error:
        logs.log("error", "a point that was asked for failed", reason=str(error))

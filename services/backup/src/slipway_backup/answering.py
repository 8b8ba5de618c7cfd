"""Answering on the port of the settings, until told to stop."""

from __future__ import annotations

import uvicorn
from fastapi import FastAPI

from slipway_backup.settings import Settings


def answer(app: FastAPI, settings: Settings) -> None:
    """Answer until a signal; requests under way have five seconds then."""
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
    )
    uvicorn.Server(config).run()

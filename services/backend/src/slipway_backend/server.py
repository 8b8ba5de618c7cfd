"""The HTTP server: serves on for a while after SIGTERM, so that nobody's request is lost."""

from __future__ import annotations

import asyncio
import gc
import math
import time
from types import FrameType

import uvicorn

from slipway_backend.api.app import make_app, started
from slipway_backend.api.state import Lifecycle
from slipway_backend.errors import StartRefused
from slipway_backend.logs import get_logger
from slipway_backend.settings import Settings

# Longer than the edge keeps idle connections, so that the edge is the one that closes them.
KEEP_ALIVE_SECONDS = 75
FINISH_SECONDS = 60


class DrainingServer(uvicorn.Server):
    """Uvicorn, but the first SIGTERM starts a drain and only its end, or a second one, an exit."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_seconds: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_seconds = drain_seconds
        self._drained_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Start draining; a second signal ends the drain."""
        if self._lifecycle.draining:
            self.should_exit = True
            return
        self._lifecycle.draining = True
        self._drained_at = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """End the drain when its time is over."""
        if self._drained_at is not None and time.monotonic() >= self._drained_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(settings: Settings) -> None:
    """Serve the API until told to stop; raise StartRefused when it cannot start."""
    factory = uvicorn.Config("unused", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    lifecycle = Lifecycle()
    async with started(settings, lifecycle=lifecycle) as state:
        config = uvicorn.Config(
            make_app(state),
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            forwarded_allow_ips=settings.trusted_proxies,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            # A streamed answer that has begun is finished.
            timeout_graceful_shutdown=max(FINISH_SECONDS, math.ceil(settings.llm_seconds) + 5),
            lifespan="off",
        )
        # What was made until now stays until the end: a collection need not look at it again.
        gc.collect()
        gc.freeze()
        get_logger().info("serving", port=settings.port, release=settings.release)
        try:
            await DrainingServer(config, lifecycle, settings.drain_seconds).serve()
        except SystemExit:
            raise StartRefused(
                f"Port {settings.port} on {settings.host} cannot be used: set PORT to a free one."
            ) from None
    get_logger().info("stopped")

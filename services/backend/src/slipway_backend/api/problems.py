"""Every error as problem+json (RFC 9457)."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import procrastinate.exceptions
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from slipway_backend.api.models.common import ProblemDetails
from slipway_backend.database import TRANSIENT
from slipway_backend.errors import Problem
from slipway_backend.logs import get_logger

MEDIA_TYPE = "application/problem+json"
RETRY_SECONDS = "5"
# Clients of OpenAI's interface look for the member `error` and for nothing else.
OPENAI_PATHS = ("/v1/chat/", "/v1/models", "/v1/embeddings")


def problem_response(
    request: Request,
    status: int,
    title: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    extensions: Mapping[str, object] | None = None,
) -> JSONResponse:
    """Return a problem+json answer that carries the request's id."""
    problem = Problem(status, title, detail, extensions=extensions)
    content = problem_content(request, problem)
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_content(request: Request, problem: Problem) -> dict[str, object]:
    """The members of a problem; for OpenAI's clients with theirs."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail,
        "instance": request.url.path,
        "request_id": request.scope.get("request_id"),
        **problem.extensions,
    }
    if request.url.path.startswith(OPENAI_PATHS):
        content["error"] = {
            "message": problem.detail,
            "type": _openai_type(problem.status),
            "code": problem.extensions.get("cause"),
            "param": problem.extensions.get("param"),
        }
    return content


def _openai_type(status: int) -> str:
    if status >= 500:
        return "server_error"
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return kinds.get(status, "invalid_request_error")


def database_problem() -> Problem:
    """The problem told while the database cannot be used."""
    return Problem(
        503,
        "Database unavailable",
        "The database cannot be reached at the moment; try again in a few seconds.",
        headers={"Retry-After": RETRY_SECONDS},
    )


def failure(request: Request, error: Exception) -> JSONResponse:
    """Log an unexpected failure and return a 500 problem that tells nothing of it."""
    problem = _internal(error)
    return problem_response(request, problem.status, problem.title, problem.detail)


def as_problem(error: Exception) -> Problem:
    """What a failure is told as where it is too late for a status, in the middle of a stream."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, TRANSIENT):
        get_logger().error("database_unavailable", cause=type(error).__name__)
        return database_problem()
    return _internal(error)


def _internal(error: Exception) -> Problem:
    get_logger().error("request_failed", cause=type(error).__name__, exc_info=error)
    return Problem(
        500,
        "Internal error",
        "The request failed inside the service; its log says why under this request id.",
    )


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every expected kind of failure as a problem; the middleware answers the others."""

    async def on_problem(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Problem)  # noqa: S101  # nosec B101 - how Starlette dispatches
        return problem_response(
            request,
            error.status,
            error.title,
            error.detail,
            headers=error.headers,
            extensions=error.extensions,
        )

    async def on_http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101  # nosec B101
        title = HTTPStatus(error.status_code).phrase
        detail = f"{title}: {request.method} {request.url.path}"
        if error.detail and error.detail != title:
            detail = str(error.detail)
        headers = _headers(request, error)
        return problem_response(request, error.status_code, title, detail, headers=headers)

    async def on_invalid(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)  # noqa: S101  # nosec B101
        errors = [
            {"where": ".".join(str(part) for part in item["loc"]), "message": item["msg"]}
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['where']}: {item['message']}" for item in errors)
        return problem_response(
            request, 422, "Request not valid", detail, extensions={"errors": errors}
        )

    async def on_database(request: Request, error: Exception) -> JSONResponse:
        get_logger().error("database_unavailable", cause=type(error).__name__)
        return await on_problem(request, database_problem())

    async def on_storage(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OSError)  # noqa: S101  # nosec B101
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            return failure(request, error)
        get_logger().error("disk_full", cause=error.strerror)
        return problem_response(
            request,
            507,
            "Disk full",
            "There is no room to store the file: nothing was stored; tell the operator.",
        )

    async def on_disconnect(request: Request, _: Exception) -> JSONResponse:
        # Nobody reads it; the status is the one that NGINX counts such requests under.
        return problem_response(request, 499, "Client gone", "The client closed the connection.")

    handlers: dict[Any, Any] = {
        Problem: on_problem,
        HTTPException: on_http,
        RequestValidationError: on_invalid,
        procrastinate.exceptions.ConnectorException: on_database,
        **dict.fromkeys(TRANSIENT, on_database),
        OSError: on_storage,
        ClientDisconnect: on_disconnect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _headers(request: Request, error: HTTPException) -> dict[str, str]:
    """The error's headers; `Allow` names all that the path takes, not the first route's alone."""
    headers = dict(error.headers or {})
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        template = getattr(request.scope.get("route"), "path", "")
        taken = request.app.openapi()["paths"].get(template, {})
        if taken:
            headers["Allow"] = ", ".join(sorted(method.upper() for method in taken))
    return headers


def describe(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's description of the problems an operation may answer with."""
    if 422 in statuses:
        # What is refused before a route looks at it: a body that is no text, one that is too large,
        # too many requests at once, an instance that is busy.
        statuses = (400, 413, 429, 503, *statuses)
    schema = ProblemDetails.model_json_schema()
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in sorted(set(statuses))
    }

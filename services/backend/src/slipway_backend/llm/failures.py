"""Every way in which a language model fails, as the problem that a client is told."""

from __future__ import annotations

import httpx

from slipway_backend.errors import Problem

RETRY_SECONDS = "10"
_LONGEST_WAIT = 3600


def _problem(cause: str, status: int, title: str, detail: str, retry: str | None = None) -> Problem:
    headers = {"Retry-After": retry} if retry else {}
    return Problem(status, title, detail, headers=headers, extensions={"cause": cause})


def unreachable() -> Problem:
    """Nothing answers at the address."""
    return _problem(
        "llm_unreachable",
        503,
        "Language model unreachable",
        "The configured language model cannot be reached. Search still works; try again soon.",
        RETRY_SECONDS,
    )


def loading() -> Problem:
    """The server is there and still loads the model."""
    return _problem(
        "llm_loading",
        503,
        "Language model not ready",
        "The language model is being loaded. Search works already; try again soon.",
        RETRY_SECONDS,
    )


def timed_out(what: str) -> Problem:
    """It was silent for too long, or took too long altogether."""
    return _problem(
        "llm_timeout",
        504,
        "Language model too slow",
        f"The configured language model {what}. Try again, or ask for less.",
        RETRY_SECONDS,
    )


def malformed() -> Problem:
    """The answer is not what the protocol says."""
    return _problem(
        "llm_malformed",
        502,
        "Language model not understood",
        "The configured language model's answer could not be understood: check that its address "
        "speaks OpenAI's chat completions.",
    )


def cut_off() -> Problem:
    """The answer ended before the model said that it had."""
    return _problem(
        "llm_cut_off",
        502,
        "Language model broke off",
        "The configured language model stopped in the middle of its answer; try again.",
    )


def empty() -> Problem:
    """There was an answer without a word in it."""
    return _problem(
        "llm_empty",
        502,
        "Language model said nothing",
        "The configured language model's answer was empty; try again.",
    )


def refused(response: httpx.Response, model: str) -> Problem:
    """The problem that a status other than 200 stands for."""
    status = response.status_code
    if status == 429:
        return _problem(
            "llm_rate_limited",
            429,
            "Language model busy",
            "The configured language model takes no more requests at the moment.",
            _retry_after(response) or RETRY_SECONDS,
        )
    if status in (401, 403):
        return _problem(
            "llm_key_refused",
            502,
            "Language model refused the key",
            "The configured language model refused this service's key: the operator has to check "
            "LLM_API_KEY.",
        )
    if status == 404:
        return _problem(
            "llm_model_unknown",
            502,
            "Language model unknown",
            f"The configured server does not know the model {model}: the operator has to check "
            "LLM_MODEL and LLM_BASE_URL.",
        )
    if status == 503:
        return _problem(
            "llm_unavailable",
            503,
            "Language model unavailable",
            "The configured language model says that it cannot answer now.",
            _retry_after(response) or RETRY_SECONDS,
        )
    kind = "refused the request" if status < 500 else "failed"
    return _problem(
        "llm_failed",
        502,
        "Language model failed",
        f"The configured language model {kind} with status {status}.",
    )


def _retry_after(response: httpx.Response) -> str | None:
    # Only seconds are passed on; a date, or an absurd number, is not.
    given = response.headers.get("retry-after", "").strip()
    seconds = int(given) if given.isascii() and given.isdigit() and len(given) < 9 else 0
    return str(min(seconds, _LONGEST_WAIT)) if seconds > 0 else None

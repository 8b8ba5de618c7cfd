"""The door of every task: failures become one message and an exit code."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

import invoke
from invoke.exceptions import Exit

from slipway.errors import SlipwayError

DEBUG_VARIABLE = "SLIPWAY_DEBUG"


def task(*args: Any, **options: Any) -> Any:
    """Make an Invoke task whose SlipwayErrors end as one message, without a traceback.

    Arguments are flags, never positions: a misplaced word must not be taken for an environment.
    A traceback is shown with `invoke --debug` or SLIPWAY_DEBUG=1.
    """
    options.setdefault("positional", [])
    # One letter would mean different things in different tasks.
    options.setdefault("auto_shortflags", False)
    if len(args) == 1 and callable(args[0]):
        return invoke.task(**options)(_guarded(args[0]))

    def decorate(body: Callable[..., None]) -> Any:
        return invoke.task(*args, **options)(_guarded(body))

    return decorate


def _guarded(body: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(body)
    def guarded(context: invoke.Context, *args: Any, **options: Any) -> None:
        try:
            body(context, *args, **options)
        except SlipwayError as error:
            if debugging():
                raise
            noun = body.__name__.strip("_").replace("_", "-")
            raise Exit(f"{noun}: {error}", code=error.exit_code) from error
        except BrokenPipeError as error:
            # Whoever read has read enough, as `invoke logs | head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise Exit(code=0) from error
        except KeyboardInterrupt as error:
            raise Exit("Interrupted. The next run finishes or reverts.", code=130) from error
        except Exception as error:
            if debugging():
                raise
            raise Exit(
                f"{body.__name__}: unexpected {type(error).__name__}: {error}\n"
                f"  next: {DEBUG_VARIABLE}=1 and the same command shows where",
                code=1,
            ) from error

    return guarded


def debugging() -> bool:
    """Whether tracebacks are wanted: SLIPWAY_DEBUG=1, or Invoke's own `--debug`."""
    return os.environ.get(DEBUG_VARIABLE) == "1" or logging.getLogger("invoke").isEnabledFor(
        logging.DEBUG
    )

"""What a group of workers failed of, under what Ray wraps around it."""

from __future__ import annotations

from xtransfer.errors import StepError, StoreError

_NAMED = (StepError, StoreError)
"""Errors of workers that say what happened."""


def cause_of(error: Exception) -> BaseException:
    """Return the innermost cause of a failed training run: of several workers', one with a name.

    When one worker fails, the others lose their connection to it, and fail of that.
    """
    failures = getattr(error, "worker_failures", None) or {}
    causes = [_innermost(each) for each in failures.values()] or [_innermost(error)]
    return next((each for each in causes if isinstance(each, _NAMED)), causes[0])


def last_line(cause: BaseException) -> str:
    """Return what an error says last, the name of its type where it says nothing: Ray puts a traceback before it."""
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(cause).__name__


def _innermost(error: BaseException) -> BaseException:
    while error.__cause__ is not None and not isinstance(error, _NAMED):
        error = error.__cause__
    return error

"""What is tried again when a service fails, how often, and how long between."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from xtransfer.store.interface import FIRST_TRIES, StoreOptions
from xtransfer.store.s3_errors import NO_SPACE, plain, status_of, unsendable

T = TypeVar("T")

log = logging.getLogger(__name__)

PASSING = frozenset(
    "BadDigest IncompleteBody InternalError RequestTimeout ServiceUnavailable SlowDown Throttling "
    "ThrottlingException TooManyRequestsException XAmzContentChecksumMismatch "
    "XAmzContentSHA256Mismatch 503".split()
)
"""Codes of refusals that are about this request's fate, not about what it asked for."""
LASTING = frozenset(NO_SPACE.split())
"""Codes of refusals that stay, whatever their status."""


def retried(function: Callable[[], T], options: StoreOptions) -> T:
    """Call `function` until it succeeds, fails for good, or has been tried long enough.

    Between two tries passes a random time from 0 to `base_pause_s` x 2^tries, at most
    `longest_pause_s`, until `give_up_after_s` or the last try: exponential backoff with full jitter
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).

    Raises:
        whatever the last try raised.
    """
    began = time.monotonic()
    for attempt in range(options.tries):
        try:
            return function()
        except Exception as error:
            pause = options.pause(attempt)
            spent = time.monotonic() - began
            last = attempt + 1 == options.tries or spent + pause > options.give_up_after_s
            if last or not passing(error):
                raise
            log.debug("try %d failed: %s", attempt + 1, plain(error))
            if attempt + 1 == FIRST_TRIES:  # a person may be waiting, and should know for what
                rest = options.give_up_after_s - spent
                log.warning("tried again for up to %.0f s more: %s", rest, plain(error))
            time.sleep(pause)
    raise AssertionError("attempts is at least 1")


def complete(reply: dict[str, Any], *fields: str) -> dict[str, Any]:
    """Return a reply if it has these fields, which S3 always sends.

    Raises:
        ResponseParserError: for any other, such as a proxy's page with status 200; it is asked for again.
    """
    from botocore.parsers import ResponseParserError

    lacking = [name for name in fields if name not in reply]
    if lacking:
        raise ResponseParserError(f"a reply without {' and '.join(lacking)}")
    return reply


def passing(error: Any) -> bool:
    """Say whether the same request may well succeed in a while.

    So may what failed on the way (no connection, a reset, no reply in time, a reply cut short or
    altered), and what the service says it had no capacity for or failed at (429, 500 and above but for
    501 and 507, and a few codes). What it refuses for good is not asked again, nor what cannot be asked at all.
    """
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        status = status_of(error)
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in LASTING or status in (501, 507):
            return False
        return status == 429 or status >= 500 or code in PASSING
    if unsendable(error):
        return False
    if isinstance(error, boto.SSLError):
        return "CERTIFICATE" not in str(error).upper()
    cut_short = (
        boto.IncompleteReadError,
        boto.ResponseStreamingError,
        boto.FlexibleChecksumError,
        boto.ChecksumError,
    )
    # HTTPClientError: connections, resets and time-outs. ResponseParserError: a reply cut short.
    return isinstance(error, (boto.HTTPClientError, boto.ConnectionError, *cut_short)) or (
        type(error).__name__ == "ResponseParserError"
    )

"""What is tried again, how often, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from xtransfer.placement import S3
from xtransfer.store import StoreOptions
from xtransfer.store.retries import passing, retried


def refusal(code: str, status: int) -> boto.ClientError:
    reply: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(reply, "GetObject")


PASSING = [
    refusal("SlowDown", 503),
    refusal("InternalError", 500),
    refusal("BadGateway", 502),
    refusal("TooManyRequests", 429),
    refusal("RequestTimeout", 400),
    refusal("IncompleteBody", 400),
    boto.ConnectTimeoutError(endpoint_url="http://s3"),
    boto.ReadTimeoutError(endpoint_url="http://s3"),
    boto.EndpointConnectionError(endpoint_url="http://s3"),
    boto.ConnectionClosedError(endpoint_url="http://s3"),
    boto.IncompleteReadError(actual_bytes=1, expected_bytes=2),
    boto.ResponseStreamingError(error="reset"),
    boto.FlexibleChecksumError(error_msg="differs"),
    boto.SSLError(endpoint_url="https://s3", error="EOF occurred"),
    ResponseParserError("no XML"),
]
LASTING = [
    refusal("NoSuchBucket", 404),
    refusal("NoSuchKey", 404),
    refusal("AccessDenied", 403),
    refusal("ExpiredToken", 400),
    refusal("RequestTimeTooSkewed", 403),
    refusal("NotImplemented", 501),
    refusal("PreconditionFailed", 412),
    refusal("InsufficientStorage", 507),
    refusal("507", 507),
    refusal("XMinioStorageFull", 507),
    refusal("QuotaExceeded", 403),
    refusal("QuotaExceeded", 503),
    boto.NoCredentialsError(),
    boto.SSLError(endpoint_url="https://s3", error="CERTIFICATE_VERIFY_FAILED"),
    ValueError("a mistake of our own"),
]


def named(error: Exception) -> str:
    return str(error)[:50]


class Failing:
    """Raises an error some times, then returns 7."""

    def __init__(self, error: Exception, times: int) -> None:
        self.error, self.left, self.calls = error, times, 0

    def __call__(self) -> int:
        self.calls += 1
        if self.calls <= self.left:
            raise self.error
        return 7


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the pauses made, none of which passes; the clock goes with them."""
    found: list[float] = []
    monkeypatch.setattr("xtransfer.store.retries.time.sleep", found.append)
    monkeypatch.setattr("xtransfer.store.retries.time.monotonic", lambda: sum(found))
    return found


@pytest.mark.parametrize("error", PASSING, ids=named)
def test_what_may_pass_is_tried_again(error: Exception, pauses: list[float]) -> None:
    function = Failing(error, 3)
    assert passing(error)
    assert retried(function, StoreOptions(attempts=4)) == 7
    assert len(pauses) == 3


@pytest.mark.parametrize("error", LASTING, ids=named)
def test_what_lasts_is_an_error_at_once(error: Exception, pauses: list[float]) -> None:
    function = Failing(error, 1)
    with pytest.raises(type(error)):
        retried(function, StoreOptions())
    assert (function.calls, pauses) == (1, [])


def test_it_ends_after_the_given_number_of_tries(pauses: list[float]) -> None:
    function = Failing(PASSING[0], 99)
    with pytest.raises(boto.ClientError):
        retried(function, StoreOptions(attempts=5))
    assert (function.calls, len(pauses)) == (5, 4)


def test_pauses_grow_at_random_up_to_the_longest(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high / 2

    monkeypatch.setattr("xtransfer.store.interface.random.uniform", uniform)
    options = StoreOptions(attempts=7, base_pause_s=0.5, longest_pause_s=6)
    with pytest.raises(boto.ClientError):
        retried(Failing(PASSING[0], 99), options)
    assert bounds[:6] == [(0, high) for high in (0.5, 1, 2, 4, 6, 6)]
    assert pauses == [0.25, 0.5, 1, 2, 3, 3]


def test_no_try_begins_after_the_time_is_up(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xtransfer.store.interface.random.uniform", lambda low, high: high)
    function = Failing(PASSING[0], 99)
    options = StoreOptions(attempts=50, base_pause_s=1, longest_pause_s=8, give_up_after_s=20)
    with pytest.raises(boto.ClientError):
        retried(function, options)
    assert pauses == [1, 2, 4, 8]
    assert function.calls == 5


def test_the_placement_and_the_store_mean_the_same() -> None:
    assert StoreOptions(**S3().model_dump()) == StoreOptions()

"""What is tried again, how often, and for how long."""

from __future__ import annotations

import os
from typing import Any

import pytest
from botocore import exceptions as boto
from botocore.parsers import ResponseParserError

from xtransfer.config.placement import S3
from xtransfer.errors import StoreError
from xtransfer.store import StoreOptions, open_store
from xtransfer.store.interface import FIRST_TRIES
from xtransfer.store.retries import passing, retried
from xtransfer.store.s3 import S3Store
from xtransfer.store.s3_client import Connection


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


def test_a_service_that_has_answered_is_waited_for_until_the_time_is_up(
    pauses: list[float],
) -> None:
    function = Failing(PASSING[0], 10**6)
    with pytest.raises(boto.ClientError):
        retried(function, StoreOptions(answers=True))
    assert 250 < sum(pauses) <= 300
    again = Failing(PASSING[0], 20)
    assert retried(again, StoreOptions(answers=True)) == 7


def test_one_that_has_never_answered_is_given_up_soon(pauses: list[float]) -> None:
    function = Failing(PASSING[0], 99)
    with pytest.raises(boto.ClientError):
        retried(function, StoreOptions())
    assert function.calls == FIRST_TRIES
    assert sum(pauses) < 13


class Away:
    """An S3 client that answers while it is told to, and counts."""

    def __init__(self) -> None:
        self.there, self.calls = True, 0
        self.meta = type("Meta", (), {"endpoint_url": "http://s3"})

    def head_object(self, **_: Any) -> dict[str, Any]:
        self.calls += 1
        if not self.there:
            raise boto.EndpointConnectionError(endpoint_url="http://s3")
        return {"ETag": "x"}


@pytest.mark.parametrize("met", ["itself", "its driver", "never"])
def test_a_store_that_was_met_is_waited_for(pauses: list[float], met: str) -> None:
    store = open_store("s3://bucket", options=StoreOptions(answers=met == "its driver"))
    assert isinstance(store, S3Store)
    client = Away()
    store._connections[os.getpid()] = Connection(client, None)
    if met == "itself":
        assert store.exists("a")
    client.there, client.calls = False, 0
    words = "attempt 8 of 8" if met == "never" else "for all of s3.give_up_after_s"
    with pytest.raises(
        StoreError, match=rf"cannot be reached \(EndpointConnectionError, {words}\)"
    ):
        store.exists("a")
    assert (client.calls == FIRST_TRIES) == (met == "never")
    assert (sum(pauses) > 250) == (met != "never")


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

"""A store that creates over what is there is found out before anybody relies on it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.small import small_bench
from tests.store.service import NO_HEADERS, Reply, Request, Serve, serving
from xtransfer.cluster.preflight import ask_store
from xtransfer.config.placement import Placement
from xtransfer.driver import runner
from xtransfer.driver.runner import run_plan
from xtransfer.errors import StoreError
from xtransfer.records.leftovers import garbage, remove
from xtransfer.records.probe import check_creation
from xtransfer.store import Store, StoreOptions, open_store


class Bucket:
    """A service that keeps objects, and may or may not honour `If-None-Match`."""

    def __init__(self, *, honours: bool) -> None:
        self.honours = honours
        self.objects: dict[str, dict[str, str]] = {}

    def __call__(self, request: Request) -> Reply:
        path, there = request.path.partition("?")[0], request.path in self.objects
        if request.method == "PUT":
            if self.honours and there and request.headers.get("if-none-match") == "*":
                return Reply(412, "<Error><Code>PreconditionFailed</Code></Error>")
            meta = {k: v for k, v in request.headers.items() if k.startswith("x-amz-meta")}
            self.objects[path] = {"ETag": '"x"', **meta}
            return Reply(200, "", {"ETag": '"x"'})
        if request.method == "DELETE":
            self.objects.pop(path, None)
            return Reply(204, "")
        if there:
            return Reply(200, "", self.objects[path])
        missing = "<Error><Code>NoSuchKey</Code></Error>"
        return Reply(404, "" if request.method == "HEAD" else missing, NO_HEADERS)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serving() as start:
        yield start


def placed(serve: Serve, bucket: Bucket) -> Placement:
    s3 = {"endpoint_url": serve(bucket).url, "region": "r"}
    return Placement.model_validate({"store": "s3://bucket/p", "s3": s3})


def opened(placement: Placement) -> Store:
    return open_store(placement.store, options=StoreOptions(**placement.s3.model_dump()))


def test_a_store_that_creates_once_is_taken_and_nothing_is_left_there(store: Store) -> None:
    check_creation(store)
    assert list(store.list("")) == []


@pytest.mark.parametrize("honours", [True, False])
def test_a_service_that_ignores_the_condition_is_refused(serve: Serve, honours: bool) -> None:
    bucket = Bucket(honours=honours)
    placement = placed(serve, bucket)
    answer = ask_store(placement)
    assert answer.found == ("there" if honours else "absent")
    assert ("conditional writes" in answer.text) == (not honours)
    if honours:
        check_creation(opened(placement))
    else:
        with pytest.raises(StoreError, match=r"^s3://bucket/p: overwrites .* Use a service with"):
            check_creation(opened(placement))
    assert bucket.objects == {}


def test_who_may_not_delete_is_asked_nothing_else(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Store, name: str) -> None:
        raise StoreError(self.url, f"may not delete {name}")

    monkeypatch.setattr(type(store), "delete", refused)
    check_creation(store)


def test_a_run_refuses_such_a_store_before_anything_is_claimed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = small_bench(tmp_path, {})
    store = bench.store

    def create(self: Store, name: str, data: bytes) -> bool:
        self.write(name, data)
        return True

    monkeypatch.setattr(type(store), "create", create)
    monkeypatch.setattr(runner, "ray_session", lambda _: nullcontext())
    before = list(store.list(""))
    board: Any = type("Board", (), {"changed": lambda *_: None})()
    with pytest.raises(StoreError, match="overwrites an object that was to be created only"):
        run_plan(bench.plan, store, bench.placement, board)
    assert list(store.list("")) == before


def test_a_probe_that_gc_removes_meanwhile_is_no_reason_to_refuse(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    create, asked = type(store).create, list[str]()

    def swept(self: Store, name: str, data: bytes) -> bool:
        asked.append(name)
        if len(asked) == 2:
            assert [each.object for each in remove(self, garbage(self))] == [name]
        return create(self, name, data)

    monkeypatch.setattr(type(store), "create", swept)
    check_creation(store)
    assert len(asked) == 4

"""Files in parts, against a service of a few lines that fails where it is told to."""

from __future__ import annotations

import io
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore import exceptions as boto

from xtransfer.store import StoreOptions
from xtransfer.store.s3_files import get_file, put_file

MIB = 1 << 20
OPTIONS = StoreOptions(attempts=4, base_pause_s=0, part_mib=5, parallel_parts=2)
DATA = random.Random(0).randbytes(12 * MIB + 7)


def refusal(code: str, status: int) -> boto.ClientError:
    reply: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return boto.ClientError(reply, "Any")


class Service:
    """Objects of one bucket. `hook(method, times called)` may raise, or return bytes to cut a body."""

    def __init__(self, hook: Callable[[str, int], Any] = lambda method, times: None) -> None:
        self.objects: dict[str, bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.tags: dict[str, str] = {}
        self.calls: Counter[str] = Counter()
        self.hook = hook
        self.aborted = 0

    def _call(self, method: str) -> Any:
        self.calls[method] += 1
        return self.hook(method, self.calls[method])

    def put_object(self, *, Bucket: str, Key: str, Body: bytes) -> Any:  # noqa: N803, ARG002
        self._call("put")
        self.put(Key, Body)
        return {"ETag": self.tags[Key]}

    def put(self, key: str, data: bytes, tag: str = "") -> None:
        self.objects[key] = data
        self.tags[key] = tag or f'"{len(self.tags)}-{hash(data)}"'

    def create_multipart_upload(self, **_: Any) -> Any:
        self._call("begin")
        return {"UploadId": "u"}

    def upload_part(self, *, PartNumber: int, Body: bytes, **_: Any) -> Any:  # noqa: N803
        self._call("part")
        self.parts[PartNumber] = Body
        return {"ETag": str(PartNumber)}

    def complete_multipart_upload(self, *, Key: str, MultipartUpload: Any, **_: Any) -> Any:  # noqa: N803
        if not self.parts:
            raise refusal("NoSuchUpload", 404)
        numbers = [part["PartNumber"] for part in MultipartUpload["Parts"]]
        self.put(Key, b"".join(self.parts[number] for number in numbers), f'"x-{len(numbers)}"')
        self.parts = {}
        self._call("complete")

    def abort_multipart_upload(self, **_: Any) -> None:
        self.aborted += 1

    def head_object(self, *, Bucket: str, Key: str) -> Any:  # noqa: N803, ARG002
        return {"ContentLength": len(self.objects[Key]), "ETag": self.tags[Key]}

    def get_object(self, *, Key: str, Range: str, IfMatch: str = "", **_: Any) -> Any:  # noqa: N803
        cut = self._call("get")
        data = self.objects[Key]
        if IfMatch and IfMatch != self.tags[Key]:
            raise refusal("PreconditionFailed", 412)
        start, end = (int(text) for text in Range.removeprefix("bytes=").split("-"))
        if start >= len(data):
            raise refusal("InvalidRange", 416)
        body = data[start : end + 1]
        return {
            "Body": io.BytesIO(body[:cut] if cut else body),
            "ContentRange": f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}",
            "ETag": self.tags[Key],
        }


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(DATA)
    return path


def got(service: Service, tmp_path: Path) -> bytes:
    get_file(service, "b", "k", tmp_path / "target", options=OPTIONS)
    return (tmp_path / "target").read_bytes()


@pytest.mark.parametrize("size", [0, 1, 5 * MIB - 1, 5 * MIB, 5 * MIB + 1, len(DATA)])
def test_files_of_any_size_go_and_come(tmp_path: Path, size: int) -> None:
    service = Service()
    (tmp_path / "source").write_bytes(DATA[:size])
    put_file(service, "b", "k", tmp_path / "source", options=OPTIONS)
    assert service.objects["k"] == DATA[:size]
    assert got(service, tmp_path) == DATA[:size]
    assert service.calls["part"] == (-(-size // (5 * MIB)) if size > 5 * MIB else 0)


def test_a_part_that_fails_is_sent_again_alone(source: Path) -> None:
    def hook(method: str, times: int) -> None:
        if method == "part" and times in (2, 3):
            raise refusal("SlowDown", 503)

    service = Service(hook)
    put_file(service, "b", "k", source, options=OPTIONS)
    assert service.objects["k"] == DATA
    assert service.calls["part"] == 3 + 2


def test_an_upload_that_fails_for_good_is_aborted(source: Path) -> None:
    def hook(method: str, times: int) -> None:
        if method == "part" and times > 1:
            raise refusal("AccessDenied", 403)

    service = Service(hook)
    with pytest.raises(boto.ClientError, match="AccessDenied"):
        put_file(service, "b", "k", source, options=OPTIONS)
    assert (service.objects, service.aborted) == ({}, 1)


def test_an_upload_whose_end_was_not_heard_of_has_ended(source: Path) -> None:
    def hook(method: str, times: int) -> None:
        if method == "complete" and times == 1:
            raise boto.ConnectionClosedError(endpoint_url="http://s3")

    service = Service(hook)
    put_file(service, "b", "k", source, options=OPTIONS)
    assert (service.objects["k"] == DATA, service.aborted) == (True, 0)


def test_an_upload_that_vanished_has_not_ended(source: Path) -> None:
    def hook(method: str, times: int) -> None:  # noqa: ARG001
        if method == "complete":
            service.put("k", b"another's")
            raise boto.ConnectionClosedError(endpoint_url="http://s3")

    service = Service(hook)
    with pytest.raises(boto.ClientError, match="NoSuchUpload"):
        put_file(service, "b", "k", source, options=OPTIONS)


def test_a_body_goes_on_where_it_broke_off(tmp_path: Path) -> None:
    service = Service(lambda method, times: 2 * MIB if times < 20 else None)
    service.put("k", DATA)
    assert got(service, tmp_path) == DATA
    # 5 + 5 + 2 MiB in bodies of 2 MiB, none of which is asked for twice.
    assert service.calls["get"] == 3 + 3 + 2


def test_a_body_that_never_comes_is_given_up(tmp_path: Path) -> None:
    def hook(_: str, times: int) -> int | None:
        if times > 1:
            raise boto.ReadTimeoutError(endpoint_url="http://s3")
        return 1 * MIB

    service = Service(hook)
    service.put("k", DATA[: 2 * MIB])
    with pytest.raises(boto.ReadTimeoutError):
        got(service, tmp_path)
    assert service.calls["get"] == 2 * OPTIONS.attempts


def test_an_object_that_is_replaced_meanwhile_is_read_anew(tmp_path: Path) -> None:
    other = DATA[::-1]

    def hook(method: str, times: int) -> None:
        if method == "get" and times == 2:
            service.put("k", other)

    service = Service(hook)
    service.put("k", DATA)
    assert got(service, tmp_path) == other

"""A service that answers oddly, or something else in its place: nothing passes for done, empty or endless."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from tests.store.service import Answer, Reply, Request, Serve, Service, serving
from xtransfer.errors import StoreError
from xtransfer.store import ObjectInfo, Store, StoreOptions, open_store

MIB = 1 << 20
PAGE = "<html>please log in</html>"
LIST = "<ListBucketResult>{}</ListBucketResult>"
OBJECT = "<Contents><Key>p/{}</Key><Size>{}</Size></Contents>"
MORE = "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>"
LAST = "<IsTruncated>false</IsTruncated>"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serving() as start:
        yield start


def store_of(service: Service) -> Store:
    options = StoreOptions(
        endpoint_url=service.url, region="r", attempts=2, base_pause_s=0, part_mib=5
    )
    return open_store("s3://bucket/p", options=options)


@pytest.mark.parametrize(
    "what", ["write", "create", "read", "exists", "upload", "parts", "download"]
)
def test_a_page_that_answers_everything_with_success_is_no_store(
    serve: Serve, tmp_path: Path, what: str
) -> None:
    service = serve(lambda _: Reply(200, PAGE))
    store, small, large = store_of(service), tmp_path / "small", tmp_path / "large"
    small.write_bytes(b"x")
    large.write_bytes(bytes(6 * MIB))
    do: dict[str, Callable[[], object]] = {
        "write": lambda: store.write("a", b"x"),
        "create": lambda: store.create("a", b"x"),
        "read": lambda: store.read("a"),
        "exists": lambda: store.exists("a"),
        "upload": lambda: store.upload("a", small),
        "parts": lambda: store.upload("a", large),
        "download": lambda: store.download("a", tmp_path / "got"),
    }
    with pytest.raises(
        StoreError, match=r"gives no reply of S3: a reply without .*s3.endpoint_url"
    ):
        do[what]()
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("body", [PAGE, "", "<ListBucketResult></ListBucketResult>"])
def test_what_is_no_listing_is_not_an_empty_store(serve: Serve, body: str) -> None:
    service = serve(lambda _: Reply(200, body))
    with pytest.raises(StoreError, match="gives no reply of S3: a reply without IsTruncated"):
        store_of(service).list("")
    assert len(service.requests) == 2  # it is asked again: a reply may be cut short


def test_pages_that_repeat_objects_list_each_once_as_it_was_last(serve: Serve) -> None:
    pages = [
        OBJECT.format("a", 1) + OBJECT.format("b", 2) + MORE.format("1"),
        OBJECT.format("b", 3) + OBJECT.format("a", 1) + MORE.format("2"),
        OBJECT.format("c", 4) + LAST,
    ]

    def answer(request: Request) -> Reply:
        at = (
            int(request.path.rpartition("continuation-token=")[2][0])
            if "continuation" in request.path
            else 0
        )
        return Reply(200, LIST.format(pages[at]))

    assert list(store_of(serve(answer)).list("")) == [
        ObjectInfo("a", 1),
        ObjectInfo("b", 3),
        ObjectInfo("c", 4),
    ]


@pytest.mark.parametrize("more", [MORE.format("same"), "<IsTruncated>true</IsTruncated>"])
def test_a_listing_that_leads_in_a_circle_ends(serve: Serve, more: str) -> None:
    service = serve(lambda _: Reply(200, LIST.format(more)))
    with pytest.raises(StoreError, match="the service's listing does not end"):
        store_of(service).list("")
    assert len(service.requests) <= 2


def refuses(code: str, status: int, message: str = "", **headers: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return lambda _: Reply(status, body, headers)


def test_a_wrong_clock_is_told_where_the_reply_has_only_a_status(serve: Serve) -> None:
    off = store_of(serve(refuses("", 403, Date=formatdate(1e9, usegmt=True))))
    with pytest.raises(StoreError, match="this machine's clock differs from the service's"):
        off.exists("a")
    right = store_of(serve(refuses("", 403, Date=formatdate(usegmt=True))))
    with pytest.raises(StoreError, match="access denied"):
        right.exists("a")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (refuses("InvalidArgument", 400, "Unsupported header x-amz-checksum-crc32"), "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        (refuses("NotImplemented", 501), "AWS_REQUEST_CHECKSUM_CALCULATION=when_required"),
        (refuses("AccessDenied", 403, "with an explicit deny in a resource-based policy"), "default encryption"),
    ],
)  # fmt: skip
def test_a_refusal_says_what_next(serve: Serve, answer: Answer, words: str) -> None:
    with pytest.raises(StoreError, match=words):
        store_of(serve(answer)).write("a", b"x")


@pytest.mark.parametrize("what", ["write", "exists", "upload"])
@pytest.mark.parametrize("renewed", [True, False])
def test_credentials_that_expire_are_read_again(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str, renewed: bool
) -> None:
    """As a file does that another program writes anew before they expire."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    file = tmp_path / "credentials"
    file.write_text("[default]\naws_access_key_id = first\naws_secret_access_key = s\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    etag = {"ETag": f'"{hashlib.md5(b"x").hexdigest()}"'}

    def answer(request: Request) -> Reply:
        if "Credential=second/" in request.headers["authorization"]:
            return Reply(200, "", etag)
        return refuses("ExpiredToken", 400)(request)

    service = serve(answer)
    store, source = store_of(service), tmp_path / "source"
    source.write_bytes(b"x")
    do: dict[str, Callable[[], object]] = {
        "write": lambda: store.write("a", b"x"),
        "exists": lambda: store.exists("a"),
        "upload": lambda: store.upload("a", source),
    }
    with pytest.raises(StoreError, match="credentials have expired"):
        do[what]()
    asked = len(service.requests)
    if renewed:
        file.write_text("[default]\naws_access_key_id = second\naws_secret_access_key = s\n")
        do[what]()
        assert "Credential=second/" in service.requests[-1].headers["authorization"]
    else:
        with pytest.raises(StoreError, match="credentials have expired"):
            do[what]()
        assert len(service.requests) == 2 * asked  # the same ones are not tried again

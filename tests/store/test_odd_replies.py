"""A service that answers oddly, or something else in its place: nothing passes for done, empty or endless."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest

from xtransfer.errors import StoreError
from xtransfer.store import ObjectInfo, Store, StoreOptions, open_store

MIB = 1 << 20
PAGE = "<html>please log in</html>"
LIST = "<ListBucketResult>{}</ListBucketResult>"
OBJECT = "<Contents><Key>p/{}</Key><Size>{}</Size></Contents>"
MORE = "<IsTruncated>true</IsTruncated><NextContinuationToken>{}</NextContinuationToken>"
LAST = "<IsTruncated>false</IsTruncated>"


class Request(NamedTuple):
    """What a client asks."""

    method: str
    path: str
    headers: dict[str, str]


class Reply(NamedTuple):
    """What it is told."""

    status: int
    body: str
    headers: dict[str, str] = {}  # noqa: RUF012 - never changed


class Service(ThreadingHTTPServer):
    """Answers every request by a function, and keeps them."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[Request] = []

    def store(self, **options: float) -> Store:
        url = f"http://127.0.0.1:{self.server_port}"
        more = {"attempts": 2, "base_pause_s": 0, "part_mib": 5, **options}
        return open_store(
            "s3://bucket/p", options=StoreOptions(endpoint_url=url, region="r", **more)
        )  # type: ignore[arg-type]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Service)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, {k.lower(): v for k, v in self.headers.items()})
        self.server.requests.append(request)
        status, body, headers = self.server.answer(request)
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    do_POST = do_PUT = do_HEAD = do_DELETE = do_GET  # noqa: N815 - names of the parent

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""


Serve = Callable[[Callable[[Request], Reply]], Service]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    running: list[Service] = []

    def start(answer: Callable[[Request], Reply]) -> Service:
        running.append(Service(answer))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return running[-1]

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "what", ["write", "create", "read", "exists", "upload", "parts", "download"]
)
def test_a_page_that_answers_everything_with_success_is_no_store(
    serve: Serve, tmp_path: Path, what: str
) -> None:
    service = serve(lambda _: Reply(200, PAGE))
    store, small, large = service.store(), tmp_path / "small", tmp_path / "large"
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
        service.store().list("")
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

    assert list(serve(answer).store().list("")) == [
        ObjectInfo("a", 1),
        ObjectInfo("b", 3),
        ObjectInfo("c", 4),
    ]


@pytest.mark.parametrize("more", [MORE.format("same"), "<IsTruncated>true</IsTruncated>"])
def test_a_listing_that_leads_in_a_circle_ends(serve: Serve, more: str) -> None:
    service = serve(lambda _: Reply(200, LIST.format(more)))
    with pytest.raises(StoreError, match="the service's listing does not end"):
        service.store().list("")
    assert len(service.requests) <= 2


def refuses(
    code: str, status: int, message: str = "", **headers: str
) -> Callable[[Request], Reply]:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return lambda _: Reply(status, body, headers)


def test_a_wrong_clock_is_told_where_the_reply_has_only_a_status(serve: Serve) -> None:
    off = serve(refuses("", 403, Date=formatdate(1e9, usegmt=True))).store()
    with pytest.raises(StoreError, match="this machine's clock differs from the service's"):
        off.exists("a")
    right = serve(refuses("", 403, Date=formatdate(usegmt=True))).store()
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
def test_a_refusal_says_what_next(
    serve: Serve, answer: Callable[[Request], Reply], words: str
) -> None:
    with pytest.raises(StoreError, match=words):
        serve(answer).store().write("a", b"x")


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
    store, source = service.store(), tmp_path / "source"
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

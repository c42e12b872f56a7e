"""A small HTTP server in place of S3, which answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import NamedTuple

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Request(NamedTuple):
    """What a client asks."""

    method: str
    path: str
    headers: dict[str, str]


class Reply(NamedTuple):
    """What it is told."""

    status: int
    body: str
    headers: Mapping[str, str] = NO_HEADERS


Answer = Callable[[Request], Reply]


class Service(ThreadingHTTPServer):
    """Answers every request by a function, and keeps them."""

    daemon_threads = True

    def __init__(self, answer: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.requests: list[Request] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


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


Serve = Callable[[Answer], Service]


@contextmanager
def serving() -> Iterator[Serve]:
    """Yield a function that starts a service; all of them end with the block."""
    running: list[Service] = []

    def start(answer: Answer) -> Service:
        running.append(Service(answer))
        threading.Thread(target=running[-1].serve_forever, daemon=True).start()
        return running[-1]

    try:
        yield start
    finally:
        for server in running:
            server.shutdown()
            server.server_close()

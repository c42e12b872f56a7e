"""A report served while its run goes on: on this machine only, drawn anew whenever it is asked for."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from xtransfer.errors import XtransferError

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Hosts that a browser may call this one. Another would be a page from elsewhere that has its name
resolve to this machine."""


class ReportServer(ThreadingHTTPServer):
    """Serves one page at `/`.

    Args:
        render: returns the page, which may take a moment.
        port: 0: any that is free.
        every_s: seconds after which a browser asks again.
    """

    daemon_threads = True

    def __init__(self, render: Callable[[], str], *, port: int = 0, every_s: int = 10) -> None:
        super().__init__((HOST, port), _Handler)
        self.render = render
        self.every_s = every_s

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone before its page came."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ReportServer)
        if self.headers.get("Host", "").partition(":")[0] not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine only")
            return
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status = HTTPStatus.OK
        try:
            page = self.server.render().encode()
        except XtransferError as error:  # a store that is away for a while: the browser asks again
            status = HTTPStatus.SERVICE_UNAVAILABLE
            page = f"<!doctype html><title>xtransfer</title><p>{html.escape(str(error))}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Refresh", str(self.server.every_s))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing: one line every few seconds helps nobody."""

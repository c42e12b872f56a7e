"""A report served while its run goes on: on this machine only, drawn anew whenever it is asked for."""

from __future__ import annotations

import html
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from xtransfer.errors import ConfigError, XtransferError

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

    Raises:
        ConfigError: when the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, render: Callable[[], str], *, port: int = 0, every_s: int = 10) -> None:
        try:
            super().__init__((HOST, port), _Handler)
        except OSError as error:
            what = f"cannot be listened on: {error.strerror}"
            raise ConfigError(f"--port {port}", what, "Give another; 0 is any free one.") from None
        self.render = render
        self.every_s = every_s
        self._rendering = threading.Lock()

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://{HOST}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that has gone before its page came."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def page(self) -> tuple[HTTPStatus, str]:
        """Return the page, or in its place what is wrong; of several that ask at once, one after the other."""
        try:
            with self._rendering:
                return HTTPStatus.OK, self.render()
        except XtransferError as error:
            text = html.escape(str(error))
            return HTTPStatus.SERVICE_UNAVAILABLE, f"<p>{text}</p><p>It is tried again.</p>"


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, ReportServer)
        if self.headers.get("Host", "").partition(":")[0] not in NAMES:
            self.send_error(HTTPStatus.FORBIDDEN, "this page is for this machine only")
            return
        if self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        status, text = self.server.page()
        page = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Refresh", str(self.server.every_s))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing: one line every few seconds helps nobody."""

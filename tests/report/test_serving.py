"""The page that is served while a run goes on."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from xtransfer.errors import StoreError
from xtransfer.report.serving import HOST, ReportServer


@pytest.fixture
def server() -> Iterator[ReportServer]:
    numbers = count(1)
    with ReportServer(lambda: f"<p>page {next(numbers)} é</p>", every_s=7) as found:
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def ask(
    server: ReportServer, path: str = "/", host: str | None = None
) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=10)
    connection.request("GET", path, headers={"Host": host or f"{HOST}:{server.server_port}"})
    reply = connection.getresponse()
    found = reply.status, reply.read().decode(), dict(reply.getheaders())
    connection.close()
    return found


def test_every_look_is_a_new_page_that_asks_again(server: ReportServer) -> None:
    for number in (1, 2):
        status, text, headers = ask(server)
        assert (status, text) == (200, f"<p>page {number} é</p>")
        assert headers["Refresh"] == "7"
        assert headers["Cache-Control"] == "no-store"


def test_there_is_nothing_else(server: ReportServer) -> None:
    assert ask(server, "/etc/passwd")[0] == 404
    assert ask(server, "/../x")[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example:80"])
def test_a_page_from_elsewhere_cannot_read_it(server: ReportServer, host: str) -> None:
    assert ask(server, host=host)[0] == 403


def test_it_listens_on_this_machine_only(server: ReportServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for host in (f"localhost:{server.server_port}", "localhost"):  # of port 80 browsers say none
        assert ask(server, host=host)[0] == 200


@contextmanager
def serving(render: Callable[[], str]) -> Iterator[ReportServer]:
    """Serve while the block lasts; its end waits for what is being answered."""
    with ReportServer(render, every_s=7) as found:
        found.daemon_threads = False
        thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            found.shutdown()
            thread.join()


def test_a_store_that_is_away_is_said_and_asked_again(capfd: pytest.CaptureFixture[str]) -> None:
    def render() -> str:
        raise StoreError("s3://bucket", "cannot be <reached>")

    with serving(render) as server:
        status, body, headers = ask(server)
    assert (status, headers["Refresh"]) == (503, "7")
    assert "s3://bucket: cannot be &lt;reached&gt;" in body
    assert capfd.readouterr().err == ""


def test_a_browser_that_goes_away_is_nothing_to_speak_of(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The page is longer than what the system keeps for a connection, so that sending it fails."""
    with (
        serving(lambda: "x" * 50_000_000) as server,
        socket.create_connection((HOST, server.server_port)) as browser,
    ):
        browser.sendall(f"GET / HTTP/1.0\r\nHost: {HOST}:1\r\n\r\n".encode())
        assert browser.recv(10) == b"HTTP/1.0 2"
    assert capfd.readouterr().err == ""

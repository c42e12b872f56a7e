"""The page that is served while a run goes on."""

from __future__ import annotations

import http.client
import re
import socket
import threading
from collections.abc import Iterator
from itertools import count

import pytest

from xtransfer.errors import ConfigError, StoreError
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
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=60)
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
    assert ask(server, host=f"localhost:{server.server_port}")[0] == 200


def test_a_port_may_go_without_saying(server: ReportServer) -> None:
    # A browser leaves out port 80.
    assert ask(server, host="127.0.0.1")[0] == ask(server, host="localhost")[0] == 200


def test_a_store_that_is_away_is_told_and_asked_again(server: ReportServer) -> None:
    render = server.render

    def away() -> str:
        raise StoreError("s3://<b>", "cannot be reached", "Wait.")

    server.render = away
    status, text, headers = ask(server)
    assert (status, headers["Refresh"]) == (503, "7")
    assert "s3://&lt;b&gt;: cannot be reached. Wait." in text
    server.render = render
    assert ask(server)[0] == 200


def test_a_browser_that_goes_away_is_nothing_to_speak_of(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The page is longer than what the system keeps for a connection, so that sending it fails."""
    with ReportServer(lambda: "x" * 50_000_000) as server:
        server.daemon_threads = False  # its end waits for what is being answered
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        with socket.create_connection((HOST, server.server_port), timeout=60) as browser:
            browser.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            assert browser.recv(10) == b"HTTP/1.0 2"
        server.shutdown()
        thread.join()
    assert capfd.readouterr().err == ""


def test_pages_are_rendered_one_after_the_other(server: ReportServer) -> None:
    within, most = [0], [0]
    ready = threading.Barrier(4)

    def render() -> str:
        within[0] += 1
        most[0] = max(most[0], within[0])
        threading.Event().wait(0.05)
        within[0] -= 1
        return "page"

    server.render = render

    def look() -> None:
        ready.wait(60)
        assert ask(server)[:2] == (200, "page")

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


def test_a_port_that_is_taken_is_named(server: ReportServer) -> None:
    place = re.escape(f"--port {server.server_port}: cannot be listened on: Address already in")
    with pytest.raises(ConfigError, match=place):
        ReportServer(lambda: "", port=server.server_port)

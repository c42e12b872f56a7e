"""Which server, context and namespace are meant, and what is said where an operator is missing."""

from __future__ import annotations

import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError, NotServed, Unreachable
from xtransfer.cluster.connection import connect
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.submission import submit
from xtransfer.errors import ConfigError


def changed(kubeconfig: Path, **fields: Any) -> None:
    """Rewrite a kubeconfig with other fields, without those that are None."""
    body = {**yaml.safe_load(kubeconfig.read_text(encoding="utf-8")), **fields}
    kept = {name: value for name, value in body.items() if value is not None}
    kubeconfig.write_text(yaml.safe_dump(kept), encoding="utf-8")


@pytest.mark.parametrize("current", [None, "gone"])
def test_a_context_that_is_named_needs_no_current_one(
    kubeconfig: Path, current: str | None
) -> None:
    changed(kubeconfig, **{"current-context": current})
    assert connect("other", None).namespace == "elsewhere"
    assert connect("other", "mine").namespace == "mine"
    with pytest.raises(ConfigError, match="kubectl config get-contexts"):
        connect(None, None)


def test_a_kubeconfig_that_cannot_be_read_is_a_mistake(kubeconfig: Path) -> None:
    kubeconfig.write_text("{}: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"kubeconfig: cannot be read: .*line 1"):
        connect(None, None)


def test_without_the_operator_its_crd_is_asked_for_and_nothing_is_made(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    server.missing.add("ray.io")
    advice = "Is its CRD installed.*KubeRay operator"
    for ask in (
        lambda: submit(api, objects),
        lambda: client.jobs(api),
        lambda: client.job_named(api, objects.name),
        lambda: list(client.states(api, objects.name)),
        lambda: client.cancel(api, objects.name),
        lambda: api.delete("RayJob", objects.name),
    ):
        with pytest.raises(NotServed, match=advice):
            ask()
    assert server.all("configmaps") == []


def test_a_setup_without_the_prometheus_operator_says_what_to_leave_out(
    server: FakeApi, api: Api
) -> None:
    server.missing.add("monitoring.coreos.com")
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "a", "namespace": "xtransfer"},
    }
    with pytest.raises(ApiError, match="leave components/monitoring out"):
        list(client.set_up(api, [monitor]))


@pytest.fixture
def hanging_up() -> Iterator[int]:
    """Return the port of a server that hangs up when a TLS client has greeted it, as load balancers do."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                with connection:
                    connection.recv(2**16)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield int(listening.getsockname()[1])
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()
    thread.join()


def test_a_server_that_hangs_up_while_tls_begins_is_asked_again(
    kubeconfig: Path, hanging_up: int
) -> None:
    cluster = {"server": f"https://127.0.0.1:{hanging_up}"}
    changed(kubeconfig, clusters=[{"name": "fake", "cluster": cluster}])
    waits: list[float] = []
    api = connect(None, None)
    api.pause = waits.append
    with pytest.raises(Unreachable) as caught:
        api.list("RayJob")
    assert waits == [0.5, 1, 2, 4]
    assert "\n" not in str(caught.value)


def test_a_certificate_that_is_not_trusted_is_said_at_once(api: Api, waits: list[float]) -> None:
    from kubernetes.client.exceptions import ApiException

    said = "SSLError\n[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed (_ssl.c:1)"

    def call_api(*_args: object, **_options: object) -> None:
        raise ApiException(status=0, reason=said)

    api.client.call_api = call_api
    with pytest.raises(ApiError, match=r"self-signed.*certificate-authority in the kubeconfig"):
        api.list("RayJob")
    assert waits == []


@pytest.mark.parametrize("text", ["[1, 2]", "words"])
def test_a_kubeconfig_of_another_form_is_a_mistake(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="kubeconfig: "):
        connect("one", None)


def test_a_certificate_that_is_no_base64_is_a_mistake(kubeconfig: Path) -> None:
    cluster = {"server": "https://127.0.0.1:9", "certificate-authority-data": "%%%not64"}
    changed(kubeconfig, clusters=[{"name": "fake", "cluster": cluster}])
    with pytest.raises(ConfigError, match="kubeconfig: holds a value of another kind"):
        connect(None, None)


def test_a_token_in_the_wrong_place_is_not_repeated(kubeconfig: Path) -> None:
    changed(kubeconfig, users=[{"name": "me", "token": "secret-token"}])
    with pytest.raises(ConfigError, match="Expected key user in") as refused:
        connect(None, None)
    assert "secret-token" not in str(refused.value)


def test_a_token_in_a_file_that_ends_with_a_newline_is_taken(
    server: FakeApi, kubeconfig: Path, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret-token\n", encoding="utf-8")
    changed(kubeconfig, users=[{"name": "me", "user": {"tokenFile": str(tmp_path / "token")}}])
    api = connect(None, None)
    for _ in range(3):
        assert client.jobs(api) == []
    assert {each.headers["authorization"] for each in server.requests} == {"Bearer secret-token"}


@pytest.mark.parametrize("token", ["secret\ntoken", "secret€"])
def test_a_token_that_no_header_may_hold_is_not_repeated(kubeconfig: Path, token: str) -> None:
    changed(kubeconfig, users=[{"name": "me", "user": {"token": token}}])
    with pytest.raises(ApiError, match="token holds a character") as refused:
        client.jobs(connect(None, None))
    assert "secret" not in "".join(traceback.format_exception(refused.value))


PAGES = {
    "page": b"<html>Sign in</html>",
    "empty": b"",
    "bytes": b"\xff\xfe",
    "list": b"[1]",
    "nothing": b"null",
    "other": b'{"error": "login"}',
}


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
def test_an_answer_of_something_in_between_is_said_to_be_one(kubeconfig: Path, page: bytes) -> None:
    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{proxy.server_port}"
        changed(kubeconfig, clusters=[{"name": "fake", "cluster": {"server": url}}])
        api = connect(None, None)
        for ask in (
            lambda: client.jobs(api),
            lambda: client.job_named(api, "xt-a"),
            lambda: list(client.states(api, "xt-a")),
        ):
            with pytest.raises(ApiError, match=r"not that of an API server\. Check the context"):
                ask()
        proxy.shutdown()


def test_who_sends_no_credentials_is_told_to_renew_them(server: FakeApi, api: Api) -> None:
    said = 'rayjobs.ray.io is forbidden: User "system:anonymous" cannot list resource "rayjobs"'
    server.fail(1, Answer(code=403, message=said))
    with pytest.raises(ApiError, match=r"No credentials were sent.*kubectl auth whoami"):
        client.jobs(api)

"""Where credentials come from, and services that are not what they seem: a refusal names what refused."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.store.service import Reply, Serve, serving
from xtransfer.errors import ConfigError, NotFound, StoreError
from xtransfer.store import Store, StoreOptions, open_store

OPTIONS = StoreOptions(attempts=1, region="us-east-1")
NO_OBJECT = Reply(404, "<Error><Code>NoSuchKey</Code></Error>")


@pytest.fixture
def serve() -> Iterator[Serve]:
    with serving() as start:
        yield start


@pytest.fixture(autouse=True)
def _no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def failures(store: Store, tmp_path: Path) -> Iterator[StoreError]:
    """Yield what every operation raises."""
    (tmp_path / "file").write_text("x")
    for operation in (
        lambda: store.read("a"),
        lambda: store.exists("a"),
        lambda: store.create("a", b""),
        lambda: store.list(""),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: store.download("a", tmp_path / "target"),
    ):
        with pytest.raises(StoreError) as caught:
            operation()
        assert not isinstance(caught.value, NotFound)
        assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
        yield caught.value


def as_a_role(monkeypatch: pytest.MonkeyPatch, token: Path, sts: str) -> None:
    """Have credentials come from STS, as pods of a service account with a role do."""
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::000000000000:role/xtransfer")
    monkeypatch.setenv("AWS_ROLE_SESSION_NAME", "session")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts)


def test_a_role_that_may_not_be_assumed_is_no_matter_of_the_bucket(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A trust policy that lacks the service account: the commonest mistake with roles of pods."""
    s3 = serve(lambda _: NO_OBJECT)
    said = "<Error><Code>AccessDenied</Code><Message>Not authorized</Message></Error>"
    sts = serve(lambda _: Reply(403, f"<ErrorResponse>{said}</ErrorResponse>"))
    (tmp_path / "token").write_text("a token")
    as_a_role(monkeypatch, tmp_path / "token", sts.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    for error in failures(open_store("s3://bucket/run", options=OPTIONS), tmp_path):
        assert str(error).startswith("s3://bucket/run")
        assert "no usable AWS credentials: An error occurred (AccessDenied)" in error.what
        assert "AssumeRoleWithWebIdentity" in error.what
        assert "or the role of the node" in error.next
    assert sts.requests
    assert not s3.requests


def test_a_service_of_credentials_that_is_away_is_named(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    s3 = serve(lambda _: NO_OBJECT)
    (tmp_path / "token").write_text("a token")
    as_a_role(monkeypatch, tmp_path / "token", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.url)
    for error in failures(open_store("s3://bucket/run", options=OPTIONS), tmp_path):
        named = f"http://127.0.0.1:9, which is not the S3 service at {s3.url}, cannot be reached"
        assert error.what.startswith(named)


def test_a_token_that_is_not_there_is_no_file_of_the_callers(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    as_a_role(monkeypatch, tmp_path / "absent", serve(lambda _: NO_OBJECT).url)
    for error in failures(open_store("s3://bucket/run", options=OPTIONS), tmp_path):
        assert str(error).startswith("s3://bucket/run")
        assert f"no usable AWS credentials: {_RETRIEVING}: No such file" in error.what
        assert str(tmp_path / "absent") in error.what


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("/no/such/program --with hunter2", "No such file or directory: /no/such/program"),
        ("echo hunter2", "what its credential_process printed is no JSON"),
    ],
)
def test_a_program_that_gives_no_credentials(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, message: str
) -> None:
    (tmp_path / "config").write_text(f"[profile a]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_PROFILE", "a")
    for error in failures(open_store("s3://bucket/run", options=OPTIONS), tmp_path):
        assert f"no usable AWS credentials: {_RETRIEVING}: {message}" in error.what
        assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    ("location", "place"),
    [
        ({"Location": "https://user:hunter2@s3.example/x"}, " to https://s3.example,"),
        ({"Location": "/login"}, ","),
        ({}, ","),
    ],
)
def test_a_redirect_to_no_region_is_said(
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    location: dict[str, str],
    place: str,
) -> None:
    """As of a proxy in front of a service that is to be asked by https."""
    service = serve(lambda _: Reply(301, "<html><body>moved</body></html>", location))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", service.url)
    for number, error in enumerate(
        failures(open_store("s3://bucket/run", options=OPTIONS), tmp_path), 1
    ):
        assert f"the service there redirects{place}" in error.what
        assert "https instead of http?" in error.next
        assert "hunter2" not in str(error)
        assert len(service.requests) == number


_RETRIEVING = "Error when retrieving credentials from the AWS configuration"


@pytest.mark.parametrize("store", ["s3://bucket/run", "file://run"])
@pytest.mark.parametrize(
    ("endpoint", "what"),
    [
        ("http://[::1", "not the URL of a service"),
        ("http://h:nine", "not the URL of a service"),
        ("ftp://h", "not the URL of a service"),
        ("http://user:hunter2@h", "the URL carries credentials"),
        ("http://user:hunter2@[h", "not the URL of a service"),
    ],
)
def test_an_endpoint_that_is_none_is_refused_for_every_store(
    store: str, endpoint: str, what: str
) -> None:
    with pytest.raises(ConfigError, match=f"^s3.endpoint_url: {what}") as caught:
        open_store(store, options=StoreOptions(endpoint_url=endpoint))
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SESSION_TOKEN"])
def test_credentials_that_no_request_can_carry_are_said_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: Any, name: str
) -> None:
    """As a Kubernetes Secret has them that was made with `echo`."""
    for each in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(each, "hidden0hidden")
    monkeypatch.setenv(name, "hidden0\nhidden")
    options = replace(OPTIONS, attempts=9, base_pause_s=0, endpoint_url="http://127.0.0.1:1")
    for error in failures(open_store("s3://bucket/run", options=options), tmp_path):
        assert "credentials hold a line end, or another character" in error.what
        assert "hidden" not in str(error)
    assert "hidden" not in caplog.text


def test_a_proxy_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "first")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("HTTP_PROXY", "http://me:hidden@127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://me:hidden@127.0.0.1:1")
    for each in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(each, raising=False)
    options = replace(OPTIONS, endpoint_url="http://s3.invalid:1")
    for error in failures(open_store("s3://bucket/run", options=options), tmp_path):
        assert (
            "the proxy http://127.0.0.1:1 on the way to the S3 service at http://s3" in error.what
        )
        assert "HTTPS_PROXY, HTTP_PROXY and NO_PROXY" in error.next
        assert "hidden" not in str(error)


def test_an_odd_setting_of_the_chain_is_said_with_where_to_look(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "junk")
    options = replace(OPTIONS, endpoint_url="http://127.0.0.1:1")
    for error in failures(open_store("s3://bucket/run", options=options), tmp_path):
        assert "but got junk" in error.what
        assert "AWS configuration file" in error.next

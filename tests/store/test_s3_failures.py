"""What goes wrong with an S3 service, in words, and what is asked again."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from tests.s3_server import S3Server
from xtransfer.errors import ConfigError, NotFound, StoreError
from xtransfer.store import Store, StoreOptions, open_store
from xtransfer.store.s3 import S3Store
from xtransfer.store.s3_client import Connection
from xtransfer.store.s3_errors import explained

IMPATIENT = StoreOptions(attempts=2, connect_timeout_s=0.5, read_timeout_s=2)


def outcomes(store: Store, tmp_path: Path) -> list[StoreError]:
    """Return what each operation raises on a store where none can work."""
    (tmp_path / "file").write_text("x")
    raised: list[StoreError] = []
    for attempt in (
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.create("a", b""),
        lambda: store.list(""),
        lambda: store.upload("a", tmp_path / "file"),
        lambda: store.download("a", tmp_path / "target"),
    ):
        with pytest.raises(StoreError) as caught:
            attempt()
        raised.append(caught.value)
        assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    return raised


def test_an_endpoint_that_nobody_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for error in outcomes(open_store("s3://bucket/run", options=IMPATIENT), tmp_path):
        assert "the S3 service at http://127.0.0.1:9 cannot be reached" in str(error)
        assert "Check s3.endpoint_url or AWS_ENDPOINT_URL" in str(error)
        assert str(error).startswith("s3://bucket/run")
        assert "hunter2" not in str(error)


def test_an_endpoint_of_the_environment_carries_no_credentials_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://user:hunter2@127.0.0.1:9")
    with pytest.raises(
        ConfigError, match="AWS_ENDPOINT_URL: the URL carries credentials"
    ) as caught:
        open_store("s3://bucket/run", options=IMPATIENT).read("a")
    assert "hunter2" not in str(caught.value)


def test_no_credentials_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    options = StoreOptions(endpoint_url="http://127.0.0.1:9", attempts=1)
    for error in outcomes(open_store("s3://bucket/run", options=options), tmp_path):
        assert "no usable AWS credentials" in str(error)
        assert "Check AWS_PROFILE" in str(error)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "hunter2")],
)
def test_credentials_that_are_not_accepted(
    s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    for error in outcomes(open_store(s3_url, options=IMPATIENT), tmp_path):
        assert isinstance(error, StoreError)
        assert not isinstance(error, NotFound)
        assert "not accept the AWS credentials" in str(error) or "access denied" in str(error)
        assert value not in str(error)


@pytest.mark.slow
@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_is_not_there(s3: S3Server) -> None:
    store = open_store("s3://no-such-bucket/run", options=IMPATIENT)
    with pytest.raises(StoreError, match=f"{s3.endpoint} has no such bucket. Create it"):
        store.read("a")
    with pytest.raises(StoreError, match="has no such bucket"):
        store.list("")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("ExpiredToken", 400, "the AWS credentials have expired (ExpiredToken). Renew them"),
        ("RequestTimeTooSkewed", 403, "this machine's clock differs from the service's"),
        ("AccessDenied", 403, "access denied (AccessDenied). Let these credentials"),
        ("403", 403, "access denied (403)"),
        ("PermanentRedirect", 301, "the bucket is in another region"),
        ("SlowDown", 503, "at http://s3 is overloaded or failing (SlowDown). Try again later."),
        ("NotImplemented", 501, "lacks a function that xtransfer needs"),
        ("507", 507, "the bucket's quota or the service's storage is used up (507). Free some"),
        ("Odd", 507, "the bucket's quota or the service's storage is used up (Odd). Free some"),
        ("QuotaExceeded", 403, "is used up (QuotaExceeded). Free some (xtransfer store gc)"),
        ("EntityTooLarge", 400, "S3 refused: An error occurred (EntityTooLarge)"),
    ],
)
def test_refusals_in_words(code: str, status: int, message: str) -> None:
    from botocore.exceptions import ClientError

    reply: Any = {
        "Error": {"Code": code, "Message": "see http://me:hunter2@host"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = explained(
        ClientError(reply, "PutObject"),
        store="s3://bucket",
        name="a",
        endpoint="http://me:hunter2@s3",
        attempts=3,
    )
    assert str(error).startswith("s3://bucket/a: ")
    assert message in str(error)
    assert "hunter2" not in str(error)


class Meddling:
    """A client whose calls can be replaced one by one."""

    def __init__(self, client: Any, **replaced: Any) -> None:
        self._client = client
        self.__dict__.update(replaced)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def meddle(store: Store, **replaced: Any) -> Any:
    """Replace calls of a store's client; return the true one."""
    assert isinstance(store, S3Store)
    client = store._client()
    store._connections[os.getpid()] = Connection(Meddling(client, **replaced), None)
    return client


@pytest.mark.slow
def test_a_create_whose_reply_was_lost_knows_its_own_object(s3_url: str) -> None:
    store = open_store(s3_url)

    def put_twice(**request: Any) -> Any:
        client.put_object(**request)  # arrives, but the reply does not; botocore sends it again
        return client.put_object(**request)

    client = meddle(store, put_object=put_twice)
    assert store.create("a", b"mine")
    assert not store.create("a", b"mine")


@pytest.mark.slow
def test_a_create_asks_again_after_a_conflict(s3_url: str) -> None:
    from botocore.exceptions import ClientError

    store = open_store(s3_url, options=StoreOptions(attempts=3))
    conflicts = iter([True, True, False, True, True, True])

    def put(**request: Any) -> Any:
        if next(conflicts):
            reply: Any = {
                "Error": {"Code": "ConditionalRequestConflict"},
                "ResponseMetadata": {"HTTPStatusCode": 409},
            }
            raise ClientError(reply, "PutObject")
        return client.put_object(**request)

    client = meddle(store, put_object=put)
    assert store.create("a", b"mine")
    assert store.read("a") == b"mine"
    with pytest.raises(StoreError, match="others kept changing the object during 3 attempts"):
        store.create("b", b"mine")


@pytest.mark.slow
def test_a_body_that_breaks_off_is_read_again(s3_url: str) -> None:
    from botocore.exceptions import IncompleteReadError

    store = open_store(s3_url)
    store.write("a", b"whole")
    calls: list[str] = []

    class Broken:
        def read(self) -> bytes:
            raise IncompleteReadError(actual_bytes=1, expected_bytes=5)

    def get(**request: Any) -> Any:
        calls.append(request["Key"])
        return {"Body": Broken()} if len(calls) < 3 else client.get_object(**request)

    client = meddle(store, get_object=get)
    assert store.read("a") == b"whole"
    assert len(calls) == 3

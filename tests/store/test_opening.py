"""URLs of stores, and those of endpoints."""

from __future__ import annotations

import pytest

from xtransfer.errors import ConfigError
from xtransfer.store import StoreOptions, open_store


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://bucket/x", "store gs://: unknown kind of store. Use file:///"),
        ("https://me:hunter2@host/x", "store https://: unknown kind of store"),
        ("", "names no folder"),
        ("file://", "names no folder"),
        ("s3:/bucket", "names no folder"),
        ("a\0b", "names no folder"),
        ("s3://", "is no bucket name"),
        ("s3://Bad_Bucket/x", "'Bad_Bucket' is no bucket name"),
        ("s3://bucket//x", "the prefix begins with '/'"),
        ("s3://bucket/a/../b", "the prefix has an empty, '.' or '..' segment"),
        ("s3://AKIA:hunter2@bucket/x", "the URL carries credentials. Give them by AWS_PROFILE"),
        ("s3://AKIA:hun/ter2@bucket/x", "the URL carries credentials"),
        ("s3://bucket/x?X-Amz-Signature=hunter2", "has a query or a fragment"),
    ],
)
def test_a_url_of_no_known_form(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_store(url)
    assert message in str(caught.value)
    assert "hun" not in str(caught.value)


@pytest.mark.parametrize("endpoint", ["host:8333", "http://", "ftp://host", "http://k:hunter2@h"])
def test_a_bad_endpoint_is_the_users_mistake(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"^s3\.endpoint_url: ") as caught:
        open_store("s3://bucket", options=StoreOptions(endpoint_url=endpoint))
    assert "hunter2" not in str(caught.value)


def test_s3_urls_lose_only_the_trailing_slash() -> None:
    for url in ("s3://bucket", "s3://bucket/", "s3://bucket/a/b", "s3://bucket/a/b/"):
        assert open_store(url).url == url.rstrip("/")


# --- what goes wrong in S3 -----------------------------------------------------------------------

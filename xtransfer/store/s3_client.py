"""A connection to S3: boto's client, and the credentials that it signs with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from xtransfer.errors import ConfigError, StoreError, shown
from xtransfer.store.interface import StoreOptions
from xtransfer.store.s3_errors import plain

CREDENTIALS = (
    "Give them by AWS_PROFILE, or by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or by a role."
)
ENDPOINT = "s3.endpoint_url or AWS_ENDPOINT_URL"
_CONNECTIONS = 32
_MOVED = (301, 302, 307, 308)
_REGION = "x-amz-bucket-region"


@dataclass(frozen=True)
class Connection:
    """What one process asks a service through."""

    opened: Any
    """boto's client."""
    credentials: Any
    """boto's, which renew themselves where they can; None: there are none."""

    @property
    def client(self) -> Any:
        """Return boto's client, with credentials that are good for a while: due ones are renewed first.

        boto would do so itself when it signs, but the file of a token that is gone would then look like the
        caller's own.

        Raises:
            BotoCoreError, ClientError: there are none to be had.
        """
        if self.credentials is not None:
            _retrieved(self.credentials.get_frozen_credentials)
        return self.opened

    @property
    def endpoint(self) -> str:
        """Return the URL of the service."""
        return self.opened.meta.endpoint_url


def connect(options: StoreOptions) -> Connection:
    """Return a connection; nothing is contacted before it is used.

    Raises:
        BotoCoreError: the AWS configuration cannot be read, or its program for credentials does not run.
        ConfigError: the endpoint is no URL of a service, or carries credentials.
    """
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        max_pool_connections=_CONNECTIONS,
    )
    # A session of its own: boto3's default session is not safe among threads.
    session = Session()
    credentials = _retrieved(session.get_credentials)
    try:
        client: Any = session.client(
            "s3", endpoint_url=options.endpoint_url, region_name=options.region, config=config
        )
    except ValueError as error:
        raise ConfigError(
            ENDPOINT, f"not the URL of a service: {plain(error)}", "Example: http://seaweedfs:8333"
        ) from None
    refuse_credentials(client.meta.endpoint_url, ENDPOINT)
    client.meta.events.register_first("before-parse.s3", _refuse_redirect)
    return Connection(client, credentials)


def renewed(connection: Connection, options: StoreOptions) -> Connection | None:
    """Return a new connection if this machine has other credentials now, None if it has the same.

    boto reads files of credentials once; who renews those writes them anew. Raises as `connect` does, and
    BotoCoreError or ClientError where there are none to be had.
    """
    fresh = connect(options)
    if connection.credentials is None or fresh.credentials is None:
        return None
    before, now = (
        _retrieved(each.credentials.get_frozen_credentials) for each in (connection, fresh)
    )
    return None if before == now else fresh


def refuse_credentials(url: str, where: str) -> None:
    """Raise ConfigError for the URL of a service that carries credentials; it is not repeated."""
    if "@" in urlsplit(url).netloc:
        raise ConfigError(where, "the URL carries credentials", CREDENTIALS)


def _retrieved(retrieve: Callable[[], Any]) -> Any:
    """Return what `retrieve` returns; what it may stumble over on this machine is boto's error, too."""
    from botocore.exceptions import CredentialRetrievalError

    try:
        return retrieve()
    except OSError as error:  # the file of a token, or a program that prints credentials
        what = f"{error.strerror or type(error).__name__}: {shown(str(error.filename))}"
        raise CredentialRetrievalError(provider="the AWS configuration", error_msg=what) from error
    except ValueError as error:  # what the program printed is not repeated
        what = "what its credential_process printed is no JSON"
        raise CredentialRetrievalError(provider="the AWS configuration", error_msg=what) from error


def _refuse_redirect(response_dict: Mapping[str, Any], **_: Any) -> None:
    """Refuse a redirect that is not to a bucket's region.

    S3 says the region in a header. Without it botocore asks for the bucket, is redirected, and asks again.
    """
    headers = response_dict["headers"]
    if response_dict["status_code"] not in _MOVED or _REGION in headers:
        return
    to = urlsplit(str(headers.get("location", "")))
    place = f" to {to.scheme}://{shown(to.netloc.rpartition('@')[2])}" if to.netloc else ""
    raise StoreError(
        ENDPOINT,
        f"the service there redirects{place}, and is no S3 service or one of another region",
        "Give the address where it answers itself (https instead of http?), or set s3.region.",
    )

"""A store in S3. The only module that imports boto3, and only when such a store is used."""

# ruff: noqa: D102 - `Store` describes the methods

from __future__ import annotations

import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xtransfer.errors import ConfigError, NotFound, StoreError
from xtransfer.store.folder import disk_errors, replacing
from xtransfer.store.interface import ObjectInfo, StoreOptions, check_name, check_prefix
from xtransfer.store.s3_errors import explained, plain, status_of

_CONNECTIONS = 32
_THREADS = 4
"""Parts of one file in flight at once."""
_BODY_TRIES = 4
"""botocore retries requests but not a body that breaks off while it is read."""
_MARK = "xtransfer-create"
"""User metadata that tells a `create` its own object from another's."""


@dataclass(frozen=True, kw_only=True)
class S3Store:
    """Objects of one bucket below one prefix. The methods are described at `Store`."""

    bucket: str
    prefix: str
    """Empty, or ends in "/"."""
    options: StoreOptions
    _clients: dict[int, Any] = field(
        default_factory=dict[int, Any], init=False, repr=False, compare=False
    )
    """Process id -> client: a connection must not be shared across a fork."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_clients": {}}

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str) -> bytes:
        key = self._key(name)
        with self._errors(name):
            from botocore.exceptions import (
                IncompleteReadError,
                ReadTimeoutError,
                ResponseStreamingError,
            )

            for _ in range(_BODY_TRIES - 1):
                try:
                    return self._get(key)
                except (IncompleteReadError, ReadTimeoutError, ResponseStreamingError):
                    continue
            return self._get(key)

    def write(self, name: str, data: bytes) -> None:
        key = self._key(name)
        with self._errors(name):
            self._client().put_object(Bucket=self.bucket, Key=key, Body=data)

    def create(self, name: str, data: bytes) -> bool:
        """Put with `If-None-Match: *`, which the service must honour (AWS and SeaweedFS do).

        A put that succeeded but whose reply was lost is sent again by botocore and then refused
        because of its own object. So each call marks its object, and a refused one looks for its
        mark.
        """
        key = self._key(name)
        mark = secrets.token_hex(8)
        with self._errors(name):
            for attempt in range(self.options.attempts):
                status = self._put_new(key, data, mark)
                if status != 409:
                    return status == 200 or self._has_mark(key, mark)
                # Another conditional put or a delete is under way; S3 says to ask again.
                time.sleep(random.uniform(0, min(0.1 * 2**attempt, 5)))
        raise StoreError(
            f"{self.url}/{name}",
            f"others kept changing the object during {self.options.attempts} attempts to create it",
            "Start again later.",
        )

    def upload(self, name: str, path: Path) -> None:
        key = self._key(name)
        with disk_errors(path), self._errors(name), self._transfers() as transfers:
            transfers.upload(str(path), self.bucket, key).result()

    def download(self, name: str, path: Path) -> None:
        key = self._key(name)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with (
                replacing(path) as temporary,
                self._errors(name),
                self._transfers() as transfers,
            ):
                transfers.download(self.bucket, key, str(temporary)).result()

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix, self.url)
        with self._errors(""):
            pages = self._client().get_paginator("list_objects_v2")
            found = [
                ObjectInfo(entry["Key"].removeprefix(self.prefix), entry["Size"])
                for page in pages.paginate(Bucket=self.bucket, Prefix=self.prefix + prefix)
                for entry in page.get("Contents", ())
                if not entry["Key"].endswith("/")  # "folders" that consoles make
            ]
        # S3 sorts by UTF-8, which is by code point; some services sort folder by folder.
        return iter(sorted(found))

    def exists(self, name: str) -> bool:
        key = self._key(name)
        try:
            with self._errors(name):
                self._client().head_object(Bucket=self.bucket, Key=key)
        except NotFound:
            return False
        return True

    def delete(self, name: str) -> None:
        key = self._key(name)
        with self._errors(name):
            self._client().delete_object(Bucket=self.bucket, Key=key)

    def _key(self, name: str) -> str:
        check_name(name, self.url)
        return self.prefix + name

    def _get(self, key: str) -> bytes:
        return self._client().get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def _put_new(self, key: str, data: bytes, mark: str) -> int:
        """Return 200 where the object is new, 412 where one exists, 409 where to ask again."""
        from botocore.exceptions import ClientError

        try:
            self._client().put_object(
                Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*", Metadata={_MARK: mark}
            )
        except ClientError as error:
            status = status_of(error)
            if status in (409, 412):
                return status
            raise
        return 200

    def _has_mark(self, key: str, mark: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            head = self._client().head_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if status_of(error) == 404:  # deleted since it stood in the way
                return False
            raise
        return head["Metadata"].get(_MARK) == mark

    def _transfers(self) -> Any:
        """Return a context manager that moves files, large ones in parts, without holding them."""
        from boto3.s3.transfer import TransferConfig, create_transfer_manager

        part = self.options.multipart_mib << 20
        config = TransferConfig(
            multipart_threshold=part, multipart_chunksize=part, max_concurrency=_THREADS
        )
        return create_transfer_manager(self._client(), config)

    def _client(self) -> Any:
        client = self._clients.get(os.getpid())
        if client is None:
            client = self._clients[os.getpid()] = _connect(self.options)
        return client

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn boto's exceptions into a StoreError about the object `name` ("": the store)."""
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import RetriesExceededError

        try:
            yield
        except RetriesExceededError as error:
            raise self._explained(error.last_exception, name) from error
        except (BotoCoreError, ClientError) as error:
            raise self._explained(error, name) from error

    def _explained(self, error: Any, name: str) -> StoreError:
        client = self._clients.get(os.getpid())
        return explained(
            error,
            store=self.url,
            name=name,
            endpoint=client.meta.endpoint_url if client else "its endpoint",
            attempts=self.options.attempts,
        )


def _connect(options: StoreOptions) -> Any:
    from boto3.session import Session
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": options.attempts},
        connect_timeout=options.connect_timeout_s,
        read_timeout=options.read_timeout_s,
        max_pool_connections=_CONNECTIONS,
    )
    try:
        # A session of its own: boto3's default session is not safe among threads.
        return Session().client(
            "s3", endpoint_url=options.endpoint_url, region_name=options.region, config=config
        )
    except ValueError as error:
        raise ConfigError(
            "s3.endpoint_url or AWS_ENDPOINT_URL",
            f"not the URL of a service: {plain(error)}",
            "Example: http://seaweedfs:8333",
        ) from None

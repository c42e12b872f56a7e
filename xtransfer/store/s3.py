"""A store in S3. boto3 is imported (`s3_client.py`) only when such a store is used."""

# ruff: noqa: D102 - `Store` describes the methods

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from xtransfer.errors import NotFound, StoreError
from xtransfer.store.folder import disk_errors
from xtransfer.store.interface import (
    FIRST_TRIES,
    ObjectInfo,
    StoreOptions,
    check_name,
    check_prefix,
    name_fault,
)
from xtransfer.store.retries import complete, retried
from xtransfer.store.s3_client import Connection, connect, renewed
from xtransfer.store.s3_errors import about_credentials, expired, explained, status_of
from xtransfer.store.s3_files import get_file, put_file
from xtransfer.store.unfinished import replacing

_MARK = "xtransfer-create"
"""User metadata that tells a `create` its own object from another's."""

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class S3Store:
    """Objects of one bucket below one prefix. The methods are described at `Store`.

    botocore is told to try once: what is retried, and how, is in `retries.py`.
    """

    bucket: str
    prefix: str
    """Empty, or ends in "/"."""
    options: StoreOptions
    _connections: dict[int, Connection] = field(
        default_factory=dict[int, Connection], init=False, repr=False, compare=False
    )
    """Process id -> connection, which must not be shared across a fork."""
    _answered: list[bool] = field(
        default_factory=lambda: [False], init=False, repr=False, compare=False
    )
    """Whether the service has answered anything."""

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_connections": {}}

    @property
    def url(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def read(self, name: str) -> bytes:
        key = self._key(name)
        with self._errors(name):
            return self._try(lambda: self._get(key))

    def write(self, name: str, data: bytes) -> None:
        key = self._key(name)
        with self._errors(name):
            self._try(lambda: self._put(key, data))

    def create(self, name: str, data: bytes) -> bool:
        """Put with `If-None-Match: *`, which the service must honour (AWS and SeaweedFS do).

        A put that succeeded but whose reply was lost is sent again and then refused because of its
        own object. So each call marks its object, and a refused one looks for its mark.
        """
        key = self._key(name)
        mark = secrets.token_hex(8)
        most = self.options.attempts or FIRST_TRIES
        with self._errors(name):
            for attempt in range(most):
                status = self._try(lambda: self._put_new(key, data, mark))
                if status != 409:
                    return status == 200 or self._try(lambda: self._has_mark(key, mark))
                # Another conditional put or a delete is under way; S3 says to ask again.
                time.sleep(self.options.pause(attempt))
        raise StoreError(
            f"{self.url}/{name}",
            f"others kept changing the object during {most} attempts to create it",
            "Start again later.",
        )

    def upload(self, name: str, path: Path) -> None:
        key = self._key(name)
        with disk_errors(path), self._errors(name):
            self._renewing(
                lambda: put_file(self._client(), self.bucket, key, path, options=self._patience)
            )

    def download(self, name: str, path: Path) -> None:
        key = self._key(name)
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with replacing(path) as temporary, self._errors(name):
                self._renewing(
                    lambda: get_file(
                        self._client(), self.bucket, key, temporary, options=self._patience
                    )
                )

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix, self.url)
        start: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix + prefix}
        with self._errors(""):
            # By name: an object that is replaced meanwhile, or a page that comes twice, counts once.
            found = {
                (name := entry["Key"].removeprefix(self.prefix)): ObjectInfo(name, entry["Size"])
                for page in self._pages("list_objects_v2", start, _OBJECTS_TOKENS)
                for entry in page.get("Contents", ())
            }
        # S3 sorts by UTF-8, which is by code point; some services sort folder by folder.
        return iter(sorted(info for name, info in found.items() if not name_fault(name)))

    def exists(self, name: str) -> bool:
        key = self._key(name)
        try:
            with self._errors(name):
                self._try(lambda: self._head(key))
        except NotFound:
            return False
        return True

    def delete(self, name: str) -> None:
        key = self._key(name)
        with self._errors(name):
            self._try(lambda: self._client().delete_object(Bucket=self.bucket, Key=key))

    def obstructed(self, last: str) -> list[str]:  # noqa: ARG002 - no key is in the way of another
        return []

    def sweep(self, *, older_s: float, dry_run: bool) -> list[ObjectInfo]:
        """Abort multipart uploads; their sizes are not known without a request each, so 0."""
        start: dict[str, Any] = {"Bucket": self.bucket, "Prefix": self.prefix}
        found: list[ObjectInfo] = []
        with self._errors(""):
            for page in self._pages("list_multipart_uploads", start, _UPLOADS_TOKENS):
                for entry in page.get("Uploads", ()):
                    if time.time() - entry["Initiated"].timestamp() <= older_s:
                        continue
                    found.append(ObjectInfo(entry["Key"].removeprefix(self.prefix), 0))
                    if not dry_run:
                        self._abort(entry["Key"], entry["UploadId"])
        return found

    def _key(self, name: str) -> str:
        check_name(name, self.url)
        return self.prefix + name

    def _try(self, function: Callable[[], T]) -> T:
        return self._renewing(lambda: retried(function, self._patience))

    def _renewing(self, function: Callable[[], T]) -> T:
        """Call `function`, and once more where credentials had expired that somebody has renewed."""
        from botocore.exceptions import ClientError

        try:
            return function()
        except ClientError as error:
            connection = self._connections.get(os.getpid())
            if connection is None or not expired(error):
                raise
            fresh = renewed(connection, self.options)
            if fresh is None:
                raise
            self._connections[os.getpid()] = fresh
        return function()

    @property
    def _patience(self) -> StoreOptions:
        """How long to try: longer where the service has answered before, and so is only away."""
        known = self.options.answers or self._answered[0]
        return replace(self.options, answers=known)

    def _pages(
        self, operation: str, start: dict[str, Any], tokens: dict[str, str]
    ) -> Iterator[dict[str, Any]]:
        """Yield all pages of a listing; each page is tried again by itself.

        Args:
            operation: name of the client's method.
            start: arguments of the first request.
            tokens: field of a reply -> argument of the next request.

        Raises:
            StoreError: when the pages never end.
        """
        request, asked = start, [start]
        while True:
            page = self._try(
                lambda request=request: complete(
                    getattr(self._client(), operation)(**request), "IsTruncated"
                )
            )
            yield page
            if not page["IsTruncated"]:
                return
            request = {**start, **{to: page[of] for of, to in tokens.items() if page.get(of)}}
            if request in asked[-_CIRCLE:]:
                raise StoreError(
                    self.url,
                    f"the service's listing does not end: page {len(asked)} leads to one before it",
                    "Is it a proxy that keeps replies? Check s3.endpoint_url.",
                )
            asked.append(request)

    def _abort(self, key: str, upload: str) -> None:
        from botocore.exceptions import ClientError

        try:
            self._try(
                lambda: self._client().abort_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=upload
                )
            )
        except ClientError as error:
            if status_of(error) != 404:  # it ended meanwhile
                raise

    def _get(self, key: str) -> bytes:
        reply = self._client().get_object(Bucket=self.bucket, Key=key)
        return complete(reply, "ETag")["Body"].read()

    def _put(self, key: str, data: bytes, **more: Any) -> None:
        complete(self._client().put_object(Bucket=self.bucket, Key=key, Body=data, **more), "ETag")

    def _head(self, key: str) -> dict[str, Any]:
        return complete(self._client().head_object(Bucket=self.bucket, Key=key), "ETag")

    def _put_new(self, key: str, data: bytes, mark: str) -> int:
        """Return 200 where the object is new, 412 where one exists, 409 where to ask again."""
        from botocore.exceptions import ClientError

        try:
            self._put(key, data, IfNoneMatch="*", Metadata={_MARK: mark})
        except ClientError as error:
            status = status_of(error)
            if status in (409, 412):
                return status
            raise
        return 200

    def _has_mark(self, key: str, mark: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            head = self._head(key)
        except ClientError as error:
            if status_of(error) == 404:  # deleted since it stood in the way
                return False
            raise
        return head.get("Metadata", {}).get(_MARK) == mark

    def _client(self) -> Any:
        connection = self._connections.get(os.getpid())
        if connection is None:
            connection = self._connections[os.getpid()] = connect(self.options)
        return connection.client

    @contextmanager
    def _errors(self, name: str) -> Iterator[None]:
        """Turn boto's exceptions into a StoreError about the object `name` ("": the store)."""
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError

        patience = self._patience
        try:
            yield
        except (BotoCoreError, ClientError, ResponseParserError) as error:
            if isinstance(error, ClientError) and not about_credentials(error):
                self._answered[0] = True
            connection = self._connections.get(os.getpid())
            raise explained(
                error,
                store=self.url,
                name=name,
                endpoint=connection.endpoint if connection else "its endpoint",
                attempts=self.options.attempts or (None if patience.answers else FIRST_TRIES),
            ) from error
        self._answered[0] = True


_CIRCLE = 8
"""Pages of a listing among which one that comes again is noticed."""
_OBJECTS_TOKENS = {"NextContinuationToken": "ContinuationToken"}
_UPLOADS_TOKENS = {"NextKeyMarker": "KeyMarker", "NextUploadIdMarker": "UploadIdMarker"}

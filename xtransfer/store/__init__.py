"""Named objects in a folder or in S3, behind one small interface.

    open_store("file:///data/run")   a folder on disk
    open_store("s3://bucket/run")    a prefix of an S3 bucket

Every write is atomic and has reached the disk or the service when it returns: a reader sees the old
object or the new one, whole. A store holds no connection until it is used; it can be pickled, or
opened again by its `url` in another process.

interface    what a store can do, and what an object may be called
folder       a store in a folder, and what disks refuse; `unfinished`: files that appear whole or not at all
s3           a store in S3: `s3_client` connects, `s3_files` moves large files in parts, `s3_errors` finds words
retries      what is tried again when a service fails; `parallel`: several calls at once
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from xtransfer.errors import ConfigError, shown
from xtransfer.store.folder import FolderStore
from xtransfer.store.interface import (
    LONGEST_SEGMENT,
    ObjectInfo,
    Store,
    StoreOptions,
    name_fault,
)
from xtransfer.store.s3 import S3Store
from xtransfer.store.s3_client import CREDENTIALS, refuse_credentials

__all__ = ["ObjectInfo", "Store", "StoreOptions", "name_fault", "open_store"]

_DEFAULTS = StoreOptions()
_FORMS = "Use file:///absolute/folder, file://relative/folder or s3://bucket/prefix."
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


def open_store(url: str, *, options: StoreOptions = _DEFAULTS) -> Store:
    """Return the store at `file:///absolute`, `file://relative`, a plain path, or `s3://`.

    Nothing is contacted or created before the first use. Paths are taken literally (no percent
    escapes), and relative ones start at the working directory of this process.

    Raises:
        ConfigError: when the URL, or that of an S3 service, is of no known form or carries credentials.
    """
    if options.endpoint_url is not None:  # of a folder, too: placements are printed and recorded
        _check_endpoint(options.endpoint_url)
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "file", url
    if scheme == "s3":
        return _open_s3(rest, options)
    if scheme != "file":
        raise ConfigError(f"store {shown(scheme)}://", "unknown kind of store", _FORMS)
    where = f"store '{shown(url)}'"
    if not rest or not rest.isprintable() or re.match(r"(file|s3):", rest):
        raise ConfigError(where, "names no folder", _FORMS)
    if any(len(part.encode()) > LONGEST_SEGMENT for part in rest.split("/")):
        raise ConfigError(where, f"has a part longer than {LONGEST_SEGMENT} bytes", _FORMS)
    try:
        folder = Path(rest).expanduser() if rest.startswith("~/") else Path(rest)
        root = folder.resolve()
        if root.exists() and not root.is_dir():
            raise ConfigError(str(root), "is a file, not the folder of a store", _FORMS)
    except (OSError, RuntimeError) as error:  # links in a circle; no permission; no home
        raise ConfigError(where, f"names no folder: {shown(str(error))}", _FORMS) from None
    return FolderStore(root=root)


def _open_s3(rest: str, options: StoreOptions) -> S3Store:
    # What is refused here may hold a secret, so no message repeats it.
    bucket, _, prefix = rest.partition("/")
    if ":" in bucket or "@" in bucket:
        raise ConfigError("store s3://", "the URL carries credentials", CREDENTIALS)
    if "?" in prefix or "#" in prefix:
        raise ConfigError(
            f"store s3://{bucket}",
            "the URL has a query or a fragment",
            "Give the service's address by s3.endpoint_url or AWS_ENDPOINT_URL.",
        )
    if not _BUCKET.fullmatch(bucket):
        name = shown(bucket)
        raise ConfigError(f"store s3://{name}", f"'{name}' is no bucket name", _FORMS)
    prefix = prefix.rstrip("/")
    fault = name_fault(prefix) if prefix else ""
    if fault:
        raise ConfigError(f"store s3://{bucket}", f"the prefix {fault}", _FORMS)
    return S3Store(bucket=bucket, prefix=f"{prefix}/" if prefix else "", options=options)


def _check_endpoint(url: str) -> None:
    try:
        parts = urlsplit(url)
        refuse_credentials(url, "s3.endpoint_url")
        sound = parts.port is None or parts.port > 0
    except ValueError:  # a bracket without its other half, a port that is no number
        sound = False
    if not sound or parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
        raise ConfigError(
            "s3.endpoint_url", "not the URL of a service", "Example: http://seaweedfs:8333"
        )

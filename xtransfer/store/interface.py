"""What a store can do, and what an object may be called."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

from xtransfer.errors import StoreError

TEMPORARY = ".tmp-"
"""Begins the names of unfinished files, which no listing shows."""
FIRST_TRIES = 8
"""Tries of one request before a service has ever answered: some 6 s."""
_NO_END = 2**31
LONGEST_SEGMENT = 255
"""Bytes; the limit of common file systems."""
LONGEST_NAME = 900
"""Bytes; S3 allows 1024 for prefix and name together."""


class ObjectInfo(NamedTuple):
    """An object as a listing shows it."""

    name: str
    size: int
    """Bytes."""


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """How to reach an S3 service; a folder needs none of it.

    Credentials are not here: they come from the standard AWS chain only.
    """

    endpoint_url: str | None = None
    """None: AWS_ENDPOINT_URL, else Amazon's."""
    region: str | None = None
    attempts: int | None = None
    """Tries of one request, the first included, with growing random pauses between them. None: as many as
    `give_up_after_s` has time for, once the service is known to answer; until then FIRST_TRIES, so that a
    wrong address is told soon."""
    answers: bool = False
    """The service has answered this process, or the one that started it."""
    base_pause_s: float = 0.1
    longest_pause_s: float = 20.0
    give_up_after_s: float = 300.0
    """Since the first try of a request; no further try begins after that."""
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    part_mib: int = 16
    """Size of a part, and the file size above which a file is sent in parts. S3 wants 5 or more."""
    parallel_parts: int = 4
    """Parts of one file in flight at once."""

    @property
    def tries(self) -> int:
        """Return the most tries of one request."""
        return self.attempts or (_NO_END if self.answers else FIRST_TRIES)

    def pause(self, attempt: int) -> float:
        """Return how long to wait after try `attempt` (from 0): full jitter, see `retries.py`."""
        return random.uniform(
            0, min(self.longest_pause_s, self.base_pause_s * 2 ** min(attempt, 60))
        )


class Store(Protocol):
    """A set of named objects. A name is a relative POSIX path; `name_fault` has the rules.

    Every method raises StoreError for a bad name, and when the store cannot be reached or refuses.
    """

    @property
    def url(self) -> str:
        """Where the store is: absolute, free of credentials, and good for `open_store`."""
        ...

    def read(self, name: str) -> bytes:
        """Return an object's bytes, or raise NotFound."""
        ...

    def write(self, name: str, data: bytes) -> None:
        """Create or replace an object."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Create an object unless one of that name exists; say whether this call created it.

        Exactly one of any number of concurrent callers gets True, whatever their bytes.
        """
        ...

    def upload(self, name: str, path: Path) -> None:
        """Create or replace an object with the bytes of the file `path`."""
        ...

    def download(self, name: str, path: Path) -> None:
        """Create or replace the file `path`, and its folders, with an object, or raise NotFound."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Return the objects whose names begin with the text `prefix`, sorted by code point.

        What others put there under a name that `name_fault` refuses, such as the "folders" that consoles make,
        is no object.
        """
        ...

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        ...

    def delete(self, name: str) -> None:
        """Delete an object; an absent one is no error."""
        ...

    def obstructed(self, last: str) -> list[str]:
        """Return the names, of those whose last segment is `last`, that no object can have.

        A folder or a link to nothing stands in its place, which happens on disks alone.
        """
        ...

    def sweep(self, *, older_s: float, dry_run: bool) -> list[ObjectInfo]:
        """Remove what uploads that never ended have left; return it (`dry_run`: only return it).

        Args:
            older_s: seconds since they began or were last written to.
            dry_run: remove nothing.
        """
        ...


def name_fault(name: str) -> str:
    """Return what is wrong with an object's name, or "" for a good one.

    A good name means the same in a folder and in S3, and cannot lead out of the store.
    """
    segments = name.split("/")
    rules = (
        (not name, "is empty"),
        # NUL and other control characters, lone surrogates, odd spaces
        (not name.isprintable(), "has an unprintable character"),
        ("\\" in name, "has a backslash"),
        (name.startswith("/"), "begins with '/'"),
        (
            any(segment in ("", ".", "..") for segment in segments),
            "has an empty, '.' or '..' segment",
        ),
        (
            any(segment.startswith(TEMPORARY) for segment in segments),
            f"has a segment that begins with '{TEMPORARY}', as only unfinished files do",
        ),
        (_bytes(name) > LONGEST_NAME, f"is longer than {LONGEST_NAME} bytes"),
        (
            any(_bytes(segment) > LONGEST_SEGMENT for segment in segments),
            f"has a segment longer than {LONGEST_SEGMENT} bytes",
        ),
    )
    return next((fault for broken, fault in rules if broken), "")


def check_name(name: str, url: str) -> None:
    """Raise StoreError unless `name` is good; `url` says whose it is."""
    fault = name_fault(name)
    if fault:
        raise StoreError(url, f"the object name {name!r} {fault}")


def check_prefix(prefix: str, url: str) -> None:
    """Raise StoreError unless `prefix` begins some good name, as "", "a", "a/" and "a/b" do."""
    check_name(f"{prefix}x", url)


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))

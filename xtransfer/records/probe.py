"""Whether a store keeps the promise on which leases and records rest: an object is created once.

probes/{random}    there for as long as the question takes
"""

from __future__ import annotations

import secrets
from contextlib import suppress

from xtransfer.errors import StoreError
from xtransfer.records.layout import PROBES
from xtransfer.store import Store

OVERWRITES = "overwrites an object that was to be created only where there is none"
NEEDED = "Use a service with conditional writes (If-None-Match), such as AWS or SeaweedFS."
_ASKED = 2
"""Times that the second creation must succeed: `store gc` may have removed the first one's object meanwhile."""


def check_creation(store: Store) -> None:
    """Raise StoreError where a store creates over an object that is there: nobody would notice two holders."""
    if all(_creates_twice(store) for _ in range(_ASKED)):
        raise StoreError(store.url, OVERWRITES, NEEDED)


def _creates_twice(store: Store) -> bool:
    name = f"{PROBES}/{secrets.token_hex(8)}"
    try:
        store.create(name, b"first")
        return store.create(name, b"second")
    finally:
        with suppress(StoreError):  # `store gc` removes it; runs need no right to delete
            store.delete(name)

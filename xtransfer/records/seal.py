"""The seal of a record: SHA-256 of its text with that field empty.

It is over the text, and not over what a version of this package reads of it: so it also vouches for fields that
only a newer version knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from xtransfer.records.notes import parse_object


def sealed_text(value: Mapping[str, Any]) -> str:
    """Return a record as JSON for people and programs, keys sorted, indented, with the seal that belongs to it."""
    seal = hashlib.sha256(_text({**value, "seal": ""}).encode()).hexdigest()
    return _text({**value, "seal": seal})


def read_sealed(data: bytes) -> dict[str, Any] | None:
    """Return what a record's object holds if its seal says that it is as it was written, else None."""
    try:
        value = parse_object(data)
        return value if sealed_text(value).encode() == data else None
    except ValueError:
        return None


def _text(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n"

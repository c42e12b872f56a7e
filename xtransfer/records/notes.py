"""Small JSON objects that vouch for themselves: what a damaged or misplaced one says is not believed.

{"name": the object's own, …, "seal": SHA-256 of the text without it}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def note_text(name: str, value: Mapping[str, Any]) -> bytes:
    """Return what is to be written as the object `name` so that `parse_note` gives `value` back."""
    return sealed({**value, "name": name})


def parse_note(data: bytes, name: str) -> dict[str, Any]:
    """Return the value that `note_text` made the object `name` of.

    Notes of before there were seals have none: they are returned as they are.

    Raises:
        ValueError: when it was altered, is no JSON object, or another object's.
    """
    value = parse_object(data)
    if "seal" not in value:
        return value
    if sealed(value) != data:
        raise ValueError("was altered after it was written")
    if value.get("name") != name:
        raise ValueError(f"holds {value.get('name', 'no note')}")
    return {field: each for field, each in value.items() if field not in ("name", "seal")}


def parse_object(data: bytes) -> dict[str, Any]:
    """Return a JSON object, or raise ValueError."""
    try:
        value = json.loads(data)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    return value


def sealed(value: Mapping[str, Any]) -> bytes:
    """Return an object as JSON with the digest of the rest of it as its `seal`."""
    bare = {name: each for name, each in value.items() if name != "seal"}
    seal = hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()
    return json.dumps({**bare, "seal": seal}, sort_keys=True).encode()

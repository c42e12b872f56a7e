"""Canonical JSON and content keys: what is computed, never where."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from xtransfer.errors import IdentityError

KEY_LENGTH = 12


def canonical_json(value: Any) -> str:
    """Serialise `value` to the one JSON text that stands for it.

    Keys are sorted, there is no white space, text is UTF-8, and floats are written by `repr` (the
    shortest text that reads back to the same double). Integral floats keep their `.0`, so 1 and 1.0
    are different identities.

    Raises:
        IdentityError: for a value that has no stable identity (a set, a path, NaN, an object),
            naming where in the structure it stands.
    """
    _check(value, "$")
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=dict
    )


def key_of(value: Any) -> str:
    """Return the first 12 hex digits of the SHA-256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_LENGTH]


def file_digest(file: Path | int) -> str:
    """Return the SHA-256 (hex) of a file's bytes, given by its path or open."""
    with open(file, "rb", closefd=not isinstance(file, int)) as opened:
        opened.seek(0)
        return hashlib.file_digest(opened, "sha256").hexdigest()


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Return 12 hex digits that stand for the Python files of this package, as they are on this machine.

    They are part of no key. A record has them to say which code wrote it: two checkouts, or one that somebody has
    changed, may have the same version.
    """
    root = Path(__file__).parent
    files = filter(Path.is_file, root.rglob("*.py"))  # an editor's locks are none
    return key_of({path.relative_to(root).as_posix(): file_digest(path) for path in files})


def digest_once(path: Path) -> str:
    """Return a file's digest, which this process computes once for each state of the file.

    A state is inode, size, and times of content and of inode: it differs after a file was changed or
    replaced, its modification time being set back or not.
    """
    found = path.stat()
    state = (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return _digest_of_state(path, state)


@lru_cache(maxsize=64)
def _digest_of_state(path: Path, _: tuple[int, ...]) -> str:
    return file_digest(path)


def _check(value: Any, where: str) -> None:
    if value is None or isinstance(value, bool | int):
        return
    if isinstance(value, str):
        _check_text(value, where)
        return
    if isinstance(value, float):
        if not math.isfinite(value):
            raise IdentityError(where, f"{value} has no JSON form, so no stable identity")
        return
    if isinstance(value, Mapping):
        for name, item in cast("Mapping[Any, Any]", value).items():
            if not isinstance(name, str):
                raise IdentityError(
                    where, f"key {name!r} is not text, so it has no stable identity"
                )
            _check_text(name, where)
            _check(item, f"{where}.{name}")
        return
    if isinstance(value, list | tuple):
        for index, item in enumerate(cast("Sequence[Any]", value)):
            _check(item, f"{where}[{index}]")
        return
    raise IdentityError(where, f"a {type(value).__name__} has no stable identity")


def _check_text(text: str, where: str) -> None:
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise IdentityError(where, f"{text!r} holds half a character, so it has no stable identity")

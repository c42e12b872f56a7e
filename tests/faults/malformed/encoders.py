"""Folders that hold no encoder, given to `export`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from tempfile import mkdtemp

from tests.faults.malformed.oracle import Case
from tests.faults.malformed.stores import keys_of, recorded
from tests.tiny import tiny_encoder, tiny_tokenizer

FILES = ("config.json", "model.safetensors", "tokenizer.json")


def bad_encoder(draw: Random, folder: Path, _: int) -> Case:
    """A recorded trial, and an encoder of which one file is damaged."""
    store = recorded(folder)
    encoder = folder / "encoder"
    shutil.copytree(_encoder(), encoder)
    name, what = draw.choice(FILES), draw.choice(list(_DAMAGE))
    path = encoder / name
    data = _DAMAGE[what](path.read_bytes(), draw)
    path.unlink()
    if data is None:
        path.mkdir()
    elif what != "absent":
        path.write_bytes(data)
    key = draw.choice(keys_of(store, "train"))
    return Case(
        what=f"an encoder's {name} {what}",
        arguments=("export", key, "--out", "a/out", "--store", "store", "--encoder", "encoder"),
        places=("encoder",),
    )


@cache
def _encoder() -> Path:
    root = Path(mkdtemp(prefix="xt-malformed-"))
    _FOLDERS.append(root)
    tokenizer = tiny_tokenizer()
    tiny_encoder(vocabulary=len(tokenizer)).save_pretrained(root)
    tokenizer.save_pretrained(root)
    return root


_FOLDERS: list[Path] = []


def remove_encoders() -> None:
    """Remove what `bad_encoder` copies from."""
    _encoder.cache_clear()
    while _FOLDERS:
        shutil.rmtree(_FOLDERS.pop())


_DAMAGE: dict[str, Callable[[bytes, Random], bytes | None]] = {
    "absent": lambda data, draw: b"",
    "a folder": lambda data, draw: None,
    "empty": lambda data, draw: b"",
    "cut": lambda data, draw: data[: draw.randrange(1, len(data) // 2)],
    "noise": lambda data, draw: b"\xff" + draw.randbytes(200),
    "HTML": lambda data, draw: b"<html>404</html>",
    "deep": lambda data, draw: b"[" * 100_000,
    "a list": lambda data, draw: b"[]",
    "of nothing": lambda data, draw: json.dumps({"model_type": "nothing"}).encode(),
}

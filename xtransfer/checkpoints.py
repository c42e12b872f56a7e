"""Resumable checkpoints of a running trial: whole tensors and scalars, never pickles.

    resume/{step key}/{optimizer step, 9 digits}/{digest}.safetensors    first
    resume/{step key}/{optimizer step, 9 digits}/manifest.json           last

A checkpoint exists when its manifest does. It is disposable: the trial's record makes it superfluous, and
a damaged one is passed over for the one before it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xtransfer.errors import NotFound
from xtransfer.identity import file_digest
from xtransfer.store import Store

KEPT = 2
"""Checkpoints kept of a trial: the newest, and one in case it is damaged."""

log = logging.getLogger(__name__)


def save_checkpoint(
    store: Store, key: str, *, state: Mapping[str, Any], tensors: Mapping[str, Any]
) -> None:
    """Write a checkpoint of trial `key` and drop those older than the last two."""
    from safetensors.torch import save_file

    prefix = f"resume/{key}/{int(state['step']):09d}"
    with tempfile.TemporaryDirectory(prefix="xtransfer-") as folder:
        path = Path(folder) / "state.safetensors"
        save_file(dict(tensors), path)
        digest = file_digest(path)
        name = f"{prefix}/{digest[:16]}.safetensors"
        manifest = {
            "state": dict(state),
            "object": name,
            "size": path.stat().st_size,
            "sha256": digest,
        }
        store.upload(name, path)
    store.write(f"{prefix}/manifest.json", json.dumps(manifest, sort_keys=True).encode())
    for old in _manifests(store, key)[KEPT:]:
        _delete(store, old.rsplit("/", 1)[0])


def load_checkpoint(store: Store, key: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return (state, tensors) of the newest whole checkpoint of trial `key`, None without one."""
    from safetensors.torch import load

    for name in _manifests(store, key):
        try:
            manifest = json.loads(store.read(name))
            if not str(manifest["object"]).startswith(f"resume/{key}/"):
                raise ValueError("names an object of another trial")
            blob = store.read(manifest["object"])
            if hashlib.sha256(blob).hexdigest() != manifest["sha256"]:
                raise ValueError("the tensors differ from their digest")
            return manifest["state"], load(blob)
        except (NotFound, ValueError, KeyError, TypeError) as error:
            log.warning("%s: passed over a damaged checkpoint: %s", name, error)
    return None


def drop_checkpoints(store: Store, key: str) -> None:
    """Delete every checkpoint of trial `key`."""
    _delete(store, f"resume/{key}")


def _manifests(store: Store, key: str) -> list[str]:
    """Return the names of the manifests, newest checkpoint first."""
    names = [item.name for item in store.list(f"resume/{key}/")]
    return sorted((name for name in names if name.endswith("/manifest.json")), reverse=True)


def _delete(store: Store, folder: str) -> None:
    # Manifest first: what is half deleted must not look whole.
    names = [item.name for item in store.list(f"{folder}/")]
    for name in sorted(names, key=lambda name: not name.endswith("manifest.json")):
        store.delete(name)

"""Resumable checkpoints of a running trial: whole tensors and scalars, never pickles.

    resume/{step key}/{optimizer step, 9 digits}/{digest}.safetensors    first
    resume/{step key}/{optimizer step, 9 digits}/manifest.json           last

A checkpoint exists when its manifest does. It is disposable: the trial's record makes it superfluous, and
a damaged one is passed over for the one before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from xtransfer.errors import NotFound
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.records.layout import RESUME
from xtransfer.records.notes import parse_object, sealed
from xtransfer.records.outputs import delete_all
from xtransfer.store import Store
from xtransfer.store.folder import enough_space

_MANIFEST = "manifest.json"
"""Is deleted before the rest: what is half deleted must not look whole."""

log = logging.getLogger(__name__)


def save_checkpoint(
    store: Store,
    key: str,
    *,
    state: Mapping[str, Any],
    tensors: Mapping[str, Any],
    rows: str = "",
    kept: int = 2,
    scratch: Path | None = None,
    passed_over: Collection[str] | None = None,
    fence: Callable[[], None] = lambda: None,
) -> None:
    """Write a checkpoint of trial `key` and drop all but the last `kept`.

    Those of later steps go, too, that the trial has gone back behind, because they are damaged or of no use
    to it. The file is made in `scratch` first (None: the system's folder for temporary files).

    Args:
        store: where it goes.
        key: of the trial.
        state: scalars; `step` is the number of optimizer steps taken.
        tensors: by name.
        rows: digest of what the rows of the embedding stand for.
        kept: most checkpoints of the trial to keep, this one included.
        scratch: folder for temporary files.
        passed_over: what `load_checkpoint` told of; others of later steps are those of whoever goes on with the
            trial, and stay. None: they all go.
        fence: called before anything is written, and again before it counts and others go; raises where the
            trial is no longer this process's.
    """
    from safetensors.torch import save_file

    prefix = f"{RESUME}/{key}/{int(state['step']):09d}"
    with temporary_folder(scratch) as folder:
        path = folder / "state.safetensors"
        with enough_space(path.parent):
            save_file(dict(tensors), path)
        digest = file_digest(path)
        name = f"{prefix}/{digest[:16]}.safetensors"
        manifest = {
            "state": dict(state),
            "object": name,
            "size": path.stat().st_size,
            "sha256": digest,
            **({"rows": rows} if rows else {}),
        }
        fence()
        store.upload(name, path)
    fence()
    store.write(f"{prefix}/{_MANIFEST}", sealed(manifest))
    found, own = _manifests(store, key), f"{prefix}/{_MANIFEST}"
    later, others = [n for n in found if n > own], [n for n in found if n <= own]
    useless = [n for n in later if passed_over is None or n in passed_over]
    for gone in useless + others[kept:]:
        delete_all(store, gone.removesuffix(_MANIFEST), first=_MANIFEST)


def load_checkpoint(
    store: Store,
    key: str,
    *,
    rows: str = "",
    scratch: Path | None = None,
    passed_over: Callable[[str], None] = lambda name: None,
) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Return (state, tensors) of the newest whole checkpoint of trial `key`, None without one.

    The tensors are pages of a file, which is gone from its folder and from the disk with the last of them:
    what is to stay has to be copied.

    Args:
        store: where it is.
        key: of the trial.
        rows: as `save_checkpoint` was given it; a checkpoint of other rows is passed over.
        scratch: folder for temporary files.
        passed_over: told the manifest's name of each checkpoint that is not loaded though it is newer.
    """
    from safetensors.torch import load_file

    for name in _manifests(store, key):
        try:
            manifest = read_manifest(store, name)
            if rows and manifest.get("rows", rows) != rows:
                log.warning(
                    "%s: passed over a checkpoint whose embedding has other rows, as after a change of "
                    "train.compact_vocabulary",
                    name,
                )
                passed_over(name)
                continue
            with temporary_folder(scratch) as folder, enough_space(folder):
                path = folder / "state.safetensors"
                store.download(manifest["object"], path)
                if file_digest(path) != manifest["sha256"]:  # on the way, perhaps
                    store.download(manifest["object"], path)
                if file_digest(path) != manifest["sha256"]:
                    raise ValueError("the tensors differ from their digest")
                return manifest["state"], load_file(path)
        except (NotFound, ValueError, KeyError, TypeError) as error:
            log.warning("%s: passed over a damaged checkpoint: %s", name, error)
            passed_over(name)
    return None


def newest_checkpoint(store: Store, key: str) -> str:
    """Return the folder of the newest checkpoint of trial `key`, "" without one."""
    return next((name.rpartition("/")[0] for name in _manifests(store, key)), "")


def read_manifest(store: Store, name: str) -> dict[str, Any]:
    """Return the manifest `name` of a checkpoint.

    Raises:
        ValueError: when it was altered, is malformed, or names an object of another trial.
        NotFound: when it is gone.
    """
    data = store.read(name)
    manifest = parse_object(data)
    if sealed(manifest) != data:
        raise ValueError("the manifest was altered")
    if not str(manifest["object"]).startswith(f"{name.rsplit('/', 2)[0]}/"):
        raise ValueError("names an object of another trial")
    return manifest


def drop_checkpoints(store: Store, key: str) -> None:
    """Delete every checkpoint of trial `key`."""
    delete_all(store, f"{RESUME}/{key}/", first=_MANIFEST)


def _manifests(store: Store, key: str) -> list[str]:
    """Return the names of the manifests, newest checkpoint first."""
    names = [item.name for item in store.list(f"{RESUME}/{key}/")]
    return sorted((name for name in names if name.endswith(f"/{_MANIFEST}")), reverse=True)

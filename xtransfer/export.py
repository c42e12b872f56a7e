"""A recorded model as a folder in Hugging Face layout, for `from_pretrained` and everything else."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xtransfer.errors import UserError, XtransferError, shown
from xtransfer.folders import temporary_folder
from xtransfer.records import Record, fetch, find
from xtransfer.results import check_result
from xtransfer.store import Store
from xtransfer.store.folder import disk_errors


def export_model(store: Store, key: str, out: Path, *, encoder: str | None = None) -> str:
    """Write the encoder, tokenizer and head of a train, select or average step to `out`.

    `AutoModel.from_pretrained(out, add_pooling_layer=False)` loads the encoder with its whole
    vocabulary; the head is beside it in `head.safetensors`, and `xtransfer.json` says what it is.

    Args:
        store: where the records are.
        key: key, or its first digits, of a pretrain, train, select or average step.
        out: folder to write; it must be empty or absent.
        encoder: folder of the base encoder, if it is no longer where the run had it.

    Raises:
        UserError: when `out` holds something, or the step has no model.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "exists and is not empty", "Give a new folder.")
    record = find(store, key)
    check_result(record)
    if record.kind == "select":
        record = find(store, record.result["chosen"])
    if record.kind not in ("train", "average", "pretrain"):
        raise UserError(
            record.folder,
            f"a {record.kind} step has no model",
            "Give a train, select or average step.",
        )
    with temporary_folder() as temporary:
        _write(store, record, out, encoder, temporary)
    return str(out)


def _write(store: Store, record: Record, out: Path, encoder: str | None, scratch: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from xtransfer.execute import load_tokenizer
    from xtransfer.train.assembly import WEIGHTS
    from xtransfer.train.model import apply_weights, load_encoder, read_weights

    base, revision = _base(store, record, encoder, scratch)
    try:
        model = load_encoder(base, revision=revision)
        tokenizer = load_tokenizer(base, revision)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise XtransferError(
            base, f"cannot be loaded as an encoder: {shown(str(error), most=200)}", _ENCODER
        ) from error
    head: dict[str, Any] = {}
    if record.kind != "pretrain":
        weights = read_weights(fetch(store, record, scratch / "trained", [WEIGHTS]) / WEIGHTS)
        apply_weights(model, weights)
        head = _heads(weights, _trial_of(store, record))
    about = {
        "key": record.key,
        "step": record.folder,
        "spec": record.spec,
        "inputs": record.inputs,
        "score": record.result.get("score"),
        "environment": record.environment,
    }
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    with _whole(out) as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if head:
            save_file(head, folder / "head.safetensors", metadata={"format": "pt"})
        (folder / "xtransfer.json").write_text(text + "\n", encoding="utf-8")


@contextmanager
def _whole(out: Path) -> Iterator[Path]:
    """Yield a folder beside `out` that takes its place at the end, or vanishes."""
    out = out.absolute()
    temporary = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        with disk_errors(out):
            temporary.mkdir(parents=True)
            yield temporary
            temporary.replace(out)  # onto an empty folder too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


_ENCODER = "Give a folder with config.json, model.safetensors and tokenizer.json."


def _heads(weights: dict[str, Any], record: Record) -> dict[str, Any]:
    """Return the heads by their tasks' names; of a single one, without a name."""
    names = [part["task"] for part in record.spec["parts"]]
    names += ["text"] if record.spec["text"] else []
    out: dict[str, Any] = {}
    for name, value in weights.items():
        if name.startswith("heads."):
            _, number, rest = name.split(".", 2)
            out[rest if len(names) == 1 else f"{names[int(number)]}.{rest}"] = value
    return out


def _trial_of(store: Store, record: Record) -> Record:
    """Return the trial whose heads a model has: of an average, the first of those averaged."""
    while record.kind != "train":
        record = find(store, record.result.get("chosen") or record.inputs["trial-000"])
    return record


def _base(
    store: Store, record: Record, encoder: str | None, scratch: Path
) -> tuple[str, str | None]:
    """Return where the base encoder of a record's lineage is: (folder or hub name, revision)."""
    at = record
    while at.kind != "pretrain":
        parent = at.inputs.get("start") or at.inputs.get("trial-000")
        if parent is None:
            break
        at = find(store, parent)
    if at.kind == "pretrain":
        return str(fetch(store, at, scratch / "base")), None
    identity = at.spec["encoder"]
    if encoder is not None:
        if not encoder or not Path(encoder).is_dir():
            raise UserError(f"--encoder {encoder}", "no such folder", _ENCODER)
        return encoder, None
    if "hub" in identity:
        return identity["hub"], identity["revision"]
    place = at.placement.get("encoder", "")
    if place and Path(place).is_dir():
        return place, None
    raise UserError(
        record.folder,
        f"its base encoder is not at '{place}' any more",
        "Say where it is with --encoder FOLDER.",
    )

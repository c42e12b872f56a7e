"""A recorded model as a folder in Hugging Face layout, for `from_pretrained` and everything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from xtransfer.errors import UserError
from xtransfer.folders import temporary_folder
from xtransfer.records import Record, fetch, find
from xtransfer.store import Store


def export_model(store: Store, key: str, out: Path, *, encoder: str | None = None) -> str:
    """Write the encoder, tokenizer and head of a train or select step to `out`.

    `AutoModel.from_pretrained(out, add_pooling_layer=False)` loads the encoder with its whole
    vocabulary; the head is beside it in `head.safetensors`, and `xtransfer.json` says what it is.

    Args:
        store: where the records are.
        key: key, or its first digits, of a pretrain, train or select step.
        out: folder to write; it must be empty or absent.
        encoder: folder of the base encoder, if it is no longer where the run had it.

    Raises:
        UserError: when `out` holds something, or the step has no model.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "exists and is not empty", "Give a new folder.")
    record = find(store, key)
    if record.kind == "select":
        record = find(store, record.result["chosen"])
    if record.kind not in ("train", "pretrain"):
        raise UserError(
            record.folder, f"a {record.kind} step has no model", "Give a train or select step."
        )
    with temporary_folder() as temporary:
        _write(store, record, out, encoder, temporary)
    return str(out)


def _write(store: Store, record: Record, out: Path, encoder: str | None, scratch: Path) -> None:
    from safetensors.torch import save_file

    from xtransfer.execute import load_tokenizer
    from xtransfer.train.assembly import WEIGHTS
    from xtransfer.train.model import apply_weights, load_encoder, read_weights

    base, revision = _base(store, record, encoder, scratch)
    model = load_encoder(base, revision=revision)
    head: dict[str, Any] = {}
    if record.kind == "train":
        weights = read_weights(fetch(store, record, scratch / "trained", [WEIGHTS]) / WEIGHTS)
        apply_weights(model, weights)
        head = _heads(weights, record)
    model.save_pretrained(out)
    load_tokenizer(base, revision).save_pretrained(out)
    if head:
        save_file(head, out / "head.safetensors", metadata={"format": "pt"})
    about = {
        "key": record.key,
        "step": record.folder,
        "spec": record.spec,
        "inputs": record.inputs,
        "score": record.result.get("score"),
        "environment": record.environment,
    }
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    (out / "xtransfer.json").write_text(text + "\n", encoding="utf-8")


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

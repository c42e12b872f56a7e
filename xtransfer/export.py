"""A recorded model as a folder in Hugging Face layout, for `from_pretrained` and everything else."""

from __future__ import annotations

import json
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from inspect import signature
from pathlib import Path
from typing import Any

from xtransfer.card import Card, Provenance, model_card
from xtransfer.errors import UserError, XtransferError, shown
from xtransfer.folders import temporary_folder
from xtransfer.identity import digest_once
from xtransfer.plan import VERSIONS, Plan
from xtransfer.records.lookup import find
from xtransfer.records.outputs import fetch
from xtransfer.records.record import Record, load_records
from xtransfer.records.results import check_result
from xtransfer.store import Store
from xtransfer.store.folder import disk_errors


def export_model(
    store: Store,
    key: str,
    out: Path,
    *,
    encoder: str | None = None,
    provenance: Provenance | None = None,
) -> str:
    """Write the encoder, tokenizer and head of a recorded model to `out`.

    `AutoModel.from_pretrained(out, add_pooling_layer=False)` loads the encoder with its whole vocabulary,
    without that option where its class has no pooling layer. The head is beside it in `head.safetensors`,
    `xtransfer.json` says what it is, and README.md is its model card.

    Args:
        store: where the records are.
        key: key, or its first digits, of a pretrain, train, select or average step.
        out: folder to write; it must be empty or absent.
        encoder: folder of the base encoder, if it is no longer where the run had it.
        provenance: what the model card says beyond the records.

    Raises:
        UserError: when `out` holds something, the step has no model, or its base encoder is another one now.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(str(out), "exists and is not empty", "Give a new folder.")
    record = find(store, key)
    check_result(record, url=store.url)
    if record.kind == "select":
        record = find(store, record.result["chosen"])
    if record.kind not in ("train", "average", "pretrain"):
        raise UserError(
            record.folder,
            f"a {record.kind} step has no model",
            "Give a pretrain, train, select or average step.",
        )
    with temporary_folder() as temporary:
        _write(store, record, out, encoder, temporary, provenance or Provenance())
    return str(out)


def model_of(plan: Plan, target: str, after: str, seed: int | None) -> str:
    """Return the key of the model that a target is scored with.

    Args:
        plan: of the experiment.
        target: its name.
        after: the row: an intermediate task, `baseline`, or one of its averages.
        seed: of the target trial; None: the first.

    Raises:
        UserError: when the plan has no such row, or scores the bare encoder there.
    """
    rows = [c for c in plan.cells if c.target == target and not c.few_shot]
    for cell in rows:
        if cell.intermediate == after and seed in (None, cell.seed):
            model = plan.steps[cell.key].inputs.get("model")
            if model is None:
                what = "is scored with the encoder as it is"
                raise UserError(f"{target} after {after}", what, "There is nothing to export.")
            return model
    known = sorted(
        {f"'{c.intermediate}'{'' if c.seed is None else f' seed {c.seed}'}" for c in rows}
    )
    raise UserError(
        f"{target} after {after}{'' if seed is None else f', seed {seed}'}",
        "the experiment has no such row",
        f"It has: {', '.join(known)}." if known else "See its target.tasks.",
    )


def _write(
    store: Store,
    record: Record,
    out: Path,
    encoder: str | None,
    scratch: Path,
    provenance: Provenance,
) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from xtransfer.steps.assembly import WEIGHTS
    from xtransfer.steps.encoder import load_tokenizer, save_tokenizer
    from xtransfer.train.encoder import load_encoder
    from xtransfer.train.weights import apply_weights, read_weights

    base, revision = _base(store, record, encoder, scratch)
    try:
        with redirect_stdout(sys.stderr):  # where libraries say what they found
            model = load_encoder(base, revision=revision)
            tokenizer = load_tokenizer(base, revision)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise XtransferError(
            base, f"cannot be loaded as an encoder: {shown(str(error), most=200)}", _ENCODER
        ) from error
    head: dict[str, Any] = {}
    parts: list[dict[str, Any]] = []
    if record.kind != "pretrain":
        weights = read_weights(fetch(store, record, scratch / "trained", [WEIGHTS]) / WEIGHTS)
        apply_weights(model, weights)
        trial = _trial_of(store, record)
        head, parts = _heads(weights, trial), _parts(store, trial)
    about = {
        "key": record.key,
        "step": record.folder,
        "spec": record.spec,
        "heads": parts,
        "inputs": record.inputs,
        "score": record.result.get("score"),
        "environment": record.environment,
    }
    records = load_records(store, VERSIONS, damaged=lambda _: None)
    pooling = "add_pooling_layer" in signature(type(model)).parameters
    card = model_card(Card(record=record, records=records, provenance=provenance, pooling=pooling))
    text = json.dumps(about, indent=1, sort_keys=True, ensure_ascii=False)
    with _whole(out) as folder, redirect_stdout(sys.stderr):
        model.save_pretrained(folder)
        save_tokenizer(tokenizer, folder)
        if head:
            save_file(head, folder / "head.safetensors", metadata={"format": "pt"})
        (folder / "xtransfer.json").write_text(text + "\n", encoding="utf-8")
        (folder / "README.md").write_text(card, encoding="utf-8")


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


def _parts(store: Store, trial: Record) -> list[dict[str, Any]]:
    """Return what each head of a trial was trained on, its labels in the order of its outputs."""
    found: list[dict[str, Any]] = []
    for part in trial.spec["parts"]:
        labels = part["labels"]
        if labels is None:  # those of the training data
            labels = find(store, trial.inputs[f"train {part['task']}"]).result["labels"]
        found.append({**part, "labels": labels})
    return found


def _base(
    store: Store, record: Record, encoder: str | None, scratch: Path
) -> tuple[str, str | None]:
    """Return where the base encoder of a record's lineage is: (folder or hub name, revision)."""
    at = record
    while at.kind != "pretrain":
        # Of a selection the chosen one: the first trial may have failed.
        parent = at.inputs.get("start") or at.result.get("chosen") or at.inputs.get("trial-000")
        if parent is None:
            break
        at = find(store, parent)
    if at.kind == "pretrain":
        return str(fetch(store, at, scratch / "base")), None
    identity = at.spec["encoder"]
    if encoder is not None:
        if not encoder or not Path(encoder).is_dir():
            raise UserError(f"--encoder {encoder}", "no such folder", _ENCODER)
        _check_base(store, at, Path(encoder))
        return encoder, None
    if "hub" in identity:
        return identity["hub"], identity["revision"]
    place = at.placement.get("encoder", "")
    if place and Path(place).is_dir():
        _check_base(store, at, Path(place))
        return place, None
    raise UserError(
        record.folder,
        f"its base encoder is not at '{place}' any more",
        "Say where it is with --encoder FOLDER.",
    )


def _check_base(store: Store, first: Record, folder: Path) -> None:
    """Check that a folder holds the encoder and the tokenizer that the first trial of a lineage had.

    A trial records the embedding's rows of the tokens that it saw; all others come from here. Of an encoder
    from the hub, no digest of a file is known.

    Raises:
        UserError: naming the file that is another one.
    """
    tokenizers = [
        find(store, key).spec.get("tokenizer") or {}
        for role, key in first.inputs.items()
        if role.startswith("train ")
    ]
    for identity in (first.spec["encoder"], *tokenizers):
        for name, digest in identity.items():
            path = folder / name
            if "hub" not in identity and (not path.is_file() or digest_once(path) != digest):
                raise UserError(
                    str(path),
                    f"is not the file that {first.folder} was trained from",
                    "Bring it back, or give a copy of that encoder with --encoder FOLDER.",
                )

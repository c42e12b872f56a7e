"""The evaluate step: a recorded model and prepared test sets become predictions and scores."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtransfer.plan import Step
from xtransfer.prepared import read_data_set
from xtransfer.records import Done
from xtransfer.retrieval.alignment import align
from xtransfer.train.assembly import WEIGHTS, make_head
from xtransfer.train.context import Context, device_name, device_of
from xtransfer.train.model import (
    TransferModel,
    apply_weights,
    head_weights,
    load_encoder,
    read_weights,
)

if TYPE_CHECKING:
    from xtransfer.records import Record
    from xtransfer.workbench import Workbench


def evaluate_step(step: Step, bench: Workbench, folder: Path) -> Done:
    """Score the model that an evaluate step names in every language."""
    from xtransfer.encoder import encoder_place
    from xtransfer.evaluate import evaluate

    began = time.time()
    spec = step.spec
    torch.set_num_threads(max(1, int(bench.placement.evaluate.cpus)))
    name, revision = encoder_place(step, bench)
    encoder = load_encoder(name, revision=revision)
    weights: dict[str, Tensor] = {}
    model_step = bench.plan.steps.get(step.inputs.get("model", ""))
    trained = None
    if model_step is not None and model_step.kind != "pretrain":
        trained = bench.trained(model_step.key)
        weights = read_weights(bench.files(trained, [WEIGHTS]) / WEIGHTS)
        apply_weights(encoder, weights)
    bf16 = spec["precision"] == "bf16"
    task = bench.plan.tasks[spec["task"]]
    analysis = spec.get("analysis") or {}
    judged = trained
    if "head" in step.inputs:  # forgetting: the encoder of one model with the head of another
        judged = bench.trained(step.inputs["head"])
        weights = read_weights(bench.files(judged, [WEIGHTS]) / WEIGHTS)
    if "labels" in step.inputs:
        found = tuple(bench.record(step.inputs["labels"]).result["labels"])
        task = task.model_copy(update={"labels": found})
    model: Any = encoder
    if task.form != "bitext":
        head = make_head(encoder, spec["form"], len(task.labels))
        head.load_state_dict(head_weights(weights, analysis.get("head", 0)))
        model = TransferModel(encoder, [head], bf16=bf16)
    device = device_of(bench.placement.evaluate.gpus)
    context = Context(device=device, pad_id=encoder.config.pad_token_id or 0, alive=bench.alive)
    sets = {
        role: bench.files(bench.record(step.inputs[role]))
        for role in ("test", "dev", "pool")
        if role in step.inputs
    }
    model = model.to(device)
    ready = time.time()
    if analysis.get("kind") == "alignment":
        result = align(
            encoder, spec["languages"], lambda x: read_data_set(sets["test"], x), context
        )
        return _done(result, trained, ready - began, device)
    result = evaluate(
        spec,
        task,
        model=model,
        context=context,
        data=lambda language: read_data_set(sets["test"], language),
        dev=(lambda language: read_data_set(sets["dev"], language)) if "dev" in sets else None,
        pool=read_data_set(sets["pool"], "all") if "pool" in sets else None,
        folder=folder,
        report=lambda language, share: bench.tell(
            {"stage": language, "step": round(100 * share), "total": 100}
        ),
        null_threshold=None
        if judged is None
        else threshold_of(judged, bench, head=analysis.get("head", 0)),
    )
    return _done(result, trained, ready - began, device)


def _done(result: dict[str, Any], trained: Record | None, start_s: float, device: str) -> Done:
    return Done(
        result={**result, "model": None if trained is None else trained.key},
        timing={"start_s": start_s},
        placement={"device": device_name(device)},
    )


def threshold_of(trained: Record, bench: Workbench, *, head: int = 0) -> float | None:
    """Return the odds over which a model answers nothing, as a dev set chose them for one of its heads.

    A few-shot stage scores no dev set, but goes on with the head of its start, and so with its odds.
    """
    found = trained.result.get("null_threshold")
    parts = trained.result.get("parts", ())
    if found is None and head < len(parts):
        found = parts[head].get("null_threshold")
    if found is not None or trained.spec.get("head") != "kept":
        return found
    return threshold_of(bench.trained(trained.inputs["start"]), bench)

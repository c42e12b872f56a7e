"""The evaluate step: a recorded model and prepared test sets become predictions and scores."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from xtransfer.plan import Step
from xtransfer.records.record import Done
from xtransfer.steps.alignment import align
from xtransfer.steps.assembly import WEIGHTS, make_head
from xtransfer.steps.device import take_device
from xtransfer.steps.encoder import positions_of
from xtransfer.steps.prepared import read_data_set
from xtransfer.tasks.task import Task
from xtransfer.train.context import Context, device_name
from xtransfer.train.encoder import load_encoder
from xtransfer.train.model import TransferModel
from xtransfer.train.weights import apply_weights, head_weights, read_weights

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench
    from xtransfer.records.record import Record


def evaluate_step(step: Step, bench: Workbench, folder: Path) -> Done:
    """Score the model that an evaluate step names in every language; predictions go into `folder`."""
    from xtransfer.steps.scoring import evaluate

    began = time.time()
    spec = step.spec
    torch.set_num_threads(max(1, int(bench.placement.evaluate.cpus)))
    scored = _load(step, bench)
    device = take_device(step, bench)
    context = Context(
        device=device,
        pad_id=scored.encoder.config.pad_token_id or 0,
        longest=positions_of(scored.encoder),
        alive=bench.alive,
    )
    sets = {
        role: partial(read_data_set, bench.files(bench.record(step.inputs[role])))
        for role in ("test", "dev", "pool")
        if role in step.inputs
    }
    model = scored.model.to(device)
    ready = time.time()
    if _analysis(step).get("kind") == "alignment":
        result = align(scored.encoder, spec["languages"], sets["test"], context)
    else:
        result = evaluate(
            spec,
            scored.task,
            model=model,
            context=context,
            data=sets["test"],
            dev=sets.get("dev"),
            pool=sets["pool"]("all") if "pool" in sets else None,
            folder=folder,
            report=lambda language, share: bench.tell(
                {"stage": language, "step": round(100 * share), "total": 100, "unit": "%"}
            ),
            null_threshold=None
            if scored.headed is None
            else threshold_of(scored.headed, bench, head=_head_number(step)),
        )
    return Done(
        result={**result, "model": None if scored.trained is None else scored.trained.key},
        timing={"start_s": ready - began},
        placement={"device": device_name(device)},
    )


@dataclass(frozen=True, kw_only=True)
class _Scored:
    """The model of an evaluate step, and what it is scored on."""

    task: Task
    """With the labels of its training data."""
    encoder: Any
    model: torch.nn.Module
    """The encoder with a head, or as it is for a form without one."""
    trained: Record | None
    """Of the step that the encoder comes from; None: of the base encoder."""
    headed: Record | None
    """Of the step that the head comes from: another one where forgetting is measured."""


def _load(step: Step, bench: Workbench) -> _Scored:
    from xtransfer.steps.encoder import encoder_place

    name, revision = encoder_place(step, bench)
    encoder = load_encoder(name, revision=revision)
    weights: dict[str, Tensor] = {}
    trained = None
    model_step = bench.plan.steps.get(step.inputs.get("model", ""))
    if model_step is not None and model_step.kind != "pretrain":
        trained = bench.trained(model_step.key)
        weights = read_weights(bench.files(trained, [WEIGHTS]) / WEIGHTS)
        apply_weights(encoder, weights)
    headed = trained
    if "head" in step.inputs:
        headed = bench.trained(step.inputs["head"])
        weights = read_weights(bench.files(headed, [WEIGHTS]) / WEIGHTS)
    task = bench.plan.tasks[step.spec["task"]]
    if "labels" in step.inputs:
        labels = tuple(bench.record(step.inputs["labels"]).result["labels"])
        task = task.model_copy(update={"labels": labels})
    model: Any = encoder
    if task.form != "bitext":
        head = make_head(encoder, step.spec["form"], len(task.labels))
        head.load_state_dict(head_weights(weights, _head_number(step)))
        model = TransferModel(encoder, [head], bf16=step.spec["precision"] == "bf16")
    return _Scored(task=task, encoder=encoder, model=model, trained=trained, headed=headed)


def _analysis(step: Step) -> Mapping[str, Any]:
    """Return what analysis a step is part of; empty where it is a plain score."""
    return step.spec.get("analysis") or {}


def _head_number(step: Step) -> int:
    """Return which of a model's heads is scored."""
    return _analysis(step).get("head", 0)


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

"""The train and evaluate steps: from records to tensors and back, for one process or many."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from xtransfer.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.errors import StepError
from xtransfer.forms import scored_examples
from xtransfer.metrics import score
from xtransfer.plan import Step
from xtransfer.prepared import read_data_set
from xtransfer.tasks.task import Task
from xtransfer.train.batching import decay_product, learning_rate
from xtransfer.train.context import Checkpoint, Context, Progress
from xtransfer.train.loop import Outcome, TrialSpec, build_head, train
from xtransfer.train.mixture import Mixture, Sampling, mix
from xtransfer.train.model import (
    TransferModel,
    apply_weights,
    compact,
    export_weights,
    head_weights,
    load_encoder,
    load_text_head,
    read_weights,
    renumber,
    used_tokens,
    words_name,
)
from xtransfer.train.parts import TaskPart, TextPart
from xtransfer.train.prediction import DataSet

if TYPE_CHECKING:
    from xtransfer.execute import Workbench
    from xtransfer.records import Record

WEIGHTS = "weights.safetensors"
DATA_ROLES = ("train ", "dev ")
"""How the roles of a trial's data begin; the part's name follows."""
OUTCOME = "outcome.json"
"""Result and timing of a trial, until they are in its record."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that a trial reads, as local files: what a worker on any node can be told."""

    encoder: str
    revision: str | None
    start: Path | None
    """Exported weights of the parent trial; None: the base encoder as it is."""
    data: Mapping[str, Path]
    """Role of the prepared data ("train mnli", "dev text") -> its folder."""
    labels: Mapping[str, tuple[str, ...]]
    """Task -> its labels."""


def train_step(
    step: Step, bench: Workbench, folder: Path
) -> tuple[dict[str, Any], dict[str, float]]:
    """Run the trial that a train step names; write its exported weights into `folder`."""
    workers = bench.placement.train.workers
    if workers > 1:
        from xtransfer.train.distributed import train_on_workers

        train_on_workers(step, bench, folder)
        return _read_outcome(folder)
    return _read_outcome(run_worker(step, bench, folder, rank=0, world_size=1))


def run_worker(step: Step, bench: Workbench, folder: Path, *, rank: int, world_size: int) -> Path:
    """Train as one worker of `world_size`; rank 0 leaves weights and outcome in `folder`."""
    began = time.time()
    placement = bench.placement.train
    torch.set_num_threads(max(1, int(placement.cpus)))
    inputs = gather_inputs(step, bench)
    spec = trial_spec(step.spec)
    parts, mixture = make_parts(step.spec, spec, inputs, bench.plan.tasks)
    # Text predicts words from the whole vocabulary, so all of it is trained then.
    compacted = placement.compact_vocabulary and step.spec["text"] is None
    start = make_model(inputs, spec, parts, compacted=compacted, kept=step.spec["head"] == "kept")
    model = start.model
    vocabulary = model.encoder.config.vocab_size
    if len(start.tokens) < vocabulary:
        parts = [
            part.renumbered(lambda data: renumbered(data, start.tokens, vocabulary))
            if isinstance(part, TaskPart)
            else part
            for part in parts
        ]
    words = words_name(model)
    context = Context(
        rank=rank,
        world_size=world_size,
        device=_device(placement.gpus),
        engine=placement.engine,
        zero_stage=placement.zero_stage,
        micro_batch=placement.micro_batch,
        pad_id=model.encoder.config.pad_token_id or 0,
        report=lambda progress: bench.tell(_facts(progress)),
        save=lambda checkpoint: save_checkpoint(
            bench.store,
            step.key,
            state=checkpoint.state,
            tensors=checkpoint.tensors,
            kept=placement.resume_kept,
        ),
        save_every_s=placement.resume_every_s,
        resume=_resume(step.key, bench),
    )
    if placement.engine == "deepspeed":
        ensure_process_group()
    ready = time.time()
    outcome = train(spec, context, model=model, parts=parts, mixture=mixture)
    if rank == 0:
        _write_outcome(
            folder,
            spec,
            outcome,
            start=start,
            words=words,
            parts=_parts_json(parts, mixture, outcome),
            timing={"start_s": ready - began, "train_s": time.time() - ready},
        )
    return folder


def gather_inputs(step: Step, bench: Workbench) -> Inputs:
    """Fetch everything that a trial reads to this node."""
    from xtransfer.execute import encoder_place

    name, revision = encoder_place(step, bench)
    start = None
    parent = bench.plan.steps.get(step.inputs.get("start", ""))
    if parent is not None and parent.kind != "pretrain":
        start = bench.files(bench.trained(parent.key), [WEIGHTS]) / WEIGHTS
    records = {
        role: bench.record(key) for role, key in step.inputs.items() if role.startswith(DATA_ROLES)
    }
    return Inputs(
        encoder=name,
        revision=revision,
        start=start,
        data={role: bench.files(record) for role, record in records.items()},
        labels={
            part["task"]: tuple(
                records[f"train {part['task']}"].result["labels"]
                if part["labels"] is None
                else part["labels"]
            )
            for part in step.spec["parts"]
        },
    )


def make_parts(
    raw: Mapping[str, Any], spec: TrialSpec, inputs: Inputs, tasks: Mapping[str, Task]
) -> tuple[list[TaskPart | TextPart], Mixture]:
    """Return the parts that a train step's specification names, and how its steps are shared out."""
    parts: list[TaskPart | TextPart] = []
    for each in raw["parts"]:
        name = each["task"]
        train_sets = [read_data_set(inputs.data[f"train {name}"], x) for x in each["languages"]]
        parts.append(
            TaskPart(
                name=name,
                form=each["form"],
                metric=each["metric"],
                labels=inputs.labels[name],
                train=DataSet.joined(train_sets),
                dev={
                    x: read_data_set(inputs.data[f"dev {name}"], x) for x in each["dev_languages"]
                },
                score=partial(_score, tasks[name]),
                batch_size=spec.batch_size,
                seed=spec.seed,
            )
        )
    sizes = [(part.examples, part.rows) for part in parts if isinstance(part, TaskPart)]
    text = raw["text"]
    if text is not None:
        parts.append(_text_part(text, spec, inputs))
    mixture = mix(
        sizes,
        Sampling(**(raw["sampling"] or {})),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        text_rows=0 if text is None else parts[-1].rows,
        text_probability=0.0 if text is None else text["probability"],
    )
    return parts, mixture


def trial_spec(spec: Mapping[str, Any]) -> TrialSpec:
    """Return the trial specification that a train step's `spec` holds."""
    names = TrialSpec.__dataclass_fields__
    values = {name: value for name, value in spec.items() if name in names}
    return TrialSpec(**{**values, "adam_betas": tuple(spec["adam_betas"])})


@dataclass(frozen=True, kw_only=True)
class Start:
    """The model of a trial before its first step."""

    model: TransferModel
    before: dict[str, Tensor] | None
    """The exported weights that it started from; None: the base encoder as it is."""
    tokens: np.ndarray
    """Token id of each row of the embedding."""
    text_head: str = ""
    """Of a trial on text: "pretrained" or "fresh"."""


def make_model(
    inputs: Inputs,
    spec: TrialSpec,
    parts: Sequence[TaskPart | TextPart],
    *,
    compacted: bool,
    kept: bool,
) -> Start:
    """Return the model at its start; `kept`: with the head of the trial that it goes on from."""
    encoder = load_encoder(inputs.encoder, revision=inputs.revision, dropout=spec.dropout)
    before = None if inputs.start is None else read_weights(inputs.start)
    if before is not None:
        apply_weights(encoder, before)
    vocabulary = encoder.config.vocab_size
    tokens = np.arange(vocabulary)
    heads = [
        _head(
            encoder,
            part.form,
            vocabulary if isinstance(part, TextPart) else len(part.labels),
            seed=spec.seed,
            number=number,
        )
        for number, part in enumerate(parts)
    ]
    text_head = ""
    if isinstance(parts[-1], TextPart):
        pretrained = load_text_head(heads[-1], inputs.encoder, revision=inputs.revision)
        text_head = "pretrained" if pretrained else "fresh"
    if kept and before is not None:
        heads[0].load_state_dict(head_weights(before))
    if compacted and (encoder.config.pad_token_id or 0) < 8:
        columns = [
            ids.values for part in parts if isinstance(part, TaskPart) for ids in part.input_ids
        ]
        tokens = used_tokens(columns, vocabulary=vocabulary)
        compact(encoder, tokens)
    model = TransferModel(encoder, heads, bf16=spec.precision == "bf16")
    return Start(model=model, before=before, tokens=tokens, text_head=text_head)


def evaluate_step(step: Step, bench: Workbench, folder: Path) -> dict[str, Any]:
    """Score the model that an evaluate step names in every language."""
    from xtransfer.evaluate import evaluate
    from xtransfer.execute import encoder_place

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
    model: Any = encoder
    if task.form != "bitext":
        head = _head(encoder, spec["form"], len(spec["labels"]))
        head.load_state_dict(head_weights(weights))
        model = TransferModel(encoder, [head], bf16=bf16)
    device = _device(bench.placement.evaluate.gpus)
    context = Context(device=device, pad_id=encoder.config.pad_token_id or 0)
    sets = {
        role: bench.files(bench.record(step.inputs[role]))
        for role in ("test", "dev", "pool")
        if role in step.inputs
    }
    result = evaluate(
        spec,
        task,
        model=model.to(device),
        context=context,
        data=lambda language: read_data_set(sets["test"], language),
        dev=(lambda language: read_data_set(sets["dev"], language)) if "dev" in sets else None,
        pool=read_data_set(sets["pool"], "all") if "pool" in sets else None,
        folder=folder,
        report=lambda language, share: bench.tell(
            {"stage": language, "step": round(100 * share), "total": 100}
        ),
        null_threshold=None if trained is None else threshold_of(trained, bench),
    )
    return {**result, "model": None if trained is None else trained.key}


def threshold_of(trained: Record, bench: Workbench) -> float | None:
    """Return the odds over which a model answers nothing, as a dev set chose them for its head.

    A few-shot stage scores no dev set, but goes on with the head of its start, and so with its odds.
    """
    found = trained.result.get("null_threshold")
    if found is not None or trained.spec["head"] != "kept":
        return found
    return threshold_of(bench.trained(trained.inputs["start"]), bench)


def ensure_process_group() -> None:
    """Make a process group of one, for DeepSpeed in a trial without other workers."""
    if torch.distributed.is_available() and not torch.distributed.is_initialized():
        backend = "nccl" if torch.cuda.is_available() else "gloo"
        torch.distributed.init_process_group(
            backend,
            store=torch.distributed.HashStore(),  # pyright: ignore[reportPrivateImportUsage]
            rank=0,
            world_size=1,
        )


def renumbered(data: DataSet, tokens: np.ndarray, vocabulary: int) -> DataSet:
    """Return a data set whose token ids are the rows of a compact embedding."""
    ids = data.rows["input_ids"]
    values = renumber(ids.values, tokens, vocabulary=vocabulary)  # type: ignore[union-attr]
    rows = {**data.rows, "input_ids": type(ids)(values, ids.offsets)}  # type: ignore[union-attr, call-arg]
    return DataSet(rows=rows, examples=data.examples)


def _text_part(text: Mapping[str, Any], spec: TrialSpec, inputs: Inputs) -> TextPart:
    from xtransfer.execute import load_tokenizer

    tokenizer = load_tokenizer(inputs.encoder, inputs.revision)
    if tokenizer.mask_token_id is None:
        raise StepError(inputs.encoder, "has no mask token, which training on text needs")
    data = {
        split: {x: read_data_set(inputs.data[f"{split} text"], x) for x in text["languages"]}
        for split in ("train", "dev")
    }
    return TextPart(
        train=data["train"],
        dev=data["dev"],
        exponent=text["exponent"],
        mask=text["mask"],
        weight=text["weight"],
        mask_token=tokenizer.mask_token_id,
        special=tuple(sorted(tokenizer.all_special_ids)),
        vocabulary=len(tokenizer),
        batch_size=spec.batch_size,
        seed=spec.seed,
    )


def _head(encoder: Any, form: str, labels: int, *, seed: int = 0, number: int = 0) -> Any:
    size = 1 if form == "choice" else labels
    dropout = getattr(encoder.config, "hidden_dropout_prob", 0.1)
    return build_head(
        form, encoder.config.hidden_size, size, dropout=dropout, seed=seed, number=number
    )


def _parts_json(
    parts: Sequence[TaskPart | TextPart], mixture: Mixture, outcome: Outcome
) -> list[dict[str, Any]]:
    """Return for the record what each part was, and how often it was drawn."""
    found: list[dict[str, Any]] = []
    for part, share, draws in zip(parts, mixture.shares, outcome.draws, strict=True):
        about = {"name": part.name, "rows": part.rows, "share": share, "draws": draws}
        if isinstance(part, TextPart):
            about["languages"] = part.shares
        else:
            about["examples"] = part.examples
        found.append(about)
    return found


def _score(task: Task, language: str, data: DataSet, predictions: list[Any]) -> dict[str, float]:
    gold = [example["gold"] for example in scored_examples(task.form, data.examples)]
    return dict(score(task, gold, predictions, language=language))


def _resume(key: str, bench: Workbench) -> Checkpoint | None:
    found = load_checkpoint(bench.store, key)
    return None if found is None else Checkpoint(state=found[0], tensors=found[1])


def _facts(progress: Progress) -> dict[str, Any]:
    return {name: getattr(progress, name) for name in Progress.__dataclass_fields__}


def _device(gpus: float) -> str:
    return "cuda" if gpus > 0 and torch.cuda.is_available() else "cpu"


def _write_outcome(
    folder: Path,
    spec: TrialSpec,
    outcome: Outcome,
    *,
    start: Start,
    words: str,
    parts: list[dict[str, Any]],
    timing: dict[str, float],
) -> None:
    import json

    rates = [
        learning_rate(at, peak=spec.learning_rate, total=outcome.total_steps, warmup=spec.warmup)
        for at in range(outcome.best_step)
    ]
    weights = export_weights(
        outcome.weights,
        words=words,
        tokens=start.tokens,
        decay=decay_product(rates, spec.weight_decay),
        before=start.before,
    )
    save_file(weights, folder / WEIGHTS)
    result = {
        "score": outcome.best_score,
        "best_step": outcome.best_step,
        "steps": outcome.steps,
        "total_steps": outcome.total_steps,
        "stopped_early": outcome.stopped_early,
        "history": outcome.history,
        "parts": parts,
        "trained_tokens": len(start.tokens),
        **_null_threshold(outcome),
    }
    if start.text_head:
        result["text_head"] = start.text_head
    (folder / OUTCOME).write_text(
        json.dumps(
            {"result": result, "timing": {**timing, "examples_per_s": outcome.examples_per_s}}
        )
    )


def _null_threshold(outcome: Outcome) -> dict[str, float]:
    """Return the odds over which the best weights answer nothing, where the dev score chose some.

    Of a dev set in several languages it is the mean of theirs.
    """
    name = "dev null_threshold"
    for entry in outcome.history:
        if entry["step"] == outcome.best_step and name in entry:
            return {"null_threshold": entry[name]}
    return {}


def _read_outcome(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    import json

    path = folder / OUTCOME
    outcome = json.loads(path.read_text())
    path.unlink()
    return outcome["result"], outcome["timing"]

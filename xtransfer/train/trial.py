"""The train and evaluate steps: from records to tensors and back, for one process or many."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from xtransfer.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.metrics import score
from xtransfer.plan import Step
from xtransfer.prepared import read_data_set
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task
from xtransfer.train.batching import decay_product, learning_rate
from xtransfer.train.loop import (
    Checkpoint,
    Context,
    DataSet,
    Outcome,
    Progress,
    TrialSpec,
    build_head,
    train,
)
from xtransfer.train.model import (
    TransferModel,
    apply_weights,
    compact,
    export_weights,
    load_encoder,
    read_weights,
    renumber,
    used_tokens,
    words_name,
)

if TYPE_CHECKING:
    from xtransfer.execute import Workbench

WEIGHTS = "weights.safetensors"
OUTCOME = "outcome.json"
"""Result and timing of a trial, until they are in its record."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that a trial reads, as local files: what a worker on any node can be told."""

    spec: Mapping[str, Any]
    encoder: str
    revision: str | None
    start: Path | None
    """Exported weights of the parent trial; None: the base encoder as it is."""
    train: Path
    dev: Path
    language: str


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
    train_set = read_data_set(inputs.train, inputs.language)
    dev_set = read_data_set(inputs.dev, inputs.language)
    model, before, tokens = make_model(
        inputs, spec, (train_set, dev_set), placement.compact_vocabulary
    )
    vocabulary = model.encoder.config.vocab_size
    train_set, dev_set = (_renumbered(each, tokens, vocabulary) for each in (train_set, dev_set))
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
            bench.store, step.key, state=checkpoint.state, tensors=checkpoint.tensors
        ),
        save_every_s=placement.resume_every_s,
        resume=_resume(step.key, bench),
    )
    if placement.engine == "deepspeed":
        ensure_process_group()
    task = TASKS[step.spec["task"]]
    ready = time.time()
    outcome = train(
        spec,
        context,
        model=model,
        train_set=train_set,
        dev_set=dev_set,
        score=lambda data, predictions: _score(task, data, predictions),
    )
    if rank == 0:
        _write_outcome(
            folder,
            spec,
            outcome,
            tokens=tokens,
            words=words,
            before=before,
            rows=len(train_set.lengths),
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
    return Inputs(
        spec=step.spec,
        encoder=name,
        revision=revision,
        start=start,
        train=bench.files(bench.record(step.inputs["train"])),
        dev=bench.files(bench.record(step.inputs["dev"])),
        language=TASKS[step.spec["task"]].train_language,
    )


def trial_spec(spec: Mapping[str, Any]) -> TrialSpec:
    """Return the trial specification that a train step's `spec` holds."""
    names = TrialSpec.__dataclass_fields__
    values = {name: value for name, value in spec.items() if name in names}
    return TrialSpec(
        **{
            **values,
            "labels": tuple(spec["labels"]),
            "adam_betas": tuple(spec["adam_betas"]),
        }
    )


def make_model(
    inputs: Inputs, spec: TrialSpec, data: tuple[DataSet, ...], compacted: bool
) -> tuple[TransferModel, dict[str, Tensor] | None, np.ndarray]:
    """Return the model at its start, the weights it started from, and its embedding's token ids."""
    encoder = load_encoder(inputs.encoder, revision=inputs.revision, dropout=spec.dropout)
    before = None if inputs.start is None else read_weights(inputs.start)
    if before is not None:
        apply_weights(encoder, before)
    vocabulary = encoder.config.vocab_size
    tokens = np.arange(vocabulary)
    if compacted and (encoder.config.pad_token_id or 0) < 8:
        columns = [each.rows["input_ids"].values for each in data]  # type: ignore[union-attr]
        tokens = used_tokens(columns, vocabulary=vocabulary)
        compact(encoder, tokens)
    model = TransferModel(
        encoder, _head(encoder, spec.form, spec.labels, spec), bf16=spec.precision == "bf16"
    )
    return model, before, tokens


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
    task = TASKS[spec["task"]]
    model: Any = encoder
    if task.form != "bitext":
        head = _head(encoder, spec["form"], tuple(spec["labels"]), None)
        head.load_state_dict(
            {n.removeprefix("head."): v for n, v in weights.items() if n.startswith("head.")}
        )
        model = TransferModel(encoder, head, bf16=bf16)
    device = _device(bench.placement.evaluate.gpus)
    context = Context(device=device, pad_id=encoder.config.pad_token_id or 0)
    test = bench.files(bench.record(step.inputs["test"]))
    result = evaluate(
        spec,
        task,
        model=model.to(device),
        context=context,
        data=lambda language: read_data_set(test, language),
        folder=folder,
        report=lambda language, share: bench.tell(
            {"stage": language, "step": round(100 * share), "total": 100}
        ),
    )
    return {**result, "model": None if trained is None else trained.key}


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


def _head(encoder: Any, form: str, labels: tuple[str, ...], spec: TrialSpec | None) -> Any:
    size = 1 if form == "choice" else len(labels)
    dropout = getattr(encoder.config, "hidden_dropout_prob", 0.1)
    seed = 0 if spec is None else spec.seed
    return build_head(form, encoder.config.hidden_size, size, dropout=dropout, seed=seed)


def _renumbered(data: DataSet, tokens: np.ndarray, vocabulary: int) -> DataSet:
    ids = data.rows["input_ids"]
    values = renumber(ids.values, tokens, vocabulary=vocabulary)  # type: ignore[union-attr]
    rows = {**data.rows, "input_ids": type(ids)(values, ids.offsets)}  # type: ignore[union-attr, call-arg]
    return DataSet(rows=rows, examples=data.examples)


def _score(task: Task, data: DataSet, predictions: list[Any]) -> dict[str, float]:
    gold = [example["gold"] for example in data.examples]
    return dict(score(task, gold, predictions, language=task.train_language))


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
    tokens: np.ndarray,
    words: str,
    before: dict[str, Tensor] | None,
    rows: int,
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
        tokens=tokens,
        decay=decay_product(rates, spec.weight_decay),
        before=before,
    )
    save_file(weights, folder / WEIGHTS)
    result = {
        "score": outcome.best_score,
        "best_step": outcome.best_step,
        "steps": outcome.steps,
        "total_steps": outcome.total_steps,
        "stopped_early": outcome.stopped_early,
        "history": outcome.history,
        "rows": rows,
        "trained_tokens": len(tokens),
    }
    (folder / OUTCOME).write_text(
        json.dumps(
            {"result": result, "timing": {**timing, "examples_per_s": outcome.examples_per_s}}
        )
    )


def _read_outcome(folder: Path) -> tuple[dict[str, Any], dict[str, float]]:
    import json

    path = folder / OUTCOME
    outcome = json.loads(path.read_text())
    path.unlink()
    return outcome["result"], outcome["timing"]

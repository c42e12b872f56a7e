"""What the processes of a test run, in a module that they can import."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_model, tiny_pairs, tiny_part
from xtransfer.errors import StepError, StepLeft, StoreError
from xtransfer.forms import scored_examples
from xtransfer.forms.encoding import Encoded
from xtransfer.metrics.retrieval import mrr20
from xtransfer.train.context import Checkpoint, Context, Progress
from xtransfer.train.course import Outcome
from xtransfer.train.loop import train
from xtransfer.train.mixture import Sampling, mix
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import TaskPart, TextPart
from xtransfer.train.prediction import DataSet
from xtransfer.train.randomness import build_head
from xtransfer.train.specification import TrialSpec

SPEC = TrialSpec(
    seed=1,
    learning_rate=5e-3,
    epochs=2,
    batch_size=6,
    # Adam divides by the size of the gradient: with less, noise in tiny gradients becomes steps.
    adam_epsilon=1e-4,
    eval_every=4,
)


def train_tiny(
    spec: TrialSpec, context: Context, *, dropout: float = 0.0, **options: Any
) -> Outcome:
    """Train the tiny model on tiny data: 27 rows, so the last batch is smaller than the others."""
    train_set = tiny_pairs(27, tokens=tuple(range(10, 40)))
    dev_set = tiny_pairs(20, tokens=tuple(range(10, 40)), seed=1)
    part = tiny_part(train_set, dev_set, spec, score=options.get("score"))
    model = options.get("model") or tiny_model(tiny_encoder(dropout=dropout), dropout=dropout)
    return train_mixed(spec, context, model, [part])


def train_mixed(
    spec: TrialSpec, context: Context, model: TransferModel, parts: list[Any]
) -> Outcome:
    """Train on tasks, drawn in proportion, and on text, if there is any, in a third of the steps."""
    text = [part for part in parts if isinstance(part, TextPart)]
    mixture = mix(
        [(part.examples, part.rows) for part in parts if part not in text],
        Sampling(),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        text_rows=sum(part.rows for part in text),
        text_probability=1 / 3,
    )
    return train(spec, context, model=model, parts=parts, mixture=mixture)


def retrieval_pairs(count: int, *, seed: int = 0) -> DataSet:
    """Return pairs of a query and a candidate that share a rare token among common ones."""
    random = np.random.default_rng(seed)
    lengths, ids = [], []
    for at in range(count):
        parts = [
            [0, 10 + at % 20, *random.integers(30, 60, random.integers(1, 4)).tolist(), 2]
            for _ in (0, 1)
        ]
        lengths.append([len(part) for part in parts])
        ids.append([*parts[0], *parts[1]])
    columns = {
        "input_ids": ids,
        "lengths": lengths,
        "example": list(range(count)),
        "weight": [1] * count,
    }
    examples = [
        {"id": f"q{at}", "asks": True, "candidate": f"s{at}", "match": [f"q{at}"]}
        for at in range(count)
    ]
    return DataSet(rows=rows_of(Encoded(columns=columns)), examples=examples)


def mean_reciprocal_rank(_: str, data: DataSet, predictions: list[Any]) -> dict[str, float]:
    """Return the score of rankings."""
    gold = [example["gold"] for example in scored_examples("retrieval", data.examples)]
    return mrr20(gold, predictions)


RETRIEVAL = replace(SPEC, batch_size=8, epochs=5, learning_rate=2e-3, eval_every=None)


def train_retrieval(spec: TrialSpec, context: Context, *, dropout: float = 0.0) -> Outcome:
    """Train a tiny bi-encoder on 20 pairs: 3 batches an epoch, the last of 4."""
    part = TaskPart(
        name="pairs",
        form="retrieval",
        metric="mrr20",
        labels=(),
        train=retrieval_pairs(20),
        dev={"en": retrieval_pairs(20, seed=1)},
        score=mean_reciprocal_rank,
        batch_size=spec.batch_size,
        seed=spec.seed,
    )
    head = build_head("retrieval", 16, 0, dropout=dropout, seed=1)
    model = TransferModel(tiny_encoder(dropout=dropout), [head], bf16=False)
    return train_mixed(spec, context, model, [part])


def run_two(
    folder: Path,
    zero_stage: int,
    work: Callable[[Context], Outcome | None],
    engine: str = "deepspeed",
) -> None:
    """Run `work` as two workers, and wait for both; see `as_one_of_two`.

    They are forked by a server that has loaded what all of them need, which takes longer than their work. On a
    GPU each loads DeepSpeed itself: it looks for devices, and no process does that for those forked from it.
    """
    loaded = [__name__, *([] if torch.cuda.is_available() else ["deepspeed"])]
    multiprocessing.set_forkserver_preload(loaded)
    torch.multiprocessing.start_processes(
        as_one_of_two,
        args=(str(folder), zero_stage, work, engine),
        nprocs=2,
        start_method="forkserver",
    )


def as_one_of_two(
    rank: int,
    folder: str,
    zero_stage: int,
    work: Callable[[Context], Outcome | None],
    engine: str = "deepspeed",
) -> None:
    """Be one of two gloo workers; rank 0 saves the outcome of `work`."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/rendezvous", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    context = Context(
        rank=rank,
        world_size=2,
        engine=engine,
        zero_stage=zero_stage,
        micro_batch=2,
        pad_id=1,
    )
    outcome = work(context)
    if rank == 0 and outcome is not None:
        found = {name: getattr(outcome, name) for name in ("weights", "history", "skipped_steps")}
        torch.save(found, Path(folder) / "out")
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    # Now and then a thread of gloo is still there when the interpreter ends, which aborts the process.
    os._exit(0)


def train_alone(context: Context) -> Outcome:
    """Train the tiny model as `SPEC` says."""
    return train_tiny(SPEC, context)


def train_retrieval_alone(context: Context) -> Outcome:
    """Train the bi-encoder with dropout, whose draws must not depend on the workers."""
    return train_retrieval(RETRIEVAL, context, dropout=0.1)


ELASTIC = replace(SPEC, epochs=6)
"""30 steps: three times ten, after which workers agree on whether to leave."""


def train_and_leave(folder: str, leave_at: int | None, context: Context) -> Outcome | None:
    """Go on from the checkpoint in `folder`, if there is one, with dropout; leave after some step."""
    path = Path(folder) / "checkpoint"
    resume = Checkpoint(**torch.load(path, weights_only=True)) if path.exists() else None
    at = resume.state["step"] if resume else 0
    told: list[Progress] = []
    context = replace(
        context,
        shards=2,
        micro_batch=None,
        resume=lambda: resume,
        report=told.append,
        # The second worker alone is told: the first follows it.
        leaving=lambda: "told" if context.rank and at + len(told) >= (leave_at or 99) else "",
        save=lambda each: torch.save({"state": each.state, "tensors": each.tensors}, path),
    )
    if context.world_size == 1:
        context = replace(
            context, leaving=lambda: "told" if told and told[-1].step == leave_at else ""
        )
    # Three labels: the head has a bias that two workers cannot halve.
    model = tiny_model(tiny_encoder(dropout=0.2), labels=3, dropout=0.2)
    try:
        return train_tiny(ELASTIC, context, model=model)
    except StepLeft:
        return None


def train_on_altered(folder: str, kept: str, context: Context) -> None:
    """Have the files that the second worker learns from be altered; note what each says, and rank 0's checkpoints.

    Args:
        folder: where the notes go.
        kept: what would keep what is learnt: "checkpoint", "ruling", "leaving" or "outcome".
        context: one of two workers.
    """
    told: list[Progress] = []
    noted = Path(folder) / f"kept-{context.rank}"

    def check_files() -> None:
        if context.rank == 1 and len(told) >= 5:
            raise StoreError("rows.arrow", "was altered")

    def rule(rung: int, _: float) -> bool:
        noted.write_text(f"ruled at {rung}")
        return True

    context = replace(
        context,
        report=told.append,
        check_files=check_files,
        save=lambda each: noted.write_text(f"saved {each.state['step']}"),
        save_every_s=0.0 if kept == "checkpoint" else 1e9,
        leaving=lambda: "told" if kept == "leaving" and len(told) >= 5 else "",
        rungs=(50,) if kept == "ruling" else (),
        goes_on=rule,
    )
    try:
        train_tiny(ELASTIC, context)
    except (StoreError, StepLeft) as error:
        (Path(folder) / f"said-{context.rank}").write_text(str(error))


def train_apart(folder: str, context: Context) -> None:
    """Have the second worker go on from an older checkpoint; note what each says of it."""
    kept: list[Checkpoint] = []
    train_tiny(SPEC, Context(pad_id=1, save=kept.append, save_every_s=0.0))
    own = kept[6 - 2 * context.rank]

    def stop(progress: Progress) -> None:
        raise RuntimeError(f"took step {progress.step}")

    try:
        train_tiny(SPEC, replace(context, resume=lambda: own, report=stop))
    except (StepError, RuntimeError) as error:
        (Path(folder) / f"said-{context.rank}").write_text(str(error))

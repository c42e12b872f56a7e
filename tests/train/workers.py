"""What the processes of a test run, in a module that they can import."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.tiny import tiny_encoder, tiny_model, tiny_pairs, tiny_part
from xtransfer.train.context import Context
from xtransfer.train.loop import Outcome, TrialSpec, train
from xtransfer.train.mixture import Sampling, mix
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import TextPart

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


def as_one_of_two(
    rank: int, folder: str, zero_stage: int, work: Callable[[Context], Outcome]
) -> None:
    """Be one of two gloo workers under DeepSpeed; rank 0 saves the outcome of `work`."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/rendezvous", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    context = Context(
        rank=rank,
        world_size=2,
        engine="deepspeed",
        zero_stage=zero_stage,
        micro_batch=2,
        pad_id=1,
    )
    outcome = work(context)
    if rank == 0:
        torch.save({"weights": outcome.weights, "history": outcome.history}, Path(folder) / "out")
    torch.distributed.destroy_process_group()


def train_alone(context: Context) -> Outcome:
    """Train the tiny model as `SPEC` says."""
    return train_tiny(SPEC, context)

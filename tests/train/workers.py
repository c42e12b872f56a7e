"""What the processes of a test run, in a module that they can import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny import tiny_encoder, tiny_model, tiny_pairs, tiny_part
from xtransfer.train.context import Context
from xtransfer.train.loop import Outcome, TrialSpec, train
from xtransfer.train.mixture import Sampling, mix
from xtransfer.train.model import TransferModel

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
    return train_parts(spec, context, model, [part])


def train_parts(
    spec: TrialSpec, context: Context, model: TransferModel, parts: list[Any]
) -> Outcome:
    """Train on parts, all of them tasks, drawn in proportion."""
    mixture = mix(
        [(part.examples, part.rows) for part in parts],
        Sampling(),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
    )
    return train(spec, context, model=model, parts=parts, mixture=mixture)


def train_as_one_of_two(rank: int, folder: str) -> None:
    """Be one of two gloo workers under ZeRO 2; rank 0 saves its outcome."""
    torch.set_num_threads(1)
    store = torch.distributed.FileStore(f"{folder}/rendezvous", 2)
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=2)
    context = Context(
        rank=rank,
        world_size=2,
        engine="deepspeed",
        zero_stage=2,
        micro_batch=2,
        pad_id=1,
    )
    outcome = train_tiny(SPEC, context)
    if rank == 0:
        torch.save({"weights": outcome.weights, "history": outcome.history}, Path(folder) / "out")
    torch.distributed.destroy_process_group()

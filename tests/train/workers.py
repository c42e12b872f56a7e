"""What the processes of a test run, in a module that they can import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.tiny import accuracy, tiny_encoder, tiny_model, tiny_pairs
from xtransfer.train.loop import Context, Outcome, TrialSpec, train

SPEC = TrialSpec(
    form="classification",
    labels=("0", "1"),
    metric="accuracy",
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
    settings: dict[str, Any] = {
        "model": tiny_model(tiny_encoder(dropout=dropout), dropout=dropout),
        "train_set": tiny_pairs(27, tokens=tuple(range(10, 40))),
        "dev_set": tiny_pairs(20, tokens=tuple(range(10, 40)), seed=1),
        "score": accuracy,
    }
    return train(spec, context, **{**settings, **options})


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

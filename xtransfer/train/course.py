"""The course of a trial: where it stands while it runs, and what it has come to when it is done."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from xtransfer.train.snapshots import Snapshots


@dataclass(kw_only=True)
class State:
    """All that a trial must know to go on as if it had never stopped, besides tensors."""

    step: int = 0
    best_step: int = -1
    best_score: float = float("-inf")
    evaluations_since_best: int = 0
    stopped_early: bool = False
    history: list[dict[str, float]] = field(default_factory=list)
    """One entry a dev evaluation: step, mean training loss since the last one, dev metrics."""
    loss_sum: float = 0.0
    loss_steps: int = 0
    workers: list[list[int]] = field(default_factory=list)
    """[step, workers from there on], whenever it began or went on with another number of them."""
    skipped_steps: list[int] = field(default_factory=list)
    """Steps, counted from 0, that left weights and moments as they were."""
    snapshots: list[list[float]] = field(default_factory=list)
    """[step, dev score] of the evaluations whose weights are kept beside the best."""
    rung: int = 0
    """The last rung at which it was ruled whether the trial goes on, percent."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished trial: the weights to keep and how it got there."""

    weights: dict[str, Tensor]
    best_step: int
    best_score: float | None
    """None where the last weights were kept and nothing was scored."""
    steps: int
    total_steps: int
    stopped_early: bool
    history: list[dict[str, float]]
    draws: list[int]
    """Steps that drew from each part."""
    workers: list[list[int]]
    """[step, workers from there on]."""
    timing: dict[str, float]
    """Of this process, which may have gone on from a checkpoint: rows trained on (`examples`) and how many
    a second (`examples_per_s`); rows predicted for dev evaluations, and the seconds of that."""
    skipped_steps: list[int] = field(default_factory=list)
    """Optimizer steps, counted from 0, that were left out."""
    snapshots: Snapshots = field(default_factory=lambda: Snapshots(None))
    """Further weights that were asked for."""
    stopped_at: int | None = None
    """The rung at which the trial was stopped, percent; None where it was not."""

"""The course of a trial: where it stands while it runs, and what it has come to when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from xtransfer.train.context import Checkpoint
from xtransfer.train.snapshots import Snapshots

_BEST = "best/"


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

    @property
    def steps_taken(self) -> int:
        """Optimizer steps that changed weights and moments."""
        return self.step - len(self.skipped_steps)


class Course:
    """Where a trial stands, with the weights of the past that it keeps: its best, and snapshots.

    Args:
        snapshots: as in the trial's specification.
    """

    def __init__(self, snapshots: Mapping[str, Any] | None) -> None:
        self.state = State()
        self.best: dict[str, Tensor] = {}
        self.snapshots = Snapshots(snapshots)

    def note(self, score: float, weights: Callable[[], dict[str, Tensor]]) -> bool:
        """Take note of a dev evaluation at the present step; say whether it is the best so far.

        Args:
            score: of it; the higher, the better.
            weights: copies the present ones; asked only where they are kept.
        """
        state = self.state
        better, wanted = score > state.best_score, self.snapshots.wants(score)
        copy = weights() if better or wanted else {}
        if wanted:
            self.snapshots.add(state.step, score, copy)
            state.snapshots = [[at, score] for at, score in self.snapshots.scores.items()]
        if better:
            state.best_score, state.best_step = score, state.step
            state.evaluations_since_best = 0
            self.best = copy
        else:
            state.evaluations_since_best += 1
        return better

    def checkpoint(self, tensors: Mapping[str, Tensor]) -> Checkpoint:
        """Return a resumable checkpoint of this and of the present weights and moments, as named there."""
        best = {f"{_BEST}{name}": value for name, value in self.best.items()}
        if self.state.best_step in self.snapshots.weights:
            best = {}  # no file has a tensor twice
        return Checkpoint(
            state=asdict(self.state), tensors={**tensors, **best, **self.snapshots.tensors()}
        )

    def take_up(self, checkpoint: Checkpoint) -> None:
        """Go on from what `checkpoint` returned; tensors are copied."""
        self.state = State(**checkpoint.state)
        self.snapshots.restore(self.state.snapshots, checkpoint.tensors)
        self.best = {
            name.removeprefix(_BEST): tensor.clone()
            for name, tensor in checkpoint.tensors.items()
            if name.startswith(_BEST)
        } or self.snapshots.weights.get(self.state.best_step, {})


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

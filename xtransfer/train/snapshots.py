"""Checkpoints of a trial that are kept to be averaged: the last or the best of its dev evaluations."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

_PREFIX = "snapshot/"


def snapshot_file(step: int) -> str:
    """Return the name of the file that a recorded trial has the weights after `step` steps in."""
    return f"weights-{step:09d}.safetensors"


def is_snapshot(name: str) -> bool:
    """Tell whether a file of a trial's record is one of its snapshots."""
    return re.fullmatch(r"weights-\d{9}\.safetensors", name) is not None


class Snapshots:
    """The `count` last or best dev evaluations of a trial, with their weights.

    Args:
        asked: `count` and `which` ("last" or "best") of the trial's specification; None: keeps nothing.
    """

    def __init__(self, asked: Mapping[str, Any] | None) -> None:
        self._count: int = asked["count"] if asked else 0
        self._best = bool(asked) and asked["which"] == "best"
        self.scores: dict[int, float] = {}
        """Step -> dev score, in order of steps."""
        self.weights: dict[int, dict[str, Tensor]] = {}

    def wants(self, score: float) -> bool:
        """Tell whether a next evaluation with this score is to be kept."""
        if not self._count:
            return False
        return not self._best or len(self.scores) < self._count or score > min(self.scores.values())

    def add(self, step: int, score: float, weights: dict[str, Tensor]) -> None:
        """Keep an evaluation, and drop the one that gives way: the first, or of the worst the last."""
        self.scores[step], self.weights[step] = score, weights
        if len(self.scores) > self._count:
            worst = min(self.scores, key=lambda at: (self.scores[at], -at))
            gone = worst if self._best else min(self.scores)
            del self.scores[gone], self.weights[gone]

    def tensors(self) -> dict[str, Tensor]:
        """Return all weights, to be part of a resumable checkpoint."""
        return {
            f"{_PREFIX}{step}/{name}": value
            for step, weights in self.weights.items()
            for name, value in weights.items()
        }

    def restore(self, scores: list[list[float]], tensors: Mapping[str, Tensor]) -> None:
        """Take up copies of what a resumable checkpoint holds: [step, score] pairs and tensors."""
        self.scores = {int(step): score for step, score in scores}
        self.weights = {step: {} for step in self.scores}
        for name, value in tensors.items():
            if name.startswith(_PREFIX):
                step, _, rest = name.removeprefix(_PREFIX).partition("/")
                self.weights[int(step)][rest] = value.clone()

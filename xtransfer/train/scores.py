"""The dev scores of a trial's parts: what selects it, and under which names they are noted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from xtransfer.train.parts import Part, TaskPart


def main_score(parts: Sequence[Part], scores: Mapping[int, Mapping[str, float]]) -> float:
    """Return what selects a trial: the mean of the tasks' main metrics, minus the loss without tasks."""
    tasks = [
        scores[number][part.metric]
        for number, part in enumerate(parts)
        if isinstance(part, TaskPart)
    ]
    return fmean(tasks) if tasks else -scores[0]["loss"]


def named_scores(
    parts: Sequence[Part], scores: Mapping[int, Mapping[str, float]]
) -> dict[str, float]:
    """Return the scores of all parts under names of their own: `dev accuracy`, `dev mnli accuracy`."""
    return {
        f"dev {name}" if len(parts) == 1 else f"dev {parts[number].name} {name}": value
        for number, found in scores.items()
        for name, value in found.items()
    }

"""Which part of a multi-task trial each optimizer step draws from: a pure function of shares and seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

_MIXTURE = 77
"""Keeps the draws of the mixture apart from those of shuffling, which start from the same seed."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How often each task of a trial is drawn."""

    kind: Literal["proportional", "temperature", "uniform"] = "proportional"
    cap: int | None = 2**17
    """K: a task counts as having at most so many examples."""
    temperature: float = 1.0
    """`temperature`: shares are raised to the power 1 / temperature."""


def task_shares(examples: Sequence[int], sampling: Sampling) -> list[float]:
    """Return the probability of each task, given how many training examples it has.

    proportional: min(e, K) / sum of min(e, K) (Raffel et al. 2020, section 3.5.2). temperature: that to
    the power 1/T, normalised again. uniform: the same for all.
    """
    capped = np.array([capped_size(each, sampling) for each in examples], dtype=np.float64)
    if sampling.kind == "uniform":
        capped = np.ones_like(capped)
    if sampling.kind == "temperature":
        shares = capped / capped.sum()
        capped = shares ** (1.0 / sampling.temperature)
        if not capped.sum():  # so near 0 is the temperature that all are rounded to 0
            capped = (shares / shares.max()) ** (1.0 / sampling.temperature)
    return (capped / capped.sum()).tolist()


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How many optimizer steps a trial takes, and the probability that one draws from each part."""

    steps: int
    shares: tuple[float, ...]


def mix(
    tasks: Sequence[tuple[int, int]],
    sampling: Sampling,
    *,
    epochs: int,
    batch_size: int,
    text_rows: int = 0,
    text_probability: float = 0.0,
) -> Mixture:
    """Return the mixture of a trial's tasks and, as its last part, unlabelled text.

    An epoch is as many steps as all rows of all tasks take, of a task over the cap only its share; a
    single task's epoch is so each of its rows once. Steps on text come on top: tasks keep the number
    that they would have without. Text alone is gone through by the number of its rows.

    Args:
        tasks: (examples, rows) of each task; shares follow examples, steps follow rows.
        sampling: how tasks share the steps.
        epochs: of the tasks, or of the text without tasks.
        batch_size: rows of a step.
        text_rows: rows of text, 0 for none.
        text_probability: share of all steps that draw from text.
    """
    if not tasks:
        return Mixture(steps=epochs * -(-text_rows // batch_size), shares=(1.0,))
    rows = sum(
        count * capped_size(examples, sampling) / examples if len(tasks) > 1 else count
        for examples, count in tasks
    )
    steps = epochs * math.ceil(rows / batch_size)
    shares = task_shares([examples for examples, _ in tasks], sampling)
    if not text_rows:
        return Mixture(steps=steps, shares=tuple(shares))
    scaled = [share * (1.0 - text_probability) for share in shares]
    return Mixture(
        steps=round(steps / (1.0 - text_probability)), shares=(*scaled, text_probability)
    )


def capped_size(examples: int, sampling: Sampling) -> int:
    """Return min(e, K)."""
    return examples if sampling.cap is None else min(examples, sampling.cap)


def language_shares(rows: Mapping[str, int], exponent: float) -> dict[str, float]:
    """Return the probability of each language, proportional to its rows to the power `exponent`.

    1 is as the text has them, 0 the same for all; XLM-R has 0.3 (Conneau et al. 2020, section 3.1).
    """
    sizes = np.array(list(rows.values()), dtype=np.float64) ** exponent
    return dict(zip(rows, (sizes / sizes.sum()).tolist(), strict=True))


def schedule(shares: Sequence[float], steps: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Return the part that each of `steps` optimizer steps draws from, [steps]."""
    random = np.random.default_rng([seed, _MIXTURE])
    return random.choice(len(shares), size=steps, p=np.asarray(shares)).astype(np.int64)


def undrawn(mixture: Mixture, *, seed: int) -> list[int]:
    """Return the parts that no optimizer step draws from, as happens where sizes differ by orders of magnitude."""
    drawn = set(schedule(mixture.shares, mixture.steps, seed=seed).tolist())
    return [part for part in range(len(mixture.shares)) if part not in drawn]


def draw_numbers(order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return for each step how many earlier steps drew from the same part, [steps]."""
    numbers = np.zeros(len(order), dtype=np.int64)
    for part in np.unique(order):
        at = np.flatnonzero(order == part)
        numbers[at] = np.arange(len(at))
    return numbers

"""The steps of a plan that average weights: of a trial's checkpoints, and of the models of all seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xtransfer.config.averaging import Average
from xtransfer.plan import Step


@dataclass(frozen=True, kw_only=True)
class Averaged:
    """An average that is to be scored."""

    step: Step
    seed: int | None
    """Of the trial whose checkpoints they are; None: over seeds."""
    label: str
    """Stands behind the arm's name in the table."""


def averages_of(average: Average, models: Mapping[int, str], name: str) -> Iterator[Averaged]:
    """Yield the averages of one target after one arm, parents first.

    Args:
        average: what is asked for.
        models: seed -> key of the select step whose trial goes on.
        name: of the trials, readable.
    """
    runs = dict(models)
    label = ""
    if average.checkpoints is not None:
        label = f"mean of {average.which} {average.checkpoints}"
        spec = {"of": "checkpoints", "count": average.checkpoints, "which": average.which}
        for seed, model in models.items():
            short = f"{name}-{average.which}{average.checkpoints}-seed{seed}"
            step = _step(short, spec, [model])
            runs[seed] = step.key
            yield Averaged(step=step, seed=seed, label=label)
    if average.seeds:
        short = f"{name}-{average.which}{average.checkpoints}-seeds" if label else f"{name}-seeds"
        step = _step(short, {"of": "runs", "count": len(runs)}, list(runs.values()))
        over = f"{label} over seeds" if label else "mean over seeds"
        yield Averaged(step=step, seed=None, label=over)


def _step(name: str, spec: Mapping[str, Any], parents: Sequence[str]) -> Step:
    inputs = {f"trial-{at:03d}": key for at, key in enumerate(parents)}
    return Step(kind="average", name=name, spec=spec, inputs=inputs, phase="target")

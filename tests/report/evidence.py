"""Evidence made up without a run: draws of a normal distribution around each score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from xtransfer.config.judgement import Statistics
from xtransfer.report.evidence import Evidence, Sample
from xtransfer.statistics.resampling import number_of

DRAWS = 2000


def evidence(
    scores: Mapping[tuple[str, str], Sequence[float]],
    *,
    languages: Sequence[str] = ("en", "sw"),
    error: float | None = 0.3,
    **settings: float,
) -> Evidence:
    """Return evidence of (target, arm) -> the score of each run, the same in every language.

    `error`: standard deviation of the draws, in points; None: no draws.
    """
    samples: dict[tuple[str, str], Sample] = {}
    for (target, after), runs in scores.items():
        values = np.repeat(np.asarray(runs, dtype=float)[:, None], len(languages), axis=1)
        draws = None
        if error is not None:
            chance = np.random.default_rng(number_of(target, after))
            draws = values.mean(axis=0)[:, None] + error * chance.normal(
                size=(len(languages), DRAWS)
            )
        samples[target, after] = Sample(
            target=target,
            after=after,
            languages=tuple(languages),
            seeds=tuple(range(1, len(runs) + 1)),
            values=values,
            keys=tuple(f"{number_of(target, after, at):012x}" for at in range(len(runs))),
            draws=draws,
        )
    statistics = Statistics.model_validate({"bootstrap": DRAWS, **settings})
    return Evidence(
        samples=samples,
        settings=statistics,
        train_languages=dict.fromkeys((target for target, _ in scores), ("en",)),
    )

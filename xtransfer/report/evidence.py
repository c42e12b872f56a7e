"""The scores of every target after every arm, with draws of what else they might have been.

A draw of a score resamples the test examples and adds the error of a mean over few seeds. All arms of
a target share their resamples, so a difference, or any other figure of several scores, has as its
draws that figure of their draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

import numpy as np
import numpy.typing as npt

from xtransfer.config.averaging import is_average
from xtransfer.config.judgement import Statistics
from xtransfer.plan import BASELINE, Plan
from xtransfer.report.results import plain_mean
from xtransfer.statistics.resampling import number_of, seed_noise

Array = npt.NDArray[np.float64]
Seeds = Literal["all", "some", "none"]
WITH: Mapping[Seeds, str] = {
    "all": "seeds and examples",
    "some": "examples, seeds of some",
    "none": "examples",
}
"""What an interval holds the errors of, in words."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number made of scores."""

    value: float
    draws: Array | None
    """[draws]; None where there is nothing to resample."""
    seeds: Seeds
    """Whether the spread over seeds is in the draws: of all scores, of some, or of none."""
    keys: tuple[str, ...]
    """Of the evaluate steps behind it."""
    lower: Array | None = None
    """[draws] for the lower end of an interval, where `draws` are for the upper end only; None: they are for both."""

    def minus(self, other: Figure) -> Figure:
        """Return the difference; of paired draws."""
        own, others = self.ends(), other.ends()
        draws = lower = None
        if own is not None and others is not None:
            draws = own[1] - others[0]
            lower = own[0] - others[1] if _two_ended((self, other)) else None
        return Figure(
            value=self.value - other.value,
            draws=draws,
            seeds=_jointly((self, other)),
            keys=tuple(dict.fromkeys((*self.keys, *other.keys))),
            lower=lower,
        )

    def ends(self) -> tuple[Array, Array] | None:
        """Return the draws for the lower end of an interval, and for the upper one; None where there are none."""
        if self.draws is None:
            return None
        return self.draws if self.lower is None else self.lower, self.draws


def mean_of(figures: Sequence[Figure]) -> Figure:
    """Return the unweighted mean of figures, at least one; their order does not matter."""
    ends = [found for figure in figures if (found := figure.ends()) is not None]
    draws = lower = None
    if len(ends) == len(figures):
        draws = np.mean([upper for _, upper in ends], axis=0)
        lower = np.mean([lower for lower, _ in ends], axis=0) if _two_ended(figures) else None
    return Figure(
        value=fmean(figure.value for figure in figures),
        draws=draws,
        seeds=_jointly(figures),
        keys=tuple(dict.fromkeys(key for figure in figures for key in figure.keys)),
        lower=lower,
    )


def best_of(figures: Sequence[Figure]) -> Figure:
    """Return the figure of the highest value, at least one, with draws of the highest true value.

    The highest of several is so by chance, too, so that its own draws would lie too high. Draw by draw, the highest
    true value is at least the highest value with the least error of any, since the error of the one that chance
    chose is not known to be another, and at most the highest draw of any. Those that are the highest in no draw
    lend no errors: chance would not have chosen them. One figure is returned as it is; draws there are where all
    have some.

    Sources: H. White, "A reality check for data snooping", Econometrica 68 (2000); P. R. Hansen, "A test for superior
    predictive ability", Journal of Business & Economic Statistics 23 (2005), for leaving out what is far below.
    """
    values = np.array([figure.value for figure in figures])
    chosen = int(values.argmax())
    best = figures[chosen]
    drawn = [figure.draws for figure in figures if figure.draws is not None]
    if len(figures) == 1 or len(drawn) < len(figures):
        return best if len(figures) == 1 else replace(best, draws=None)
    draws = np.stack(drawn)
    near = np.unique([chosen, *draws.argmax(axis=0)])
    errors = draws[near] - values[near, None]
    return replace(best, draws=draws.max(axis=0), lower=best.value + errors.min(axis=0))


@dataclass(frozen=True, kw_only=True)
class Sample:
    """All complete runs of one target after one arm."""

    target: str
    after: str
    languages: tuple[str, ...]
    seeds: tuple[int | None, ...]
    values: Array
    """Main scores [runs, languages]."""
    keys: tuple[str, ...]
    """Of the evaluate steps, one a run."""
    models: tuple[str, ...] = ()
    """What gave the model of each run: where two targets have the same, the error over seeds is one."""
    draws: Array | None = None
    """Mean over runs of the score in each resample of the examples [languages, draws]."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What there is to judge an experiment by."""

    samples: Mapping[tuple[str, str], Sample]
    """(target, arm) -> its runs."""
    settings: Statistics
    problems: tuple[str, ...] = ()
    """Why some scores have no draws."""
    train_languages: Mapping[str, tuple[str, ...]] = field(
        default_factory=dict[str, "tuple[str, ...]"]
    )
    """Target -> languages of its training data, in which nothing is zero-shot."""
    _noises: dict[tuple[str, tuple[str, ...]], list[Array] | None] = field(
        default_factory=dict[tuple[str, tuple[str, ...]], "list[Array] | None"],
        init=False, repr=False, compare=False,
    )  # fmt: skip
    """Of all arms of a target, whose draws one look at any arm needs."""

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the targets that have a score, in the experiment's order."""
        return tuple(dict.fromkeys(target for target, _ in self.samples))

    @property
    def arms(self) -> tuple[str, ...]:
        """Return the arms that have a score, without the baseline, in the experiment's order."""
        arms = dict.fromkeys(arm for _, arm in self.samples)
        return tuple(arm for arm in arms if arm != BASELINE)

    def score(
        self, target: str, after: str, languages: Sequence[str] | None = None
    ) -> Figure | None:
        """Return the mean score over runs and `languages` (None: all); None where there is none.

        Its value is that of the table's entry to the last bit, so that no two places of a report round it
        to other digits.
        """
        sample = self.samples.get((target, after))
        if sample is None:
            return None
        columns = _columns(sample, languages)
        if not columns:
            return None
        noise = self._noise(target, after, languages)
        draws = None if sample.draws is None else sample.draws[columns].mean(axis=0)
        if draws is not None and noise is not None:
            draws = draws + noise
        return Figure(
            value=fmean(map(plain_mean, sample.values[:, columns].tolist())),
            draws=draws,
            seeds="none" if noise is None else "all",
            keys=sample.keys,
        )

    def gain(
        self,
        target: str,
        after: str,
        languages: Sequence[str] | None = None,
        *,
        over: str = BASELINE,
    ) -> Figure | None:
        """Return the score after one arm less that after another; None where one is absent."""
        one, other = self.score(target, after, languages), self.score(target, over, languages)
        return None if one is None or other is None else one.minus(other)

    def spread(self, target: str) -> tuple[float, int] | None:
        """Return the standard deviation over seeds, pooled over arms, and its degrees of freedom.

        Averages of weights are made of the same trials as the arms' own models, and count for nothing.
        """
        own = [each for each in self._of(target) if not is_average(each.after)]
        runs = [each.values.mean(axis=1) for each in own]
        freedom = sum(len(each) - 1 for each in runs)
        if freedom < 1:
            return None
        squares = sum(float(((each - each.mean()) ** 2).sum()) for each in runs)
        return float(np.sqrt(squares / freedom)), freedom

    def keys(self, target: str) -> tuple[str, ...]:
        """Return the evaluate steps of a target."""
        return tuple(key for each in self._of(target) for key in each.keys)

    def _noise(self, target: str, after: str, languages: Sequence[str] | None) -> Array | None:
        own = self._of(target)
        place = (target, tuple(own[0].languages if languages is None else languages))
        if place not in self._noises:
            self._noises[place] = seed_noise(
                [each.values[:, _columns(each, languages)].mean(axis=1) for each in own],
                [number_of(each.after) for each in own],
                draws=self.settings.bootstrap,
                seed=[self.settings.seed, number_of("seeds")],
                runs=[[number_of(name) for name in each.models or each.keys] for each in own],
                counted=[not is_average(each.after) for each in own],
            )
        found = self._noises[place]
        return None if found is None else found[[each.after for each in own].index(after)]

    def _of(self, target: str) -> list[Sample]:
        return [each for (name, _), each in self.samples.items() if name == target]


def train_languages(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return target -> languages of its training data, stage by stage, in which nothing is zero-shot."""
    found: dict[str, tuple[str, ...]] = {}
    for cell in plan.cells:
        stages = plan.tasks[cell.target].stages
        if stages:
            own = (plan.tasks[stage.task].train_language for stage in stages)
            found[cell.target] = tuple(dict.fromkeys(own))
    return found


def _jointly(figures: Sequence[Figure]) -> Seeds:
    first = figures[0].seeds
    return first if all(figure.seeds == first for figure in figures) else "some"


def _two_ended(figures: Sequence[Figure]) -> bool:
    return any(figure.lower is not None for figure in figures)


def _columns(sample: Sample, languages: Sequence[str] | None) -> list[int]:
    wanted = sample.languages if languages is None else languages
    return [at for at, name in enumerate(sample.languages) if name in wanted]

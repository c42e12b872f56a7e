"""The scores of every target after every arm, with draws of what else they might have been.

A draw of a score resamples the test examples and adds the error of a mean over few seeds. All arms of
a target share their resamples, so a difference, or any other figure of several scores, has as its
draws that figure of their draws.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt

from xtransfer.averaging import is_average
from xtransfer.errors import DataError, XtransferError
from xtransfer.judgement import Statistics
from xtransfer.metrics.tallies import Tallies, score_of, tally
from xtransfer.plan import BASELINE, Plan
from xtransfer.predictions import read_gold, read_predictions
from xtransfer.records import Record
from xtransfer.report.results import Result
from xtransfer.statistics.resampling import number_of, resample, seed_noise
from xtransfer.store import Store
from xtransfer.tasks.task import Task

Array = npt.NDArray[np.float64]
Seeds = Literal["all", "some", "none"]
_THREADS = 8
"""Files in flight at once."""
_TOLERANCE = 1e-6
"""Points by which a recomputed score may differ from the recorded one."""


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

    def minus(self, other: Figure) -> Figure:
        """Return the difference; of paired draws."""
        both = self.draws is not None and other.draws is not None
        return Figure(
            value=self.value - other.value,
            draws=self.draws - other.draws if both else None,  # type: ignore[operator]
            seeds=_jointly((self, other)),
            keys=tuple(dict.fromkeys((*self.keys, *other.keys))),
        )


def mean_of(figures: Sequence[Figure]) -> Figure:
    """Return the unweighted mean of figures, at least one."""
    draws = [figure.draws for figure in figures if figure.draws is not None]
    return Figure(
        value=sum(figure.value for figure in figures) / len(figures),
        draws=np.mean(draws, axis=0) if len(draws) == len(figures) else None,
        seeds=_jointly(figures),
        keys=tuple(dict.fromkeys(key for figure in figures for key in figure.keys)),
    )


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
    train_languages: Mapping[str, str] = field(default_factory=dict[str, str])
    """Target -> language of its training data, in which nothing is zero-shot."""
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
        """Return the mean score over runs and `languages` (None: all); None where there is none."""
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
            value=float(sample.values[:, columns].mean()),
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
                seed=[self.settings.seed, number_of(target, "seeds")],
                counted=[not is_average(each.after) for each in own],
            )
        found = self._noises[place]
        return None if found is None else found[[each.after for each in own].index(after)]

    def _of(self, target: str) -> list[Sample]:
        return [each for (name, _), each in self.samples.items() if name == target]


def gather(
    plan: Plan,
    results: Sequence[Result],
    settings: Statistics,
    languages: Mapping[str, Sequence[str]],
    *,
    store: Store | None = None,
    records: Mapping[str, Record] | None = None,
) -> Evidence:
    """Return the evidence of zero-shot results; with a store, with draws of each score.

    Runs that lack a language are left out, as everywhere in the report. A target whose predictions
    cannot be read has no draws, and the reason is among the problems.

    Args:
        plan: whose tasks and order count.
        results: of the plan's cells.
        settings: number of draws and their seed.
        languages: target -> those its score is the mean over.
        store: where the predictions are; None: no draws.
        records: key -> record, those of the prepared test sets among them.
    """
    samples = _samples(plan, results, languages)
    problems: list[str] = []
    if store is not None and records is not None and settings.bootstrap:
        for target in dict.fromkeys(target for target, _ in samples):
            own = [each for (name, _), each in samples.items() if name == target]
            try:
                drawn = _draw(plan.tasks[target], own, settings, store, records)
            except XtransferError as error:
                problems.append(f"{target}: no interval: {error}")
                continue
            samples |= {(target, each.after): each for each in drawn}
    return Evidence(
        samples=samples,
        settings=settings,
        problems=tuple(problems),
        train_languages=train_languages(plan),
    )


def train_languages(plan: Plan) -> dict[str, str]:
    """Return target -> language of its training data, in which nothing is zero-shot."""
    found: dict[str, str] = {}
    for cell in plan.cells:
        stages = plan.tasks[cell.target].stages
        if stages:
            found[cell.target] = plan.tasks[stages[-1].task].train_language
    return found


def _samples(
    plan: Plan, results: Sequence[Result], languages: Mapping[str, Sequence[str]]
) -> dict[tuple[str, str], Sample]:
    found: dict[tuple[str, str], dict[str, dict[str, Result]]] = {}
    order = {cell.key: at for at, cell in reversed(list(enumerate(plan.cells)))}
    for each in sorted(results, key=lambda each: order.get(each.key, len(order))):
        if not each.few_shot:
            place = found.setdefault((each.target, each.intermediate), {})
            place.setdefault(each.key, {})[each.language] = each
    samples: dict[tuple[str, str], Sample] = {}
    for (target, after), runs in found.items():
        wanted = tuple(
            sorted(languages.get(target) or {name for run in runs.values() for name in run})
        )
        whole = {key: run for key, run in runs.items() if set(wanted) <= set(run)}
        if whole:
            samples[target, after] = Sample(
                target=target,
                after=after,
                languages=wanted,
                seeds=tuple(run[wanted[0]].seed for run in whole.values()),
                values=np.array([[run[name].value for name in wanted] for run in whole.values()]),
                keys=tuple(whole),
            )
    return samples


def _draw(
    task: Task,
    samples: Sequence[Sample],
    settings: Statistics,
    store: Store,
    records: Mapping[str, Record],
) -> list[Sample]:
    """Return a target's samples with draws: every run of every arm on the same resamples."""
    keys = [key for each in samples for key in each.keys]
    owners = np.array([at for at, each in enumerate(samples) for _ in each.keys])
    columns: list[list[Array]] = [[] for _ in samples]
    for language in samples[0].languages:
        ids, found = _tallies(task, language, keys, store, records)
        draws = resample(
            np.stack([each.values for each in found], axis=1),
            partial(score_of, found[0].formula),
            draws=settings.bootstrap,
            seed=[settings.seed, number_of(task.name), number_of(*ids)],
        )
        for at, column in enumerate(columns):
            column.append(draws[owners == at].mean(axis=0))
    return [
        Sample(
            target=each.target,
            after=each.after,
            languages=each.languages,
            seeds=each.seeds,
            values=each.values,
            keys=each.keys,
            draws=np.array(column),
        )
        for each, column in zip(samples, columns, strict=True)
    ]


def _tallies(
    task: Task, language: str, keys: Sequence[str], store: Store, records: Mapping[str, Record]
) -> tuple[list[str], list[Tallies]]:
    """Return the ids of the test examples, and what each adds to the score of each run."""
    gold = read_gold(store, records, records[keys[0]], task, language)
    with ThreadPoolExecutor(_THREADS) as pool:
        read = partial(read_predictions, store, language=language)
        predictions = list(pool.map(read, (records[key] for key in keys)))
    tallies: list[Tallies] = []
    for key, found in zip(keys, predictions, strict=True):
        recorded = records[key].result["languages"][language]["metrics"]
        if set(found) != set(gold):
            raise DataError(f"evaluate step {key}", f"its examples of {language} are other ones")
        tallies.append(
            tally(
                task,
                list(gold.values()),
                [found[each] for each in gold],
                language=language,
                null_threshold=recorded.get("null_threshold"),
            )
        )
        again = float(score_of(tallies[-1].formula, tallies[-1].values.sum(axis=0)))
        if abs(again - recorded[task.metric]) > _TOLERANCE:
            raise DataError(
                f"evaluate step {key}",
                f"its predictions of {language} score {again:.6f}, its record says "
                f"{recorded[task.metric]:.6f}",
            )
    return list(gold), tallies


def _jointly(figures: Sequence[Figure]) -> Seeds:
    first = figures[0].seeds
    return first if all(figure.seeds == first for figure in figures) else "some"


def _columns(sample: Sample, languages: Sequence[str] | None) -> list[int]:
    wanted = sample.languages if languages is None else languages
    return [at for at, name in enumerate(sample.languages) if name in wanted]

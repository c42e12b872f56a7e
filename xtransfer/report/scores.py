"""Scores and gains of each target after each arm, with their uncertainty, and the seeds that a gain takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xtransfer.plan import BASELINE
from xtransfer.report.contamination import is_oracle
from xtransfer.report.evidence import Evidence, Figure, Seeds, mean_of
from xtransfer.report.levels import interval_at
from xtransfer.report.results import Table, plain_mean
from xtransfer.statistics.corrections import holm
from xtransfer.statistics.power import seeds_needed
from xtransfer.statistics.resampling import p_value

OVERALL = "all targets"
"""Stands for the unweighted mean over targets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run of a target: the mean over its languages."""

    seed: int | None
    value: float
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageScore:
    """One language, mean over runs."""

    language: str
    value: float
    gain: float | None
    """Points above the baseline."""
    low: float | None
    high: float | None
    """Interval of the gain; of the score itself for the baseline."""
    examples: int
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScoreCell:
    """One target after one arm."""

    target: str
    after: str
    group: str
    metric: str
    selected_on: tuple[str, ...]
    oracle: bool
    """Whether dev sets in the target's languages chose the model."""
    mean: float
    sd: float | None
    runs: tuple[Run, ...]
    low: float | None
    high: float | None
    languages: tuple[LanguageScore, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GainCell:
    """One target after one arm, against the baseline; or the mean over all targets."""

    target: str
    after: str
    value: float
    low: float | None
    high: float | None
    p: float | None
    """Two-sided, of no difference."""
    p_holm: float | None
    """Corrected over the targets of the arm; None for the mean over them, which is one test."""
    significant: bool | None
    """At the level of the settings, corrected; None: not tested."""
    with_seeds: Seeds
    """Whether the interval holds the spread over seeds beside the sampling of test examples: of all
    targets, of some, or of none."""
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PowerNote:
    """How many seeds it takes to see a gain on one target."""

    target: str
    sd: float
    """Over seeds, pooled over arms."""
    freedom: int
    """Degrees of freedom of `sd`."""
    gain: float
    """Points to be seen."""
    seeds: int | None
    """On either side, at level 1 - confidence with power 0.8; None: more than 10,000."""
    keys: tuple[str, ...]


def score_cells(evidence: Evidence, table: Table) -> list[ScoreCell]:
    """Return a cell for every score of the table, with its runs and languages."""
    cells: list[ScoreCell] = []
    for target in table.targets:
        for entry in table.of_target(target):
            sample = evidence.samples[target, entry.intermediate]
            score = entry.score()
            figure = evidence.score(target, entry.intermediate)
            assert figure is not None
            low, high = _score_bounds(figure, evidence)
            cells.append(
                ScoreCell(
                    target=target,
                    after=entry.intermediate,
                    group=entry.group,
                    metric=entry.metric,
                    selected_on=entry.selected_on,
                    oracle=any(map(is_oracle, entry.selected_on)),
                    mean=score.mean,
                    sd=score.sd,
                    runs=tuple(
                        Run(seed=seed, value=plain_mean(values.tolist()), keys=(key,))
                        for seed, values, key in zip(
                            sample.seeds, sample.values, sample.keys, strict=True
                        )
                    ),
                    low=low,
                    high=high,
                    languages=tuple(
                        _language(evidence, target, entry.intermediate, name, entry.n[name][0])
                        for name in entry.languages
                    ),
                    keys=sample.keys,
                )
            )
    return cells


def gain_cells(evidence: Evidence, table: Table, wanted: Sequence[str]) -> list[GainCell]:
    """Return the gains over the baseline, and their mean where all `wanted` targets have one."""
    cells: list[GainCell] = []
    level = 1 - evidence.settings.confidence
    for after in table.intermediates:
        if after == BASELINE:
            continue
        figures = {
            target: figure
            for target in table.targets
            if (figure := evidence.gain(target, after)) is not None
        }
        own = [_gain(target, after, figure, evidence) for target, figure in figures.items()]
        tested = [cell.p for cell in own if cell.p is not None]
        adjusted = iter(holm(tested))
        for cell in own:
            if cell.p is None:
                cells.append(cell)
                continue
            corrected = next(adjusted)
            cells.append(replace(cell, p_holm=corrected, significant=corrected <= level))
        # Over fewer targets than were asked for, it would be another mean.
        if len(wanted) > 1 and set(figures) == set(wanted):
            cell = _gain(OVERALL, after, mean_of(list(figures.values())), evidence)
            cells.append(cell if cell.p is None else replace(cell, significant=cell.p <= level))
    return cells


def power_notes(evidence: Evidence, table: Table) -> list[PowerNote]:
    """Return how many seeds a gain would take, for each target with a spread over seeds."""
    notes: list[PowerNote] = []
    settings = evidence.settings
    for target in table.targets:
        found = evidence.spread(target)
        if found is None:
            continue
        sd, freedom = found
        notes.append(
            PowerNote(
                target=target,
                sd=sd,
                freedom=freedom,
                gain=settings.gain,
                seeds=seeds_needed(gain=settings.gain, sd=sd, alpha=1 - settings.confidence),
                keys=evidence.keys(target),
            )
        )
    return notes


def _language(
    evidence: Evidence, target: str, after: str, language: str, examples: int
) -> LanguageScore:
    score = evidence.score(target, after, [language])
    assert score is not None
    gain = None if after == BASELINE else evidence.gain(target, after, [language])
    shown = score if gain is None else gain
    low, high = _score_bounds(score, evidence) if gain is None else _bounds(gain, evidence)
    return LanguageScore(
        language=language,
        value=score.value,
        gain=None if gain is None else gain.value,
        low=low,
        high=high,
        examples=examples,
        keys=shown.keys,
    )


def _gain(target: str, after: str, figure: Figure, evidence: Evidence) -> GainCell:
    low, high = _bounds(figure, evidence)
    return GainCell(
        target=target,
        after=after,
        value=figure.value,
        low=low,
        high=high,
        p=None if figure.draws is None else p_value(figure.draws),
        p_holm=None,
        significant=None,
        with_seeds=figure.seeds,
        keys=figure.keys,
    )


def _score_bounds(figure: Figure, evidence: Evidence) -> tuple[float | None, float | None]:
    """Return an interval's part from 0 to 100: the error over seeds knows no ends, and a score has them."""
    low, high = _bounds(figure, evidence)
    return None if low is None else max(0.0, low), None if high is None else min(100.0, high)


def _bounds(figure: Figure, evidence: Evidence) -> tuple[float | None, float | None]:
    return interval_at(figure, evidence.settings.confidence) or (None, None)

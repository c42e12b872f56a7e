"""What an experiment answers, as data: scores, gains, claims and typology with their uncertainty.

`report.md` and other pages render it, and `report.json` holds it. Every number stands in an object that
says where it is from: `keys` of evaluate steps, or `source` for what is not of this experiment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from xtransfer.config import Experiment
from xtransfer.plan import BASELINE, Plan
from xtransfer.report.analyses import Analysed
from xtransfer.report.evidence import Evidence, Figure, Seeds, mean_of
from xtransfer.report.quantities import Question
from xtransfer.report.results import ReportInfo, Table
from xtransfer.report.typology import TypologyAnswer, relate
from xtransfer.report.verdicts import ClaimResult, judge
from xtransfer.statistics.corrections import holm
from xtransfer.statistics.power import seeds_needed
from xtransfer.statistics.resampling import interval, p_value
from xtransfer.typology.resources import low_resource

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


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How the numbers were made."""

    bootstrap: int
    seed: int
    confidence: float
    source: str = "configuration"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Everything that a report says."""

    experiment: str
    plan: str
    encoder: str
    partial: tuple[str, ...]
    """What is missing; empty: the plan is finished."""
    notes: tuple[str, ...]
    settings: Settings
    problems: tuple[str, ...]
    """Why some scores have no interval."""
    targets: tuple[str, ...]
    arms: tuple[str, ...]
    """The baseline first."""
    scores: tuple[ScoreCell, ...]
    gains: tuple[GainCell, ...]
    powers: tuple[PowerNote, ...]
    claims: tuple[ClaimResult, ...]
    typology: TypologyAnswer | None
    analysed: Analysed = field(default_factory=Analysed)
    """What was measured beside scores."""

    @property
    def tested(self) -> bool:
        """Whether any gain has a p-value."""
        return any(gain.p is not None for gain in self.gains)

    def gain(self, target: str, after: str) -> GainCell | None:
        """Return the gain of a target, or of `OVERALL`, after an arm."""
        return next((g for g in self.gains if (g.target, g.after) == (target, after)), None)


def build_answer(
    experiment: Experiment, plan: Plan, evidence: Evidence, table: Table, info: ReportInfo
) -> Answer:
    """Return the answer to what the experiment asks.

    Args:
        experiment: its arms, claims and settings.
        plan: of the experiment.
        evidence: scores with draws, where there are any.
        table: the same scores as the report's table has them.
        info: what was run.
    """
    wanted = experiment.target.tasks
    languages = sorted({name for each in evidence.samples.values() for name in each.languages})
    few = low_resource(languages, experiment.typology.low_resource)
    question = Question(
        evidence=evidence,
        targets=wanted,
        groups={name: plan.tasks[name].group for name in wanted if name in plan.tasks},
        low_resource=few,
    )
    statistics = experiment.statistics
    unscored = [f"{target}: no score" for target in table.unscored]
    return Answer(
        experiment=info.name,
        plan=info.plan_key,
        encoder=info.encoder,
        partial=(*info.missing, *table.incomplete, *unscored),
        notes=(*info.encoder_notes, *info.cuts, *info.notes),
        settings=Settings(
            bootstrap=statistics.bootstrap, seed=statistics.seed, confidence=statistics.confidence
        ),
        problems=evidence.problems,
        targets=table.targets,
        arms=table.intermediates,
        scores=tuple(_scores(evidence, table)),
        gains=tuple(_gains(evidence, table, wanted)),
        powers=tuple(_powers(evidence, table)),
        claims=tuple(judge(claim, question) for claim in experiment.claims),
        typology=relate(experiment, evidence, few),
    )


def answer_json(answer: Answer) -> str:
    """Return the answer as JSON text; the same answer gives the same bytes."""
    return json.dumps(_rounded(asdict(answer)), indent=1, ensure_ascii=False) + "\n"


def _scores(evidence: Evidence, table: Table) -> list[ScoreCell]:
    cells: list[ScoreCell] = []
    for target in table.targets:
        for entry in table.of_target(target):
            sample = evidence.samples[target, entry.intermediate]
            score = entry.score()
            figure = evidence.score(target, entry.intermediate)
            assert figure is not None
            low, high = _bounds(figure, evidence)
            cells.append(
                ScoreCell(
                    target=target,
                    after=entry.intermediate,
                    group=entry.group,
                    metric=entry.metric,
                    selected_on=entry.selected_on,
                    oracle=any("oracle" in split for split in entry.selected_on),
                    mean=score.mean,
                    sd=score.sd,
                    runs=tuple(
                        Run(seed=seed, value=float(values.mean()), keys=(key,))
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


def _language(
    evidence: Evidence, target: str, after: str, language: str, examples: int
) -> LanguageScore:
    score = evidence.score(target, after, [language])
    assert score is not None
    gain = None if after == BASELINE else evidence.gain(target, after, [language])
    shown = score if gain is None else gain
    low, high = _bounds(shown, evidence)
    return LanguageScore(
        language=language,
        value=score.value,
        gain=None if gain is None else gain.value,
        low=low,
        high=high,
        examples=examples,
        keys=shown.keys,
    )


def _gains(evidence: Evidence, table: Table, wanted: Sequence[str]) -> list[GainCell]:
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


def _powers(evidence: Evidence, table: Table) -> list[PowerNote]:
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


def _bounds(figure: Figure, evidence: Evidence) -> tuple[float | None, float | None]:
    if figure.draws is None:
        return None, None
    return interval(figure.draws, evidence.settings.confidence)


def _rounded(value: Any) -> Any:
    """Round to six decimals, below which machines differ."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}  # type: ignore[misc]
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]  # type: ignore[misc]
    return value

"""What an experiment answers, as data: scores, gains, claims and typology with their uncertainty.

`report.md` and other pages render it, and `report.json` holds it. Every number stands in an object that
says where it is from: `keys` of evaluate steps, or `source` for what is not of this experiment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from xtransfer.config.experiment import Experiment
from xtransfer.plan import Plan
from xtransfer.pruning.pairs import Pruned
from xtransfer.report.analyses import Analysed
from xtransfer.report.evidence import Evidence
from xtransfer.report.quantities import Question
from xtransfer.report.results import ReportInfo, Table
from xtransfer.report.scores import (
    GainCell,
    PowerNote,
    ScoreCell,
    gain_cells,
    power_notes,
    score_cells,
)
from xtransfer.report.typology import TypologyAnswer, relate, trained_languages
from xtransfer.report.verdicts import ClaimResult, judge
from xtransfer.statistics.resampling import fewest_draws
from xtransfer.typology.resources import low_resource


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
    """Those that have a score."""
    unscored: tuple[str, ...]
    """Those that have none yet, and which a mean over all targets waits for."""
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

    @property
    def resamples_note(self) -> str:
        """Say how many resamples it takes for an interval, or a significant gain, where there are too few for any.

        An interval has resamples beyond either end. The smallest p-value of n resamples is 2 / (n + 1), and Holm multiplies the smallest of k by k.
        """
        arms = [gain.after for gain in self.gains if gain.p_holm is not None]
        most = max((arms.count(arm) for arm in arms), default=0)
        level = 1 - self.settings.confidence
        ends = fewest_draws(self.settings.confidence)
        if 0 < self.settings.bootstrap < ends:
            return (
                f"With {self.settings.bootstrap:,} resamples there is no interval of "
                f"{100 * self.settings.confidence:g} %: it takes {ends:,} (statistics.bootstrap)."
            )
        needed = fewest_draws(1 - level / most) if most else 0
        if self.settings.bootstrap >= needed:
            return ""
        return (
            f"With {self.settings.bootstrap:,} resamples no gain can be significant at {level:g} once it is "
            f"corrected over {most} targets: it takes {needed:,} (statistics.bootstrap)."
        )

    @property
    def seeds_note(self) -> str:
        """Say which gains are significant without regard to seeds; empty where none is."""
        marked = [gain for gain in self.gains if gain.significant and gain.with_seeds == "none"]
        if not marked:
            return ""
        places = dict.fromkeys(gain.target for gain in marked)
        return (
            f"On {', '.join(places)} there is one run on each side, so that significance is of the test "
            "examples alone: another seed may say otherwise."
        )

    def gain(self, target: str, after: str) -> GainCell | None:
        """Return the gain of a target, or of `OVERALL`, after an arm."""
        return next((g for g in self.gains if (g.target, g.after) == (target, after)), None)


def build_answer(
    experiment: Experiment,
    plan: Plan,
    evidence: Evidence,
    table: Table,
    info: ReportInfo,
    pruned: Sequence[Pruned] = (),
) -> Answer:
    """Return the answer to what the experiment asks.

    Args:
        experiment: its arms, claims and settings.
        plan: of the experiment, without the pairs that were pruned.
        evidence: scores with draws, where there are any.
        table: the same scores as the report's table has them.
        info: what was run.
        pruned: the pairs that are not in the plan.
    """
    wanted = experiment.target.tasks
    languages = sorted({name for each in evidence.samples.values() for name in each.languages})
    few = low_resource(languages, experiment.typology.low_resource)
    planned = dict.fromkeys(
        (cell.target, cell.intermediate) for cell in plan.cells if not cell.few_shot
    )
    question = Question(
        evidence=evidence,
        targets=wanted,
        groups={name: plan.tasks[name].group for name in wanted if name in plan.tasks},
        low_resource=few,
        trained=trained_languages(experiment),
        languages=info.languages,
        awaited=[place for place in planned if place not in evidence.samples],
        pruned={(each.target, each.intermediate): each.why() for each in pruned},
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
        unscored=table.unscored,
        arms=table.intermediates,
        scores=tuple(score_cells(evidence, table)),
        gains=tuple(gain_cells(evidence, table, wanted)),
        powers=tuple(power_notes(evidence, table)),
        claims=tuple(judge(claim, question) for claim in experiment.claims),
        typology=relate(experiment, evidence, few),
    )


def answer_json(answer: Answer) -> str:
    """Return the answer as JSON text; the same answer gives the same bytes."""
    return json.dumps(_rounded(asdict(answer)), indent=1, ensure_ascii=False) + "\n"


def _rounded(value: Any) -> Any:
    """Round to six decimals, below which machines differ."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {name: _rounded(item) for name, item in value.items()}  # type: ignore[misc]
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]  # type: ignore[misc]
    return value

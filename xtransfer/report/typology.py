"""Zero-shot gains set against the distance of a language from what was trained on, and its resources."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from xtransfer.config.arms import Arm
from xtransfer.config.averaging import arm_of
from xtransfer.config.experiment import Experiment
from xtransfer.report.evidence import Evidence, Figure, mean_of
from xtransfer.report.levels import interval_at
from xtransfer.report.regressions import Regression, language_gains, left_out, regress
from xtransfer.typology import distances, resources
from xtransfer.typology.distances import distance_from


@dataclass(frozen=True, kw_only=True, slots=True)
class Distance:
    """How far a language is from an arm's, and how much text XLM-R saw of it."""

    after: str
    trained_in: tuple[str, ...]
    language: str
    values: dict[str, float | None]
    """Kind -> 0 to 1; None: URIEL has none."""
    gib: float | None
    """In CC-100."""
    low_resource: bool
    source: str = f"{distances.SOURCE}; {resources.SOURCE}"


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupGain:
    """The mean gain of an arm over languages with little text, or with more."""

    after: str
    low_resource: bool
    value: float
    low: float | None
    high: float | None
    targets: tuple[str, ...]
    languages: tuple[str, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class TypologyAnswer:
    """Distances, the gains of groups of languages, and regressions."""

    rule: str
    """What counts as low-resource."""
    distances: tuple[Distance, ...]
    groups: tuple[GroupGain, ...]
    regressions: tuple[Regression, ...]
    left_out: tuple[str, ...]
    """Languages and arms that are in no regression, and why."""


def relate(experiment: Experiment, evidence: Evidence, few: Sequence[str]) -> TypologyAnswer | None:
    """Return how gains go with distance and resources; None where no language is in the tables, or named.

    Zero-shot only: languages in which the target or the arm was trained are left out. So are arms
    without a task.

    Args:
        experiment: its arms say what languages they were trained in.
        evidence: scores.
        few: the low-resource languages among those scored.
    """
    trained = trained_languages(experiment)
    sources = {arm: own for arm, own in trained.items() if arm in evidence.arms}
    gains = list(language_gains(evidence, sources))
    rule = experiment.typology.low_resource
    languages = {each.language for each in gains}
    known = {name for name in languages if resources.resource(name) is not None}
    if not known | languages.intersection(few):
        return None
    # Names divide all languages, a size only those of which it is known.
    divided = languages if isinstance(rule, tuple) else known
    kinds = experiment.typology.kinds
    how = experiment.typology.several_sources
    named = ", ".join(rule) if isinstance(rule, tuple) else f"below {rule:g} GiB in CC-100"
    places = dict.fromkeys((each.after, each.language) for each in gains if sources[each.after])
    return TypologyAnswer(
        rule=named,
        distances=tuple(
            Distance(
                after=after,
                trained_in=sources[after],
                language=language,
                values={k: distance_from(k, sources[after], language, how=how) for k in kinds},
                gib=resources.resource(language),
                low_resource=language in few,
            )
            for after, language in places
        ),
        groups=tuple(_groups(evidence, few, divided, trained)),
        regressions=tuple(regress(kind, gains, sources, experiment) for kind in kinds),
        left_out=tuple(left_out(gains, sources, experiment)),
    )


def trained_languages(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """Return arm -> languages of its labelled data, none where it has text alone."""
    return {arm.name: _trained_in(experiment, arm) for arm in experiment.intermediate.tasks}


def _trained_in(experiment: Experiment, arm: Arm) -> tuple[str, ...]:
    if not arm.tasks:
        return ()
    own = {experiment.book[name].train_language for name in arm.tasks}
    return arm.languages or tuple(sorted(own))


def _groups(
    evidence: Evidence,
    few: Sequence[str],
    divided: Set[str],
    trained: Mapping[str, Sequence[str]],
) -> list[GroupGain]:
    out: list[GroupGain] = []
    for after in evidence.arms:
        for low in (True, False):
            figures: list[Figure] = []
            used: dict[str, None] = {}
            targets: list[str] = []
            for target in evidence.targets:
                sample = evidence.samples.get((target, after))
                seen = {*evidence.train_languages.get(target, ()), *trained.get(arm_of(after), ())}
                own = [
                    name
                    for name in (sample.languages if sample else ())
                    if (name in few) == low and name not in seen and name in divided
                ]
                gain = evidence.gain(target, after, own) if own else None
                if gain is not None:
                    figures.append(gain)
                    used |= dict.fromkeys(own)
                    targets.append(target)
            if not figures:
                continue
            figure = mean_of(figures)
            bounds = interval_at(figure, evidence.settings.confidence) or (None, None)
            out.append(
                GroupGain(
                    after=after,
                    low_resource=low,
                    value=figure.value,
                    low=bounds[0],
                    high=bounds[1],
                    targets=tuple(targets),
                    languages=tuple(sorted(used)),
                    keys=figure.keys,
                )
            )
    return out

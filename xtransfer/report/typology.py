"""Zero-shot gains set against the distance of a language from what was trained on, and its resources."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass

from xtransfer.config.arms import Arm
from xtransfer.config.averaging import arm_of
from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import Evidence, Figure, mean_of
from xtransfer.statistics.regression import fit
from xtransfer.statistics.resampling import interval
from xtransfer.typology import distances, resources
from xtransfer.typology.distances import How, Kind, distance_from

RESOURCE = "tenfold text"
"""The predictor that counts factors of ten of CC-100's GiB."""


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
class Relation:
    """What a predictor of a regression goes with."""

    predictor: str
    value: float
    """Points of gain for one unit more: the whole distance, or ten times the text."""
    low: float
    high: float
    p: float
    keys: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Regression:
    """Gains on one kind of distance and on resources, within each target and arm."""

    kind: str
    relations: tuple[Relation, ...]
    rows: int
    languages: int
    cells: int
    """Pairs of target and arm, each with a mean of its own."""
    r2: float | None
    why_not: str
    """Why there is none; empty where there is one."""
    keys: tuple[str, ...]


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
    rows = _rows(evidence, sources)
    rule = experiment.typology.low_resource
    languages = {row.language for row in rows}
    known = {name for name in languages if resources.resource(name) is not None}
    if not known | languages.intersection(few):
        return None
    # Names divide all languages, a size only those of which it is known.
    divided = languages if isinstance(rule, tuple) else known
    kinds = experiment.typology.kinds
    how = experiment.typology.several_sources
    named = ", ".join(rule) if isinstance(rule, tuple) else f"below {rule:g} GiB in CC-100"
    places = dict.fromkeys((row.after, row.language) for row in rows if sources[row.after])
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
        regressions=tuple(_regress(kind, rows, sources, experiment) for kind in kinds),
        left_out=(
            *_left_out(rows, sources),
            *(text for kind in kinds for text in _without_distance(kind, rows, sources, how)),
        ),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    target: str
    after: str
    language: str
    gain: float
    keys: tuple[str, ...]


def trained_languages(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """Return arm -> languages of its labelled data, none where it has text alone."""
    return {arm.name: _trained_in(experiment, arm) for arm in experiment.intermediate.tasks}


def _trained_in(experiment: Experiment, arm: Arm) -> tuple[str, ...]:
    if not arm.tasks:
        return ()
    own = {experiment.book[name].train_language for name in arm.tasks}
    return arm.languages or tuple(sorted(own))


def _rows(evidence: Evidence, sources: Mapping[str, Sequence[str]]) -> list[_Row]:
    rows: list[_Row] = []
    for (target, after), sample in evidence.samples.items():
        if after == BASELINE or after not in sources:
            continue
        for language in sample.languages:
            gain = evidence.gain(target, after, [language])
            seen = {*evidence.train_languages.get(target, ()), *sources[after]}
            if gain is not None and language not in seen:
                rows.append(
                    _Row(
                        target=target,
                        after=after,
                        language=language,
                        gain=gain.value,
                        keys=gain.keys,
                    )
                )
    return rows


def _regress(
    kind: Kind, rows: Sequence[_Row], sources: dict[str, tuple[str, ...]], experiment: Experiment
) -> Regression:
    how = experiment.typology.several_sources
    used: list[tuple[_Row, float, float]] = []
    for row in rows:
        away = distance_from(kind, sources[row.after], row.language, how=how)
        size = resources.resource(row.language)
        if away is not None and size:
            used.append((row, away, math.log10(size)))
    keys = tuple(dict.fromkeys(key for row, _, _ in used for key in row.keys))
    found = fit(
        [row.gain for row, _, _ in used],
        {f"{kind} distance": [x for _, x, _ in used], RESOURCE: [x for _, _, x in used]},
        clusters=[row.language for row, _, _ in used],
        groups=[f"{row.target} after {row.after}" for row, _, _ in used],
        confidence=experiment.statistics.confidence,
    )
    languages = len({row.language for row, _, _ in used})
    cells = len({(row.target, row.after) for row, _, _ in used})
    if isinstance(found, str):
        return Regression(
            kind=kind,
            relations=(),
            rows=len(used),
            languages=languages,
            cells=cells,
            r2=None,
            why_not=found,
            keys=keys,
        )
    return Regression(
        kind=kind,
        relations=tuple(
            Relation(
                predictor=slope.name,
                value=slope.value,
                low=slope.low,
                high=slope.high,
                p=slope.p,
                keys=keys,
            )
            for slope in found.slopes
        ),
        rows=found.rows,
        languages=found.clusters,
        cells=found.groups,
        r2=found.r2,
        why_not="",
        keys=keys,
    )


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
            bounds: tuple[float | None, float | None] = (None, None)
            if figure.draws is not None:
                bounds = interval(figure.draws, evidence.settings.confidence)
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


def _left_out(rows: Sequence[_Row], sources: dict[str, tuple[str, ...]]) -> list[str]:
    languages = sorted({row.language for row in rows})
    unknown = [name for name in languages if resources.resource(name) is None]
    unseen = [name for name in languages if resources.resource(name) == 0]
    out: list[str] = []
    if unknown:
        out.append(f"{' '.join(unknown)}: not in the tables")
    if unseen:
        out.append(f"{' '.join(unseen)}: no text in CC-100, so no logarithm of it")
    out += [f"{arm}: trained on text alone" for arm, own in sources.items() if not own]
    return out


def _without_distance(
    kind: Kind, rows: Sequence[_Row], sources: dict[str, tuple[str, ...]], how: How
) -> Iterator[str]:
    """Name the rows that a regression lacks because URIEL has no such distance: Basque has no family."""
    lacking: dict[str, set[str]] = {}
    for row in rows:
        away = distance_from(kind, sources[row.after], row.language, how=how)
        if away is None and sources[row.after] and resources.resource(row.language):
            lacking.setdefault(row.after, set()).add(row.language)
    for languages in dict.fromkeys(" ".join(sorted(each)) for each in lacking.values()):
        after = [arm for arm, each in lacking.items() if " ".join(sorted(each)) == languages]
        yield f"{languages} after {', '.join(after)}: no {kind} distance in URIEL"

"""Zero-shot gains of single languages regressed on their distance from what was trained in, and on their text."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xtransfer.config.experiment import Experiment
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import Evidence
from xtransfer.statistics.regression import fit
from xtransfer.typology.distances import How, Kind, distance_from
from xtransfer.typology.resources import resource

RESOURCE = "tenfold text"
"""The predictor that counts factors of ten of CC-100's GiB."""


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
class LanguageGain:
    """The zero-shot gain of one target after one arm in one language: a row of the regressions."""

    target: str
    after: str
    language: str
    gain: float
    keys: tuple[str, ...]


def language_gains(
    evidence: Evidence, sources: Mapping[str, Sequence[str]]
) -> Iterator[LanguageGain]:
    """Yield the gain in each language that neither the target nor the arm was trained in.

    Args:
        evidence: scores.
        sources: arm -> languages that it was trained in; other arms are left out.
    """
    for (target, after), sample in evidence.samples.items():
        if after == BASELINE or after not in sources:
            continue
        seen = {*evidence.train_languages.get(target, ()), *sources[after]}
        for language in sample.languages:
            gain = evidence.gain(target, after, [language])
            if gain is not None and language not in seen:
                yield LanguageGain(
                    target=target, after=after, language=language, gain=gain.value, keys=gain.keys
                )


def regress(
    kind: Kind,
    gains: Sequence[LanguageGain],
    sources: Mapping[str, Sequence[str]],
    experiment: Experiment,
) -> Regression:
    """Return the regression on one kind of distance, of the gains whose language has one and has text."""
    how = experiment.typology.several_sources
    used: list[tuple[LanguageGain, float, float]] = []
    for each in gains:
        away = distance_from(kind, sources[each.after], each.language, how=how)
        size = resource(each.language)
        if away is not None and size:
            used.append((each, away, math.log10(size)))
    keys = tuple(dict.fromkeys(key for each, _, _ in used for key in each.keys))
    found = fit(
        [each.gain for each, _, _ in used],
        {f"{kind} distance": [x for _, x, _ in used], RESOURCE: [x for _, _, x in used]},
        clusters=[each.language for each, _, _ in used],
        groups=[f"{each.target} after {each.after}" for each, _, _ in used],
        confidence=experiment.statistics.confidence,
    )
    slopes = () if isinstance(found, str) else found.slopes
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
            for slope in slopes
        ),
        rows=len(used),
        languages=len({each.language for each, _, _ in used}),
        cells=len({(each.target, each.after) for each, _, _ in used}),
        r2=None if isinstance(found, str) else found.r2,
        why_not=found if isinstance(found, str) else "",
        keys=keys,
    )


def left_out(
    gains: Sequence[LanguageGain], sources: Mapping[str, Sequence[str]], experiment: Experiment
) -> Iterator[str]:
    """Name the languages and arms that are in no regression, or not in that on one kind of distance, and why."""
    languages = sorted({each.language for each in gains})
    unknown = [name for name in languages if resource(name) is None]
    unseen = [name for name in languages if resource(name) == 0]
    if unknown:
        yield f"{' '.join(unknown)}: not in the tables"
    if unseen:
        yield f"{' '.join(unseen)}: no text in CC-100, so no logarithm of it"
    yield from (f"{arm}: trained on text alone" for arm, own in sources.items() if not own)
    for kind in experiment.typology.kinds:
        yield from _without_distance(kind, gains, sources, experiment.typology.several_sources)


def _without_distance(
    kind: Kind, gains: Sequence[LanguageGain], sources: Mapping[str, Sequence[str]], how: How
) -> Iterator[str]:
    """Name the languages that a regression lacks because URIEL has no such distance: Basque has no family."""
    lacking: dict[str, set[str]] = {}
    for each in gains:
        away = distance_from(kind, sources[each.after], each.language, how=how)
        if away is None and sources[each.after] and resource(each.language):
            lacking.setdefault(each.after, set()).add(each.language)
    for languages in dict.fromkeys(" ".join(sorted(each)) for each in lacking.values()):
        after = [arm for arm, each in lacking.items() if " ".join(sorted(each)) == languages]
        yield f"{languages} after {', '.join(after)}: no {kind} distance in URIEL"

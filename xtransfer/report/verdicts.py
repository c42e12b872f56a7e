"""What the evidence says of a claim: supported, refuted, or not decidable with these data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xtransfer.averaging import is_average
from xtransfer.claims import (
    COMPARISONS,
    Best,
    BestGain,
    Claim,
    EachArm,
    Except,
    Gain,
    Group,
    Languages,
    Predicate,
    Quantity,
    Scores,
    Targets,
)
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import Evidence, Figure, mean_of
from xtransfer.statistics.resampling import interval

Verdict = Literal["supported", "refuted", "not decidable"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One comparison of a claim, with its numbers."""

    text: str
    verdict: Verdict
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    """Interval of `value`, which is the difference where a claim compares two figures."""
    keys: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    """A claim and what became of it."""

    name: str
    says: str
    source: str
    published: str
    note: str
    decided_by: str
    verdict: Verdict
    reason: str
    comparisons: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True)
class Question:
    """What claims are asked of."""

    evidence: Evidence
    targets: Sequence[str]
    """All targets of the experiment, scored or not: a mean over fewer would be another figure."""
    groups: Mapping[str, str]
    """Target -> benchmark group."""
    low_resource: Sequence[str]


def judge(claim: Claim, question: Question) -> ClaimResult:
    """Return the verdict on a claim, with every comparison that it rests on."""
    judged = _Judge(claim, question)
    verdict, reason = judged.predicate(claim.holds)
    return ClaimResult(
        name=claim.name,
        says=claim.says,
        source=claim.source,
        published=claim.published,
        note=claim.note,
        decided_by=claim.decided_by,
        verdict=verdict,
        reason=reason,
        comparisons=tuple(judged.comparisons),
    )


class _Absent(Exception):
    """A figure cannot be computed; says why."""


class _Judge:
    def __init__(self, claim: Claim, question: Question) -> None:
        self.claim = claim
        self.question = question
        self.evidence = question.evidence
        self.comparisons: list[Comparison] = []

    def predicate(self, predicate: Predicate) -> tuple[Verdict, str]:
        """Return the verdict on a predicate and the reason; comparisons are kept on the way."""
        if predicate.all is not None:
            return self._joined(predicate.all, "refuted", "supported")
        if predicate.any is not None:
            return self._joined(predicate.any, "supported", "refuted")
        if predicate.best is not None:
            return self._best(predicate.best)
        how = next(name for name in COMPARISONS if getattr(predicate, name) is not None)
        other = getattr(predicate, how)
        if predicate.arms_that_gain is not None:
            return self._count(predicate.arms_that_gain, predicate.by, how, other)
        own = Quantity(gain=predicate.gain, score=predicate.score, best_gain=predicate.best_gain)
        threshold = 0.0 if isinstance(other, Quantity) else other
        versus = _words(other) if isinstance(other, Quantity) else f"{other:g}"
        text = f"{_words(own)} {how.replace('_', ' ')} {versus}"
        try:
            figure = self._figure(own)
            if isinstance(other, Quantity):
                figure = figure.minus(self._figure(other))
        except _Absent as error:
            return self._keep(Comparison(text=text, verdict="not decidable", reason=str(error)))
        return self._compare(text, figure, how, threshold)

    def _joined(
        self, parts: Sequence[Predicate], decisive: Verdict, otherwise: Verdict
    ) -> tuple[Verdict, str]:
        """Return `decisive` if any part has it, `otherwise` if all parts have that."""
        found = [self.predicate(part) for part in parts]
        for verdict, reason in found:
            if verdict == decisive:
                return decisive, reason
        open_ = [reason for verdict, reason in found if verdict == "not decidable"]
        if open_:
            return "not decidable", "; ".join(dict.fromkeys(open_))
        return otherwise, "; ".join(dict.fromkeys(reason for _, reason in found))

    def _best(self, best: Best) -> tuple[Verdict, str]:
        """Compare an arm with every other; no correction, since all must hold (intersection-union)."""
        others = [name for name in (*self._arms(best.among), BASELINE) if name != best.after]
        parts: list[tuple[Verdict, str]] = []
        for other in others:
            gain = Gain(
                after=best.after, over=other, targets=best.targets, languages=best.languages
            )
            text = f"{_words(Quantity(gain=gain))} greater than 0"
            try:
                figure = self._figure(Quantity(gain=gain))
            except _Absent as error:
                found = Comparison(text=text, verdict="not decidable", reason=str(error))
                parts.append(self._keep(found))
                continue
            parts.append(self._compare(text, figure, "greater_than", 0.0))
        verdicts = [verdict for verdict, _ in parts]
        for wanted in ("refuted", "not decidable"):
            if wanted in verdicts:
                reasons = [reason for verdict, reason in parts if verdict == wanted]
                return wanted, "; ".join(dict.fromkeys(reasons))
        return "supported", f"{best.after} is above {', '.join(others)}"

    def _count(
        self, each: EachArm, by: float, how: str, wanted: float | Quantity
    ) -> tuple[Verdict, str]:
        assert isinstance(wanted, float)
        arms = self._arms(each.among)
        verdicts: list[Verdict] = []
        for arm in arms:
            gain = Gain(after=arm, over=each.over, targets=each.targets, languages=each.languages)
            text = f"{_words(Quantity(gain=gain))} greater than {by:g}"
            try:
                figure = self._figure(Quantity(gain=gain))
            except _Absent as error:
                found = Comparison(text=text, verdict="not decidable", reason=str(error))
                verdicts.append(self._keep(found)[0])
                continue
            verdicts.append(self._compare(text, figure, "greater_than", by)[0])
        least = verdicts.count("supported")
        most = least + verdicts.count("not decidable")
        holds = _HOLDS[how]
        reason = f"{least} to {most} of {len(arms)} arms" if most > least else (
            f"{least} of {len(arms)} arms"
        )  # fmt: skip
        if not arms:
            return "not decidable", "no arm has a score"
        if holds(least, wanted) and holds(most, wanted):
            return "supported", reason
        if not holds(least, wanted) and not holds(most, wanted):
            return "refuted", reason
        return "not decidable", reason

    def _compare(
        self, text: str, figure: Figure, how: str, threshold: float
    ) -> tuple[Verdict, str]:
        low, high = figure.value, figure.value
        found = None
        if figure.draws is not None:
            found = interval(figure.draws, self.claim.confidence)
        if self.claim.decided_by == "interval":
            if found is None:
                return self._keep(
                    Comparison(
                        text=text,
                        verdict="not decidable",
                        reason=f"{text}: {figure.value:+.2f}, without an interval",
                        value=figure.value,
                        keys=figure.keys,
                    )
                )
            low, high = found
        holds = _HOLDS[how]
        both = (holds(low, threshold), holds(high, threshold))
        verdict: Verdict = "supported" if all(both) else "not decidable" if any(both) else "refuted"
        numbers = f"{figure.value:+.2f}"
        if found is not None:
            numbers += f" ({found[0]:+.2f} to {found[1]:+.2f})"
        return self._keep(
            Comparison(
                text=text,
                verdict=verdict,
                reason=f"{text}: {numbers}",
                value=figure.value,
                low=None if found is None else found[0],
                high=None if found is None else found[1],
                keys=figure.keys,
            )
        )

    def _keep(self, comparison: Comparison) -> tuple[Verdict, str]:
        self.comparisons.append(comparison)
        return comparison.verdict, comparison.reason

    # --- figures ----------------------------------------------------------------------------

    def _figure(self, quantity: Quantity) -> Figure:
        if quantity.best_gain is not None:
            return self._best_gain(quantity.best_gain)
        scores = quantity.gain or quantity.score
        assert scores is not None
        figures: list[Figure] = []
        for target, languages in self._places(scores.targets, scores.languages):
            found = self._one(target, scores, languages)
            figures.append(found)
        return mean_of(figures)

    def _one(self, target: str, scores: Scores, languages: Sequence[str] | None) -> Figure:
        found = self.evidence.score(target, scores.after, languages)
        if found is None:
            raise _Absent(self._lacking(target, scores.after))
        if not isinstance(scores, Gain):
            return found
        other = self.evidence.score(target, scores.over, languages)
        if other is None:
            raise _Absent(self._lacking(target, scores.over))
        return found.minus(other)

    def _best_gain(self, best: BestGain) -> Figure:
        figures: list[Figure] = []
        for target, languages in self._places(best.targets, best.languages):
            gains = [
                gain
                for arm in self._arms(best.among)
                if (gain := self.evidence.gain(target, arm, languages)) is not None
            ]
            if not gains:
                raise _Absent(f"{target} has no gain of any arm")
            figures.append(max(gains, key=lambda gain: gain.value))
        return mean_of(figures)

    def _places(
        self, targets: Targets, languages: Languages
    ) -> Iterator[tuple[str, Sequence[str] | None]]:
        """Yield each target with the languages of it that are asked for."""
        count = 0
        for target in self._targets(targets):
            if languages == "all":
                count += 1
                yield target, None
                continue
            wanted = self._languages(target, languages)
            if wanted:
                count += 1
                yield target, wanted
        if not count:
            raise _Absent("no target has a score in such languages")

    def _languages(self, target: str, languages: Languages) -> list[str]:
        scored = next(
            (each.languages for (name, _), each in self.evidence.samples.items() if name == target),
            (),
        )
        if languages == "zero_shot":
            own = self.evidence.train_languages.get(target)
            return [name for name in scored if name != own]
        wanted = self.question.low_resource if languages == "low_resource" else languages
        return [name for name in scored if name in wanted]

    def _targets(self, targets: Targets) -> list[str]:
        every = list(self.question.targets)
        if targets == "all":
            return every
        if isinstance(targets, Except):
            return [name for name in every if name not in targets.but]
        if isinstance(targets, Group):
            return [name for name in every if self.question.groups.get(name) == targets.group]
        absent = [name for name in targets if name not in every]
        if absent:
            raise _Absent(f"this experiment has no target {', '.join(absent)}")
        return list(targets)

    def _arms(self, among: Any) -> list[str]:
        if among != "all":
            return list(among)
        return [arm for arm in self.evidence.arms if not is_average(arm)]

    def _lacking(self, target: str, arm: str) -> str:
        if arm not in (*self.evidence.arms, BASELINE):
            return f"this experiment has no scores after {arm}"
        return f"{target} after {arm} has no score"


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "less_than": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}


def _words(quantity: Quantity) -> str:
    """Return a figure in words."""
    if quantity.best_gain is not None:
        among = quantity.best_gain.among
        of = "any arm" if among == "all" else "the best of " + ", ".join(among)
        return f"gain of {of} (each target's best by test score)" + _where(quantity.best_gain)
    if quantity.gain is not None:
        gain = quantity.gain
        over = "" if gain.over == BASELINE else f" over {gain.over}"
        return f"gain of {gain.after}{over}{_where(gain)}"
    assert quantity.score is not None
    return f"score of {quantity.score.after}{_where(quantity.score)}"


def _where(part: Scores | BestGain) -> str:
    targets, languages = part.targets, part.languages
    if isinstance(targets, Except):
        on = f" on all targets but {', '.join(targets.but)}"
    elif isinstance(targets, Group):
        on = f" on {targets.group}"
    else:
        on = "" if targets == "all" else f" on {', '.join(targets)}"
    if languages == "all":
        return on
    names = {"low_resource": "low-resource languages", "zero_shot": "zero-shot languages"}
    shown = names.get(languages, "") if isinstance(languages, str) else ", ".join(languages)
    return f"{on} in {shown}"

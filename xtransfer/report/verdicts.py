"""What the evidence says of a claim: supported, refuted, or not decidable with these data.

A claim that is to be wrong with a chance of 1 - confidence at most cannot ask several comparisons at that level
where one of them is enough: to support an `any`, to refute an `all` or a `best`, and either way where arms are
counted. The level is divided there (Bonferroni). Nothing is divided where all must hold.

Sources: R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24 (1982), for what
needs all (intersection-union tests); Y. Benjamini and R. Heller, "Screening for partial conjunction hypotheses",
Biometrics 64 (2008), for "at least u of n", whose divisor is n - u + 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from xtransfer.config.claims import (
    COMPARISONS,
    Best,
    Claim,
    EachArm,
    Gain,
    Predicate,
    Quantity,
)
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import WITH, Figure, Seeds
from xtransfer.report.quantities import Absent, Figures, Question, words
from xtransfer.statistics.resampling import fewest_draws, interval

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
    with_seeds: Seeds | None = None
    """Whether the spread over seeds is in the interval beside the sampling of test examples; None without one."""
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
    coverage: str
    """Of the intervals of its comparisons, as text: "95 %"."""
    verdict: Verdict
    reason: str
    comparisons: tuple[Comparison, ...]


def judge(claim: Claim, question: Question) -> ClaimResult:
    """Return the verdict on a claim, with every comparison that it rests on."""
    judged = _Judge(claim, question)
    verdict, reason = judged.predicate(claim.holds, _Divisors())
    return ClaimResult(
        name=claim.name,
        says=claim.says,
        source=claim.source,
        published=claim.published,
        note=claim.note,
        decided_by=claim.decided_by,
        coverage=f"{100 * claim.confidence:g} %",
        verdict=verdict,
        reason=reason,
        comparisons=tuple(judged.comparisons),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Divisors:
    """What the level of a comparison is divided by, for either verdict on it."""

    support: int = 1
    refute: int = 1

    def times(self, *, support: int = 1, refute: int = 1) -> _Divisors:
        """Return the divisors of a part, of which several may be decisive."""
        return _Divisors(support=self.support * support, refute=self.refute * refute)

    def swapped(self) -> _Divisors:
        """Return those of a part whose refutation supports the whole."""
        return _Divisors(support=self.refute, refute=self.support)


class _Judge:
    def __init__(self, claim: Claim, question: Question) -> None:
        self.claim = claim
        self.figures = Figures(question)
        self.comparisons: list[Comparison] = []

    def predicate(self, predicate: Predicate, level: _Divisors) -> tuple[Verdict, str]:
        """Return the verdict on a predicate and the reason; comparisons are kept on the way."""
        if predicate.all is not None:
            divided = level.times(refute=len(predicate.all))
            return self._joined(predicate.all, divided, "refuted", "supported")
        if predicate.any is not None:
            divided = level.times(support=len(predicate.any))
            return self._joined(predicate.any, divided, "supported", "refuted")
        if predicate.best is not None:
            return self._best(predicate.best, level)
        how = next(name for name in COMPARISONS if getattr(predicate, name) is not None)
        other = getattr(predicate, how)
        if predicate.arms_that_gain is not None:
            return self._count(predicate.arms_that_gain, predicate.by, how, other, level)
        own = Quantity(gain=predicate.gain, score=predicate.score, best_gain=predicate.best_gain)
        threshold = 0.0 if isinstance(other, Quantity) else other
        versus = words(other) if isinstance(other, Quantity) else f"{other:g}"
        text = f"{words(own)} {how.replace('_', ' ')} {versus}"
        try:
            if isinstance(other, Quantity):
                figure = self.figures.of(own, beside=other)
                figure = figure.minus(self.figures.of(other, beside=own))
            else:
                figure = self.figures.of(own)
        except Absent as error:
            return self._keep(Comparison(text=text, verdict="not decidable", reason=str(error)))
        return self._compare(text, figure, how, threshold, level)

    def _joined(
        self, parts: Sequence[Predicate], level: _Divisors, decisive: Verdict, otherwise: Verdict
    ) -> tuple[Verdict, str]:
        """Return `decisive` if any part has it, `otherwise` if all parts have that."""
        found = [self.predicate(part, level) for part in parts]
        for verdict, reason in found:
            if verdict == decisive:
                return decisive, reason
        open_ = [reason for verdict, reason in found if verdict == "not decidable"]
        if open_:
            return "not decidable", "; ".join(dict.fromkeys(open_))
        return otherwise, "; ".join(dict.fromkeys(reason for _, reason in found))

    def _best(self, best: Best, level: _Divisors) -> tuple[Verdict, str]:
        """Compare an arm with every other: all must hold, and one is enough to refute it."""
        others = [name for name in (*self.figures.arms(best.among), BASELINE) if name != best.after]
        if not others:
            return "not decidable", "no arm has a score"
        divided = level.times(refute=len(others))
        parts: list[tuple[Verdict, str]] = []
        for other in others:
            gain = Gain(
                after=best.after, over=other, targets=best.targets, languages=best.languages
            )
            text = f"{words(Quantity(gain=gain))} greater than 0"
            try:
                figure = self.figures.of(Quantity(gain=gain))
            except Absent as error:
                found = Comparison(text=text, verdict="not decidable", reason=str(error))
                parts.append(self._keep(found))
                continue
            parts.append(self._compare(text, figure, "greater_than", 0.0, divided))
        verdicts = [verdict for verdict, _ in parts]
        for wanted in ("refuted", "not decidable"):
            if wanted in verdicts:
                reasons = [reason for verdict, reason in parts if verdict == wanted]
                return wanted, "; ".join(dict.fromkeys(reasons))
        return "supported", f"{best.after} is above {', '.join(others)}"

    def _count(
        self, each: EachArm, by: float, how: str, wanted: float | Quantity, level: _Divisors
    ) -> tuple[Verdict, str]:
        assert isinstance(wanted, float)
        arms = self.figures.arms(each.among)
        divided = _divided_by_count(level, how, wanted, len(arms))
        verdicts: list[Verdict] = []
        for arm in arms:
            gain = Gain(after=arm, over=each.over, targets=each.targets, languages=each.languages)
            text = f"{words(Quantity(gain=gain))} greater than {by:g}"
            try:
                figure = self.figures.of(Quantity(gain=gain))
            except Absent as error:
                found = Comparison(text=text, verdict="not decidable", reason=str(error))
                verdicts.append(self._keep(found)[0])
                continue
            verdicts.append(self._compare(text, figure, "greater_than", by, divided)[0])
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
        self, text: str, figure: Figure, how: str, threshold: float, level: _Divisors
    ) -> tuple[Verdict, str]:
        holds = _HOLDS[how]
        strict = max(level.support, level.refute)
        found, stricter = self._interval(figure, 1), self._interval(figure, strict)
        numbers, verdict = f"{figure.value:+.2f}", "not decidable"
        if found is not None:
            only = "" if figure.seeds == "all" else f"; {WITH[figure.seeds]}"
            numbers += f" ({found[0]:+.2f} to {found[1]:+.2f}{only})"
        if self.claim.decided_by == "value":
            verdict = "supported" if holds(figure.value, threshold) else "refuted"
        elif stricter is None:
            numbers = f"{figure.value:+.2f}, without an interval{self._too_few(figure, strict)}"
        else:
            verdict = self._decided(figure, lambda bound: holds(bound, threshold), level)
            plain = self._decided(figure, lambda bound: holds(bound, threshold), _Divisors())
            if verdict != plain:
                numbers += f"; at {self._percent(strict)}, as one of several: {stricter[0]:+.2f} to {stricter[1]:+.2f}"
        return self._keep(
            Comparison(
                text=text,
                verdict=verdict,
                reason=f"{text}: {numbers}",
                value=figure.value,
                low=None if found is None else found[0],
                high=None if found is None else found[1],
                with_seeds=None if found is None else figure.seeds,
                keys=figure.keys,
            )
        )

    def _decided(self, figure: Figure, holds: Callable[[float], bool], level: _Divisors) -> Verdict:
        """Return the verdict by the intervals of either level, both of which there are."""
        supporting = self._interval(figure, level.support)
        refuting = self._interval(figure, level.refute)
        assert supporting is not None
        assert refuting is not None
        if all(map(holds, supporting)):
            return "supported"
        return "not decidable" if any(map(holds, refuting)) else "refuted"

    def _interval(self, figure: Figure, divisor: int) -> tuple[float, float] | None:
        """Return the interval whose level is divided; None where there are too few draws for one, or none."""
        coverage = self._coverage(divisor)
        if figure.draws is None or figure.draws.size < fewest_draws(coverage):
            return None
        return interval(figure.draws, coverage)

    def _too_few(self, figure: Figure, divisor: int) -> str:
        if figure.draws is None or not figure.draws.size:
            return ""
        few = f"{figure.draws.size:,} resamples are too few for one of {self._percent(divisor)}"
        return f": {few} (statistics.bootstrap)"

    def _percent(self, divisor: int) -> str:
        return f"{100 * self._coverage(divisor):g} %"

    def _coverage(self, divisor: int) -> float:
        confidence = self.claim.confidence
        return confidence if divisor == 1 else 1 - (1 - confidence) / divisor

    def _keep(self, comparison: Comparison) -> tuple[Verdict, str]:
        self.comparisons.append(comparison)
        return comparison.verdict, comparison.reason


def _divided_by_count(level: _Divisors, how: str, wanted: float, arms: int) -> _Divisors:
    """Return the divisors of each arm where it is counted how many of them gain.

    "At least u of n gain" needs n - u + 1 for u arms that gain, and u for n - u + 1 that do not.
    """
    least = math.floor(wanted) + 1 if how in ("greater_than", "at_most") else math.ceil(wanted)
    least = min(max(least, 1), max(arms, 1))
    upward = how in ("greater_than", "at_least")
    own = level if upward else level.swapped()
    return own.times(support=max(arms, 1) - least + 1, refute=least)


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "less_than": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}

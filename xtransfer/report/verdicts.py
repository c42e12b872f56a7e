"""What the evidence says of a claim: supported, refuted, or not decidable with these data.

A claim is one comparison or several; at which level each is decided is for `xtransfer.report.levels` to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
from xtransfer.report.levels import (
    HOLDS,
    Divisors,
    Verdict,
    decide,
    divided_by_count,
    interval_at,
    too_few,
)
from xtransfer.report.quantities import Absent, Figures, Question, words


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
    verdict, reason = judged.predicate(claim.holds, Divisors())
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


class _Judge:
    def __init__(self, claim: Claim, question: Question) -> None:
        self.claim = claim
        self.figures = Figures(question)
        self.comparisons: list[Comparison] = []
        self.shortages: list[str] = []
        """What resamples were too few for, of comparisons that more of them might decide."""

    def predicate(self, predicate: Predicate, level: Divisors) -> tuple[Verdict, str]:
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
        self, parts: Sequence[Predicate], level: Divisors, decisive: Verdict, otherwise: Verdict
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

    def _best(self, best: Best, level: Divisors) -> tuple[Verdict, str]:
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
        self, each: EachArm, by: float, how: str, wanted: float | Quantity, level: Divisors
    ) -> tuple[Verdict, str]:
        assert isinstance(wanted, float)
        arms = self.figures.arms(each.among)
        divided = divided_by_count(level, how, wanted, len(arms))
        known = len(self.shortages)
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
        holds = HOLDS[how]
        reason = f"{least} to {most} of {len(arms)} arms" if most > least else (
            f"{least} of {len(arms)} arms"
        )  # fmt: skip
        if not arms:
            return "not decidable", "no arm has a score"
        if holds(least, wanted) and holds(most, wanted):
            return "supported", reason
        if not holds(least, wanted) and not holds(most, wanted):
            return "refuted", reason
        return "not decidable", "; ".join(dict.fromkeys((reason, *self.shortages[known:])))

    def _compare(
        self, text: str, figure: Figure, how: str, threshold: float, level: Divisors
    ) -> tuple[Verdict, str]:
        def holds(bound: float) -> bool:
            return HOLDS[how](bound, threshold)

        confidence = self.claim.confidence
        found = interval_at(figure, confidence)
        numbers = f"{figure.value:+.2f}"
        if found is not None:
            only = "" if figure.seeds == "all" else f"; {WITH[figure.seeds]}"
            numbers += f" ({found[0]:+.2f} to {found[1]:+.2f}{only})"
        if self.claim.decided_by == "value":
            verdict = "supported" if holds(figure.value) else "refuted"
        elif found is None:
            verdict, few = "not decidable", too_few(figure, confidence)
            numbers += f", without an interval{few and f': {few} (statistics.bootstrap)'}"
        else:
            decision = decide(figure, holds, confidence, level)
            verdict = decision.verdict
            numbers += decision.remark
            self.shortages += [decision.shortage] if decision.shortage else []
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

    def _keep(self, comparison: Comparison) -> tuple[Verdict, str]:
        self.comparisons.append(comparison)
        return comparison.verdict, comparison.reason

"""What the evidence says of a claim: supported, refuted, or not decidable with these data."""

from __future__ import annotations

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
    verdict, reason = judged.predicate(claim.holds)
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
        others = [name for name in (*self.figures.arms(best.among), BASELINE) if name != best.after]
        if not others:
            return "not decidable", "no arm has a score"
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
        arms = self.figures.arms(each.among)
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
        found, why = None, "without an interval"
        draws = 0 if figure.draws is None else figure.draws.size
        if figure.draws is not None and draws >= fewest_draws(self.claim.confidence):
            found = interval(figure.draws, self.claim.confidence)
        elif draws:
            percent = f"{100 * self.claim.confidence:g} %"
            why += f": {draws:,} resamples are too few for one of {percent} (statistics.bootstrap)"
        if self.claim.decided_by == "interval":
            if found is None:
                return self._keep(
                    Comparison(
                        text=text,
                        verdict="not decidable",
                        reason=f"{text}: {figure.value:+.2f}, {why}",
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
            only = "" if figure.seeds == "all" else f"; {WITH[figure.seeds]}"
            numbers += f" ({found[0]:+.2f} to {found[1]:+.2f}{only})"
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


_HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    "greater_than": lambda value, bound: value > bound,
    "at_least": lambda value, bound: value >= bound,
    "less_than": lambda value, bound: value < bound,
    "at_most": lambda value, bound: value <= bound,
}

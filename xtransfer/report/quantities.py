"""The quantities that claims speak of: each as a figure of the evidence, and in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xtransfer.config.averaging import arm_of, is_average
from xtransfer.config.claims import (
    BestGain,
    Except,
    Gain,
    Group,
    Languages,
    Quantity,
    Scores,
    Targets,
)
from xtransfer.plan import BASELINE
from xtransfer.report.evidence import Evidence, Figure, best_of, mean_of


@dataclass(frozen=True, kw_only=True)
class Question:
    """What claims are asked of."""

    evidence: Evidence
    targets: Sequence[str]
    """All targets of the experiment, scored or not: a mean over fewer would be another figure."""
    groups: Mapping[str, str]
    """Target -> benchmark group."""
    low_resource: Sequence[str]
    trained: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Arm -> languages of its labelled data, in which nothing after it is zero-shot."""
    languages: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    """Target -> languages of its score, also where it has none yet."""
    awaited: Sequence[tuple[str, str]] = ()
    """(target, arm) of the plan without a score so far: what is best or counted may change with them."""
    pruned: Mapping[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """(target, arm) that are not trained -> why, as in "was pruned (...)"."""


class Absent(Exception):
    """A figure cannot be computed; says why."""


class Figures:
    """Figures of a question's evidence, as claims ask for them."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.evidence = question.evidence

    def of(self, quantity: Quantity, *, beside: Quantity | None = None) -> Figure:
        """Return a quantity as a figure, the mean over its targets.

        `beside` is compared with it: zero-shot languages are those in which no arm of either was trained.

        Raises:
            Absent: when a score that it takes is not there.
        """
        arms = {*self._arms_of(quantity), *(self._arms_of(beside) if beside else ())}
        if quantity.best_gain is not None:
            return self._best_gain(quantity.best_gain, arms)
        scores = quantity.gain or quantity.score
        assert scores is not None
        figures: list[Figure] = []
        for target, languages in self._places(scores.targets, scores.languages, arms):
            found = self._one(target, scores, languages)
            figures.append(found)
        return mean_of(figures)

    def arms(self, among: Any) -> list[str]:
        """Return the arms of these names; "all": those that have a score or wait for one, without averages."""
        if among != "all":
            return list(among)
        return [arm for arm in self._known_arms() if not is_average(arm)]

    def _known_arms(self) -> list[str]:
        waiting = (arm for _, arm in self.question.awaited if arm != BASELINE)
        return list(dict.fromkeys((*self.evidence.arms, *waiting)))

    def _arms_of(self, quantity: Quantity) -> list[str]:
        if quantity.best_gain is not None:
            return self.arms(quantity.best_gain.among)
        if quantity.gain is not None:
            return [quantity.gain.after, quantity.gain.over]
        return [] if quantity.score is None else [quantity.score.after]

    def _one(self, target: str, scores: Scores, languages: Sequence[str] | None) -> Figure:
        found = self.evidence.score(target, scores.after, languages)
        if found is None:
            raise Absent(self._lacking(target, scores.after))
        if not isinstance(scores, Gain):
            return found
        other = self.evidence.score(target, scores.over, languages)
        if other is None:
            raise Absent(self._lacking(target, scores.over))
        return found.minus(other)

    def _best_gain(self, best: BestGain, arms: Collection[str]) -> Figure:
        figures: list[Figure] = []
        for target, languages in self._places(best.targets, best.languages, arms):
            gains: list[Figure] = []
            for arm in self.arms(best.among):
                gain = self.evidence.gain(target, arm, languages)
                if gain is not None:
                    gains.append(gain)
                elif arm not in self._known_arms() or (target, arm) in self.question.awaited:
                    raise Absent(self._lacking(target, arm))
            if not gains:
                raise Absent(f"{target} has no gain of any arm")
            figures.append(best_of(gains))
        return mean_of(figures)

    def _places(
        self, targets: Targets, languages: Languages, arms: Collection[str]
    ) -> Iterator[tuple[str, Sequence[str] | None]]:
        """Yield each target with the languages of it that are asked for."""
        count = 0
        for target in self._targets(targets):
            if languages == "all":
                count += 1
                yield target, None
                continue
            wanted = self._languages(target, languages, arms)
            if wanted:
                count += 1
                yield target, wanted
        if not count:
            raise Absent("no target has a score in such languages")

    def _languages(self, target: str, languages: Languages, arms: Collection[str]) -> list[str]:
        scored = next(
            (each.languages for (name, _), each in self.evidence.samples.items() if name == target),
            self.question.languages.get(target),
        )
        if scored is None:
            raise Absent(f"{target} has no score")
        if not isinstance(languages, str):
            return [name for name in scored if name in languages]
        seen = set(self.evidence.train_languages.get(target, ()))
        seen.update(*(self.question.trained.get(arm_of(arm), ()) for arm in arms))
        wanted = self.question.low_resource if languages == "low_resource" else scored
        return [name for name in scored if name in wanted and name not in seen]

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
            raise Absent(f"this experiment has no target {', '.join(absent)}")
        return list(targets)

    def _lacking(self, target: str, arm: str) -> str:
        if (target, arm) in self.question.awaited:
            return f"{target} after {arm} has no score yet"
        if (target, arm) in self.question.pruned:
            return f"{target} after {arm} {self.question.pruned[target, arm]}"
        if arm not in (*self.evidence.arms, BASELINE):
            return f"this experiment has no scores after {arm}"
        return f"{target} after {arm} has no score"


def words(quantity: Quantity) -> str:
    """Return a figure in words."""
    if quantity.best_gain is not None:
        among = quantity.best_gain.among
        best = "best arm" if among == "all" else f"best of {', '.join(among)}"
        return f"gain of each target's {best} (by test score)" + _where(quantity.best_gain)
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
    names = {
        "low_resource": "low-resource languages without training data",
        "zero_shot": "zero-shot languages",
    }
    shown = names.get(languages, "") if isinstance(languages, str) else ", ".join(languages)
    return f"{on} in {shown}"

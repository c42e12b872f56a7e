"""SQuAD v2.0: answers to questions of which some have none, by the rules of evaluate-v2.0.py.

A prediction is the best answer that is not empty and the odds that the question has none, in any unit
that grows with them. Where the odds exceed a threshold, the answer is nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from xtransfer.metrics.qa import normalise_english


def squad_v2(
    gold: Sequence[Sequence[str]],
    predictions: Sequence[Mapping[str, Any]],
    *,
    null_threshold: float | None = None,
) -> dict[str, float]:
    """Return exact match and F1 at a threshold, and at the best ones, in percent.

    Args:
        gold: acceptable answers of each question; none: the question has no answer.
        predictions: each with `text` and `null_odds`.
        null_threshold: odds over which nothing is answered. None: the threshold with the best F1 on
            these predictions, which must then be those of the dev set.

    Returns:
        `em`, `f1` and their mean `squad_v2` at `null_threshold`, which is returned too; the same over
        the questions with an answer (`HasAns_em`, `HasAns_f1`) and without one (`NoAns_em`,
        `NoAns_f1`), where there are any; `best_exact` and `best_f1` with `best_exact_thresh` and
        `best_f1_thresh` as the official script finds them. That search takes 0 for the threshold at
        which nothing is answered and may stop between equal odds, so `null_threshold` comes from a
        search of its own, whose result can always be applied.
    """
    answers = [_answers(each) for each in gold]
    exact: list[float] = []
    overlap: list[float] = []
    for wanted, found in zip(answers, predictions, strict=True):
        exact.append(max(float(_same(found["text"], answer)) for answer in wanted))
        overlap.append(max(_token_f1(found["text"], answer) for answer in wanted))
    has_answer = [bool(each) for each in gold]
    odds = [float(each["null_odds"]) for each in predictions]
    if null_threshold is None:
        null_threshold = best_threshold(overlap, odds, has_answer)
    kept = {
        name: [
            float(not answerable) if odd > null_threshold else value
            for value, odd, answerable in zip(values, odds, has_answer, strict=True)
        ]
        for name, values in (("em", exact), ("f1", overlap))
    }
    scores = {name: _percent(values) for name, values in kept.items()}
    scores = {"squad_v2": (scores["em"] + scores["f1"]) / 2, **scores}
    for group, wanted in (("HasAns", True), ("NoAns", False)):
        for name, values in kept.items():
            part = [each for each, has in zip(values, has_answer, strict=True) if has == wanted]
            if part:
                scores[f"{group}_{name}"] = _percent(part)
    said = [bool(each["text"]) for each in predictions]
    for name, values in (("best_exact", exact), ("best_f1", overlap)):
        scores[name], scores[f"{name}_thresh"] = _official_best(values, odds, has_answer, said)
    return {**scores, "null_threshold": null_threshold}


def best_threshold(
    scores: Sequence[float], odds: Sequence[float], has_answer: Sequence[bool]
) -> float:
    """Return the threshold with the highest mean score; of several, the lowest.

    It is one of the odds, or below them all where it is best to answer nothing.

    Args:
        scores: what each prediction earns where its text counts, 0 to 1.
        odds: of no answer, for each.
        has_answer: whether each question has one; to answer nothing earns 1 where it has none.
    """
    order = sorted(range(len(odds)), key=lambda at: odds[at])
    best = current = float(sum(not has for has in has_answer))
    threshold = min(odds) - 1.0
    for at, following in zip(order, [*order[1:], None], strict=True):
        current += scores[at] - float(not has_answer[at])
        if following is not None and odds[following] == odds[at]:
            continue  # no threshold lies between equal odds
        if current > best:
            best, threshold = current, odds[at]
    return threshold


def _official_best(
    scores: Sequence[float],
    odds: Sequence[float],
    has_answer: Sequence[bool],
    said: Sequence[bool],
) -> tuple[float, float]:
    """Return the best score, in percent, and its threshold by `find_best_thresh` of evaluate-v2.0.py."""
    best = current = float(sum(not has for has in has_answer))
    threshold = 0.0
    for at in sorted(range(len(odds)), key=lambda at: odds[at]):
        current += scores[at] if has_answer[at] else -float(said[at])
        if current > best:
            best, threshold = current, odds[at]
    return 100.0 * best / len(scores), threshold


def _answers(answers: Sequence[str]) -> list[str]:
    """Return what may be answered: an answer of nothing but articles and punctuation is none."""
    return [answer for answer in answers if normalise_english(answer)] or [""]


def _same(found: str, answer: str) -> bool:
    return normalise_english(found) == normalise_english(answer)


def _token_f1(found: str, answer: str) -> float:
    """Return the F1 of two bags of words; 1 where both are empty, 0 where one is (evaluate-v2.0.py)."""
    ours, theirs = normalise_english(found).split(), normalise_english(answer).split()
    if not ours or not theirs:
        return float(ours == theirs)
    same = (Counter(ours) & Counter(theirs)).total()
    if not same:
        return 0.0
    precision, recall = same / len(ours), same / len(theirs)
    return 2 * precision * recall / (precision + recall)


def _percent(values: Sequence[float]) -> float:
    return 100.0 * sum(values) / len(values)

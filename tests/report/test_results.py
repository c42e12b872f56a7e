from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.report.results import result
from xtransfer.errors import XtransferError
from xtransfer.report.results import Result, tabulate, wilson_interval


def runs(values: Mapping[int, Sequence[float]], after: str = "baseline") -> list[Result]:
    return [
        result(after=after, language=language, value=value, seed=seed)
        for seed, of_seed in values.items()
        for language, value in zip(("de", "en", "sw"), of_seed, strict=True)
    ]


def test_a_score_is_the_mean_over_languages_then_seeds() -> None:
    values = {1: (60.0, 70.0, 50.0), 2: (61.0, 74.0, 48.0), 3: (57.0, 70.5, 42.0)}
    entry = tabulate(runs(values), {}).entries["xnli", "baseline"]
    of_seed = np.array([values[seed] for seed in (1, 2, 3)]).mean(axis=1)
    assert entry.score().mean == pytest.approx(of_seed.mean())
    assert entry.score().sd == pytest.approx(of_seed.std(ddof=1))
    assert entry.score().runs == 3
    assert entry.score(["de", "sw"]).mean == pytest.approx((55 + 54.5 + 49.5) / 3)


def test_one_run_has_no_spread() -> None:
    score = tabulate(runs({1: (1.0, 2.0, 6.0)}), {}).entries["xnli", "baseline"].score()
    assert (score.mean, score.sd, score.runs) == (3.0, None, 1)


def test_the_difference_is_to_the_baseline_of_the_same_target() -> None:
    results = [
        *runs({1: (50, 60, 40)}),
        *runs({1: (52, 64, 43), 2: (50, 64, 42)}, after="squad_v1"),
    ]
    table = tabulate(results, {})
    assert table.difference(table.entries["xnli", "squad_v1"]) == pytest.approx(2.5)
    assert table.difference(table.entries["xnli", "baseline"]) is None
    alone = tabulate([result(after="mnli")], {})
    assert alone.difference(alone.entries["xnli", "mnli"]) is None


def test_a_run_without_all_languages_enters_no_mean() -> None:
    results = runs({1: (50, 60, 40), 2: (80, 90, 70)})[:-1]
    table = tabulate(results, {})
    assert table.entries["xnli", "baseline"].score().runs == 1
    assert table.entries["xnli", "baseline"].score().mean == pytest.approx(50)
    assert table.incomplete == ("xnli after baseline, seed 2: 2 of 3 languages",)


def test_the_languages_of_a_score_are_those_asked_for() -> None:
    table = tabulate(runs({1: (50, 60, 40)}), {"xnli": ("en", "de", "th")})
    assert table.entries == {}
    assert table.incomplete == ("xnli after baseline, seed 1: 2 of 3 languages",)
    table = tabulate(runs({1: (50, 60, 40)}), {"xnli": ("en", "de")})
    assert table.entries["xnli", "baseline"].score().mean == 55


def test_an_average_needs_every_target() -> None:
    results = [
        result("xnli", value=40),
        result("tatoeba", value=10, group="retrieval", seed=None),
        result("xnli", after="mnli", value=50),
    ]
    table = tabulate(results, {})
    assert table.targets == ("xnli", "tatoeba")
    assert table.groups() == {"classification": ("xnli",), "retrieval": ("tatoeba",)}
    assert table.average("baseline", table.targets) == 25
    assert table.average("mnli", table.targets) is None
    assert table.average("mnli", ("xnli",)) == 50


def test_a_target_without_any_score_is_named() -> None:
    table = tabulate([result()], {"xnli": ("en",), "pawsx": ("en", "de")})
    assert table.targets == ("xnli",)
    assert table.unscored == ("pawsx",)


def test_the_baseline_stands_first() -> None:
    table = tabulate([result(after=name) for name in ("squad_v1", "anli+", "baseline")], {})
    assert table.intermediates == ("baseline", "anli+", "squad_v1")


@given(st.randoms(use_true_random=False))
def test_the_order_of_results_does_not_matter(order: random.Random) -> None:
    results = [*runs({1: (50, 60, 40), 2: (51, 61.5, 47)}), *runs({2: (1, 2, 3)}, after="mnli")]
    shuffled = list(results)
    order.shuffle(shuffled)
    assert tabulate(shuffled, {}) == tabulate(results, {})


def test_contradicting_results_are_refused() -> None:
    with pytest.raises(XtransferError, match="two results for xnli after baseline, seed 1, en"):
        tabulate([result(value=1), result(value=2)], {})
    with pytest.raises(XtransferError, match="xnli has two main scores, accuracy and f1"):
        tabulate([result(), result(after="mnli", metric="f1")], {})


@pytest.mark.parametrize(
    ("value", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (100 * 81 / 263, 263, 25.53, 36.62),
        (100 * 15 / 148, 148, 6.24, 16.05),
        (0.0, 20, 0.0, 16.11),
        (100 * 1 / 29, 29, 0.61, 17.18),
    ],
)
def test_wilson_interval_equals_published_values(
    value: float, n: int, low: float, high: float
) -> None:
    assert wilson_interval(value, n) == pytest.approx((low, high), abs=0.006)


@given(st.floats(0, 100), st.integers(1, 100_000))
def test_wilson_interval_holds_the_value(value: float, n: int) -> None:
    low, high = wilson_interval(value, n)
    assert 0 <= low <= value + 1e-9
    assert value - 1e-9 <= high <= 100
    wider_low, wider_high = wilson_interval(value, n, confidence=0.99)
    assert wider_low <= low + 1e-9
    assert high <= wider_high + 1e-9

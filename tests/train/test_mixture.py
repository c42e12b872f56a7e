from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.train.mixture import (
    Sampling,
    draw_numbers,
    language_shares,
    mix,
    schedule,
    task_shares,
)

NINE = {
    "anli+": 1_104_934,
    "mnli": 392_702,
    "qqp": 363_846,
    "squad_v2": 130_319,
    "squad_v1": 87_599,
    "hellaswag": 39_905,
    "ccg": 38_015,
    "cosmosqa": 25_262,
    "commonsenseqa": 9_741,
}
"""Training examples of the study's tasks."""


def test_proportional_shares_count_no_task_above_the_cap() -> None:
    shares = dict(zip(NINE, task_shares(list(NINE.values()), Sampling()), strict=True))
    whole = 3 * 131_072 + 130_319 + 87_599 + 39_905 + 38_015 + 25_262 + 9_741
    assert shares["anli+"] == shares["mnli"] == shares["qqp"] == pytest.approx(131_072 / whole)
    assert shares["squad_v2"] == pytest.approx(130_319 / whole)
    assert shares["commonsenseqa"] == pytest.approx(9_741 / whole)
    assert sum(shares.values()) == pytest.approx(1)


def test_a_temperature_of_two_takes_square_roots() -> None:
    sampling = Sampling(kind="temperature", temperature=2.0, cap=None)
    assert task_shares([100, 900], sampling) == pytest.approx([0.25, 0.75])
    assert task_shares([100, 900], Sampling(kind="uniform")) == [0.5, 0.5]
    assert task_shares([100, 900], Sampling(cap=None)) == pytest.approx([0.1, 0.9])


@pytest.mark.parametrize("temperature", [1e-3, 1e-5])
def test_a_temperature_near_zero_draws_the_largest(temperature: float) -> None:
    """Each share to so high a power is below the smallest number that there is."""
    sampling = Sampling(kind="temperature", temperature=temperature, cap=100)
    sizes = [*range(1, 90), 100, 200]
    assert task_shares(sizes, sampling) == pytest.approx([*[0.0] * 89, 0.5, 0.5])


def test_ten_thousand_draws_follow_the_shares() -> None:
    shares = task_shares(list(NINE.values()), Sampling())
    drawn = np.bincount(schedule(shares, 10_000, seed=1), minlength=9) / 10_000
    # Four standard deviations of a binomial share; the whole schedule is fixed by its seed.
    for share, found in zip(shares, drawn, strict=True):
        assert abs(found - share) < 4 * np.sqrt(share * (1 - share) / 10_000)
    assert (schedule(shares, 10_000, seed=1) == schedule(shares, 10_000, seed=1)).all()
    assert (schedule(shares, 10_000, seed=1) != schedule(shares, 10_000, seed=2)).any()


@given(st.lists(st.integers(0, 4), max_size=60))
def test_draws_of_a_part_are_numbered_from_nought(order: list[int]) -> None:
    seen: dict[int, int] = {}
    expected: list[int] = []
    for part in order:
        expected.append(seen.setdefault(part, 0))
        seen[part] += 1
    assert draw_numbers(np.array(order, dtype=np.int64)).tolist() == expected


def test_the_epoch_of_one_task_is_each_of_its_rows_once() -> None:
    assert mix([(10, 27)], Sampling(), epochs=2, batch_size=6).steps == 10
    # The cap is about shares, and one task has no other to share with.
    assert mix([(100, 100)], Sampling(cap=10), epochs=1, batch_size=10).steps == 10


def test_the_epoch_of_several_tasks_has_a_capped_one_in_part() -> None:
    # 1,000 examples in 2,000 rows, of which the cap leaves a tenth; and all 50 of the other task.
    mixture = mix([(1000, 2000), (50, 50)], Sampling(cap=100), epochs=3, batch_size=10)
    assert mixture.steps == 3 * 25
    assert mixture.shares == pytest.approx((100 / 150, 50 / 150))


def test_text_comes_on_top_of_the_tasks() -> None:
    mixture = mix(
        [(60, 60)], Sampling(), epochs=2, batch_size=6, text_rows=9, text_probability=0.25
    )
    assert mixture.steps == 27  # 20 without text
    assert mixture.shares == (0.75, 0.25)
    alone = mix([], Sampling(), epochs=2, batch_size=6, text_rows=9, text_probability=0.25)
    assert (alone.steps, alone.shares) == (4, (1.0,))


def test_an_exponent_lifts_small_languages() -> None:
    assert language_shares({"en": 900, "sw": 100}, 0.5) == pytest.approx({"en": 0.75, "sw": 0.25})
    assert language_shares({"en": 900, "sw": 100}, 0.0) == {"en": 0.5, "sw": 0.5}
    assert language_shares({"en": 900, "sw": 100}, 1.0) == pytest.approx({"en": 0.9, "sw": 0.1})

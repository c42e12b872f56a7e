from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.statistics.corrections import holm


def test_a_worked_example() -> None:
    # The example of Wikipedia's article on Holm's method: at 0.05 the first and the fourth hypothesis
    # are rejected, the others are not.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_it_is_that_of_statsmodels() -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
    def check(p_values: list[float]) -> None:
        theirs = multitest.multipletests(p_values, method="holm")[1]
        assert holm(p_values) == pytest.approx(list(theirs))

    check()


def test_nothing_is_corrected_alone_or_not_at_all() -> None:
    assert holm([]) == []
    assert holm([0.2]) == [0.2]

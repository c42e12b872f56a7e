from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from xtransfer.statistics.regression import LEAST_CLUSTERS, Fit, fit


def data(seed: int, clusters: int = 12, groups: int = 4) -> dict[str, list]:
    chance = np.random.default_rng(seed)
    label = [f"l{at}" for at in range(clusters) for _ in range(groups)]
    group = [f"g{at}" for _ in range(clusters) for at in range(groups)]
    own = np.repeat(chance.normal(size=clusters), groups)
    x = np.repeat(chance.normal(size=clusters), groups) + 0.3 * chance.normal(size=len(label))
    z = chance.normal(size=len(label))
    level = np.tile(10 * chance.normal(size=groups), clusters)
    y = 2 * x - z + level + own + chance.normal(size=len(label))
    return {"y": list(y), "x": list(x), "z": list(z), "label": label, "group": group}


def fitted(made: dict[str, list]) -> Fit:
    found = fit(
        made["y"],
        {"x": made["x"], "z": made["z"]},
        clusters=made["label"],
        groups=made["group"],
    )
    assert isinstance(found, Fit)
    return found


def test_slopes_and_intervals_are_those_of_statsmodels() -> None:
    formulas = pytest.importorskip("statsmodels.formula.api")
    made = data(1)
    theirs = formulas.ols("y ~ x + z + C(group)", pd.DataFrame(made)).fit(
        cov_type="cluster",
        cov_kwds={"groups": np.unique(made["label"], return_inverse=True)[1]},
        use_t=True,
    )
    bounds = theirs.conf_int()
    for slope in fitted(made).slopes:
        assert slope.value == pytest.approx(theirs.params[slope.name])
        assert (slope.low, slope.high) == pytest.approx(tuple(bounds.loc[slope.name]))
        assert slope.p == pytest.approx(theirs.pvalues[slope.name], abs=1e-12)


def test_one_predictor_in_one_group_is_scipys_line() -> None:
    made = data(2, clusters=40, groups=1)
    found = fit(made["y"], {"x": made["x"]}, clusters=made["label"], groups=made["group"])
    theirs = stats.linregress(made["x"], made["y"])
    assert isinstance(found, Fit)
    assert found.slopes[0].value == pytest.approx(theirs.slope)
    assert found.r2 == pytest.approx(theirs.rvalue**2)


def test_intervals_cover_though_rows_of_a_cluster_belong_together() -> None:
    covered = 0
    for seed in range(300):
        slope = fitted(data(100 + seed, clusters=30)).slopes[0]
        covered += slope.low <= 2.0 <= slope.high
    assert covered >= 0.9 * 300


@pytest.mark.parametrize(
    "apart",
    [
        lambda at, x: x + 1e-9 * (at % 7),  # the normal equations have no digit left for this
        lambda at, x: (
            0.7 + at % 4 / 3
        ),  # the same in a group: less the mean of it, at most a rounding
        lambda at, x: 0.0,
    ],
)
def test_predictors_that_hardly_vary_apart_give_no_numbers(
    apart: Callable[[int, float], float],
) -> None:
    made = data(4)
    other = [apart(at, x) for at, x in enumerate(made["x"])]
    for predictors in ({"x": made["x"], "other": other}, {"other": other, "same": other}):
        found = fit(made["y"], predictors, clusters=made["label"], groups=made["group"])
        assert isinstance(found, str)
        assert found.startswith("the predictors do not vary apart from each other: ")


def test_what_rounding_alone_makes_vary_gives_no_numbers() -> None:
    made = data(4)
    level = [0.7 + at % 4 / 3 for at in range(len(made["y"]))]  # one value a group
    found = fit(made["y"], {"level": level}, clusters=made["label"], groups=made["group"])
    assert found == "the predictors do not vary apart from each other: level"


def test_a_predictor_in_small_units_is_one_like_any_other() -> None:
    made = data(4)
    tiny = [1e-8 * x for x in made["x"]]
    one = fit(made["y"], {"x": made["x"]}, clusters=made["label"], groups=made["group"])
    small = fit(made["y"], {"x": tiny}, clusters=made["label"], groups=made["group"])
    assert isinstance(one, Fit)
    assert isinstance(small, Fit)
    assert small.slopes[0].value * 1e-8 == pytest.approx(one.slopes[0].value)
    assert small.slopes[0].p == pytest.approx(one.slopes[0].p)


def test_what_cannot_be_estimated_is_said_in_words() -> None:
    few = data(3, clusters=LEAST_CLUSTERS - 1)
    assert "too few" in str(
        fit(few["y"], {"x": few["x"]}, clusters=few["label"], groups=few["group"])
    )
    made = data(4)
    same = fit(
        made["y"],
        {"x": made["x"], "twice": [2 * x for x in made["x"]]},
        clusters=made["label"],
        groups=made["group"],
    )
    assert same == "the predictors do not vary apart from each other: x, twice"
    flat = fit(
        [3.1] * len(made["y"]), {"x": made["x"]}, clusters=made["label"], groups=made["group"]
    )
    assert flat == "the outcome does not vary within groups"
    alone = fit(
        made["y"],
        {"x": made["x"]},
        clusters=made["label"],
        groups=[str(at) for at in range(len(made["y"]))],
    )
    assert "rows are too few" in str(alone)

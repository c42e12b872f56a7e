from __future__ import annotations

import pytest

from xtransfer.report.page.cells import Scale, nice, scale_of
from xtransfer.report.page.charts import MOST_POINTS, thinned
from xtransfer.report.page.svg import Area, ticks
from xtransfer.report.study import Point


@pytest.mark.parametrize(
    ("gain", "shade"),
    [(0, "g0"), (0.49, "g0"), (0.51, "g1"), (-0.51, "g-1"), (2, "g2"), (-9, "g-4"), (None, "")],
)
def test_shades_are_the_same_on_both_sides_of_zero(gain: float | None, shade: str) -> None:
    assert Scale(most=4).shade(gain) == shade


def test_the_legend_names_what_the_shades_stand_for() -> None:
    scale = Scale(most=4)
    assert [text for _, text in scale.legend()] == [
        "-4",
        "-3",
        "-2",
        "-1",
        "0",
        "+1",
        "+2",
        "+3",
        "+4",
    ]
    for name, text in scale.legend():
        assert scale.shade(float(text)) == name


def test_a_scale_ends_at_a_round_number() -> None:
    assert scale_of([0.3, -2.6, None]).most == 3
    assert scale_of([]).most == 1
    assert scale_of([0.0]).most == pytest.approx(0.1)
    assert scale_of([1.0] * 20 + [50.0]).most == 1  # one wild value pales no other


def test_round_numbers() -> None:
    assert [nice(value) for value in (0.3, 1, 1.1, 4.9, 5.1)] == [0.5, 1, 2, 5, 10]
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-3.2, 4.1) == [-2, 0, 2, 4]
    assert ticks(0, 2, least=1.0) == [0, 1, 2]


def test_an_area_has_its_values_where_they_belong() -> None:
    area = Area(width=100, height=100, left=10, right=10, top=10, bottom=10, x=(0, 1), y=(0, 2))
    assert (area.at_x(0), area.at_x(1), area.at_y(0), area.at_y(2)) == (10, 90, 90, 10)


def test_a_long_curve_is_thinned_and_keeps_its_ends() -> None:
    points = [Point(step=at, loss=None, dev=0.0) for at in range(1000)]
    drawn = thinned(points)
    assert len(drawn) == MOST_POINTS
    assert (drawn[0].step, drawn[-1].step) == (0, 999)
    assert thinned(points[:5]) == points[:5]

"""No two arms look alike in a drawing, however many there are, scored yet or not."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from matplotlib.axes import Axes

from tests.report.pages import Page
from tests.report.studies import Made, make_study
from xtransfer.config.averaging import is_average
from xtransfer.plan import BASELINE
from xtransfer.report.page import render_page
from xtransfer.report.pictures import draw_pictures
from xtransfer.report.series import COLOURS, colour, pattern, series_of

NINE = (
    "anli+", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa", "commonsenseqa",
)  # fmt: skip
TEN = (*NINE, "multi")


@pytest.fixture(scope="module")
def made() -> Made:
    return make_study(
        targets={"xnli": ("de", "sw"), "udpos": ("fi",)},
        arms=(*NINE, {"name": "multi", "tasks": ["mnli", "squad_v1"]}),
        seeds=1,
    )


@pytest.mark.parametrize("patterns", [4, 6, 9])
def test_colours_come_again_with_other_patterns(patterns: int) -> None:
    every = COLOURS * patterns
    assert len({(colour(at), pattern(at, patterns)) for at in range(every)}) == every


def test_averages_take_no_look_from_arms(made: Made) -> None:
    averages = tuple(f"{arm}, mean of last 4" for arm in made.answer.arms)
    arms = tuple(sorted((*made.answer.arms, *averages), key=lambda name: (name != BASELINE, name)))
    series = series_of(replace(made.answer, arms=arms), made.study)
    assert set(series) == set(arms)
    assert [arm for arm in series if not is_average(arm)] == list(made.answer.arms)
    assert list(series.values()) == list(range(len(arms)))


def test_every_arm_has_a_line_and_a_mark_of_its_own(made: Made) -> None:
    text = render_page(made.answer, made.study, made.info)
    lines: dict[str, set[str]] = {}
    curve = r'<title>([^<]*), seed [^<]*</title><polyline points="[^"]*" class="([^"]*)"/>'
    for sweep, look in re.findall(curve, text):
        _, _, after = sweep.partition(" after ")
        lines.setdefault(after or sweep, set()).add(look)
    assert set(lines) == {BASELINE, *TEN}
    assert all(len(looks) == 1 for looks in lines.values())
    assert len(set.union(*lines.values())) == 11
    marks = {
        each.text.split(",")[0]: (each.attributes["href"], each.attributes["class"])
        for each in Page(text).of("use")
        if each.keys
    }
    assert len(set(marks.values())) == len(marks) == 11
    legends = re.findall(r'<ul class="arms".*?</ul>', text, re.DOTALL)
    distance, curves = (re.findall(r"<li>(<svg.*?</svg>)([^<]*)</li>", each) for each in legends)
    assert [arm for _, arm in curves] == [BASELINE, *sorted(TEN)]
    assert [arm for _, arm in distance] == sorted(TEN)  # the baseline has no gain
    assert len({look for look, _ in curves}) == 11
    for look, arm in curves:
        assert f'class="{next(iter(lines[arm]))}"' in look
        assert 'href="{}" class="{}"'.format(*marks[arm]) in look


def test_an_arm_without_a_score_is_not_drawn_as_the_baseline() -> None:
    part = make_study(targets={"xnli": ("de", "sw")}, arms=TEN[:2], without=("evaluate",))
    text = render_page(part.answer, part.study, part.info)
    assert part.answer.arms == ()
    looks = dict(re.findall(r"<title>xnli after ([^,]*), [^<]*</title><polyline [^>]* class=\"(.*?)\"", text))  # fmt: skip
    assert len(set(looks.values())) == len(looks) == 3
    assert "mnli</li>" in text


def test_pictures_tell_all_arms_apart(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: set[tuple[Any, ...]] = set()
    plot = Axes.plot

    def noted(self: Axes, *args: Any, **look: Any) -> Any:
        if look.get("marker") and look.get("alpha") == 0.7:
            looks.add((look["marker"], look["color"]))
        return plot(self, *args, **look)

    monkeypatch.setattr(Axes, "plot", noted)
    assert "distance.png" in draw_pictures(made.answer, made.study)
    assert len(looks) == 10

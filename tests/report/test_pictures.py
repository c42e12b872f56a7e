from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import pytest
from PIL import Image

from tests.report.studies import Made, small_study
from xtransfer.report.pictures import draw_pictures


@pytest.fixture(scope="module")
def made() -> Made:
    return small_study()


@pytest.fixture(scope="module")
def pictures(made: Made) -> Mapping[str, bytes]:
    return draw_pictures(made.answer, made.study)


def test_there_is_a_picture_of_everything(made: Made, pictures: Mapping[str, bytes]) -> None:
    assert set(pictures) == {
        "main.png",
        *(f"languages-{target}.png" for target in made.experiment.target.tasks),
        "seeds.png",
        "distance.png",
        "curves.png",
    }
    for data in pictures.values():
        image = Image.open(io.BytesIO(data))
        assert image.format == "PNG"
        assert image.info.keys() <= {"dpi"}
        colours = image.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 20


def test_the_same_answer_gives_the_same_bytes(made: Made, pictures: Mapping[str, bytes]) -> None:
    assert draw_pictures(made.answer, made.study) == pictures


def test_gains_are_blue_and_losses_orange(pictures: Mapping[str, bytes]) -> None:
    colours = (
        Image.open(io.BytesIO(pictures["languages-xnli.png"])).convert("RGB").getcolors(1 << 24)
    )
    assert colours is not None
    areas = [colour for count, colour in colours if count > 2000]  # type: ignore[misc]
    assert any(red > blue + 5 for red, _, blue in areas)  # type: ignore[misc]
    assert any(blue > red + 5 for red, _, blue in areas)  # type: ignore[misc]


def test_a_single_evaluation_is_seen_as_a_mark(made: Made) -> None:
    curves = tuple(replace(curve, points=curve.points[:1]) for curve in made.study.curves)
    data = draw_pictures(made.answer, replace(made.study, curves=curves))["curves.png"]
    empty = tuple(replace(curve, points=()) for curve in curves)
    without = draw_pictures(made.answer, replace(made.study, curves=empty)).get("curves.png", b"")
    assert coloured(data) > coloured(without) + 50


def coloured(data: bytes) -> int:
    """Return the points of a picture that are no grey."""
    if not data:
        return 0
    colours = Image.open(io.BytesIO(data)).convert("RGB").getcolors(1 << 24) or []
    return sum(count for count, rgb in colours if max(rgb) - min(rgb) > 60)  # type: ignore[arg-type]


def test_nothing_recorded_is_no_picture() -> None:
    made = small_study(without=("evaluate", "train", "select"))
    assert draw_pictures(made.answer, made.study) == {}

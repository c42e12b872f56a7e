from __future__ import annotations

import io
from collections.abc import Mapping

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


def test_nothing_recorded_is_no_picture() -> None:
    made = small_study(without=("evaluate", "train", "select"))
    assert draw_pictures(made.answer, made.study) == {}

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace

import pytest
from PIL import Image

from tests.report.studies import Made, make_study, small_study
from xtransfer.report.pictures import DPI, draw_pictures


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


def test_nothing_is_cut_off_at_the_edges() -> None:
    made = make_study(
        targets={"xnli": ("de", "en", "sw", "tr", "ur")}, arms=("commonsenseqa", "squad_v1")
    )
    for name, data in draw_pictures(made.answer, made.study).items():
        cut = ink_at_the_edges(data)
        assert not cut, f"{name}: {cut}"


def test_long_names_leave_room_for_what_they_name() -> None:
    """Where names squeeze a drawing to nothing matplotlib warns, which fails here."""
    made = make_study(
        targets={f"a-target-of-nearly-thirty-cha{at}": ("de", "sw") for at in range(3)}
    )
    name = "an-arm-named-at-great-length, mean of last 4 over seeds"
    arms = {arm: f"{arm}-{name}" for arm in made.answer.arms[1:]}
    answer = replace(
        made.answer,
        arms=tuple(arms.get(arm, arm) for arm in made.answer.arms),
        scores=tuple(replace(e, after=arms.get(e.after, e.after)) for e in made.answer.scores),
        gains=tuple(replace(e, after=arms[e.after]) for e in made.answer.gains),
        typology=None,
    )
    pictures = draw_pictures(answer, made.study)
    assert not any(map(ink_at_the_edges, pictures.values()))
    seeds = Image.open(io.BytesIO(pictures["seeds.png"])).convert("L")
    frame = max(row(seeds, y) for y in range(seeds.height))  # longest dark line: the panel's frame
    assert frame > 2 * DPI


def ink_at_the_edges(data: bytes) -> str:
    """Return at which edges of a picture something is drawn."""
    image = Image.open(io.BytesIO(data)).convert("L")
    width, height = image.size
    edges = {
        "left": (0, 0, 1, height),
        "right": (width - 1, 0, width, height),
        "top": (0, 0, width, 1),
        "bottom": (0, height - 1, width, height),
    }
    return " ".join(n for n, box in edges.items() if image.crop(box).getextrema()[0] < 250)  # type: ignore[operator]


def row(image: Image.Image, y: int) -> int:
    """Return how many points of a row are dark, one beside the other."""
    dark = bytes(255 if x < 100 else 0 for x in image.crop((0, y, image.width, y + 1)).tobytes())
    return max(map(len, dark.split(b"\0")))

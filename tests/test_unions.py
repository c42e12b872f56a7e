from __future__ import annotations

import pytest

from xtransfer.config.placement import Placement
from xtransfer.unions import place_of, union_at

TRIED = ("train", "workers", "tuple[int, int]", 1)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        (("train", "workers", "int"), ("train", "workers")),
        (TRIED, ("train", "workers", 1)),
        (("train", "workres"), ("train", "workres")),
    ],
)
def test_the_kind_that_was_tried_is_no_part_of_the_path(
    location: tuple[str | int, ...], path: tuple[str | int, ...]
) -> None:
    assert place_of(Placement, location).path == path


def test_a_place_has_the_type_and_the_names_that_may_stand_there() -> None:
    assert place_of(Placement, TRIED).kind is int
    assert place_of(Placement, ("train", "workers")).kind is None  # one of several
    assert "workers" in place_of(Placement, ("train",)).fields
    assert place_of(Placement, TRIED).fields == []


def test_the_steps_to_a_value_of_several_kinds_are_counted() -> None:
    assert union_at(Placement, TRIED, 0) == 2
    assert union_at(Placement, TRIED, 3) is None

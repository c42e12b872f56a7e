from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.data.examples import BitextExample, PairExample, Rows
from xtransfer.data.samples import cut, spread
from xtransfer.errors import DataError

FROZEN = ["182", "486", "584", "918", "961"]


def pairs(count: int, text: str = "p") -> Rows:
    return Rows(
        examples=tuple(
            PairExample(id=str(number), text_a=text, text_b="h", label="neutral")
            for number in range(count)
        ),
        skipped={"label '-'": 3},
    )


def ids(rows: Rows) -> list[str]:
    return [example.id for example in rows.examples]


def test_no_limit_and_a_high_limit_keep_everything() -> None:
    rows = pairs(5)
    assert cut(rows, None, seed=1) == cut(rows, 5, seed=1) == cut(rows, 9, seed=1) == rows


def test_a_cut_needs_at_least_one_example() -> None:
    with pytest.raises(ValueError, match="at least one example, not 0"):
        cut(pairs(3), 0, seed=1)


@given(total=st.integers(1, 200), data=st.data(), seed=st.integers(0, 2**32))
def test_a_cut_is_an_ordered_sample_that_depends_on_numbers_only(
    total: int, data: st.DataObject, seed: int
) -> None:
    count = data.draw(st.integers(1, total))
    found = cut(pairs(total), count, seed=seed)
    numbers = [int(id_) for id_ in ids(found)]
    assert len(numbers) == count
    assert numbers == sorted(set(numbers))
    assert ids(cut(pairs(total, "other text"), count, seed=seed)) == ids(found)
    assert set(ids(cut(pairs(total), (count + 1) // 2, seed=seed))) <= set(ids(found))
    assert found.skipped == {"label '-'": 3}


def test_a_cut_is_the_same_for_ever() -> None:
    # Part of step keys' meaning: a change here silently changes what every recorded step used.
    assert ids(cut(pairs(1000), 5, seed=0)) == FROZEN
    assert ids(cut(pairs(1000), 5, seed=1)) != FROZEN


def test_bitext_is_cut_by_pairs() -> None:
    rows = Rows(
        examples=tuple(
            BitextExample(id=str(number), side=side, text=f"{side} {number}", match=(str(number),))
            for side in ("foreign", "english")
            for number in range(50)
        )
    )
    found = cut(rows, 7, seed=3)
    foreign = [example.id for example in found.examples if example.side == "foreign"]  # type: ignore[union-attr]
    english = [example.id for example in found.examples if example.side == "english"]  # type: ignore[union-attr]
    assert foreign == english
    assert len(foreign) == 7
    assert ids(cut(pairs(50), 7, seed=3)) == foreign
    assert all(example in rows.examples for example in found.examples)


def _numbered(count: int, tag: str) -> Rows:
    return Rows(
        examples=tuple(
            PairExample(id=str(at), text_a=tag, text_b=None, label=None) for at in range(count)
        )
    )


@given(st.integers(2, 5), st.integers(5, 60), st.integers(0, 9))
def test_spreading_takes_no_parallel_example_twice(languages: int, count: int, seed: int) -> None:
    rows = {f"l{at}": _numbered(count, f"l{at}") for at in range(languages)}
    found = spread(rows, None, seed=seed)
    ids = [example.id for each in found.values() for example in each.examples]
    assert sorted(ids, key=int) == [str(at) for at in range(count)]  # a partition of one language
    sizes = [len(each.examples) for each in found.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(
        example.text_a == language  # type: ignore[union-attr]
        for language, each in found.items()
        for example in each.examples
    )


def test_spreading_asks_no_more_of_a_language_than_it_has() -> None:
    rows = {"en": _numbered(100, "en"), "sw": _numbered(20, "sw")}
    assert [len(each.examples) for each in spread(rows, 40, seed=1).values()] == [20, 20]
    with pytest.raises(DataError, match="sw: has 20 examples, too few for its 50 of the 100"):
        spread(rows, None, seed=1)

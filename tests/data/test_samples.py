from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.data.examples import BitextExample, PairExample, Rows, SpanExample
from xtransfer.data.samples import cut, hold_out, holdout_setting, spread
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS

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


def test_of_sentences_without_a_translation_the_same_share_is_taken() -> None:
    """As in BUCC, where most sentences of either side have none: a cut must be no easier than the whole."""
    foreign = tuple(
        BitextExample(id=f"f{at}", side="foreign", text="f", match=(f"e{at}",) if at < 10 else ())
        for at in range(50)
    )
    english = tuple(
        BitextExample(id=f"e{at}", side="english", text="e", match=(f"f{at}",) if at < 10 else ())
        for at in range(90)
    )
    found = cut(Rows(examples=(*foreign, *english)), 20, seed=3).examples
    kept = {each.id for each in found if each.side == "foreign"}  # type: ignore[union-attr]
    assert len(kept) == 20
    paired = {each.id for each in found if each.side == "english" and each.match}  # type: ignore[union-attr]
    assert paired == {f"e{name[1:]}" for name in kept if int(name[1:]) < 10}
    lone = [each.id for each in found if each.side == "english" and not each.match]  # type: ignore[union-attr]
    assert len(lone) == 32  # of 80, as 20 are of 50 foreign ones
    assert lone != [f"e{at}" for at in range(10, 42)]  # drawn, not the first
    assert [each.id for each in found] == [
        each.id for each in (*foreign, *english) if each in found
    ]


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


def questions(*paragraphs: int) -> Rows:
    """Return as many questions on each paragraph as the number says."""
    return Rows(
        examples=tuple(
            SpanExample(id=f"{p}.{q}", question="who", context=f"paragraph {p}", answers=())
            for p, count in enumerate(paragraphs)
            for q in range(count)
        ),
        skipped={"a reason": 3},
    )


@given(st.lists(st.integers(1, 5), min_size=2, max_size=30), st.integers(1, 20), st.integers(0, 5))
def test_whole_paragraphs_are_held_out(sizes: list[int], examples: int, seed: int) -> None:
    found = questions(*sizes)
    if examples > sum(sizes) - max(sizes):
        examples = 1
    dev, train = (hold_out(found, role, examples=examples, seed=seed) for role in ("dev", "train"))
    assert sorted(ids(dev) + ids(train)) == sorted(ids(found))
    paragraphs = [{example.context for example in part.examples} for part in (dev, train)]  # type: ignore[union-attr]
    assert not paragraphs[0] & paragraphs[1]
    assert examples <= len(dev.examples) < examples + max(sizes)
    assert [each for each in ids(found) if each in set(ids(dev))] == ids(dev)
    assert dev.skipped == found.skipped
    assert hold_out(found, "dev", examples=examples, seed=seed) == dev


def test_another_seed_holds_others_out() -> None:
    found = questions(*[1] * 40)
    held = {tuple(ids(hold_out(found, "dev", examples=10, seed=seed))) for seed in range(5)}
    assert len(held) == 5


def test_the_order_of_the_file_does_not_choose() -> None:
    found = questions(*[2] * 20)
    reordered = replace(found, examples=tuple(reversed(found.examples)))
    held = [set(ids(hold_out(each, "dev", examples=9, seed=1))) for each in (found, reordered)]
    assert held[0] == held[1]


def test_an_example_without_a_paragraph_is_one_by_itself() -> None:
    pairs = Rows(
        examples=tuple(
            PairExample(id=str(at), text_a="same", text_b=None, label="x") for at in range(10)
        )
    )
    assert len(hold_out(pairs, "dev", examples=3, seed=0).examples) == 3


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(DataError, match="12 examples leave nothing to train on"):
        hold_out(questions(4, 4, 4), "train", examples=12, seed=0)


def test_what_leaves_nothing_to_train_on_is_named_with_its_setting_and_file() -> None:
    setting = holdout_setting(TASKS["text"])
    with pytest.raises(DataError) as caught:
        hold_out(questions(4, 4), "train", examples=12, seed=0, setting=setting, file="text/en.txt")
    assert str(caught.value) == (
        "text.holdout of the arm: 12 examples leave nothing to train on: text/en.txt has 8, in 2 paragraphs. "
        "Hold fewer out, or bring more."
    )
    assert holdout_setting(TASKS["mnli"]) == "data.holdout.mnli"

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from tests.tiny import rows_of, tiny_tokenizer
from xtransfer.data.examples import TextExample
from xtransfer.forms import mlm
from xtransfer.forms.encoding import IGNORED, Encoded, Rows, lists

SPECIAL, MASK, VOCABULARY = (0, 1, 2, 3), 4, 50


def paragraphs(*texts: str) -> list[TextExample]:
    return [TextExample(id=str(at), text=text) for at, text in enumerate(texts)]


def rows(*ids: list[int]) -> Rows:
    return rows_of(Encoded(columns={"input_ids": list(ids)}))


def masked(source: Rows, *, share: float, seed: int = 0) -> Rows:
    return mlm.mask(
        source,
        np.arange(len(source["input_ids"])),
        random=np.random.default_rng(seed),
        share=share,
        mask_token=MASK,
        special=SPECIAL,
        vocabulary=VOCABULARY,
    )


def test_a_long_paragraph_is_split_and_loses_nothing() -> None:
    text = "the cat sat on the mat under the tree"
    encoded = mlm.encode(
        paragraphs(text, "a dog"), tiny_tokenizer(), labels=(), max_length=6, stride=0
    )
    assert encoded.counts == {"paragraphs split": 1, "paragraphs without tokens": 0}
    assert encoded.columns["example"] == [0, 0, 0, 1]
    inside = [token for ids in encoded.columns["input_ids"][:3] for token in ids[1:-1]]
    assert inside == tiny_tokenizer()(text, add_special_tokens=False)["input_ids"]
    assert all(ids[0] == 0 and ids[-1] == 2 for ids in encoded.columns["input_ids"])
    assert max(map(len, encoded.columns["input_ids"])) <= 6


@given(
    st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=12), min_size=1),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32 - 1),
)
def test_masking_asks_for_what_it_hid_and_leaves_special_tokens(
    ids: list[list[int]], share: float, seed: int
) -> None:
    found = masked(rows(*ids), share=share, seed=seed)
    everything = range(len(ids))
    hidden, gold = (lists(found[name], everything) for name in ("input_ids", "gold"))
    asked = 0
    for before, after, wanted in zip(ids, hidden, gold, strict=True):
        for old, new, target in zip(before, after, wanted, strict=True):
            assert target in (old, IGNORED)
            assert old in (new, target)
            assert old not in SPECIAL or (new, target) == (old, IGNORED)
            assert new == old or new not in SPECIAL
            asked += int(target != IGNORED)
    assert int(np.asarray(found["weight"]).sum()) == asked
    if any(token not in SPECIAL for row in ids for token in row):
        assert asked > 0


def test_eight_in_ten_are_hidden_and_one_in_ten_replaced() -> None:
    token, count = 10, 200_000
    found = masked(rows([token] * count), share=0.15)
    hidden, gold = (lists(found[name], [0])[0] for name in ("input_ids", "gold"))
    asked = gold != IGNORED
    assert asked.mean() == pytest.approx(0.15, abs=0.005)
    assert (hidden[asked] == MASK).mean() == pytest.approx(0.8, abs=0.02)
    # One in ten is drawn from 46 tokens, and may be drawn as it was.
    assert (hidden[asked] == token).mean() == pytest.approx(0.1 + 0.1 / 46, abs=0.02)
    assert (hidden[~asked] == token).all()


def test_the_loss_is_that_of_the_hidden_tokens_alone() -> None:
    torch.manual_seed(0)
    found = masked(rows([0, 10, 11, 12, 2], [0, 13, 2]), share=0.5, seed=3)
    where = torch.from_numpy(mlm.positions(found, [0, 1]))
    gold = mlm.gold_tensors(found, [0, 1])
    assert int(where.sum()) == len(gold["gold"]) == int(np.asarray(found["weight"]).sum())
    states, words = torch.randn(2, 5, 8), torch.randn(VOCABULARY, 8)
    head: Any = mlm.Head(8, VOCABULARY, 0.0)
    at_once = mlm.loss(head(states[where], words), gold)
    labels = torch.full((2, 5), IGNORED)
    labels[where] = gold["gold"]
    whole = functional.cross_entropy(
        head(states, words).flatten(0, 1), labels.flatten(), reduction="sum"
    )
    assert float(at_once.detach()) == pytest.approx(float(whole.detach()), rel=1e-5)


@pytest.mark.parametrize("special", [(0, 1, 2, 3), (), (5,), (0, 7, 8, 59), (59, 3, 3, 100)])
def test_replacing_ids_are_drawn_from_all_that_are_not_special(special: tuple[int, ...]) -> None:
    """As numpy takes them from a list of those ids, which takes long for 250,000."""
    source = rows(list(range(10, 50)) * 50)
    others = np.setdiff1d(np.arange(VOCABULARY), special)
    found = mlm.mask(
        source,
        np.array([0]),
        random=np.random.default_rng(3),
        share=1.0,
        mask_token=MASK,
        special=special,
        vocabulary=VOCABULARY,
    )
    random = np.random.default_rng(3)
    flat = np.asarray(source["input_ids"].values)  # type: ignore[union-attr]
    asked = (random.random(len(flat)) < 1.0) & ~np.isin(flat, special)
    fate = random.random(len(flat))
    drawn = others[random.integers(0, len(others), len(flat))]
    replaced = asked & (fate >= mlm.MASKED) & (fate < mlm.MASKED + mlm.REPLACED)
    assert replaced.sum() > 50
    hidden = np.asarray(found["input_ids"].values)  # type: ignore[union-attr]
    assert hidden[replaced].tolist() == drawn[replaced].tolist()

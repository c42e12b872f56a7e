from __future__ import annotations

from random import Random

import pytest

from xtransfer.errors import DataError
from xtransfer.metrics.retrieval import map20, mining_f1, mrr20


def rankings() -> tuple[list[list[str]], list[list[str]]]:
    """Return gold candidates and 25 ranked ones for each of 40 queries, always the same."""
    random = Random("rankings")
    gold, found = [], []
    for _ in range(40):
        size = random.choice((1, 2, 5, 11, 30))
        gold.append(list(dict.fromkeys(f"c{random.randrange(60)}" for _ in range(size))))
        found.append([f"c{name}" for name in random.sample(range(60), 25)])
    return gold, found


def test_average_precision_is_xtremes() -> None:
    # By average_precision_at_k of google-research/xtreme@838c13b, third_party/utils_lareqa.py.
    gold, found = rankings()
    assert map20(gold, found) == {"map20": pytest.approx(6.285813299262761)}
    assert map20([["a", "b"]], [["a", "a", "b"]])["map20"] == pytest.approx(83.33333333333333)


def test_reciprocal_rank_is_xtremes() -> None:
    # By mean_reciprocal_rank of google-research/xtreme@838c13b, third_party/utils_mewslix.py.
    gold, found = rankings()
    assert mrr20([names[:1] for names in gold], found) == {
        "mrr20": pytest.approx(3.7403127917833805)
    }


def test_ranks_beyond_20_do_not_count() -> None:
    ranking = [f"c{at}" for at in range(30)]
    assert mrr20([["c19"]], [ranking])["mrr20"] == pytest.approx(5)
    assert mrr20([["c20"]], [ranking])["mrr20"] == 0
    assert map20([["c20"]], [ranking])["map20"] == 0
    # 25 gold candidates: 20 of them fill all the ranks there are.
    assert map20([ranking[:25]], [ranking])["map20"] == 100


def test_a_query_that_nothing_answers_scores_nothing() -> None:
    assert map20([[], ["a"]], [["a"], ["a"]])["map20"] == 50
    assert mrr20([[], ["a"]], [["a"], []])["mrr20"] == 0


def test_f1_is_over_sets_of_pairs() -> None:
    # Three gold pairs, two of one sentence; of two found, one is right.
    found = mining_f1([["a"], [], ["b", "c"], []], ["x", None, "c", None])
    assert found == pytest.approx({"f1": 40.0, "precision": 50.0, "recall": 100 / 3})
    nothing = mining_f1([["a"], []], [None, None])
    assert nothing == {"f1": 0.0, "precision": 0.0, "recall": 0.0}


def test_mining_without_gold_pairs_is_refused() -> None:
    with pytest.raises(DataError, match="no gold pair"):
        mining_f1([[], []], ["a", None])

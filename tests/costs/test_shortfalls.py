from __future__ import annotations

from pathlib import Path

import pytest

from tests.costs.timed import SMALL, by_key, counted, of_kind, plan_of
from xtransfer.costs.shortfalls import shortfall_lines, shortfalls

AVERAGED = SMALL.replace(
    "seeds: [1], languages", "seeds: [1], average: {checkpoints: 4}, languages"
)


def averaged(every: int) -> str:
    return AVERAGED.replace("eval_every: null", f"eval_every: {every}")


def test_published_sizes_tell_which_trials_have_too_few_dev_scores(tmp_path: Path) -> None:
    """PAWS-X: 49,401 examples, 5 epochs in batches of 32; XNLI trains on MNLI."""
    steps = 5 * -(-49_401 // 32)
    found = shortfalls(plan_of(tmp_path, averaged(3000)), {})
    assert [(each["target"], each["asked"], each["evaluations"]) for each in found] == [
        ("pawsx", 4, -(-steps // 3000))
    ]
    line = next(shortfall_lines(found))
    assert "trials on pawsx score their dev set 3 times" in line
    assert "the mean is of 3 and not of 4" in line
    assert not shortfalls(plan_of(tmp_path, averaged(1000)), {})


def test_counted_rows_win_over_published_sizes(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, averaged(100))
    data = by_key(*(counted(step, rows=320) for step in of_kind(plan, "prepare")))
    found = {each["target"]: each for each in shortfalls(plan, data)}
    assert set(found) == {"mnli", "pawsx"}
    assert found["pawsx"]["evaluations"] == 1
    assert found["pawsx"]["source"] == "counted"
    assert "pawsx score their dev set once" in "".join(shortfall_lines(list(found.values())))


@pytest.mark.parametrize("average", ["", "seeds: [1, 2], average: {seeds: true}, "])
def test_nothing_is_told_where_no_checkpoints_are_averaged(tmp_path: Path, average: str) -> None:
    text = averaged(3000).replace("seeds: [1], average: {checkpoints: 4}, ", average)
    assert not shortfalls(plan_of(tmp_path, text), {})


def test_what_nothing_is_known_of_is_left_out(tmp_path: Path) -> None:
    own = "data: {files: {pawsx: {train: [mine.tsv]}, mnli: {train: [mine.jsonl]}}}\n"
    assert not shortfalls(plan_of(tmp_path, averaged(3000) + own), {})

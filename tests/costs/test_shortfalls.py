from __future__ import annotations

from pathlib import Path

import pytest

from tests.costs.timed import SMALL, by_key, counted, of_kind, plan_of
from xtransfer.costs.shortfalls import shortfall_lines, shortfalls, unreached_rungs

AVERAGED = SMALL.replace(
    "seeds: [1], languages", "seeds: [1], average: {checkpoints: 4}, languages"
)


def averaged(every: int) -> str:
    return AVERAGED.replace("eval_every: null", f"eval_every: {every}")


def test_published_sizes_tell_which_trials_have_too_few_dev_scores(tmp_path: Path) -> None:
    """PAWS-X: 49,401 examples, 5 epochs in batches of 32; XNLI trains on MNLI."""
    steps = 5 * -(-49_401 // 32)
    plan = plan_of(tmp_path, averaged(3000))
    found = shortfalls(plan, {})
    assert [(each["target"], each["asked"], each["evaluations"]) for each in found] == [
        ("pawsx", 4, -(-steps // 3000))
    ]
    line = next(shortfall_lines(plan, {}))
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
    assert "pawsx score their dev set once" in "".join(shortfall_lines(plan, data))


@pytest.mark.parametrize("average", ["", "seeds: [1, 2], average: {seeds: true}, "])
def test_nothing_is_told_where_no_checkpoints_are_averaged(tmp_path: Path, average: str) -> None:
    text = averaged(3000).replace("seeds: [1], average: {checkpoints: 4}, ", average)
    assert not shortfalls(plan_of(tmp_path, text), {})


def test_what_nothing_is_known_of_is_left_out(tmp_path: Path) -> None:
    own = "data: {files: {pawsx: {train: [mine.tsv]}, mnli: {train: [mine.jsonl]}}}\n"
    assert not shortfalls(plan_of(tmp_path, averaged(3000) + own), {})


ASHA = SMALL.replace("seeds: [1, 2]}", "learning_rates: [1e-5, 2e-5], asha: {grace: 60}}")


@pytest.mark.parametrize(("every", "unreached"), [(5, True), (6, False), (10, True)])
def test_asha_that_can_stop_nothing_is_told_of(tmp_path: Path, every: int, unreached: bool) -> None:
    """Of ten steps, only that at 6 is past the rung at 60 % and before the end."""
    plan = plan_of(tmp_path, ASHA.replace("eval_every: null", f"eval_every: {every}"))
    trial = of_kind(plan, "train")[0]
    rows = 10 * trial.spec["batch_size"] // trial.spec["epochs"]
    data = by_key(*(counted(step, rows=rows) for step in of_kind(plan, "prepare")))
    found = unreached_rungs(plan, data)
    assert [each["steps"] for each in found] == [10] * unreached
    line = "".join(shortfall_lines(plan, data))
    assert ("intermediate.asha: trials on mnli take 10 steps" in line) == unreached

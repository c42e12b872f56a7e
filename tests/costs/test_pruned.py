"""What `plan` tells of an experiment that prunes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.costs.timed import PLACED, SMALL, by_key, counted, of_kind, plan_of, trained
from xtransfer.costs.document import to_json
from xtransfer.costs.estimate import Question, estimate
from xtransfer.costs.words import summary_lines
from xtransfer.plan import Plan
from xtransfer.pruning.pairs import without_pruned
from xtransfer.records.record import Record

ARMS = re.sub("intermediate: .*", "intermediate: {tasks: [mnli, qqp, anli+]}", SMALL)


def plan_with(folder: Path, more: str) -> Plan:
    return plan_of(folder, ARMS + more)


def timed(plan: Plan) -> dict[str, Record]:
    first, *_ = of_kind(plan, "train", "mnli-after-qqp")
    return by_key(*(counted(step) for step in of_kind(plan, "prepare")), trained(first))


def test_trials_wait_for_all_that_pruning_compares(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("free", "pruned")]
    for folder in folders:
        folder.mkdir()
    free = plan_with(folders[0], "")
    pruned = plan_with(folders[1], "pruning: {keep: 1}\n")
    whole, found = (
        estimate(plan, timed(plan), PLACED, Question(gpus=2)) for plan in (free, pruned)
    )
    assert whole.makespan_s is not None
    assert found.makespan_s is not None
    # Both GPUs finish all arms and the baseline before the first pair begins, which leaves gaps.
    assert found.makespan_s > whole.makespan_s
    assert found.critical_s == whole.critical_s


@pytest.mark.parametrize(("keep", "left_out"), [(1, 4), (2, 2)])
def test_what_will_be_left_out_is_said(tmp_path: Path, keep: int, left_out: int) -> None:
    plan = plan_with(tmp_path, f"pruning: {{keep: {keep}}}\n")
    found = estimate(plan, {}, PLACED, Question())
    assert to_json(found)["pruning"] == {"pairs": 6, "left_out": left_out}
    lines = list(summary_lines(found))
    assert any(f"pruning will leave out {left_out} of 6 pairs" in line for line in lines)
    # Nothing is said of what was compared, and of a target that was not everything.
    prune, *_ = of_kind(plan, "prune")
    estimates = list(prune.inputs.values())
    result = {"kept": estimates[:keep], "estimates": dict.fromkeys(estimates, -1.0)}
    done = Record(
        key=prune.key,
        kind="prune",
        name=prune.name,
        version=1,
        spec=dict(prune.spec),
        inputs=dict(prune.inputs),
        result=result,
    )
    records = {prune.key: done}
    rest = estimate(without_pruned(plan, records), records, PLACED, Question())
    assert (rest.pairs, rest.left_out) == (3, left_out // 2)

"""A finished grid pruned again on its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from scipy import stats

from tests.benchmarks.search_replays import Trial, choice
from xtransfer.plan import BASELINE, Plan
from xtransfer.pruning.rule import best
from xtransfer.records.record import Record

ARMS = ("commonsenseqa", "squad_v1", "mnli", "both", "tags")
OWN = {"xnli": "mnli", "udpos": "tags"}
"""Target -> the intermediate task that has the target's own training set."""


def replay_pruning(
    plan: Plan,
    records: Mapping[str, Record],
    sweeps: Mapping[str, Sequence[Trial]],
    *,
    keep: int,
    without_own: bool,
) -> dict[str, Any]:
    """Return what keeping so many intermediate tasks a target saves and loses.

    `without_own`: as if a target's own training set were not among them.
    """
    values = _estimates(plan, records)
    rows: dict[str, Any] = {}
    saved = cost = whole = 0.0
    for target, found in values.items():
        arms = [arm for arm in ARMS if not (without_own and arm == OWN[target])]
        kept = best({arm: found[arm].result["estimate"] for arm in arms}, keep)
        after = {arm: choice(sweeps[f"{target} after {arm}"], {}) for arm in arms}
        chosen = max(after.values(), key=lambda t: t.dev)
        left = max((after[arm] for arm in kept), key=lambda t: t.dev)
        tested = {arm: trial.test or 0.0 for arm, trial in after.items()}
        seconds = {arm: _pair_seconds(plan, records, target, arm) for arm in (BASELINE, *arms)}
        whole += sum(seconds.values())
        saved += sum(seconds[arm] for arm in arms if arm not in kept)
        cost += sum(found[arm].timing["seconds"] for arm in arms)
        rows[target] = {
            "kept": kept,
            "dev_regret": round(chosen.dev - left.dev, 2),
            "test_regret": round((chosen.test or 0.0) - (left.test or 0.0), 2),
            "oracle_test_regret": round(max(tested.values()) - max(tested[arm] for arm in kept), 2),
        }
    return {
        "keep": keep,
        "arms": len(ARMS) - without_own,
        "without_own": without_own,
        "saved_s": round(saved, 1),
        "estimates_s": round(cost, 1),
        "saved_percent_of_target_phase": round(100 * (saved - cost) / whole, 1),
        "targets": rows,
    }


def estimates_of(
    plan: Plan, records: Mapping[str, Record], sweeps: Mapping[str, Sequence[Trial]]
) -> dict[str, Any]:
    """Return each pair's estimate beside its test score, and how well they rank alike."""
    out: dict[str, Any] = {}
    for target, found in _estimates(plan, records).items():
        rows = {
            arm: {
                "logme": round(record.result["estimate"], 4),
                "dev": round(choice(sweeps[f"{target} after {arm}"], {}).dev, 2),
                "test": round(choice(sweeps[f"{target} after {arm}"], {}).test or 0.0, 2),
            }
            for arm, record in found.items()
        }
        out[target] = {
            "pairs": rows,
            "kendall_tau": _tau(list(rows.values())),
            "kendall_tau_without_own": _tau([r for arm, r in rows.items() if arm != OWN[target]]),
        }
    return out


def _tau(rows: Sequence[Mapping[str, float]]) -> float:
    tau: Any = stats.kendalltau([row["logme"] for row in rows], [row["test"] for row in rows])
    return round(float(tau.statistic), 2)


def _estimates(plan: Plan, records: Mapping[str, Record]) -> dict[str, dict[str, Record]]:
    """Return target -> arm -> the record of its estimate."""
    found: dict[str, dict[str, Record]] = {}
    names = {"mnli": "xnli"}
    arms = {"commonsenseqa+squad_v1": "both"}
    for key, step in plan.steps.items():
        if step.kind == "estimate":
            task, _, after = step.sweep.partition(" after ")
            found.setdefault(names.get(task, task), {})[arms.get(after, after)] = records[key]
    assert all(set(each) == set(ARMS) for each in found.values())
    return found


def _pair_seconds(plan: Plan, records: Mapping[str, Record], target: str, arm: str) -> float:
    """Return what the trials of a pair took, and the scoring of those that would be selected."""
    sweep = f"{target} after {arm}"
    trials = [k for k, s in plan.steps.items() if s.kind == "train" and s.sweep == sweep]
    scored = [
        records[cell.key].timing["seconds"]
        for cell in plan.cells
        if (cell.target, cell.intermediate) == (target, arm)
    ]
    return sum(records[key].timing["seconds"] for key in trials) + fmean(scored)

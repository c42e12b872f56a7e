"""What ASHA and pruning would have saved on a finished grid, and what they would have lost.

    python -m tests.benchmarks.search [--store file://FOLDER] [--cpus 2] [--orders 200]

A small grid on the demo's artificial languages is run whole: every learning rate of every sweep to its end,
every target trial scored on test, every pair of intermediate and target task estimated. A store that has it
already is only read. Then the searches are replayed on its records:

- ASHA stops trials by their recorded dev scores, with the product's own rule, over so many orders in which a
  sweep's trials start on two workers. Time that a stopped trial saves is its measured training time.
- Random search tries half of the learning rates, over all choices of them.
- Pruning keeps the pairs that LogME ranks first; it saves the measured time of the others' trials and
  evaluations, and takes that of the estimates. Its choice is among the arms it keeps, the grid's among all;
  the baseline, which is never pruned, is left out of both.

Regret is what the whole grid's choice scores above the search's choice, in points; choices are made on dev,
and a negative test regret is luck. Figures go to results/search.json and results/search.md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console

from tests.benchmarks.search_pruning import ARMS, estimates_of, replay_pruning
from tests.benchmarks.search_replays import Trial, replay_asha, replay_random
from tests.benchmarks.search_tables import markdown
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.driver.progress import ProgressBoard
from xtransfer.driver.runner import run_plan
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record, load_records
from xtransfer.store import open_store

HERE = Path(__file__).parent
RESULTS = HERE / "results"
RATES = (1e-4, 3e-4, 1e-3, 3e-3)
ASHA = ((25, 2), (12, 2), (25, 4), (50, 2))
"""(grace, reduction) that are replayed."""


def main() -> None:
    """Run or read the grid, replay, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--store", help="default: a temporary folder")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--orders", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(options.store or f"file://{folder}/store", options.cpus, options.orders)
    RESULTS.joinpath("search.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    text = markdown(found)
    RESULTS.joinpath("search.md").write_text(text, encoding="utf-8")
    print(text)


def measure(url: str, cpus: int, orders: int) -> dict[str, Any]:
    """Return all figures of the grid in a store, which is run first where it is not finished."""
    plan = whole_grid()
    store = open_store(url)
    placement = Placement.model_validate({"store": store.url, "ray": {"cpus": cpus}})
    board = ProgressBoard(plan, Console(stderr=True))
    summary = run_plan(plan, store, placement, board)
    if not summary.complete:
        raise SystemExit(f"the grid is not whole: {dict(summary.failed)}")
    kinds = {step.kind for step in plan.steps.values()}
    records = {k: r for k, r in load_records(store, kinds).items() if k in plan.steps}
    sweeps = trials_of(plan, records)
    return {
        "cpus": cpus,
        "orders": orders,
        "rates": len(RATES),
        "trials": sum(map(len, sweeps.values())),
        "sweeps": len(sweeps),
        "training_steps_s": round(sum(t.seconds for each in sweeps.values() for t in each), 1),
        "searches": [
            *(
                replay_asha(sweeps, grace=grace, reduction=reduction, orders=orders)
                for grace, reduction in ASHA
            ),
            replay_random(sweeps, count=len(RATES) // 2, of=len(RATES)),
        ],
        "pruning": [
            replay_pruning(plan, records, sweeps, keep=keep, without_own=without_own)
            for without_own in (False, True)
            for keep in range(1, len(ARMS) - without_own)
        ],
        "estimates": estimates_of(plan, records, sweeps),
        "grid": {
            name: [
                {"rate": t.rate, "dev": round(t.dev, 2), "test": t.test and round(t.test, 2)}
                for t in each
            ]
            for name, each in sweeps.items()
        },
    }


def whole_grid() -> Plan:
    """Return one plan in which each target trial is scored on test, and each pair is estimated."""
    rates = f"intermediate.learning_rates={list(RATES)}"
    plans = [
        _plan(rates, f"target.learning_rates={[rate]}", "pruning={keep: 1, examples: 300}")
        for rate in RATES
    ]
    steps = {key: step for plan in plans for key, step in plan.steps.items()}
    cells = {cell.key: cell for plan in plans for cell in plan.cells}
    # Without gates nothing is left out: the estimates are made beside the whole grid.
    return replace(plans[0], steps=steps, cells=tuple(cells.values()), gates=())


def _plan(*overrides: str) -> Plan:
    experiment = load_experiment(HERE / "search.yaml", overrides)
    return build_plan(experiment, Fingerprints(experiment))


def trials_of(plan: Plan, records: Mapping[str, Record]) -> dict[str, list[Trial]]:
    """Return sweep -> its trials by learning rate."""
    tests: dict[str, float] = {}
    for step in plan.steps.values():
        if step.kind == "evaluate":
            scores = records[step.key].result["languages"].values()
            tests[records[step.key].result["model"]] = fmean(
                each["metrics"][step.spec["metric"]] for each in scores
            )
    found: dict[str, list[Trial]] = {}
    for key, step in plan.steps.items():
        if step.kind != "train":
            continue
        result, timing = records[key].result, records[key].timing
        scores = [_dev(entry) for entry in result["history"]]
        found.setdefault(step.sweep, []).append(
            Trial(
                key=key,
                sweep=step.sweep,
                rate=step.spec["learning_rate"],
                dev=result["score"],
                test=tests.get(key) if step.phase == "target" else None,
                seconds=timing["seconds"],
                train_s=timing["train_s"],
                points=tuple(
                    (100 * entry["step"] / result["total_steps"], max(scores[: number + 1]))
                    for number, entry in enumerate(result["history"])
                ),
            )
        )
    return {name: sorted(each, key=lambda t: t.rate) for name, each in found.items()}


def _dev(entry: Mapping[str, float]) -> float:
    """Return what an evaluation selects by: the mean of the tasks' main metrics."""
    names = ("accuracy", "f1")
    return fmean(v for n, v in entry.items() if n.startswith("dev ") and n.endswith(names))


if __name__ == "__main__":
    main()

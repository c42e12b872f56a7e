"""What Ray Tune and the driver cost on a plan of over 1,000 trials: the paper's, without its training.

    python -m tests.benchmarks.trials [--quick]

The plan is that of configs/paper.yaml. Everything runs as in a real run (Tune, the searcher, leases, records and
logs in a folder store, one process a trial), but the work of a step is to sleep: a trial SECONDS, a prepare or
evaluate step a fifth of that, each times a factor from 0.7 to 1.3 that follows from its key. Trials and
evaluations take one logical GPU each, and the GPUs are fewer than the steps that are ready nearly to the end.

The makespan runs from the driver's start to its summary, Ray's start included. Its lower bound is
max(critical path, work of the GPU steps / GPUs), from the seconds slept alone; goal: 1.10 times that at most.
A trial's length matters: one that is shorter than the start of a process leaves lanes empty while they start.
Results: results/trials.json.
"""

from __future__ import annotations

import argparse
import os
import resource
import secrets
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import quick, write
from tests.prints import FakePrints
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Done

GOAL = 1.10
CONFIG = "configs/paper.yaml"
SECONDS = "XTRANSFER_BENCHMARK_SECONDS"
"""The environment variable by which processes of steps know how long a trial lasts."""
ON_GPU = ("train", "evaluate")


def main() -> None:
    """Work the plan off, compare its makespan with the bound and write both."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--gpus", type=int, default=16, help="logical GPUs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of one trial, on average")
    quick(parser)
    options = parser.parse_args()
    if options.quick:
        options.gpus, options.seconds = 3, 2.0
    os.environ[SECONDS] = str(options.seconds)
    overrides = ["target.tasks=[xnli]", "intermediate.tasks=[mnli]"] if options.quick else []
    plan = build_plan(load_experiment(Path(CONFIG), overrides), FakePrints())
    found = work_off(plan, options.gpus)
    bounds = lower_bounds(plan, options.gpus)
    least = max(bounds.values())
    counted = [step for step in plan.steps.values() if step.kind in ON_GPU]
    row = {
        "trials": sum(step.kind == "train" for step in counted),
        "steps": len(plan.steps),
        "GPUs": options.gpus,
        "makespan s": found["makespan"],
        "critical path s": bounds["critical path"],
        "work / GPUs s": bounds["work / GPUs"],
        "makespan / bound": found["makespan"] / least,
        "GPU seconds lost a step": (found["makespan"] - least) * options.gpus / len(counted),
        "driver's CPU ms a step": 1e3 * found["cpu"] / len(plan.steps),
        "driver's peak MB": found["peak_mb"],
        "before the run MB": found["before_mb"],
    }
    write("trials", [row], options, goal=GOAL)


def work_off(plan: Plan, gpus: int) -> dict[str, float]:
    """Run the plan on a private Ray with so many logical GPUs; return what it took."""
    # Ray reads these when it is imported, as the next line does.
    os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(16))
    import xtransfer.execution.trial
    from xtransfer.driver.gauges import Board
    from xtransfer.driver.runner import run_plan
    from xtransfer.store import open_store

    xtransfer.execution.trial.run_trial = sleeping_trial

    class Silent(Board):
        def changed(self, key: str, state: str, text: str) -> None:
            if state == "failed":
                print(f"{plan.steps[key].folder}: {text}", flush=True)

        def told(self, key: str, facts: Mapping[str, Any]) -> None:
            pass

    with tempfile.TemporaryDirectory() as folder:
        placement = Placement.model_validate(
            {
                "store": f"file://{folder}/store",
                "ray": {"cpus": 2 * gpus, "gpus": gpus},
                "train": {"gpus": 1},
                "evaluate": {"gpus": 1},
            }
        )
        before, cpu = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        began = time.monotonic()
        summary = run_plan(plan, open_store(placement.store), placement, Silent())
        makespan = time.monotonic() - began
    if not summary.complete:
        raise SystemExit(f"{len(summary.failed)} steps failed, {len(summary.blocked)} were blocked")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "makespan": makespan,
        "cpu": time.process_time() - cpu,
        "before_mb": before / 2**10,
        "peak_mb": peak / 2**10,
    }


def lower_bounds(plan: Plan, gpus: int) -> dict[str, float]:
    """Return the two times in seconds that no schedule of the plan can be below."""
    ends: dict[str, float] = {}
    for key, step in plan.steps.items():
        ends[key] = seconds_of(step) + max((ends[p] for p in step.inputs.values()), default=0.0)
    work = sum(seconds_of(step) for step in plan.steps.values() if step.kind in ON_GPU)
    return {"critical path": max(ends.values()), "work / GPUs": work / gpus}


def seconds_of(step: Step) -> float:
    """Return how long a step sleeps; it follows from its kind and key."""
    share = {"train": 1.0, "evaluate": 0.2, "prepare": 0.2}.get(step.kind, 0.0)
    return float(os.environ[SECONDS]) * share * (0.7 + 0.6 * int(step.key[:6], 16) / 0xFFFFFF)


def sleeping_trial(config: dict[str, Any], **where: Any) -> None:
    """Run a step as a real trial does, but for its work."""
    from tests.benchmarks.trials import sleep
    from xtransfer.execution import execute, trial

    execute.WORK = dict.fromkeys(execute.WORK, sleep)
    trial.run_trial(config, **where)


def sleep(step: Step, bench: Any, folder: Path) -> Done:  # noqa: ARG001 - as other work
    """Sleep in place of working."""
    time.sleep(seconds_of(step))
    score = int(step.key[-6:], 16) / 0xFFFFFF
    return Done(result={"score": score, "best_step": 1, "steps": 1})


if __name__ == "__main__":
    main()

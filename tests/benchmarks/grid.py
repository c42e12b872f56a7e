"""Wall time of a small study beside the same study written by hand with Ray Tune and Trainer.

    python -m tests.benchmarks.grid --encoder FOLDER --data FOLDER [--train 400] [--cpus 2] [--overhead] [--quick]

MNLI and QQP as intermediate tasks, PAWS-X as the target: 2 tasks x 2 seeds x 2 learning rates, then 2 seeds x
2 learning rates of the target after the bare encoder and after the best of each task, and the chosen ones scored
on PAWS-X's test sets in all languages of `--languages`: 20 trials and 6 evaluations on each side. The peer is handwritten.py. Both
have the same rows, tokenised beforehand and not counted (prepared data recorded in the project's store, data sets
on disk for the peer), the same epochs, batch, optimizer, schedule, precision, one dev evaluation an epoch, and one
CPU a trial. The clock runs from the start of the program to its end, Ray's start included. Sides take turns,
each from an empty store or folder; medians. Goal: 2 x.

Of the project's records it also tells the seconds of a training step outside training: before (from its start
to its training), after (from the end of training to its record in the store), and the rest within it that is
neither optimizer steps nor dev scoring. The start of Ray's processes is left out of these. Goal: 3 s. `--overhead`
measures these alone, without the peer.
Results: results/grid.json and results/overhead.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks.measuring import arguments, in_turn, middle, write

GOAL, OVERHEAD_GOAL_S = 2.0, 3.0
FILES = {
    "mnli": {"train": ["mnli/multinli_1.0_train.sample10000.jsonl"]},
    "qqp": {"train": ["qqp/glue_train.sample2000.tsv"], "dev": ["qqp/glue_dev.sample7600.tsv"]},
    "pawsx": {"train": ["paws_wiki/derived/train-from-devtest-nopawsx.tsv"]},
}
INTERMEDIATE = ("mnli", "qqp")
TARGET = "pawsx"


def main() -> None:
    """Prepare, run both sides in turn, write both tables."""
    parser = arguments(__doc__)
    parser.add_argument("--train", type=int, default=400, help="training examples of a task")
    parser.add_argument("--dev", type=int, default=200)
    parser.add_argument("--test", type=int, default=200, help="of each language")
    parser.add_argument("--languages", nargs="+", help="default: those whose test set is there")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rates", type=float, nargs="+", default=[2e-5, 5e-5])
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--cpus", type=int, default=os.cpu_count() or 1, help="trials at a time")
    parser.add_argument("--overhead", action="store_true", help="without the peer")
    options = parser.parse_args()
    if options.quick:
        options.train, options.dev, options.test, options.repeats = 32, 16, 8, 1
        options.max_length, options.epochs, options.seeds = 32, 1, options.seeds[:1]
    with tempfile.TemporaryDirectory() as folder:
        study = Study(options, Path(folder))
        study.prepare()
        sides = ("ours",) if options.overhead else ("ours", "handwritten")
        found = in_turn(sides, options.repeats, study.run)
    steps = [step for run in found["ours"] for step in run["steps"]]
    write("overhead", overhead(steps), options, goal_s=OVERHEAD_GOAL_S, steps=steps)
    if options.overhead:
        return
    ours, theirs = (middle(found[side], "seconds") for side in ("ours", "handwritten"))
    row = {
        "trials": found["ours"][0]["trials"],
        "precision": options.precision,
        "ours s": ours,
        "handwritten s": theirs,
        "speed": theirs / ours,
        "ours test mean": middle(found["ours"], "test"),
        "handwritten test mean": middle(found["handwritten"], "test"),
    }
    write("grid", [row], options, goal=GOAL)


def overhead(steps: list[dict[str, float]]) -> list[dict[str, Any]]:
    """Return medians and largest seconds of the parts of a step outside training."""
    return [
        {
            "seconds of a training step": part,
            "median": median(step[part] for step in steps),
            "largest": max(step[part] for step in steps),
            "steps": len(steps),
        }
        for part in ("before", "after", "rest", "outside", "whole")
    ]


class Study:
    """The two sides of one study, in a folder.

    Args:
        options: of the command line.
        folder: an empty one.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options, self.folder = options, folder
        self.experiment = folder / "grid.yaml"
        self.job: dict[str, Any] = {}
        self.runs = 0

    def prepare(self) -> None:
        """Write the experiment; record the prepared data, and save the same rows for the peer."""
        from xtransfer.config.experiment import load_experiment
        from xtransfer.config.placement import Placement
        from xtransfer.execution.execute import run_step
        from xtransfer.planner.fingerprints import Fingerprints
        from xtransfer.planner.planner import build_plan
        from xtransfer.process.workbench import Workbench
        from xtransfer.store import open_store

        self.experiment.write_text(json.dumps(self._settings()), encoding="utf-8")
        experiment = load_experiment(self.experiment)
        plan = build_plan(experiment, Fingerprints(experiment))
        bench = Workbench(
            plan=plan,
            store=open_store(f"file://{self.folder}/prepared"),
            placement=Placement(),
            scratch=self.folder / "scratch",
        )
        for step in plan.steps.values():
            if step.kind == "prepare":
                record = run_step(step, bench)
                self._save(bench.files(record), step.spec["task"], step.spec["split"])
        options, book = self.options, plan.tasks
        self.job = {
            "encoder": str(options.encoder.absolute()),
            "data": str(self.folder / "rows"),
            "intermediate": {name: len(book[name].labels) for name in INTERMEDIATE},
            "target": {
                "name": TARGET,
                "labels": len(book[TARGET].labels),
                "languages": self._languages(),
            },
            "seeds": options.seeds,
            "rates": options.rates,
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "precision": options.precision,
            "cpus": options.cpus,
        }

    def run(self, side: str) -> dict[str, Any]:
        """Run one side; return its seconds, its mean test score, and of ours the steps' times."""
        self.runs += 1
        found = (self._ours if side == "ours" else self._handwritten)(
            self.folder / f"{side}-{self.runs}"
        )
        said = {name: value for name, value in found.items() if name != "steps"}
        print(f"grid {side}: {said}", file=sys.stderr, flush=True)
        return found

    def _ours(self, folder: Path) -> dict[str, Any]:
        import shutil

        from xtransfer.records.record import load_records, record_name
        from xtransfer.store import open_store

        shutil.copytree(self.folder / "prepared", folder)
        seconds = _timed(
            "xtransfer", "run", str(self.experiment), "--store", f"file://{folder}",
            "--place", f"ray.cpus={self.options.cpus}",
        )  # fmt: skip
        records = load_records(open_store(f"file://{folder}"), ("train", "evaluate")).values()
        scores = [
            found["metrics"]["accuracy"]
            for record in records
            if record.kind == "evaluate"
            for found in record.result["languages"].values()
        ]
        steps: list[dict[str, float]] = []
        for record in records:
            if record.kind != "train":
                continue
            timing = record.timing
            ended = (folder / record_name(record.folder)).stat().st_mtime
            whole = ended - timing["started"]
            trained = timing["examples"] / timing["examples_per_s"] + timing["dev_s"]
            before = timing["start_s"]
            after = whole - before - timing["train_s"]
            steps.append(
                {
                    "before": before,
                    "after": after,
                    "rest": timing["train_s"] - trained,
                    "outside": whole - trained,
                    "whole": whole,
                }
            )
        shutil.rmtree(folder)
        return {"seconds": seconds, "test": _mean(scores), "trials": len(steps), "steps": steps}

    def _handwritten(self, folder: Path) -> dict[str, Any]:
        import shutil

        folder.mkdir()
        path = self.folder / "job.json"
        path.write_text(json.dumps({**self.job, "out": str(folder)}), encoding="utf-8")
        seconds = _timed("tests.benchmarks.handwritten", str(path))
        rows = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        shutil.rmtree(folder)
        return {
            "seconds": seconds,
            "test": _mean([x for row in rows for x in row["test"].values()]),
        }

    def _settings(self) -> dict[str, Any]:
        """Return the experiment."""
        options = self.options
        stage = {
            "epochs": options.epochs,
            "batch_size": options.batch_size,
            "max_length": options.max_length,
        }
        grid = {
            "seeds": options.seeds,
            "learning_rates": options.rates,
            "overrides": {"all": stage},
        }
        return {
            "name": "grid",
            "encoder": {"name": str(options.encoder.absolute())},
            "data": {
                "root": str(options.data.absolute()),
                "files": FILES,
                "limits": {"train": options.train, "dev": options.dev, "test": options.test},
            },
            "intermediate": {"tasks": list(INTERMEDIATE), **grid},
            "target": {"tasks": [TARGET], "languages": {TARGET: self._languages()}, **grid},
            "training": {
                "eval_every": -(-options.train // options.batch_size),
                "precision": options.precision,
            },
        }

    def _languages(self) -> list[str]:
        """Return the target's languages that are scored."""
        root = self.options.data / TARGET
        there = sorted({path.name[len("test-") :].split(".")[0] for path in root.glob("test-*")})
        return self.options.languages or there

    def _save(self, folder: Path, task: str, split: str) -> None:
        """Save prepared rows as data sets of `datasets`, a language each."""
        from datasets import Dataset

        from xtransfer.forms.files import read_rows

        for path in folder.glob("*.rows.arrow"):
            language = path.name.partition(".")[0]
            rows: Any = read_rows(path)
            ids = [rows["input_ids"][at].tolist() for at in range(len(rows["label"]))]
            columns = {
                "input_ids": ids,
                "attention_mask": [[1] * len(row) for row in ids],
                "labels": rows["label"].tolist(),
            }
            out = self.folder / "rows" / f"{task}-{split}-{language}"
            Dataset.from_dict(columns).save_to_disk(str(out))


def _timed(module: str, *words: str) -> float:
    """Run a program and return its seconds; end with its last words where it fails."""
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", module, *words], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stdout[-1000:]}\n{done.stderr[-3000:]}")
    return seconds


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


if __name__ == "__main__":
    main()

"""Averages of weights beside the models that they are made of, on the artificial languages.

    python -m tests.benchmarks.averaging [--folder FOLDER]

A tiny encoder is pretrained, and two targets are trained in English from it, at a moderate and at a high
learning rate with three seeds each. The last four checkpoints of each trial are averaged, and those averages
over seeds. Then the selected models are averaged over seeds, once with heads that started from one draw, and
once, in trials of their own, with heads that did not: what the plan refuses. Every number is the mean over all
languages but English, which is zero-shot. Steps run one by one in this process; with a folder kept, a second
call only reads. Results go to results/averaging.json and .md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

from xtransfer.config.averaging import Average
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.execution.execute import run_step
from xtransfer.planner.averages import averages_of
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.record import Record
from xtransfer.store import open_store

RESULTS = Path(__file__).parent / "results"
RATES = (1e-3, 4e-3)
SETTINGS = """
name: averaging
encoder: {pretrain: {steps: 800}}
data:
  synthetic: {seed: 0, options: {pair_train: 1200, pair_test: 300, tagging_train: 400}}
target:
  tasks: [xnli, udpos]
  seeds: [1, 2, 3]
  overrides: {all: {epochs: 4, batch_size: 32, max_length: 48}}
  languages: {xnli: [en, qa, qb, qc, qd], udpos: [en, qa, qb, qc, qd]}
  average: {checkpoints: 4, seeds: true}
training: {eval_every: 8}
"""
HEAD = ("target", "learning rate", "selected", "mean of last 4", "gain", "over seeds", "gain")
HEADS = (
    "target", "learning rate", "one draw", "over seeds", "gain", "own draws", "over seeds", "gain",
)  # fmt: skip


def main() -> None:
    """Run all of it, and write what came out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--folder", type=Path)
    folder = parser.parse_args().folder
    if folder is None:
        with tempfile.TemporaryDirectory() as temporary:
            rows = measure(Path(temporary))
    else:
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(folder.absolute())
    text = json.dumps({"settings": yaml.safe_load(SETTINGS), "rows": rows}, indent=1)
    (RESULTS / "averaging.json").write_text(text + "\n", encoding="utf-8")
    (RESULTS / "averaging.md").write_text(as_text(rows), encoding="utf-8")
    print(as_text(rows))


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return one row for each target and learning rate."""
    path = folder / "averaging.yaml"
    path.write_text(SETTINGS, encoding="utf-8")
    rows: list[dict[str, Any]] = []
    for rate in RATES:
        rates = f"target.learning_rates=[{rate}]"
        aligned = Ran(folder, path, [rates])
        apart = Ran(folder, path, [rates, "target.average={checkpoints: 4}"])
        for target in aligned.experiment.target.tasks:
            row: dict[str, Any] = {"target": target, "learning_rate": rate}
            for name, after in (
                ("selected", "baseline"),
                ("mean of last 4", "baseline, mean of last 4"),
                ("mean of last 4 over seeds", "baseline, mean of last 4 over seeds"),
            ):
                row[name] = aligned.scores(target, after)
            row["selected, over seeds"] = aligned.over_seeds(target)
            row["own heads"] = apart.scores(target, "baseline")
            row["own heads, over seeds"] = apart.over_seeds(target)
            rows.append(row)
    return rows


class Ran:
    """A finished run of the experiment with further settings."""

    def __init__(self, folder: Path, path: Path, overrides: list[str]) -> None:
        self.experiment = load_experiment(path, overrides)
        self.plan = build_plan(self.experiment, Fingerprints(self.experiment))
        self.bench = Workbench(
            plan=self.plan,
            store=open_store(f"file://{folder}/store"),
            placement=Placement.model_validate({"train": {"engine": "torch"}}),
            scratch=folder / "scratch",
        )
        self.records = {key: run_step(step, self.bench) for key, step in self.plan.steps.items()}

    def scores(self, target: str, after: str) -> list[float]:
        """Return the zero-shot score of each run of a row."""
        cells = [c for c in self.plan.cells if (c.target, c.intermediate) == (target, after)]
        return [zero_shot(self.records[cell.key]) for cell in cells]

    def over_seeds(self, target: str) -> float:
        """Return the zero-shot score of the mean of the models that were selected."""
        cells = [c for c in self.plan.cells if (c.target, c.intermediate) == (target, "baseline")]
        models = {cell.seed or 0: self.plan.steps[cell.key].inputs["model"] for cell in cells}
        (found,) = averages_of(Average(seeds=True), models, f"{target}-selected")
        scored = self.plan.steps[cells[0].key]
        inputs = {**scored.inputs, "model": found.step.key}
        scored = replace(scored, inputs=inputs, name=f"{target}-of-mean")
        steps = {step.key: step for step in (found.step, scored)}
        plan = replace(self.plan, steps={**self.plan.steps, **steps})
        bench = replace(self.bench, plan=plan)
        return zero_shot([run_step(step, bench) for step in steps.values()][-1])


def zero_shot(record: Record) -> float:
    """Return the mean over all languages but English."""
    found = record.result["languages"]
    return fmean(x["metrics"][record.spec["metric"]] for name, x in found.items() if name != "en")


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as two tables in Markdown."""
    text = [
        "# Averages of weights, measured",
        "",
        "Made by `python -m tests.benchmarks.averaging`. Zero-shot test scores in the four artificial",
        "languages that are not trained in, mean over them; ± is the standard deviation over three seeds.",
        "Gains are over the mean of the selected models (best checkpoint on English dev). They say nothing",
        "about real languages, and no significance is tested.",
        "",
        *_table(HEAD, [_averages(row) for row in rows]),
        "",
        "The selected models averaged over seeds, with heads that start from one draw and with heads that do",
        "not. A plan has the former only.",
        "",
        *_table(HEADS, [_heads(row) for row in rows]),
    ]
    return "\n".join(text) + "\n"


def _averages(row: dict[str, Any]) -> list[str]:
    base, within = row["selected"], row["mean of last 4"]
    (over,) = row["mean of last 4 over seeds"]
    return [
        *(row["target"], f"{row['learning_rate']:g}", _spread(base), _spread(within)),
        *(_gain(fmean(within), base), f"{over:.1f}", _gain(over, base)),
    ]


def _heads(row: dict[str, Any]) -> list[str]:
    one, own = row["selected, over seeds"], row["own heads, over seeds"]
    return [
        *(row["target"], f"{row['learning_rate']:g}"),
        *(_spread(row["selected"]), f"{one:.1f}", _gain(one, row["selected"])),
        *(_spread(row["own heads"]), f"{own:.1f}", _gain(own, row["own heads"])),
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(line)} |" for line in lines]


def _gain(value: float, base: Sequence[float]) -> str:
    return f"{value - fmean(base):+.1f}"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"


if __name__ == "__main__":
    main()

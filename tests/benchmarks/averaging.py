"""Averages of weights beside the models that they are made of, on the artificial languages.

    python -m tests.benchmarks.averaging [--folder FOLDER]

A tiny encoder is pretrained, and two targets are trained in English from it, at a moderate and at a high
learning rate with three seeds each. The last four checkpoints of each trial are averaged, and those averages
over seeds. Every row is the mean over all languages but English, which is zero-shot. Steps run one by one in
this process; with a folder kept, a second call only reads. Results go to results/averaging.json and .md.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

from xtransfer.config import load_experiment
from xtransfer.execute import Workbench, run_step
from xtransfer.fingerprints import Fingerprints
from xtransfer.placement import Placement
from xtransfer.planner import build_plan
from xtransfer.report.build import collect_results
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
        experiment = load_experiment(path, [f"target.learning_rates=[{rate}]"])
        plan = build_plan(experiment, Fingerprints(experiment))
        bench = Workbench(
            plan=plan,
            store=open_store(f"file://{folder}/store"),
            placement=Placement.model_validate({"train": {"engine": "torch"}}),
            scratch=folder / "scratch",
        )
        records = {key: run_step(step, bench) for key, step in plan.steps.items()}
        results = [each for each in collect_results(plan, records) if each.language != "en"]
        for target in experiment.target.tasks:
            scores: dict[str, list[float]] = {}
            for name in dict.fromkeys(each.intermediate for each in results):
                own = [e for e in results if (e.target, e.intermediate) == (target, name)]
                for seed in sorted({each.seed or 0 for each in own}):
                    values = [each.value for each in own if (each.seed or 0) == seed]
                    scores.setdefault(name, []).append(fmean(values))
            selected, within, over = scores.values()
            rows.append(
                {
                    "target": target,
                    "learning_rate": rate,
                    "selected": selected,
                    "mean of last 4": within,
                    "mean of last 4 over seeds": over[0],
                }
            )
    return rows


def as_text(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown."""
    text = [
        "# Averages of weights, measured",
        "",
        "Made by `python -m tests.benchmarks.averaging`. Zero-shot test scores in the four artificial",
        "languages that are not trained in, mean over them; ± is the standard deviation over three seeds.",
        "Gains are over the mean of the selected models (best checkpoint on English dev). They say nothing",
        "about real languages, and no significance is tested.",
        "",
        f"| {' | '.join(HEAD)} |",
        f"|{'---|' * len(HEAD)}",
    ]
    for row in rows:
        base, within, over = (
            row["selected"],
            row["mean of last 4"],
            row["mean of last 4 over seeds"],
        )
        cells = (
            row["target"],
            f"{row['learning_rate']:g}",
            _spread(base),
            _spread(within),
            f"{fmean(within) - fmean(base):+.1f}",
            f"{over:.1f}",
            f"{over - fmean(base):+.1f}",
        )
        text.append(f"| {' | '.join(cells)} |")
    return "\n".join(text) + "\n"


def _spread(values: Sequence[float]) -> str:
    return f"{fmean(values):.1f} ± {stdev(values):.1f}"


if __name__ == "__main__":
    main()

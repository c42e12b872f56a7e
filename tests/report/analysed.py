"""A small run, finished: forgetting, alignment, layers and few-shot stages, with all its records."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

from tests.small import BAD, GOOD, TASK, bench_of, write_small
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.execution.execute import run_step
from xtransfer.plan import Plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.record import Record
from xtransfer.report.analyses import Analysed, analyse


@dataclass(frozen=True)
class Ran:
    """A finished small run."""

    folder: Path
    experiment: Experiment
    bench: Workbench
    records: dict[str, Record]

    @property
    def plan(self) -> Plan:
        return self.bench.plan

    @property
    def analysed(self) -> Analysed:
        return analyse(self.plan, self.records)


def run_analysed(folder: Path) -> Ran:
    """Train on moods, then on reviews, for which mood words are noise, then on few examples more."""
    path = write_small(folder, eval_every=4, adam_epsilon=1e-8)
    files = {split: [f"mood-{split}.tsv"] for split in ("train", "dev")}
    for split, count in (("train", 30), ("dev", 14)):
        draw = random.Random(count + 1)
        rows = []
        for _ in range(count):
            mood = draw.choice(["glad", "sad"])
            rows.append(f"{' '.join(draw.choices(BAD if mood == 'glad' else GOOD, k=4))}\t{mood}\n")
        (folder / f"mood-{split}.tsv").write_text("".join(rows))
    for split, count in (("train", 60), ("dev", 12), ("test", 12)):
        draw = random.Random(count + 2)
        rows = []
        for at in range(count):
            words = [*draw.choices(GOOD + BAD, k=3), "tree" if at % 2 else "mat"]
            rows.append(f"{' '.join(words)}\t{'good' if at % 2 else 'bad'}\n")
        (folder / f"{split}.tsv").write_text("".join(rows))
    (folder / "pairs").mkdir()
    for language, text in (
        ("sw", "tree\nold dog\nred bird sat\n"),
        ("en", "mat\nold cat\nred tree\n"),
    ):
        (folder / "pairs" / f"sw-en.{language}").write_text(text)
    moods = {
        **{name: TASK[name] for name in ("form", "metric", "languages")},
        "name": "moods",
        "labels": ["sad", "glad"],
        "source": {**TASK["source"], "files": files},
        "as_intermediate": {"epochs": 6, "batch_size": 8, "max_length": 32},
    }
    raw = json.loads(path.read_text())
    raw["tasks"].append(moods)
    raw["data"]["files"] = {"tatoeba": {"test": ["pairs/{lang}-en.{lang}", "pairs/{lang}-en.en"]}}
    raw["intermediate"] = {"tasks": ["moods"], "learning_rates": [0.01]}
    raw["target"] |= {
        "tasks": ["reviews", "tatoeba"],
        "seeds": [1, 2],
        "languages": {"tatoeba": ["sw"]},
        "learning_rates": [0.05],  # high, so that it forgets
        "overrides": {"reviews": {"epochs": 6}, "all": {"max_length": 32}},
        "few_shot": {"reviews": {"examples": [2, 6], "languages": ["en"], "epochs": 2}},
    }
    raw["retrieval"] = {"layer": 1, "layers": "all"}
    raw["analyses"] = {"forgetting": True, "alignment": {"targets": ["reviews"]}}
    path.write_text(json.dumps(raw))
    experiment = load_experiment(path)
    bench = bench_of(experiment, folder)
    records = {key: run_step(step, bench) for key, step in bench.plan.steps.items()}
    return Ran(folder, experiment, bench, records)

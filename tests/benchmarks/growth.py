"""How the time and memory of preparing data and of planning grow with their size.

    python -m tests.benchmarks.growth --encoder FOLDER --data FOLDER [--quick]

prepare: the prepare step's work, from reading a file to the written Arrow file, of 1,000 to 100,000 pairs of
sentences. The pairs are made of the sample of MNLI: premise i with hypothesis i + k, so that no pair is there
twice though sentences are; the tokenizer's cache of words sees the same words at every size. Loading the
tokenizer is left out.

plan: building the plan of 10 to 1,000 trials and the searcher over it. search: the searcher's own time in
working that plan off, every step ending at once. Training, Ray, records and hashing the encoder's file are left out.

Each size is a process of its own; sizes take turns, medians. Memory of preparing is the peak of resident memory
during the work above that before it (Linux); of the others, which allocate in Python alone, the peak that
tracemalloc sees of both in a second round that is not timed. The exponent is the slope of a least-squares line
through the logarithms: 1 is linear. A constant part flattens that line, so the slope between the two largest
sizes is told too. Goal: 1.05 at most. There is no peer. Results: results/growth.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks.measuring import arguments, in_turn, middle, run_side, write

GOAL = 1.05
SAMPLE = "mnli/multinli_1.0_train.sample10000.jsonl"
TRIALS = (10, 30, 100, 300, 1_000)
SIZES = {"prepare": (1_000, 3_000, 10_000, 30_000, 100_000), "plan": TRIALS, "search": TRIALS}
QUICK = {"prepare": (100, 300), "plan": (10, 20), "search": (10, 20)}


def main() -> None:
    """Measure every size of both works, fit exponents and write them; or be one size of one."""
    parser = arguments(__doc__)
    parser.add_argument("--work", nargs="+", choices=tuple(SIZES), default=list(SIZES))
    options = parser.parse_args()
    if options.quick:
        options.repeats = 1
    if options.side:
        measure = prepare if options.work == ["prepare"] else plan
        print(json.dumps(measure(options, int(options.side))))
        return
    rows = [row for work in options.work for row in grown(options, work)]
    write("growth", rows, options, goal=GOAL)


def grown(options: argparse.Namespace, work: str) -> list[dict[str, Any]]:
    """Return a row a size, each with the exponents over all sizes."""
    sizes = (QUICK if options.quick else SIZES)[work]

    def run(size: str) -> dict[str, Any]:
        words = ["--quick"] if options.quick else []
        return run_side(
            "growth", "--side", size, "--work", work, "--encoder", str(options.encoder),
            "--data", str(options.data), "--threads", str(options.threads), *words,
        )  # fmt: skip

    found = in_turn(map(str, sizes), options.repeats, run)
    seconds = [middle(runs, "seconds") for runs in found.values()]
    memory = [middle(runs, "added_mb") for runs in found.values()]
    return [
        {
            "work": work,
            "size": size,
            "seconds": seconds[at],
            "added MB": memory[at],
            "exponent of time": exponent(sizes, seconds),
            "time, last two": exponent(sizes[-2:], seconds[-2:]),
            "exponent of memory": exponent(sizes, memory),
            "memory, last two": exponent(sizes[-2:], memory[-2:]),
        }
        for at, size in enumerate(sizes)
    ]


def exponent(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return b of values = a sizes^b by least squares on logarithms; NaN where a value is not positive."""
    if min(values) <= 0:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def prepare(options: argparse.Namespace, size: int) -> dict[str, float]:
    """Prepare so many pairs; return seconds and MB."""
    from transformers import AutoTokenizer

    from xtransfer.data import read_examples
    from xtransfer.planner.fingerprints import Fingerprints
    from xtransfer.planner.planner import build_plan
    from xtransfer.steps.prepared import prepare as prepare_step
    from xtransfer.tasks import TASKS

    mnli = TASKS["mnli"]
    source = mnli.source.model_copy(update={"files": {"train": (SAMPLE,)}})
    sample: Any = read_examples(
        mnli.model_copy(update={"source": source}), split="train", language="en", root=options.data
    ).examples
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with (folder / "train.tsv").open("w", encoding="utf-8") as file:
            for at in range(size):
                first = sample[at % len(sample)]
                second = sample[(at + at // len(sample)) % len(sample)]
                pair = (" ".join(text.split()) for text in (first.text_a, second.text_b))
                file.write("\t".join([*pair, first.label]) + "\n")
        for split in ("dev", "test"):
            (folder / f"{split}.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
        longest = 32 if options.quick else 128
        experiment = _experiment(options, folder, max_length=longest)
        built = build_plan(experiment, Fingerprints(experiment))
        step = next(
            step
            for step in built.steps.values()
            if step.kind == "prepare" and step.spec["split"] == "train"
        )
        tokenizer = AutoTokenizer.from_pretrained(options.encoder)
        tokenizer(["a b"], ["c"])
        out = folder / "out"
        out.mkdir()
        del sample
        before, began = _resident_mb("VmRSS"), time.perf_counter()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is counted anew from here
        prepare_step(
            step,
            task=built.tasks["pairs"],
            tokenizer=tokenizer,
            folder=out,
            report=lambda language, share: None,
        )
        seconds = time.perf_counter() - began
        return {"seconds": seconds, "added_mb": _resident_mb("VmHWM") - before}


def plan(options: argparse.Namespace, size: int) -> dict[str, float]:
    """Plan so many trials and work them off at once; return seconds of the work asked for, and MB."""
    import torch  # noqa: F401 - what the planner may import is loaded before the clock starts

    from xtransfer.driver.search import PlanSearcher  # noqa: F401 - so is Ray
    from xtransfer.planner.fingerprints import Fingerprints
    from xtransfer.planner.planner import build_plan

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for split in ("train", "dev", "test"):
            (folder / f"{split}.tsv").write_text("a\tb\tneutral\n", encoding="utf-8")
        fingerprints = Fingerprints(_experiment(options, folder, seeds=1))
        build_plan(fingerprints.experiment, fingerprints)  # digests of data are known from now on
        encoder = fingerprints.encoder()  # hashing its file would hide how planning grows
        fingerprints.encoder = lambda: encoder
        experiment = _experiment(options, folder, seeds=size // 2)
        began = time.perf_counter()
        searcher = _searcher(experiment, fingerprints)
        built = time.perf_counter()
        _work_off(searcher, size)
        times = {"plan": built - began, "search": time.perf_counter() - built}
        del searcher
        tracemalloc.start()
        _work_off(_searcher(experiment, fingerprints), size)
        added = tracemalloc.get_traced_memory()[1] / 2**20
    return {"seconds": times[options.work[0]], "added_mb": added}


def _searcher(experiment: Any, fingerprints: Any) -> Any:
    """Return the searcher over an experiment's plan."""
    from xtransfer.driver.search import PlanSearcher
    from xtransfer.planner.planner import build_plan

    plan = build_plan(experiment, fingerprints)
    return PlanSearcher(plan, done=(), work_inline=lambda step: None)


def _work_off(searcher: Any, size: int) -> None:
    """Let every step of a plan of `size` trials end as soon as it is suggested."""
    for number in itertools.count():
        found = searcher.suggest(str(number))
        if not isinstance(found, dict):
            break
        searcher.on_trial_complete(str(number), {"finished": 1, "error": ""})
    steps = searcher.plan.steps
    if len(searcher.frontier.done) != len(steps):
        raise SystemExit(f"{len(steps) - len(searcher.frontier.done)} steps were not done")
    trials = sum(step.kind == "train" for step in steps.values())
    if trials != size:
        raise SystemExit(f"the plan has {trials} trials instead of {size}")


def _experiment(
    options: argparse.Namespace, folder: Path, *, seeds: int = 1, max_length: int = 128
) -> Any:
    """Return one target task of pairs in `folder`, with two learning rates and so many seeds."""
    from xtransfer.config.experiment import load_experiment

    settings = {
        "name": "growth",
        "encoder": {"name": str(options.encoder.absolute())},
        "data": {"root": str(folder)},
        "tasks": [
            {
                "name": "pairs",
                "form": "classification",
                "metric": "accuracy",
                "labels": ["contradiction", "entailment", "neutral"],
                "languages": ["en"],
                "source": {
                    "format": "tsv",
                    "files": {split: [f"{split}.tsv"] for split in ("train", "dev", "test")},
                    "columns": {"text_a": "0", "text_b": "1", "label": "2"},
                },
                "stages": [{"epochs": 1, "batch_size": 8, "max_length": max_length}],
            }
        ],
        "target": {
            "tasks": ["pairs"],
            "seeds": list(range(1, seeds + 1)),
            "learning_rates": [1e-5, 2e-5],
        },
    }
    path = folder / "experiment.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")
    return load_experiment(path)


def _resident_mb(field: str) -> float:
    """Return a field of this process's status: VmRSS is its resident memory, VmHWM the peak of it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 2**10
    raise SystemExit(f"/proc/self/status has no {field}")


if __name__ == "__main__":
    main()

"""Training speed and memory beside `transformers.Trainer`, as a user would write it.

    python -m tests.benchmarks.training --encoder FOLDER --data FOLDER

Both sides train the same pretrained encoder on rows of the same data with the same global batch, precision,
longest input and kind of optimizer, each in a process of its own; sides take turns, and the ratio is that of the
medians. The peer pads to the longest row of a batch and groups rows of like length; `padded` pads every
row to the longest input, as the scripts of jiant and XTREME do; it is slow, and runs once. Loading and the first steps are left out.

Trainer sorts some dozens of batches' worth of rows at a time, and trains on the longest first. So the clock
runs for one such round, and the project's side trains on one pool of as many rows; `tokens` is the mean length of
the rows that each side was timed on.

The peer's optimizer is what TrainingArguments chooses by itself, and is noted. The peer needs `pip install
accelerate`. DATA has MNLI, SQuAD and UD files at the paths in `WORKLOADS`. Numbers go to results/training.json,
and as a table to results/training.md; `--quick` is a smoke test that writes nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import quick, write
from xtransfer.data import read_examples
from xtransfer.data.samples import cut
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

QUICK_LENGTH = 32
PADDED_STEPS = 10
"""Timed steps of the padded side, whose batches are all alike."""
SKIPPED = 3
"""Steps before the clock starts: the first ones fill caches and allocators."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is trained on."""

    task: str
    files: tuple[str, ...]
    batch_size: int
    max_length: int
    stride: int = 0
    examples: int = 10_000
    """Rows come from a seeded sample of so many examples."""


WORKLOADS = {
    "mnli": Workload(
        task="mnli",
        files=("mnli/multinli_1.0_train.sample10000.jsonl",),
        batch_size=24,
        max_length=128,
    ),
    "squad": Workload(
        task="squad_v1",
        files=("squad/derived/train-from-dev-noxquad-v1.1.json",),
        batch_size=8,
        max_length=384,
        stride=128,
        examples=1_000,
    ),
    "tagging": Workload(
        task="udpos", files=("udpos/train-{lang}.tsv",), batch_size=32, max_length=128
    ),
}
SIDES = ("ours", "trainer", "padded")
OWN = "fused AdamW, by the project"


def main() -> None:
    """Run all workloads, print the table and write the results; or be one side of one workload."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--encoder", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--precision", choices=("fp32", "bf16"), nargs="+", default=["fp32", "bf16"]
    )
    parser.add_argument("--workload", choices=tuple(WORKLOADS), nargs="+", default=list(WORKLOADS))
    quick(parser)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.repeats = 1
    if args.side:
        print(json.dumps(measure(args)))
        return
    rows = [
        compare(args, name, precision) for name in args.workload for precision in args.precision
    ]
    write("training", rows, args)


def compare(args: argparse.Namespace, name: str, precision: str) -> dict[str, Any]:
    """Measure every side `repeats` times in turn, the slow padded one once; return medians and ratios."""
    found: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for turn in range(args.repeats):
        for side, runs in found.items():
            if side == "padded" and turn:
                continue
            command = [
                sys.executable, "-m", "tests.benchmarks.training", "--side", side,
                "--encoder", str(args.encoder), "--data", str(args.data),
                "--threads", str(args.threads), "--workload", name, "--precision", precision,
                *(["--quick"] if args.quick else []),
            ]  # fmt: skip
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{name} {precision} {side} failed:\n{done.stderr[-3000:]}")
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name} {precision} {side}: {runs[-1]}", file=sys.stderr, flush=True)
    row: dict[str, Any] = {"workload": name, "precision": precision, "repeats": args.repeats}
    for side, runs in found.items():
        row[f"{side} examples/s"] = statistics.median(run["rate"] for run in runs)
        row[f"{side} tokens"] = runs[0]["tokens"]
        row[f"{side} peak GB"] = statistics.median(run["peak_gb"] for run in runs)
    for peer in ("trainer", "padded"):
        row[f"speed / {peer}"] = row["ours examples/s"] / row[f"{peer} examples/s"]
        row[f"memory / {peer}"] = row["ours peak GB"] / row[f"{peer} peak GB"]
    row["peer's optimizer"] = found["trainer"][0]["optimizer"]
    return row


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Train as one side; return examples a second, the peak resident memory and the optimizer."""
    import torch

    torch.set_num_threads(args.threads)
    load, (precision,) = WORKLOADS[args.workload[0]], args.precision
    if args.quick:
        load = quickly(load)
    task, encoded, tokenizer = rows_of(load, args.encoder, args.data)
    steps = whole_round(encoded, load)
    if args.side == "ours":
        found = train_ours(args.encoder, load, task, encoded, precision, steps=steps)
    else:
        if args.side == "padded":
            steps = min(steps, PADDED_STEPS)
        found = train_peer(args, load, task, encoded, tokenizer, precision, steps=steps)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found.pop("times", None)
    return found | {"peak_gb": peak}


def whole_round(encoded: Any, load: Workload) -> int:
    """Return of how many batches Trainer sorts the rows at a time (get_length_grouped_indices)."""
    return max(1, min(50, len(encoded.columns["input_ids"]) // (4 * load.batch_size)))


def quickly(load: Workload) -> Workload:
    """Return a workload cut down to a smoke test."""
    return replace(
        load,
        max_length=QUICK_LENGTH,
        stride=min(load.stride, 8),
        examples=60,
    )


def rows_of(load: Workload, encoder: Path, data: Path) -> tuple[Task, Any, Any]:
    """Return a workload's task, its encoded rows and the tokenizer."""
    from transformers import AutoTokenizer

    from xtransfer.forms import FORMS

    task = _task(load)
    found = read_examples(task, split="train", language="en", root=data)
    examples = cut(found, load.examples, seed=1).examples
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    encoded = FORMS[task.form].encode(
        examples,
        tokenizer,
        labels=task.labels,
        max_length=load.max_length,
        stride=load.stride,
    )
    return task, encoded, tokenizer


def train_ours(
    encoder: Path,
    load: Workload,
    task: Task,
    encoded: Any,
    precision: str,
    *,
    steps: int,
    compacted: bool = True,
    engine: str = "torch",
    device: str = "cpu",
    graphs: bool = False,
    skipped: int = SKIPPED,
    ready: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Train by the project's own loop, as a trial on one worker does.

    The model keeps the vocabulary of all rows; trained is on `steps` batches of them. `ready` is called
    before the clock starts, after `skipped` steps.
    """
    from xtransfer.forms.files import read_rows, write_rows
    from xtransfer.process.allocation import keep_freed_memory
    from xtransfer.steps.assembly import Inputs, make_model, renumbered
    from xtransfer.train.context import Context, Progress
    from xtransfer.train.loop import train
    from xtransfer.train.mixture import Mixture
    from xtransfer.train.parts import TaskPart
    from xtransfer.train.prediction import DataSet
    from xtransfer.train.specification import TrialSpec

    keep_freed_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.arrow"
        write_rows(path, encoded)
        data = DataSet(rows=read_rows(path), examples=[{}] * len(encoded.columns["input_ids"]))
    spec = TrialSpec(
        seed=1,
        learning_rate=1e-5,
        epochs=1,
        batch_size=load.batch_size,
        precision=precision,
        keep="last",
    )
    part = TaskPart(
        name=task.name,
        form=task.form,
        metric=task.metric,
        labels=task.labels,
        train=data,
        dev={},
        score=lambda language, data, predictions: {},
        batch_size=load.batch_size,
        seed=1,
    )
    inputs = Inputs(encoder=str(encoder), revision=None, start=None, data={}, labels={})
    start = make_model(inputs, spec, [part], compacted=compacted, kept=False)
    size = start.model.encoder.config.vocab_size
    if compacted:
        part = part.renumbered(lambda each: renumbered(each, start.tokens, size))
    part = replace(part, train=_first(part.train, steps * load.batch_size))
    times: list[float] = []

    def note(progress: Progress) -> None:
        if progress.step == skipped:
            ready()
        times.append(time.perf_counter())

    context = Context(
        device=device,
        engine=engine,
        graphs=graphs,
        pad_id=start.model.encoder.config.pad_token_id or 0,
        report=note,
    )
    mixture = Mixture(steps=skipped + steps, shares=(1.0,))
    train(spec, context, model=start.model, parts=[part], mixture=mixture)
    return {
        "rate": _rate(times, load, steps, skipped),
        "tokens": float(part.train.lengths.mean()),
        "optimizer": OWN,
        "times": times[skipped - 1 :],
    }


def _first(data: Any, count: int) -> Any:
    """Return the first rows of a data set."""
    from xtransfer.forms.encoding import Ragged

    rows = {
        name: Ragged(column.values, column.offsets[: count + 1])
        if isinstance(column, Ragged)
        else column[:count]
        for name, column in data.rows.items()
    }
    return replace(data, rows=rows)


def train_peer(
    args: argparse.Namespace,
    load: Workload,
    task: Task,
    encoded: Any,
    tokenizer: Any,
    precision: str,
    *,
    steps: int,
    device: str = "cpu",
) -> dict[str, Any]:
    """Train by `Trainer` on all the rows, padded by batch or to the longest input, for some steps."""
    import transformers
    from transformers import Trainer, TrainerCallback, TrainingArguments

    transformers.logging.set_verbosity_error()
    columns = encoded.columns
    whole = args.side == "padded"
    names, kind, fields = (
        {
            "classification": ("label",),
            "span": ("start", "end"),
            "tagging": ("labels",),
        }[task.form],
        _PEERS[task.form],
        {"label": "labels", "start": "start_positions", "end": "end_positions", "labels": "labels"},
    )
    rows: list[dict[str, Any]] = []
    for at, ids in enumerate(columns["input_ids"]):
        row = {"input_ids": ids, "attention_mask": [1] * len(ids)}
        rows.append(row | {fields[name]: columns[name][at] for name in names})
    options = {"num_labels": len(task.labels)} if task.labels else {}
    model = getattr(transformers, kind).from_pretrained(args.encoder, **options)
    times: list[float] = []
    lengths: list[int] = []
    collate = _collator(task, tokenizer, load.max_length if whole else None)

    def noted(batch: list[dict[str, Any]]) -> Any:
        lengths.extend(len(row["input_ids"]) for row in batch)
        return collate(batch)

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.perf_counter())

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=folder,
                use_cpu=device == "cpu",
                per_device_train_batch_size=load.batch_size,
                max_steps=SKIPPED + steps,
                learning_rate=1e-5,
                weight_decay=0.01,
                warmup_steps=1,
                train_sampling_strategy="random" if whole else "group_by_length",
                bf16=precision == "bf16",
                seed=1,
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            ),
            train_dataset=rows,  # type: ignore[arg-type]
            data_collator=noted,
            callbacks=[Clock()],
        )
        trainer.train()
        chosen = str(getattr(trainer.args.optim, "value", trainer.args.optim))
    timed = lengths[SKIPPED * load.batch_size : (SKIPPED + steps) * load.batch_size]
    return {
        "rate": _rate(times, load, steps),
        "tokens": statistics.fmean(timed),
        "optimizer": chosen,
    }


_PEERS = {
    "classification": "AutoModelForSequenceClassification",
    "span": "AutoModelForQuestionAnswering",
    "tagging": "AutoModelForTokenClassification",
}


def _collator(task: Task, tokenizer: Any, length: int | None) -> Any:
    from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

    padding = True if length is None else "max_length"
    make = DataCollatorForTokenClassification if task.form == "tagging" else DataCollatorWithPadding
    return make(tokenizer, padding=padding, max_length=length)


def _rate(times: Sequence[float], load: Workload, steps: int, skipped: int = SKIPPED) -> float:
    timed = times[skipped - 1 : skipped + steps]
    return load.batch_size * (len(timed) - 1) / (timed[-1] - timed[0])


def _task(load: Workload) -> Task:
    task = TASKS[load.task]
    source = task.source.model_copy(update={"files": {"train": load.files}})
    return task.model_copy(update={"source": source})


if __name__ == "__main__":
    main()

"""Every task of the study on published files: read, scored by trivial predictions, trained 20 steps.

    python -m tests.benchmarks.every_task --encoder FOLDER --data FOLDER

DATA is a folder with the files that `tests/tasks/test_published_tasks.py` names. For each of its cases the
table has the rows read and left out, and the main metric of a constant prediction and of the gold itself;
for each task that trains, the loss over the first and the last 5 of 20 real optimizer steps of the given
encoder. The table goes to results/every_task.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.tasks.test_published_tasks import CASES, Case, oracle_of, task_of
from xtransfer.data import cut, read_examples
from xtransfer.data.examples import Rows
from xtransfer.forms import FORMS
from xtransfer.metrics import score
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

RESULTS = Path(__file__).parent / "results" / "every_task.md"
STEPS, BATCH, EXAMPLES, LONGEST = 20, 8, 160, 128
ROLES = {"train": 0, "dev": 1, "test": 2}
HEAD = "task split language files read left-out metric constant gold first-loss last-loss".split()


def main() -> None:
    """Print a line a case as it is done, then write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--encoder", required=True, type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--task", nargs="*", choices=tuple(TASKS))
    args = parser.parse_args()
    lines: list[str] = [_line(HEAD), _line(["---"] * len(HEAD))]
    for row in table(args.encoder, args.data, args.task or list(TASKS)):
        lines.append(_line(row))
        print("  ".join(row), flush=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


def table(encoder: Path, data: Path, names: Sequence[str]) -> Iterator[list[str]]:
    """Yield a row a case; a task that trains is trained on its first labelled case."""
    for name in names:
        cases = sorted((c for c in CASES if c.task == name), key=lambda c: ROLES[c.split])
        for number, case in enumerate(cases):
            task = task_of(case)
            found = read_examples(task, split=case.split, language=case.language, root=data)
            losses = ["", ""]
            if number == 0 and hasattr(FORMS[task.form], "loss"):
                losses = [f"{loss:.3f}" for loss in train(encoder, task, found)]
            yield [*_facts(case, task, found), *losses]


def _facts(case: Case, task: Task, found: Rows) -> list[str]:
    form = FORMS[task.form]
    gold = [form.describe(example)["gold"] for example in found.examples]
    templates = case.files or task.source.files.get(case.split, ())
    scores = ["", ""]
    if all(each is not None for each in gold) and task.form not in ("mlm", "bitext", "retrieval"):
        constant = [
            [case.constant] * len(g) if task.form == "tagging" else case.constant for g in gold
        ]
        for at, predictions in enumerate((constant, [oracle_of(task, each) for each in gold])):
            found_scores = score(task, gold, predictions, language=case.language)
            scores[at] = f"{found_scores[task.metric]:.2f}"
    skipped = sum(found.skipped.values())
    return [
        case.task, case.split, case.language, " ".join(templates), f"{len(found.examples):,}",
        f"{skipped:,}", task.metric, *scores,
    ]  # fmt: skip


def train(encoder: Path, task: Task, found: Rows) -> tuple[float, float]:
    """Take 20 optimizer steps; return the mean loss of the first and of the last five."""
    import torch
    from transformers import AutoTokenizer

    from xtransfer.prepared import read_rows, write_rows
    from xtransfer.train.context import Context, Progress
    from xtransfer.train.loop import TrialSpec, train
    from xtransfer.train.mixture import Mixture
    from xtransfer.train.parts import TaskPart
    from xtransfer.train.prediction import DataSet
    from xtransfer.train.trial import Inputs, make_model

    torch.set_num_threads(2)
    examples: Any = cut(found, EXAMPLES, seed=1).examples
    if task.labels_from_data:
        tags = sorted({tag for example in examples for tag in example.tags})
        task = task.model_copy(update={"labels": tuple(tags)})
    encoded = FORMS[task.form].encode(
        examples,
        AutoTokenizer.from_pretrained(encoder),
        labels=task.labels,
        max_length=min(task.max_length, LONGEST),
        stride=32,
    )
    with tempfile.TemporaryDirectory() as folder:
        write_rows(Path(folder) / "rows.arrow", encoded)
        data = DataSet(rows=read_rows(Path(folder) / "rows.arrow"), examples=[{}] * len(examples))
    spec = TrialSpec(seed=1, learning_rate=1e-4, epochs=1, batch_size=BATCH, keep="last")
    part = TaskPart(
        name=task.name,
        form=task.form,
        metric=task.metric,
        labels=task.labels,
        train=data,
        dev={},
        score=lambda language, data, predictions: {},
        batch_size=BATCH,
        seed=1,
    )
    inputs = Inputs(encoder=str(encoder), revision=None, start=None, data={}, labels={})
    start = make_model(inputs, spec, [part], compacted=False, kept=False)
    told: list[Progress] = []
    context = Context(pad_id=start.model.encoder.config.pad_token_id or 0, report=told.append)
    mixture = Mixture(steps=STEPS, shares=(1.0,))
    train(spec, context, model=start.model, parts=[part], mixture=mixture)
    losses = [each.loss for each in told]
    return fmean(losses[:5]), fmean(losses[-5:])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())

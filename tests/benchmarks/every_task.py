"""Every task of the study on published files: read, scored by trivial predictions, trained 20 steps.

    python -m tests.benchmarks.every_task --encoder FOLDER --data FOLDER

DATA is a folder with the files that `tests/tasks/test_published_tasks.py` names; Mewsli-X, which is not at
hand, is written here in its published format from those files' text. For each case the table has the rows read and left out, and the main metric of a constant prediction and of the gold itself;
for each task that trains, the loss over the first and the last 5 of 20 real optimizer steps of the given
encoder. The table goes to results/every_task.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.tasks.test_published_tasks import CASES, Case, oracle_of, task_of
from xtransfer.data import read_examples
from xtransfer.data.examples import Rows
from xtransfer.data.samples import cut
from xtransfer.forms import FORMS, scored_examples
from xtransfer.metrics import score
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task

MORE = (
    Case(task="squad_sentences", split="dev", examples=0, constant=None, scores=0.0,
         files=("squad/derived/train-from-dev-noxquad-v1.1.json",)),
    Case(task="lareqa", split="test", examples=0, constant=None, scores=0.0),
    Case(task="lareqa", split="test", language="zh", examples=0, constant=None, scores=0.0),
    Case(task="bucc2018", split="dev", language="zh", examples=0, constant=None, scores=0.0),
    Case(task="mewslix", split="train", examples=0, constant=None, scores=0.0,
         files=("mewslix/pairs.jsonl",)),
    Case(task="text", split="train", language="sw", examples=0, constant=None, scores=0.0,
         files=("mlmtext/{lang}.txt",)),
)  # fmt: skip
"""Cases beside those of the tests; of rankings the constant is the first 20 candidates."""
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
        cases = sorted((c for c in (*CASES, *MORE) if c.task == name), key=lambda c: ROLES[c.split])
        for number, case in enumerate(cases):
            task = task_of(case)
            root = written(data) if name == "mewslix" else data
            found = read_examples(task, split=case.split, language=case.language, root=root)
            losses = ["", ""]
            if number == 0 and task.form not in ("bitext", "mlm") and name != "lareqa":
                losses = [f"{loss:.3f}" for loss in train(encoder, task, found)]
            yield [*_facts(case, task, found), *losses]


def written(data: Path) -> Path:
    """Write mention-entity pairs in Mewsli-X's format: a mention is the first word of a paragraph."""
    squad = TASKS["squad_v1"].source.model_copy(
        update={"files": {"train": ("squad/derived/train-from-dev-noxquad-v1.1.json",)}}
    )
    task = TASKS["squad_v1"].model_copy(update={"source": squad})
    found: Any = read_examples(task, split="train", language="en", root=data).examples
    rows: list[str] = []
    for number, text in enumerate(list(dict.fromkeys(e.context for e in found))[:EXAMPLES]):
        word, whole = text.split()[0], {"start": 0, "end": len(text)}
        context = {
            "document_title": "", "document_url": "", "document_id": str(number), "language": "en",
            "text": text, "sentence_spans": [whole],
        }  # fmt: skip
        mention = {
            "example_id": f"m{number}", "entity_id": f"Q{number}", "metadata": {},
            "mention_span": {"start": 0, "end": len(word), "text": word},
        }  # fmt: skip
        entity = {
            "entity_id": f"Q{number}", "title": word, "description": text,
            "sentence_spans": [whole], "description_language": "en", "description_url": "",
        }  # fmt: skip
        pair = {"contextual_mention": {"context": context, "mention": mention}, "entity": entity}
        rows.append(json.dumps(pair) + "\n")
    folder = Path(tempfile.mkdtemp(prefix="xtransfer-"))
    (folder / "mewslix").mkdir()
    (folder / "mewslix" / "pairs.jsonl").write_text("".join(rows), encoding="utf-8")
    return folder


def _facts(case: Case, task: Task, found: Rows) -> list[str]:
    templates = case.files or task.source.files.get(case.split, ())
    described = [FORMS[task.form].describe(example) for example in found.examples]
    scores = ["", ""]
    if task.form != "mlm":
        asked, constant = _asked(case, task, described)
        gold = [each["gold"] for each in asked]
        right = gold if task.form == "retrieval" else [oracle_of(task, each) for each in gold]
        if task.metric == "f1":
            right = [next(iter(each), None) for each in gold]
        for at, predictions in enumerate((constant, right)):
            metrics = score(task, gold, predictions, language=case.language)
            scores[at] = f"{metrics[task.metric]:.2f}"
    skipped = sum(found.skipped.values())
    return [
        case.task, case.split, case.language, " ".join(templates), f"{len(found.examples):,}",
        f"{skipped:,}", task.metric, *scores,
    ]  # fmt: skip


def _asked(
    case: Case, task: Task, described: list[dict[str, Any]]
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return what is predicted for, and one prediction for all of it."""
    if task.form == "retrieval":
        asked = scored_examples(task.form, described)
        first = [each["candidate"] for each in described if "candidate" in each][:20]
        return asked, [first] * len(asked)
    side = {"f1": "foreign", "accuracy": "english"}.get(task.metric, "")
    asked = [each for each in described if each.get("side", side) == side]
    constant = case.constant
    if task.metric == "f1":
        constant = next(each["id"] for each in described if each["side"] == "english")
    if task.form == "tagging":
        return asked, [[constant] * len(each["gold"]) for each in asked]
    return asked, [constant] * len(asked)


def train(encoder: Path, task: Task, found: Rows) -> tuple[float, float]:
    """Take 20 optimizer steps; return the mean loss of the first and of the last five."""
    import torch
    from transformers import AutoTokenizer

    from xtransfer.forms.files import read_rows, write_rows
    from xtransfer.steps.assembly import Inputs, make_model, renumbered
    from xtransfer.train.context import Context, Progress
    from xtransfer.train.loop import train
    from xtransfer.train.mixture import Mixture
    from xtransfer.train.parts import TaskPart
    from xtransfer.train.prediction import DataSet
    from xtransfer.train.specification import TrialSpec

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
    start = make_model(inputs, spec, [part], compacted=True, kept=False)
    size = start.model.encoder.config.vocab_size
    part = part.renumbered(lambda each: renumbered(each, start.tokens, size))
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

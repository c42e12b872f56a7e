"""Bi-encoders train: in-batch negatives over the whole batch, whatever the workers."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_tokenizer
from tests.train.workers import (
    RETRIEVAL,
    run_two,
    train_mixed,
    train_retrieval,
    train_retrieval_alone,
)
from xtransfer.data import read_examples
from xtransfer.data.examples import Rows
from xtransfer.forms import FORMS, scored_examples
from xtransfer.metrics import score
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Task
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import TaskPart
from xtransfer.train.prediction import DataSet
from xtransfer.train.randomness import build_head
from xtransfer.train.specification import TrialSpec

NAMES = ("cat", "dog", "bird", "mat", "tree", "river", "sun", "ox", "map", "pen")


def test_a_bi_encoder_learns() -> None:
    spec = replace(RETRIEVAL, epochs=40, learning_rate=1e-2, eval_every=15)
    outcomes = [train_retrieval(replace(spec, seed=seed), Context(pad_id=1)) for seed in range(6)]
    for outcome in outcomes:
        losses = [entry["loss"] for entry in outcome.history]
        assert losses[-1] < losses[0] / 2
    assert fmean(outcome.best_score for outcome in outcomes) > 60  # by chance: 18
    assert outcome.weights["heads.0.scale"].shape == (1,)
    assert float(outcome.weights["heads.0.scale"]) != 100.0


def test_a_batch_is_not_divided() -> None:
    whole = train_retrieval(RETRIEVAL, Context(pad_id=1), dropout=0.1)
    asked = train_retrieval(RETRIEVAL, Context(pad_id=1, micro_batch=2), dropout=0.1)
    assert all(torch.equal(value, asked.weights[name]) for name, value in whole.weights.items())


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["torch", "deepspeed"])
def test_two_workers_compute_what_one_does(engine: str, tmp_path: Path) -> None:
    run_two(tmp_path, 2, train_retrieval_alone, engine)
    found = torch.load(tmp_path / "out", weights_only=True)
    alone = train_retrieval_alone(Context(pad_id=1))
    assert [e["loss"] for e in found["history"]] == pytest.approx(
        [e["loss"] for e in alone.history], rel=1e-4
    )
    for name, value in alone.weights.items():
        assert torch.allclose(found["weights"][name], value, atol=1e-4), name


def squad() -> str:
    """Return SQuAD v1.1 with a paragraph of two sentences and a question on each, for every name."""
    paragraphs = []
    for at, name in enumerate(NAMES):
        other = NAMES[(at + 3) % len(NAMES)]
        context = f"The {name} sat near. A {other} ran under it."
        qas = [
            {"id": f"{name}-0", "question": f"where sat the {name}?", "answers": [(name, 4)]},
            {
                "id": f"{name}-1",
                "question": f"who ran, a {other}?",
                "answers": [("A", len(name) + 15)],
            },
        ]
        for question in qas:
            question["answers"] = [
                {"text": context[start : start + len(text)], "answer_start": start}
                for text, start in question["answers"]  # type: ignore[misc]
            ]
        paragraphs.append({"context": context, "qas": qas})
    return json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]})


def mewsli() -> str:
    """Return pairs of a mention and its entity, two for every name."""
    rows = []
    for at in range(2 * len(NAMES)):
        name = NAMES[at % len(NAMES)]
        text = f"who saw the {name} {'on a tree' if at < len(NAMES) else 'near it'}."
        span = {"start": 12, "end": 12 + len(name), "text": name}
        described = f"a {name} is old."
        rows.append(
            {
                "contextual_mention": {
                    "context": {
                        "language": "en",
                        "text": text,
                        "sentence_spans": [{"start": 0, "end": len(text)}],
                    },
                    "mention": {"example_id": f"m{at}", "mention_span": span, "entity_id": name},
                },
                "entity": {
                    "entity_id": name,
                    "description": described,
                    "sentence_spans": [{"start": 0, "end": len(described)}],
                },
            }
        )
    return "".join(json.dumps(row) + "\n" for row in rows)


def prepared(task: Task, rows: Rows) -> DataSet:
    form = FORMS[task.form]
    encoded = form.encode(rows.examples, tiny_tokenizer(), labels=(), max_length=36, stride=0)
    examples = [form.describe(example) for example in rows.examples]
    return DataSet(rows=rows_of(encoded), examples=examples)


@pytest.mark.parametrize(
    ("name", "file", "text", "trained"),
    [
        ("squad_sentences", "squad/{split}-v1.1.json", squad, "lareqa"),
        ("mewslix", "mewslix/wikipedia_pairs-{split}.jsonl", mewsli, "mewslix"),
    ],
)
def test_twenty_steps_of_training_from_files_as_published(
    name: str, file: str, text: Any, trained: str, tmp_path: Path
) -> None:
    task = TASKS[name]
    assert [stage.task for stage in TASKS[trained].stages or ()] == [name]
    for split in ("train", "dev"):
        path = tmp_path / file.replace("{split}", split)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text(), encoding="utf-8")
    train_set, dev_set = (
        prepared(task, read_examples(task, split=split, language="en", root=tmp_path))
        for split in ("train", "dev")
    )

    def rated(_: str, data: DataSet, predictions: list[Any]) -> dict[str, float]:
        gold = [example["gold"] for example in scored_examples(task.form, data.examples)]
        return score(task, gold, predictions, language="en")

    spec = TrialSpec(seed=1, learning_rate=1e-2, epochs=4, batch_size=4, eval_every=5)
    part = TaskPart(
        name=name,
        form=task.form,
        metric=task.metric,
        labels=(),
        train=train_set,
        dev={"en": dev_set},
        score=rated,
        batch_size=spec.batch_size,
        seed=spec.seed,
    )
    head = build_head(task.form, 16, 0, dropout=0.0, seed=1)
    model = TransferModel(tiny_encoder(vocabulary=80), [head], bf16=False)
    outcome = train_mixed(spec, Context(pad_id=1), model, [part])
    assert outcome.steps == 20
    losses = [entry["loss"] for entry in outcome.history]
    assert losses[-1] < 0.7 * losses[0]
    names = [example["candidate"] for example in dev_set.examples if "candidate" in example]
    queries = len(scored_examples(task.form, dev_set.examples))
    constant = rated("en", dev_set, [list(dict.fromkeys(names))] * queries)[task.metric]
    assert outcome.best_score > 1.2 * constant

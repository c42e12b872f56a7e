"""Targets that compare or choose sentences: XNLI, PAWS-X, XCOPA."""

from __future__ import annotations

from xtransfer.tasks.intermediate import NLI
from xtransfer.tasks.task import Size, Source, Stage, Task

_PAIR_TSV = {"text_a": "0", "text_b": "1", "label": "2"}

XNLI = Task(
    name="xnli",
    form="classification",
    metric="accuracy",
    labels=NLI,
    languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
    source=Source(
        format="tsv",
        files={"dev": ("xnli/dev-{lang}.tsv",), "test": ("xnli/test-{lang}.tsv",)},
        columns=_PAIR_TSV,
        labels={"contradictory": "contradiction"},
    ),
    stages=(Stage(task="mnli", epochs=2, batch_size=32, max_length=256),),
    max_length=256,
    group="classification",
    benchmark="xtreme",
    size=Size(
        examples={"dev": {"*": 2490}, "test": {"*": 5010}},
        source="counted in the published files",
    ),
    note="CC BY-NC 4.0. XTREME's own test files carry no labels: bring labelled ones.",
)

PAWSX = Task(
    name="pawsx",
    form="classification",
    metric="accuracy",
    labels=("0", "1"),
    languages=tuple("de en es fr ja ko zh".split()),
    source=Source(
        format="tsv",
        files={
            "train": ("pawsx/train-{lang}.tsv",),
            "dev": ("pawsx/dev-{lang}.tsv",),
            "test": ("pawsx/test-{lang}.tsv",),
        },
        columns=_PAIR_TSV,
    ),
    stages=(Stage(task="pawsx", epochs=5, batch_size=32, max_length=256),),
    max_length=256,
    group="classification",
    benchmark="xtreme",
    size=Size(
        examples={"train": {"*": 49_401}, "dev": {"*": 2000}, "test": {"*": 2000}},
        source="Yang et al. 2019",
    ),
)

XCOPA = Task(
    name="xcopa",
    form="choice",
    metric="accuracy",
    labels=("0", "1"),
    languages=tuple("et ht id it qu sw ta th tr vi zh".split()),
    source=Source(
        format="jsonl",
        files={"dev": ("xcopa/val-{lang}.jsonl",), "test": ("xcopa/test-{lang}.jsonl",)},
        columns={
            "context": "premise",
            # The words of XTREME's run_xcopa.py, English in every language.
            "question": "What was the {question}?",
            "choices": "choice1,choice2",
            "label": "label",
        },
    ),
    stages=(
        Stage(task="socialiqa", epochs=5, batch_size=32, max_length=128),
        Stage(task="copa", epochs=5, batch_size=32, max_length=128),
    ),
    max_length=128,
    group="classification",
    benchmark="xtreme-r",
    size=Size(
        examples={"dev": {"*": 100}, "test": {"*": 500}},
        source="counted in the published files",
    ),
    note="CC BY 4.0.",
)

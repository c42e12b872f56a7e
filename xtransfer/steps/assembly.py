"""What a trial is put together from: records and prepared data become parts and a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from xtransfer.forms import scored_examples
from xtransfer.forms.encoding import Ragged
from xtransfer.metrics import score
from xtransfer.plan import Step
from xtransfer.steps.prepared import read_data_set
from xtransfer.tasks.task import Task
from xtransfer.train.adapters import add_adapters
from xtransfer.train.encoder import load_encoder, word_embeddings
from xtransfer.train.mixture import Mixture, Sampling, mix
from xtransfer.train.model import TransferModel
from xtransfer.train.parts import Part, TaskPart, TextPart
from xtransfer.train.prediction import DataSet
from xtransfer.train.randomness import build_head, stream
from xtransfer.train.specification import TrialSpec
from xtransfer.train.text_head import load_text_head
from xtransfer.train.vocabulary import compact, renumber, used_tokens
from xtransfer.train.weights import apply_weights, head_weights, read_weights

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench

WEIGHTS = "weights.safetensors"
"""A trial's exported weights."""
DATA_ROLES = ("train ", "dev ")
"""How the roles of a trial's data begin; the part's name follows."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """All that a trial reads, as local files: what a worker on any node can be told."""

    encoder: str
    revision: str | None
    start: Path | None
    """Exported weights of the parent trial; None: the base encoder as it is."""
    data: Mapping[str, Path]
    """Role of the prepared data ("train mnli", "dev text") -> its folder."""
    labels: Mapping[str, tuple[str, ...]]
    """Task -> its labels."""


def gather_inputs(step: Step, bench: Workbench) -> Inputs:
    """Fetch everything that a trial reads to this node."""
    from xtransfer.steps.encoder import encoder_place

    name, revision = encoder_place(step, bench)
    start = None
    parent = bench.plan.steps.get(step.inputs.get("start", ""))
    if parent is not None and parent.kind != "pretrain":
        start = bench.files(bench.trained(parent.key), [WEIGHTS]) / WEIGHTS
    records = {
        role: bench.record(key) for role, key in step.inputs.items() if role.startswith(DATA_ROLES)
    }
    return Inputs(
        encoder=name,
        revision=revision,
        start=start,
        data={role: bench.files(record) for role, record in records.items()},
        labels={
            part["task"]: tuple(
                records[f"train {part['task']}"].result["labels"]
                if part["labels"] is None
                else part["labels"]
            )
            for part in step.spec["parts"]
        },
    )


def make_parts(
    raw: Mapping[str, Any], spec: TrialSpec, inputs: Inputs, tasks: Mapping[str, Task]
) -> tuple[list[Part], Mixture]:
    """Return the parts that a train step's specification names, and how its steps are shared out."""
    parts: list[Part] = []
    for each in raw["parts"]:
        name = each["task"]
        train_sets = [
            read_data_set(inputs.data[f"train {name}"], code) for code in each["languages"]
        ]
        parts.append(
            TaskPart(
                name=name,
                form=each["form"],
                metric=each["metric"],
                labels=inputs.labels[name],
                train=DataSet.joined(train_sets),
                dev={
                    code: read_data_set(inputs.data[f"dev {name}"], code)
                    for code in each["dev_languages"]
                },
                score=partial(_score, tasks[name]),
                batch_size=spec.batch_size,
                seed=spec.seed,
            )
        )
    sizes = [(part.examples, part.rows) for part in parts if isinstance(part, TaskPart)]
    text = raw["text"]
    if text is not None:
        parts.append(_text_part(text, spec, inputs))
    mixture = mix(
        sizes,
        Sampling(**(raw["sampling"] or {})),
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        text_rows=0 if text is None else parts[-1].rows,
        text_probability=0.0 if text is None else text["probability"],
    )
    return parts, mixture


@dataclass(frozen=True, kw_only=True)
class Start:
    """The model of a trial before its first step."""

    model: TransferModel
    before: dict[str, Tensor] | None
    """The exported weights that it started from; None: the base encoder as it is."""
    tokens: np.ndarray
    """Token id of each row of the embedding."""
    text_head: str = ""
    """Of a trial on text: "pretrained" or "fresh"."""


def make_model(
    inputs: Inputs,
    spec: TrialSpec,
    parts: Sequence[Part],
    *,
    compacted: bool,
    kept: bool,
) -> Start:
    """Return the model at its start; `kept`: with the head of the trial that it goes on from."""
    encoder = load_encoder(inputs.encoder, revision=inputs.revision, dropout=spec.dropout)
    before = None if inputs.start is None else read_weights(inputs.start)
    if before is not None:
        apply_weights(encoder, before)
    vocabulary = encoder.config.vocab_size
    tokens = np.arange(vocabulary)
    heads = [
        make_head(
            encoder,
            part.form,
            vocabulary if isinstance(part, TextPart) else len(part.labels),
            seed=spec.seed if spec.head_seed is None else spec.head_seed,
            number=number,
            dropout=spec.dropout,
        )
        for number, part in enumerate(parts)
    ]
    text_head = ""
    if isinstance(parts[-1], TextPart):
        pretrained = load_text_head(heads[-1], inputs.encoder, revision=inputs.revision)
        text_head = "pretrained" if pretrained else "fresh"
    if kept and before is not None:
        heads[0].load_state_dict(head_weights(before))
    if compacted and (encoder.config.pad_token_id or 0) < 8:
        columns = [
            ids.values for part in parts if isinstance(part, TaskPart) for ids in part.input_ids
        ]
        tokens = used_tokens(columns, vocabulary=vocabulary)
        compact(encoder, tokens)
    if spec.lora is not None:
        add_adapters(encoder, spec.lora, seed=stream(spec.seed, 0, "lora"))
    model = TransferModel(encoder, heads, bf16=spec.precision == "bf16")
    return Start(model=model, before=before, tokens=tokens, text_head=text_head)


def make_head(
    encoder: Any,
    form: str,
    labels: int,
    *,
    seed: int = 0,
    number: int = 0,
    dropout: float | None = None,
) -> Any:
    """Return a fresh head of a form for an encoder.

    Args:
        encoder: whose states it reads.
        form: of the task.
        labels: of the task, or tokens of a vocabulary.
        seed: of its weights.
        number: among the heads of a trial.
        dropout: None: the encoder's between layers, else 0.1.
    """
    size = 1 if form == "choice" else labels
    usual = getattr(encoder.config, "hidden_dropout_prob", 0.1)
    return build_head(
        form,
        encoder.config.hidden_size,
        size,
        dropout=usual if dropout is None else dropout,
        seed=seed,
        number=number,
        width=word_embeddings(encoder).weight.shape[1],
    )


def renumbered(data: DataSet, tokens: np.ndarray, vocabulary: int) -> DataSet:
    """Return a data set whose token ids are the rows of a compact embedding."""
    ids = data.input_ids
    values = renumber(ids.values, tokens, vocabulary=vocabulary)
    rows = {**data.rows, "input_ids": Ragged(values, ids.offsets)}
    return DataSet(rows=rows, examples=data.examples)


def _text_part(text: Mapping[str, Any], spec: TrialSpec, inputs: Inputs) -> TextPart:
    from xtransfer.steps.encoder import load_tokenizer, mask_token

    tokenizer = load_tokenizer(inputs.encoder, inputs.revision)
    data = {
        split: {
            code: read_data_set(inputs.data[f"{split} text"], code) for code in text["languages"]
        }
        for split in ("train", "dev")
    }
    return TextPart(
        train=data["train"],
        dev=data["dev"],
        exponent=text["exponent"],
        mask=text["mask"],
        weight=text["weight"],
        mask_token=mask_token(tokenizer, inputs.encoder),
        special=tuple(sorted(tokenizer.all_special_ids)),
        vocabulary=len(tokenizer),
        batch_size=spec.batch_size,
        seed=spec.seed,
    )


def _score(task: Task, language: str, data: DataSet, predictions: list[Any]) -> dict[str, float]:
    gold = [example["gold"] for example in scored_examples(task.form, data.examples)]
    return dict(score(task, gold, predictions, language=language))

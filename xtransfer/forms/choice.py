"""Multiple choice: each answer is encoded with the question; one shared scorer ranks them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xtransfer.data.examples import ChoiceExample
from xtransfer.forms.classification import Head
from xtransfer.forms.encoding import Encoded, Rows, encode_texts, ints, lists

JsonDict = dict[str, Any]

SEQUENCE_LENGTHS = "choice_lengths"
"""Column with the tokens of each answer of a row."""

__all__ = [
    "SEQUENCE_LENGTHS",
    "Head",
    "decode",
    "describe",
    "encode",
    "gold_tensors",
    "loss",
]


def encode(
    examples: Sequence[ChoiceExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise (context + question, answer) pairs; a row holds all answers of one example, joined.

    `choice_lengths` says where one answer ends and the next begins.
    """
    first = [
        " ".join(part for part in (example.context, example.question) if part)
        for example in examples
        for _ in example.choices
    ]
    second = [choice for example in examples for choice in example.choices]
    flat, cut = encode_texts(tokenizer, first, second, max_length=max_length)
    ends = np.cumsum([0, *(len(example.choices) for example in examples)])
    columns: dict[str, list[Any]] = {
        name: [list(chain.from_iterable(values[start:end])) for start, end in pairwise(ends)]
        for name, values in flat.items()
    }
    columns[SEQUENCE_LENGTHS] = [
        [len(ids) for ids in flat["input_ids"][start:end]] for start, end in pairwise(ends)
    ]
    columns["label"] = [-1 if example.label is None else example.label for example in examples]
    columns["example"] = list(range(len(examples)))
    columns["weight"] = [1] * len(examples)
    return Encoded(columns=columns, counts={"inputs cut": cut})


def gold_tensors(rows: Rows, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return `label` [batch] and `choices` [batch], the number of answers of each example."""
    counts = [len(lengths) for lengths in lists(rows[SEQUENCE_LENGTHS], chosen)]
    return {
        "label": torch.from_numpy(ints(rows["label"], chosen)),
        "choices": torch.tensor(counts),
    }


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the summed cross-entropy over each example's answers; logits are [answers, 1]."""
    scores = logits.float().squeeze(-1).split(batch["choices"].tolist())
    parts = [
        functional.cross_entropy(score[None], label[None], reduction="sum")
        for score, label in zip(scores, batch["label"], strict=True)
    ]
    return torch.stack(parts).sum()


def decode(
    logits: Sequence[Tensor],
    rows: Rows,
    examples: Sequence[JsonDict],
    labels: Sequence[str],
) -> list[int]:
    """Return the 0-based index of the best answer of each example; logits[i] is [answers, 1]."""
    return [int(scores.argmax()) for scores in logits[: len(examples)]]


def describe(example: ChoiceExample) -> JsonDict:
    """Return what scoring needs of an example."""
    return {"id": example.id, "gold": example.label}

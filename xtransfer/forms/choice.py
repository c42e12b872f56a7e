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
from xtransfer.forms.encoding import Encoded, Rows, encode_texts, ints, lists, pad

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
    """Return `label` [batch], and `choices` [batch, most answers]: which logit an answer has, -1 where there is none."""
    counts = [len(lengths) for lengths in lists(rows[SEQUENCE_LENGTHS], chosen)]
    ends = np.cumsum([0, *counts])
    places = [np.arange(start, end, dtype=np.int32) for start, end in pairwise(ends)]
    return {
        "label": torch.from_numpy(ints(rows["label"], chosen)),
        "choices": torch.from_numpy(pad(places, -1)),
    }


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the summed cross-entropy over each example's answers; logits are [answers, 1]."""
    places = batch["choices"]
    scores = logits.float().squeeze(-1)[places.clamp(min=0)]
    scores = scores.masked_fill(places < 0, float("-inf"))
    return functional.cross_entropy(scores, batch["label"], reduction="none").sum()


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

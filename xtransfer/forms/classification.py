"""Classification of one text or a pair: <s> a </s></s> b </s> -> one of n labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.data.examples import PairExample
from xtransfer.forms.encoding import Encoded, Rows, encode_texts, ints

JsonDict = dict[str, Any]


def encode(
    examples: Sequence[PairExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise pairs; the longer text is cut first where a pair exceeds `max_length` tokens."""
    second = None
    if any(example.text_b is not None for example in examples):
        second = [example.text_b or "" for example in examples]
    columns, cut = encode_texts(
        tokenizer, [example.text_a for example in examples], second, max_length=max_length
    )
    index = {label: position for position, label in enumerate(labels)}
    columns["label"] = [
        index[example.label] if example.label is not None else -1 for example in examples
    ]
    columns["example"] = list(range(len(examples)))
    columns["weight"] = [1] * len(examples)
    return Encoded(columns=columns, counts={"inputs cut": cut})


class Head(nn.Module):
    """The classification head of RoBERTa: dense, tanh and projection on the first token's state."""

    first_token = True
    """Says that no other state is read."""

    def __init__(self, hidden: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(hidden, hidden)
        self.project = nn.Linear(hidden, labels)

    def forward(self, states: Tensor) -> Tensor:
        """Map states [batch, length, hidden] to logits [batch, labels]."""
        first = self.dropout(states[:, 0])
        return self.project(self.dropout(torch.tanh(self.dense(first))))


def gold_tensors(rows: Rows, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return `label` [batch]."""
    return {"label": torch.from_numpy(ints(rows["label"], chosen))}


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the summed cross-entropy of the batch."""
    return functional.cross_entropy(logits.float(), batch["label"], reduction="sum")


def decode(
    logits: Sequence[Tensor],
    rows: Rows,
    examples: Sequence[JsonDict],
    labels: Sequence[str],
) -> list[str]:
    """Return the most probable label of each example; logits[i] is [labels], row i example i."""
    return [labels[int(scores.argmax())] for scores in logits[: len(examples)]]


def describe(example: PairExample) -> JsonDict:
    """Return what scoring needs of an example."""
    return {"id": example.id, "gold": example.label}

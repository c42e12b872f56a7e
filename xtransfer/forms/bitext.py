"""Sentence retrieval across languages: no head, no training; embeddings are compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtransfer.data.examples import BitextExample
from xtransfer.forms.encoding import Encoded, encode_texts

JsonDict = dict[str, Any]


def encode(
    examples: Sequence[BitextExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise the sentences of both sides, cutting those over `max_length` tokens."""
    columns, cut = encode_texts(
        tokenizer, [example.text for example in examples], None, max_length=max_length
    )
    columns["example"] = list(range(len(examples)))
    columns["weight"] = [1] * len(examples)
    return Encoded(columns=columns, counts={"inputs cut": cut})


def describe(example: BitextExample) -> JsonDict:
    """Return what scoring needs of a sentence."""
    out: JsonDict = {"id": example.id, "side": example.side, "gold": list(example.match)}
    return out if example.same_as is None else {**out, "same_as": example.same_as}

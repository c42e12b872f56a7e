"""A tokenizer, rows and an encoder small enough to make anew in a test."""

from __future__ import annotations

from array import array
from functools import lru_cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xtransfer.forms.encoding import Encoded, Ragged, Rows

WORDS = tuple(
    "the a cat dog bird sat ran saw on under mat tree river who where what red old near".split()
)
"""Words that are one token each; other words are spelled in letters."""
ATTENTION = "eager"
"""Of tiny encoders, as transformers names it."""
DROPPED = "\u200b"
"""A zero-width space, which the tokenizer drops, as XLM-R's does."""


@lru_cache(maxsize=1)
def tiny_tokenizer() -> Any:
    """Return a tokenizer that works like XLM-R's: Unigram on '▁' words, `<s> a </s></s> b </s>`."""
    from transformers import PreTrainedTokenizerFast

    pieces = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    pieces += [("▁", -4.0), *((f"▁{word}", -2.0) for word in WORDS)]
    pieces += [(letter, -5.0) for letter in "abcdefghijklmnopqrstuvwxyz0123456789.,?"]
    inner = Tokenizer(models.Unigram(pieces, unk_id=3))
    inner.normalizer = normalizers.Replace(DROPPED, "")
    inner.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    inner.decoder = decoders.Metaspace(prepend_scheme="always")
    inner.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> </s> $B </s>",
        special_tokens=[("<s>", 0), ("</s>", 2)],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=int(1e9),
    )


def rows_of(encoded: Encoded) -> Rows:
    """Return encoded columns as the loop sees them, without a file between."""
    return {name: _column(values) for name, values in encoded.columns.items()}


def _column(values: list[Any]) -> Any:
    if not isinstance(values[0], list | array):
        return np.array(values, dtype=np.int32)
    offsets = np.cumsum([0, *(len(row) for row in values)])
    return Ragged(np.array([each for row in values for each in row], dtype=np.int32), offsets)


def tiny_encoder(*, vocabulary: int = 60, dropout: float = 0.0, seed: int = 0) -> Any:
    """Return an XLM-R of two layers of 16 units with random weights."""
    import torch
    from transformers import XLMRobertaConfig, XLMRobertaModel

    torch.manual_seed(seed)
    config = XLMRobertaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=40,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        attn_implementation=ATTENTION,
    )
    return XLMRobertaModel(config, add_pooling_layer=False)


def tiny_model(encoder: Any, *, labels: int = 2, dropout: float = 0.0) -> Any:
    """Return an encoder with a classification head."""
    from xtransfer.train.model import TransferModel
    from xtransfer.train.randomness import build_head

    head = build_head("classification", 16, labels, dropout=dropout, seed=1)
    return TransferModel(encoder, [head], bf16=False)


def tiny_pairs(count: int, *, tokens: tuple[int, ...], seed: int = 0) -> Any:
    """Return a data set of two labels, told apart by the tokens' parity, of rows of 4 to 12 tokens.

    Args:
        count: number of rows.
        tokens: the ids that rows are made of, besides <s> (0) and </s> (2).
        seed: of the draw.
    """
    from xtransfer.train.prediction import DataSet

    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, count)
    even, odd = ([t for t in tokens if t % 2 == side] for side in (0, 1))
    ids = [
        [0, *random.choice(odd if label else even, random.integers(2, 11)).tolist(), 2]
        for label in labels
    ]
    columns: dict[str, list[Any]] = {
        "input_ids": ids,
        "label": labels.tolist(),
        "example": list(range(count)),
        "weight": [1] * count,
    }
    examples = [{"id": str(at), "gold": str(label)} for at, label in enumerate(labels)]
    return DataSet(rows=rows_of(Encoded(columns=columns)), examples=examples)


def tiny_part(train: Any, dev: Any, spec: Any, *, name: str = "tiny", score: Any = None) -> Any:
    """Return a data set of `tiny_pairs` as a part of a trial."""
    from xtransfer.train.parts import TaskPart

    return TaskPart(
        name=name,
        form="classification",
        metric="accuracy",
        labels=("0", "1"),
        train=train,
        dev={"en": dev},
        score=lambda language, data, predictions: (score or accuracy)(data, predictions),
        batch_size=spec.batch_size,
        seed=spec.seed,
    )


def accuracy(data: Any, predictions: list[Any]) -> dict[str, float]:
    """Return the accuracy, 0 to 100, of predictions for a data set."""
    right = [each["gold"] == found for each, found in zip(data.examples, predictions, strict=True)]
    return {"accuracy": 100 * sum(right) / len(right)}

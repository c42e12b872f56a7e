"""A tokenizer, rows and an encoder small enough to make anew in a test."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from xtransfer.forms.encoding import Encoded, Ragged, Rows

WORDS = tuple(
    "the a cat dog bird sat ran saw on under mat tree river who where what red old near".split()
)
"""Words that are one token each; other words are spelled in letters."""
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
    if not isinstance(values[0], list):
        return np.array(values, dtype=np.int32)
    offsets = np.cumsum([0, *(len(row) for row in values)])
    return Ragged(np.array([each for row in values for each in row], dtype=np.int32), offsets)

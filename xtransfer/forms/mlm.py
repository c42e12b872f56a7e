"""Masked language modelling on unlabelled text: predict the tokens that were hidden.

Which tokens are hidden is not decided when data is prepared: masks are drawn anew for every optimizer
step (`mask`), and a head only sees the positions that are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.data.examples import TextExample
from xtransfer.forms.encoding import IGNORED, Encoded, Ragged, Rows, lists, pad, special_tokens

JsonDict = dict[str, Any]

MASKED, REPLACED = 0.8, 0.1
"""Of the chosen tokens, the share that becomes the mask token and the share that becomes a random one;
the rest stays (Devlin et al. 2019)."""


def encode(
    examples: Sequence[TextExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise paragraphs; one over `max_length` tokens becomes several rows, and nothing is lost."""
    prefix, suffix = special_tokens(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    columns: dict[str, list[Any]] = {"input_ids": [], "example": [], "weight": []}
    counts = {"paragraphs split": 0, "paragraphs without tokens": 0}
    texts = [example.text for example in examples]
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
    for number, ids in enumerate(encoded):
        counts["paragraphs split"] += len(ids) > room
        counts["paragraphs without tokens"] += not ids
        for start in range(0, len(ids), room):
            columns["input_ids"].append([*prefix, *ids[start : start + room], *suffix])
            columns["example"].append(number)
            columns["weight"].append(1)
    return Encoded(columns=columns, counts=counts)


def mask(
    rows: Rows,
    chosen: npt.NDArray[np.int64],
    *,
    random: np.random.Generator,
    share: float,
    mask_token: int,
    special: Sequence[int],
    vocabulary: int,
) -> Rows:
    """Return the chosen rows with tokens hidden: `input_ids`, `gold` and `weight`.

    Every token that is not special is chosen with probability `share`, at least one in all; `gold` is
    its id there and -100 elsewhere, `weight` the number of chosen tokens of a row.

    Args:
        rows: with `input_ids`.
        chosen: row numbers, in the order of the result.
        random: what all draws come from.
        share: of tokens to predict.
        mask_token: id that stands for a hidden token.
        special: ids that are neither hidden nor put in for another token.
        vocabulary: number of token ids.
    """
    source = lists(rows["input_ids"], chosen)
    flat = np.concatenate(source)
    plain = ~np.isin(flat, special)
    asked = (random.random(len(flat)) < share) & plain
    if not asked.any() and plain.any():
        asked[random.choice(np.flatnonzero(plain))] = True
    fate = random.random(len(flat))
    passed = np.unique([each for each in special if 0 <= each < vocabulary]).astype(np.int64)
    drawn = random.integers(0, vocabulary - len(passed), len(flat))
    # The n-th id that is not special is n plus the special ones before it.
    drawn += np.searchsorted(passed - np.arange(len(passed)), drawn, side="right")
    hidden = np.where(asked & (fate < MASKED), mask_token, flat)
    hidden = np.where(asked & (fate >= MASKED) & (fate < MASKED + REPLACED), drawn, hidden)
    gold = np.where(asked, flat, IGNORED)
    offsets = np.cumsum([0, *(len(ids) for ids in source)]).astype(np.int64)
    return {
        "input_ids": Ragged(hidden.astype(np.int32), offsets),
        "gold": Ragged(gold.astype(np.int32), offsets),
        "weight": np.add.reduceat(asked, offsets[:-1]).astype(np.int32),
    }


class Head(nn.Module):
    """XLM-R's masked-LM head: dense, GELU, LayerNorm, then the encoder's own token embedding.

    `tied` says that it is called with the embedding beside the states.
    """

    tied = True

    def __init__(self, hidden: int, labels: int, dropout: float, width: int | None = None) -> None:
        """Make a head; `width` is that of the token embedding, where it is not `hidden` (ALBERT's)."""
        super().__init__()
        self.dense = nn.Linear(hidden, width or hidden)
        self.norm = nn.LayerNorm(width or hidden, eps=1e-5)
        self.bias = nn.Parameter(torch.zeros(labels))

    def forward(self, states: Tensor, words: Tensor) -> Tensor:
        """Map states [..., hidden] and the embedding [vocabulary, width] to [..., vocabulary]."""
        return functional.linear(
            self.norm(functional.gelu(self.dense(states))), words, self.bias.to(words.dtype)
        )


def positions(rows: Rows, chosen: Sequence[int]) -> npt.NDArray[np.bool_]:
    """Return which positions [batch, length] the head is asked for."""
    return pad(lists(rows["gold"], chosen), IGNORED) != IGNORED


def gold_tensors(rows: Rows, chosen: Sequence[int] | npt.NDArray[np.int64]) -> dict[str, Tensor]:
    """Return `gold`, the hidden tokens of the batch in reading order."""
    flat = np.concatenate(lists(rows["gold"], chosen)).astype(np.int64)
    return {"gold": torch.from_numpy(flat[flat != IGNORED])}


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the cross-entropy summed over the hidden tokens; logits are [hidden tokens, vocabulary]."""
    return functional.cross_entropy(logits.float(), batch["gold"], reduction="sum")


def describe(example: TextExample) -> JsonDict:
    """Return what is kept of a paragraph."""
    return {"id": example.id, "gold": None}

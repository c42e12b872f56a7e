"""The token embedding of a trial, cut down to the rows that its data uses.

English fine-tuning touches a few percent of a multilingual vocabulary. Rows that no example uses have no
gradient; AdamW only decays them, by a factor known in closed form. So the embedding is cut to the used
rows for training and put back on export: the same mathematics, without the memory.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xtransfer.train.encoder import word_embeddings


def used_tokens(columns: list[npt.NDArray[np.int32]], *, vocabulary: int) -> npt.NDArray[np.int64]:
    """Return the sorted token ids that occur, plus the first ones, where special tokens stand.

    XLM-R derives positions from the id of the padding token, so low ids must keep their place.
    """
    used = np.zeros(vocabulary, dtype=bool)
    used[: min(8, vocabulary)] = True
    for column in columns:
        used[column] = True
    return np.flatnonzero(used)


def compact(encoder: Any, tokens: npt.NDArray[np.int64]) -> None:
    """Cut the token embedding down to the rows in `tokens`; row i is then token `tokens[i]`.

    The module stays, as it may do more than to look up: Gemma's scales what it finds. Weights are views of
    the file that they were read from. They become copies, so that the file, most of which is rows that
    nobody needs any more, leaves the process's memory.
    """
    words = word_embeddings(encoder)
    words.weight = nn.Parameter(words.weight.detach()[torch.from_numpy(tokens)])
    words.num_embeddings = len(tokens)
    for parameter in encoder.parameters():
        parameter.data = parameter.data.clone()


def renumber(
    ids: npt.NDArray[np.int32], tokens: npt.NDArray[np.int64], *, vocabulary: int
) -> npt.NDArray[np.int32]:
    """Map token ids to the rows of a compact embedding."""
    table = np.full(vocabulary, -1, dtype=np.int32)
    table[tokens] = np.arange(len(tokens), dtype=np.int32)
    return table[ids]

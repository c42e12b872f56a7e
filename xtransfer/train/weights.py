"""Exported weights: what a trial leaves of its model, and what others take up.

Of the token embedding they hold the rows that ever were trained (`xtransfer.train.vocabulary`). All others are
the base encoder's, times what decay alone made of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from xtransfer.train.encoder import word_embeddings


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read exported weights: `encoder.*` and `heads.*`, with token embeddings as compact rows."""
    from safetensors.torch import load_file

    return load_file(path)


def head_weights(weights: dict[str, Tensor], number: int = 0) -> dict[str, Tensor]:
    """Return the weights of one head among exported ones, by their names inside it."""
    prefix = f"heads.{number}."
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }


def apply_weights(encoder: Any, weights: dict[str, Tensor]) -> None:
    """Put exported weights into the base encoder that they were made from.

    `token_rows` are written at `token_ids`; all other rows are the base's times `token_decay`.
    """
    prefix = "encoder."
    names = dict(encoder.named_parameters())
    embedding = word_embeddings(encoder).weight
    with torch.no_grad():
        embedding.mul_(float(weights["token_decay"]))
        embedding[weights["token_ids"].long()] = weights["token_rows"]
        for name, value in weights.items():
            if name.startswith(prefix):
                names[name.removeprefix(prefix)].copy_(value)


def export_weights(
    trained: dict[str, Tensor],
    *,
    words: str,
    tokens: npt.NDArray[np.int64],
    decay: float,
    before: dict[str, Tensor] | None,
) -> dict[str, Tensor]:
    """Return the weights to store: everything trained, and the embedding rows that ever were.

    Args:
        trained: parameters of the `TransferModel` by name.
        words: name of the token embedding among them, [len(tokens), hidden].
        tokens: token id of each embedding row.
        decay: what decay alone made of the rows that were left out.
        before: the exported weights that the trial started from, None for the base encoder.
    """
    out = {name: value for name, value in trained.items() if name != words}
    ids = torch.from_numpy(tokens)
    rows = trained[words]
    total = decay
    if before is not None:
        old_ids = before["token_ids"].long()
        kept = ~torch.isin(old_ids, ids)
        # Rows an earlier phase trained and this one did not use: they have only decayed since.
        ids = torch.cat([ids, old_ids[kept]])
        rows = torch.cat([rows, before["token_rows"][kept] * decay])
        order = ids.argsort()
        ids, rows = ids[order], rows[order]
        total = decay * float(before["token_decay"])
    out["token_ids"] = ids.to(torch.int32)
    out["token_rows"] = rows.contiguous()
    out["token_decay"] = torch.tensor(total, dtype=torch.float64)
    return out

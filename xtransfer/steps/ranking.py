"""Ranking with a trained bi-encoder: the queries of every language, one set of candidates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from xtransfer.errors import DataError
from xtransfer.forms.retrieval import rank, scored
from xtransfer.train.batching import Indices, prediction_batches
from xtransfer.train.context import Context
from xtransfer.train.kernels.products import prediction_products
from xtransfer.train.lookahead import results
from xtransfer.train.prediction import DataSet, make_inputs, tokens_at_once

JsonDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """The queries of one language, and what was found for each."""

    examples: list[JsonDict]
    predictions: list[list[str]]


def rank_pooled(
    model: torch.nn.Module,
    sets: Mapping[str, DataSet],
    pool: DataSet | None,
    context: Context,
    *,
    where: str,
) -> tuple[dict[str, Ranked], int]:
    """Rank the candidates of all sets together for each query.

    Args:
        model: a `TransferModel` of form retrieval.
        sets: language -> its queries, and the candidates in that language if they are not in `pool`.
        pool: further candidates.
        context: device and padding.
        where: the task, for errors.

    Returns:
        Language -> the 20 best candidates of each query; and the number of candidates.
    """
    everything = [*sets.values(), *([] if pool is None else [pool])]
    vectors = [embed_rows(model, data, context) for data in everything]
    offers = [[row for row, e in enumerate(d.examples) if "candidate" in e] for d in everything]
    names = [
        data.examples[row]["candidate"]
        for data, rows in zip(everything, offers, strict=True)
        for row in rows
    ]
    if not names:
        raise DataError(where, "there is no candidate among which to search")
    # One query may be in several languages under one id, so each is told by its place.
    gold = iter(scored([example for data in everything for example in data.examples]))
    candidates = torch.from_numpy(
        np.concatenate([part[rows] for part, rows in zip(vectors, offers, strict=True)])
    )
    out: dict[str, Ranked] = {}
    for (language, data), part in zip(sets.items(), vectors, strict=False):
        asked = [row for row, example in enumerate(data.examples) if example.get("asks")]
        queries = torch.from_numpy(part[asked])
        out[language] = Ranked(
            examples=[next(gold) for _ in asked],
            predictions=rank(queries, candidates, names, device=context.device),
        )
    return out, len(names)


def embed_rows(
    model: torch.nn.Module, data: DataSet, context: Context
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return the vector of each row [rows, hidden]; every row holds one query or candidate."""
    model.eval()
    out: np.ndarray[Any, np.dtype[np.float32]] | None = None
    bf16 = getattr(model, "bf16", False)
    batches = prediction_batches(data.lengths, tokens=tokens_at_once(context))

    def vectors_of(batch: Indices) -> torch.Tensor:
        context.alive()
        return model(**make_inputs("retrieval", data.rows, batch, context))

    with torch.inference_mode(), prediction_products(model, bf16=bf16):
        for batch, vectors in results(batches, vectors_of, context):
            if out is None:
                out = np.zeros((len(data.lengths), vectors.shape[1]), dtype=np.float32)
            out[batch] = vectors.numpy()
    assert out is not None
    return out

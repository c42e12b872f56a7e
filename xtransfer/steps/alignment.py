"""How near translations are to each other in every layer, and how near everything else is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from xtransfer.config.analyses import GAP
from xtransfer.steps.bitext import embed
from xtransfer.train.context import Context
from xtransfer.train.prediction import DataSet

Vectors = npt.NDArray[np.float32]


def align(
    encoder: Any, languages: Sequence[str], data: Callable[[str], DataSet], context: Context
) -> dict[str, Any]:
    """Return the alignment of each language's pairs, as the record of an evaluation has it.

    Of every layer of `hidden_states` (0: embeddings): `pairs` and `others`, the mean cosines of
    translation pairs and of all other pairs of an English and a foreign sentence, and `gap`, their
    difference. States are averaged over all positions but padding. A language's own `gap` is the largest
    over layers, in layer `layer`.
    """
    found: dict[str, Any] = {}
    layers = list(range(encoder.config.num_hidden_layers + 1))
    for language in languages:
        test = data(language)
        vectors = embed(encoder, test, context, layers=layers, pooling="mean")
        english, foreign = _pairs(test)
        each = {str(layer): cosines(vectors[layer], english, foreign) for layer in layers}
        best = max(each, key=lambda layer: (each[layer][GAP], -int(layer)))
        found[language] = {
            "metrics": each[best],
            "layer": int(best),
            "layers": each,
            "examples": len(english),
        }
    return {"languages": found}


def cosines(
    vectors: Vectors, english: npt.NDArray[np.int64], foreign: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Return `pairs`, `others` and `gap` of unit vectors; row english[i] translates row foreign[i].

    The mean over all other pairs needs no matrix: the cosines of all pairs of two sides of unit vectors
    add up to the product of the sides' sums. A sentence that is in several pairs counts once in a side.
    """
    one, other = vectors[english].astype(np.float64), vectors[foreign].astype(np.float64)
    sides = [vectors[np.unique(rows)].astype(np.float64) for rows in (english, foreign)]
    matched = float((one * other).sum())
    count = len(sides[0]) * len(sides[1]) - len(english)
    pairs = matched / len(english)
    total = float(sides[0].sum(axis=0) @ sides[1].sum(axis=0))
    others = (total - matched) / count if count else 0.0
    return {"pairs": pairs, "others": others, GAP: pairs - others}


def _pairs(data: DataSet) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return rows of English sentences and of their translations."""
    rows = {each["id"]: at for at, each in enumerate(data.examples) if each["side"] == "foreign"}
    pairs = [
        (at, rows[gold])
        for at, each in enumerate(data.examples)
        if each["side"] == "english"
        for gold in each["gold"]
        if gold in rows
    ]
    array = np.array(sorted(set(pairs)), dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]

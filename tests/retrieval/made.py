"""A small comparable corpus with vectors, made of Python's own random numbers, which never change."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np

WIDTH = 12


def corpus(seed: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return side -> unit vectors [sentences, width], and the examples of both sides.

    30 foreign and 40 English sentences, 12 of them translations of each other; the texts of foreign
    sentences 3 and 20, and of English ones 5 and 31, are the same, and so are their vectors.
    """
    random = Random(f"corpus/{seed}")
    meanings = [_draw(random) for _ in range(58)]
    foreign = [_near(random, meanings[at]) for at in range(30)]
    english = [_near(random, meanings[at]) for at in [*range(12), *range(30, 58)]]
    foreign[20], english[31] = foreign[3], english[5]
    examples: list[dict[str, Any]] = []
    for side, count, repeated in (("foreign", 30, (3, 20)), ("english", 40, (5, 31))):
        other = "english" if side == "foreign" else "foreign"
        for at in range(count):
            example: dict[str, Any] = {
                "id": f"{side}-{at}",
                "side": side,
                "gold": [f"{other}-{at}"] if at < 12 else [],
            }
            if at in repeated:
                example["same_as"] = f"{side}-{repeated[0]}"
            examples.append(example)
    vectors = {"foreign": _unit(foreign), "english": _unit(english)}
    return vectors, examples


def _draw(random: Random) -> list[float]:
    return [random.random() - 0.35 for _ in range(WIDTH)]


def _near(random: Random, vector: list[float]) -> list[float]:
    return [value + 0.35 * (random.random() - 0.5) for value in vector]


def _unit(vectors: list[list[float]]) -> Any:
    array = np.array(vectors, dtype=np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)

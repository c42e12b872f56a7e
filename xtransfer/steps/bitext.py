"""Sentence retrieval and mining with an encoder as it is: embed both sides, then compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from xtransfer.errors import ConfigError, DataError
from xtransfer.metrics import score
from xtransfer.retrieval.margin import Indices, Vectors, best_matches, best_threshold, mine
from xtransfer.tasks.task import Task
from xtransfer.train.batching import prediction_batches
from xtransfer.train.context import Context
from xtransfer.train.kernels.products import prediction_products
from xtransfer.train.lookahead import results
from xtransfer.train.prediction import DataSet, make_inputs, mean_state, tokens_at_once

JsonDict = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How sentences become vectors and are compared; the experiment's section `retrieval`."""

    layer: float
    """Index into hidden states, or (a float) a share of the depth."""
    pooling: str = "mean"
    layers: str | Sequence[float] = ()
    """Layers to score beside `layer`, or "all"."""
    scoring: str = "cosine"
    neighbours: int = 4


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What was found for the sentences that are asked for, and how good it is."""

    examples: list[JsonDict]
    predictions: list[str | None]
    metrics: dict[str, float]
    threshold: float | None = None
    """Mining: the lowest score of a pair, chosen on the dev set."""
    dev: dict[str, float] | None = None
    """Mining: scores on the dev set, by that threshold."""

    def record(self) -> JsonDict:
        """Return what the record of an evaluation says of it."""
        out: JsonDict = {"metrics": self.metrics}
        return out if self.dev is None else {**out, "threshold": self.threshold, "dev": self.dev}


@dataclass(frozen=True, kw_only=True)
class _Sentences:
    """A data set in one layer."""

    data: DataSet
    vectors: Vectors
    """[rows of the data set, hidden], each of length 1."""


def retrieve(
    encoder: Any,
    task: Task,
    settings: Settings,
    *,
    language: str,
    test: DataSet,
    dev: DataSet | None,
    context: Context,
) -> tuple[Answers, JsonDict]:
    """Search the test set of one language in every layer that is asked for, in one forward pass.

    Returns:
        What `settings.layer` finds; and, where further layers are asked for, the scores of each as
        `layers` (by its index) and, with a dev set, the best of them there as `best_dev_layer`.
    """
    depth = encoder.config.num_hidden_layers
    layer, wanted = layer_of(settings.layer, depth), _layers(settings, depth)
    found = _embedded(encoder, test, settings, wanted, context)
    tuned = None if dev is None else _embedded(encoder, dev, settings, wanted, context)
    answers: dict[int, Answers] = {}
    for each in wanted:
        if tuned is None:
            answers[each] = _search(found[each], task, settings, language, context)
        else:
            answers[each] = _mine(found[each], tuned[each], task, settings, language, context)
    if len(wanted) == 1:
        return answers[layer], {}
    sweep: JsonDict = {"layers": {str(each): found.record() for each, found in answers.items()}}
    if dev is not None:
        best = max(wanted, key=lambda each: (answers[each].dev or {})[task.metric])
        sweep["best_dev_layer"] = best
    return answers[layer], sweep


def embed(
    encoder: Any, data: DataSet, context: Context, *, layers: Sequence[int], pooling: str
) -> dict[int, Vectors]:
    """Return layer -> a unit vector a row [rows, hidden], pooled from `hidden_states[layer]`.

    `mean` is over all non-padding positions, special tokens included, as jiant has it; `cls` takes
    the first token. All layers come from one pass; each takes rows x hidden x 4 bytes of memory.
    """
    encoder.eval()
    shape = len(data.lengths), encoder.config.hidden_size
    out = {layer: np.zeros(shape, dtype=np.float32) for layer in layers}
    batches = prediction_batches(data.lengths, tokens=tokens_at_once(context))

    def vectors_of(batch: Indices) -> Tensor:
        """Return the vectors of a batch, [layers, batch, hidden]."""
        context.alive()
        inputs = make_inputs("bitext", data.rows, batch, context)
        hidden = encoder(**inputs, output_hidden_states=True).hidden_states
        mask = inputs.get("attention_mask")
        states = (hidden[layer].float() for layer in layers)
        pooled = [each[:, 0] if pooling == "cls" else mean_state(each, mask) for each in states]
        return functional.normalize(torch.stack(pooled), dim=-1)

    with torch.inference_mode(), prediction_products(encoder):
        for batch, found in results(batches, vectors_of, context):
            for layer, vectors in zip(layers, found.numpy(), strict=True):
                out[layer][batch] = vectors
    return out


def _embedded(
    encoder: Any, data: DataSet, settings: Settings, layers: Sequence[int], context: Context
) -> dict[int, _Sentences]:
    vectors = embed(encoder, data, context, layers=layers, pooling=settings.pooling)
    return {layer: _Sentences(data=data, vectors=each) for layer, each in vectors.items()}


def layer_of(setting: float, depth: int) -> int:
    """Return the index into hidden states: as given, or that share of the depth, rounded.

    Raises:
        ConfigError: where the encoder has no such layer.
    """
    layer = setting if isinstance(setting, int) else round(setting * depth)
    if layer > depth:
        raise ConfigError(
            "retrieval", f"there is no layer {layer}", f"The encoder has layers 0 to {depth}."
        )
    return layer


def _layers(settings: Settings, depth: int) -> list[int]:
    first = layer_of(settings.layer, depth)
    more = range(depth + 1) if settings.layers == "all" else settings.layers
    return sorted({first, *(layer_of(each, depth) for each in more)})  # type: ignore[arg-type]


def _search(
    test: _Sentences, task: Task, settings: Settings, language: str, context: Context
) -> Answers:
    """Find for each English sentence the nearest foreign one (the direction of XTREME's Tatoeba)."""
    english, foreign = _side(test.data, "english"), _side(test.data, "foreign")
    best = best_matches(
        test.vectors[english],
        test.vectors[foreign],
        scoring=settings.scoring,
        k=settings.neighbours,
        device=context.device,
    )
    examples = [test.data.examples[int(row)] for row in english]
    predictions = [test.data.examples[int(row)]["id"] for row in foreign[best]]
    gold = [example["gold"] for example in examples]
    metrics = score(task, gold, predictions, language=language)
    return Answers(examples=examples, predictions=predictions, metrics=dict(metrics))


def _mine(
    test: _Sentences,
    dev: _Sentences,
    task: Task,
    settings: Settings,
    language: str,
    context: Context,
) -> Answers:
    """Mine the test set with the threshold that is best on the dev set, and on nothing else."""
    mined = _pairs(dev, settings, context)
    if not mined:
        raise DataError(f"{task.name} dev {language}", "has no pair of sentences to choose from")
    known = {example["id"]: example["gold"] for example in _foreign(dev.data)}
    right = [other in known[one] for one, other, _ in mined]
    pairs = sum(len(gold) for gold in known.values())
    threshold = best_threshold([value for _, _, value in mined], right, pairs)
    dev_metrics = _scored(_taken(mined, threshold), dev.data, task, language)[2]
    taken = _taken(_pairs(test, settings, context), threshold)
    examples, predictions, metrics = _scored(taken, test.data, task, language)
    return Answers(
        examples=examples,
        predictions=predictions,
        metrics=metrics,
        threshold=threshold,
        dev=dev_metrics,
    )


def _pairs(
    sentences: _Sentences, settings: Settings, context: Context
) -> list[tuple[str, str, float]]:
    """Return mined pairs as (foreign id, English id, score).

    As in XTREME, a text is searched for once, and none that several sentences have is in a pair:
    which of them is meant cannot be known.
    """
    data, vectors = sentences.data, sentences.vectors
    sides = [_first_of_each_text(data, side) for side in ("foreign", "english")]
    mined = mine(
        vectors[sides[0]],
        vectors[sides[1]],
        scoring=settings.scoring,
        k=settings.neighbours,
        device=context.device,
    )
    found: list[tuple[str, str, float]] = []
    for pair, value in zip(mined.pairs, mined.scores, strict=True):
        ends = [data.examples[int(rows[at])] for rows, at in zip(sides, pair, strict=True)]
        if not any("same_as" in end for end in ends):
            found.append((ends[0]["id"], ends[1]["id"], float(value)))
    return found


def _taken(mined: Sequence[tuple[str, str, float]], threshold: float) -> dict[str, str]:
    return {one: other for one, other, value in mined if value >= threshold}


def _scored(
    taken: Mapping[str, str], data: DataSet, task: Task, language: str
) -> tuple[list[JsonDict], list[str | None], dict[str, float]]:
    examples = _foreign(data)
    predictions = [taken.get(example["id"]) for example in examples]
    gold = [example["gold"] for example in examples]
    return examples, predictions, dict(score(task, gold, predictions, language=language))


def _foreign(data: DataSet) -> list[JsonDict]:
    return [example for example in data.examples if example["side"] == "foreign"]


def _side(data: DataSet, side: str) -> Indices:
    return np.flatnonzero([example["side"] == side for example in data.examples])


def _first_of_each_text(data: DataSet, side: str) -> Indices:
    seen: set[str] = set()
    rows: list[int] = []
    for row in _side(data, side):
        text = data.examples[int(row)].get("same_as")
        if text is None or text not in seen:
            rows.append(int(row))
        if text is not None:
            seen.add(text)
    return np.array(rows, dtype=np.int64)

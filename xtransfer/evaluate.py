"""The evaluate step: predictions and scores of one model on a target's test sets, by language.

predictions/{language}.jsonl   {"id": ..., "prediction": ...}, one test example a line
scores.json                    language -> metrics, and the number of examples
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from xtransfer.errors import StepError
from xtransfer.forms import FORMS
from xtransfer.metrics import score
from xtransfer.tasks.task import NO_ANSWER, Task
from xtransfer.train.batching import prediction_batches
from xtransfer.train.context import Context
from xtransfer.train.prediction import PREDICTION_TOKENS, DataSet, make_inputs, predict

EmbeddingArray = npt.NDArray[np.float32]


def evaluate(
    spec: Mapping[str, Any],
    task: Task,
    *,
    model: torch.nn.Module,
    context: Context,
    data: Callable[[str], DataSet],
    folder: Path,
    report: Callable[[str, float], None],
    null_threshold: float | None = None,
) -> dict[str, Any]:
    """Score `model` in every language of `spec`; write predictions into `folder`.

    Args:
        spec: the step's specification.
        task: the target task.
        model: a `TransferModel`, or the bare encoder for a form without a head.
        context: device and padding.
        data: language -> prepared test set.
        folder: where the files go.
        report: told each language and the share of languages done.
        null_threshold: odds over which nothing is answered, as the model's dev set chose them.

    Raises:
        StepError: where the task's questions may have no answer, and no threshold was chosen.
    """
    if NO_ANSWER in task.labels and null_threshold is None:
        raise StepError(
            task.name,
            "the model has no null_threshold: it was not trained on questions without an answer",
            "Evaluate a model that was trained on this task.",
        )
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    languages: dict[str, Any] = {}
    for number, language in enumerate(spec["languages"]):
        test = data(language)
        if task.form == "bitext":
            layer = _layer(spec["retrieval"]["layer"], model)
            examples, predictions = _retrieve(model, test, context, layer=layer)
        else:
            examples = test.examples
            logits = predict(model, task.form, test, context)
            predictions = FORMS[task.form].decode(logits, test.rows, examples, task.labels)
        gold = [example["gold"] for example in examples]
        metrics = score(task, gold, predictions, language=language, null_threshold=null_threshold)
        languages[language] = {"metrics": dict(metrics), "examples": len(examples)}
        _write_predictions(folder / "predictions" / f"{language}.jsonl", examples, predictions)
        report(language, (number + 1) / len(spec["languages"]))
    text = json.dumps(languages, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "scores.json").write_text(text + "\n", encoding="utf-8")
    result: dict[str, Any] = {"languages": languages}
    if task.form == "bitext":
        result["layer"] = _layer(spec["retrieval"]["layer"], model)
    return result


def embed(encoder: Any, data: DataSet, context: Context, *, layer: int) -> EmbeddingArray:
    """Return a unit vector a row [rows, hidden]: the mean of `hidden_states[layer]`.

    The mean is over all non-padding positions, special tokens included, as jiant has it.
    """
    encoder.eval()
    out = np.zeros((len(data.lengths), encoder.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for batch in prediction_batches(data.lengths, tokens=PREDICTION_TOKENS[context.device]):
            inputs = make_inputs("bitext", data.rows, batch, context)
            states = encoder(**inputs, output_hidden_states=True).hidden_states[layer].float()
            mask = inputs["attention_mask"][..., None]
            mean = (states * mask).sum(1) / mask.sum(1)
            out[batch] = torch.nn.functional.normalize(mean, dim=-1).cpu().numpy()
    return out


def nearest(
    queries: EmbeddingArray, candidates: EmbeddingArray, *, block: int = 1024
) -> npt.NDArray[np.int64]:
    """Return for each query the index of the candidate with the highest inner product.

    Works block by block, so memory is block x candidates and never queries x candidates.
    """
    found = [
        (queries[start : start + block] @ candidates.T).argmax(1)
        for start in range(0, len(queries), block)
    ]
    return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)


def _retrieve(
    model: Any, data: DataSet, context: Context, *, layer: int
) -> tuple[list[dict[str, Any]], list[str]]:
    """Find for each English sentence the nearest foreign one (the direction of XTREME's Tatoeba)."""
    encoder = getattr(model, "encoder", None)
    encoder = model if encoder is None or not hasattr(encoder, "get_input_embeddings") else encoder
    vectors = embed(encoder, data, context, layer=layer)
    sides = np.array([example["side"] for example in data.examples])
    english, foreign = np.flatnonzero(sides == "english"), np.flatnonzero(sides == "foreign")
    best = foreign[nearest(vectors[english], vectors[foreign])]
    examples = [data.examples[int(row)] for row in english]
    return examples, [data.examples[int(row)]["id"] for row in best]


def _layer(setting: float, model: Any) -> int:
    """Return the index into hidden states: as given, or that share of the depth, rounded."""
    config = getattr(model, "config", None) or model.encoder.config
    return setting if isinstance(setting, int) else round(setting * config.num_hidden_layers)


def _write_predictions(
    path: Path, examples: Sequence[Mapping[str, Any]], predictions: Sequence[Any]
) -> None:
    with path.open("w", encoding="utf-8") as file:
        for example, prediction in zip(examples, predictions, strict=True):
            line = {"id": example["id"], "prediction": prediction}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

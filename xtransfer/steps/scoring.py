"""The evaluate step: predictions and scores of one model on a target's test sets, by language.

predictions/{language}.jsonl   {"id": ..., "prediction": ...}, one test example a line
scores.json                    language -> metrics, and the number of examples
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from xtransfer.errors import StepError
from xtransfer.forms import FORMS, scored_examples
from xtransfer.metrics import score
from xtransfer.steps.bitext import Settings, layer_of, retrieve
from xtransfer.steps.ranking import rank_pooled
from xtransfer.tasks.task import NO_ANSWER, Task
from xtransfer.train.context import Context
from xtransfer.train.prediction import DataSet, predict_each

JsonDict = dict[str, Any]
Data = Callable[[str], DataSet]
"""Language -> prepared data set."""
Scored = tuple[str, list[JsonDict], Sequence[Any], JsonDict]
"""Language, examples, predictions, and what the record says of them."""


def evaluate(
    spec: Mapping[str, Any],
    task: Task,
    *,
    model: Any,
    context: Context,
    data: Data,
    folder: Path,
    report: Callable[[str, float], None],
    dev: Data | None = None,
    pool: DataSet | None = None,
    null_threshold: float | None = None,
) -> JsonDict:
    """Score `model` in every language of `spec`; write predictions into `folder`.

    Args:
        spec: the step's specification.
        task: the target task.
        model: a `TransferModel`; of bitext, which has no head, the bare encoder.
        context: device and padding.
        data: language -> prepared test set.
        folder: where the files go.
        report: told each language and the share of languages done.
        dev: language -> dev set, of a task with a threshold to choose.
        pool: candidates for the queries of all languages.
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
    result: JsonDict = {"languages": languages}
    if task.form == "bitext":
        depth = model.config.num_hidden_layers
        result["layer"] = layer_of(spec["retrieval"]["layer"], depth)
        scored = _retrieved(model, spec, task, context, data, dev)
    elif task.form == "retrieval":
        scored = _ranked(model, spec, task, context, data, pool, result)
    else:
        scored = _predicted(model, spec, task, context, data, null_threshold)
    for number, (language, examples, predictions, found) in enumerate(scored):
        languages[language] = {**found, "examples": len(examples)}
        _write_predictions(folder / "predictions" / f"{language}.jsonl", examples, predictions)
        report(language, (number + 1) / len(spec["languages"]))
    text = json.dumps(languages, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "scores.json").write_text(text + "\n", encoding="utf-8")
    return result


def _predicted(
    model: torch.nn.Module,
    spec: Mapping[str, Any],
    task: Task,
    context: Context,
    data: Data,
    null_threshold: float | None,
) -> Iterator[Scored]:
    sets = ((language, data(language)) for language in spec["languages"])
    for language, test, logits in predict_each(model, task.form, sets, context):
        predictions = FORMS[task.form].decode(logits, test.rows, test.examples, task.labels)
        examples = scored_examples(task.form, test.examples)
        metrics = _metrics(task, language, examples, predictions, null_threshold)
        yield language, examples, predictions, metrics


def _retrieved(
    encoder: Any,
    spec: Mapping[str, Any],
    task: Task,
    context: Context,
    data: Data,
    dev: Data | None,
) -> Iterator[Scored]:
    settings = Settings(**spec["retrieval"])
    for language in spec["languages"]:
        found, sweep = retrieve(
            encoder,
            task,
            settings,
            language=language,
            test=data(language),
            dev=None if dev is None else dev(language),
            context=context,
        )
        yield language, found.examples, found.predictions, {**found.record(), **sweep}


def _ranked(
    model: torch.nn.Module,
    spec: Mapping[str, Any],
    task: Task,
    context: Context,
    data: Data,
    pool: DataSet | None,
    result: JsonDict,
) -> Iterator[Scored]:
    sets = {language: data(language) for language in spec["languages"]}
    ranked, candidates = rank_pooled(model, sets, pool, context, where=task.name)
    result["candidates"] = candidates
    for language, found in ranked.items():
        metrics = _metrics(task, language, found.examples, found.predictions)
        yield language, found.examples, found.predictions, metrics


def _metrics(
    task: Task,
    language: str,
    examples: Sequence[JsonDict],
    predictions: Sequence[Any],
    null_threshold: float | None = None,
) -> JsonDict:
    gold = [example["gold"] for example in examples]
    found = score(task, gold, predictions, language=language, null_threshold=null_threshold)
    return {"metrics": dict(found)}


def _write_predictions(
    path: Path, examples: Sequence[Mapping[str, Any]], predictions: Sequence[Any]
) -> None:
    with path.open("w", encoding="utf-8") as file:
        for example, prediction in zip(examples, predictions, strict=True):
            line = {"id": example["id"], "prediction": prediction}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

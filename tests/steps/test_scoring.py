from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_model, tiny_pairs
from xtransfer.errors import StepError
from xtransfer.forms.encoding import Encoded
from xtransfer.steps.scoring import evaluate
from xtransfer.tasks import TASKS
from xtransfer.train.context import Context
from xtransfer.train.prediction import DataSet

CONTEXT = Context(pad_id=1)
A, B, C = [0, 11, 12, 13, 2], [0, 25, 2], [0, 31, 32, 33, 34, 35, 36, 2]


def bitext(english: list[list[int]], foreign: list[list[int]], gold: list[str]) -> DataSet:
    """Return a bitext data set; `gold` has the foreign id of each English sentence."""
    examples = [{"id": f"e{at}", "side": "english", "gold": [g]} for at, g in enumerate(gold)]
    examples += [{"id": f"f{at}", "side": "foreign", "gold": []} for at in range(len(foreign))]
    ids = [*english, *foreign]
    # Foreign first, as the reader has it.
    order = [*range(len(english), len(ids)), *range(len(english))]
    columns = {
        "input_ids": [ids[at] for at in order],
        "example": list(range(len(ids))),
        "weight": [1] * len(ids),
    }
    return DataSet(rows=rows_of(Encoded(columns=columns)), examples=[examples[at] for at in order])


def run(
    folder: Path, target: str, model: Any, data: DataSet, **spec: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = evaluate(
        {"languages": ["de"], "retrieval": {"layer": 1}, **spec},
        TASKS[target],
        model=model,
        context=CONTEXT,
        data=lambda language: data,
        folder=folder,
        report=lambda language, share: None,
    )
    lines = (folder / "predictions" / "de.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads((folder / "scores.json").read_text()) == result["languages"]
    return result, [json.loads(line) for line in lines]


def test_for_each_english_sentence_the_nearest_foreign_one_is_found(tmp_path: Path) -> None:
    # Two English sentences share their nearest, and nobody's nearest is the third foreign one: the
    # other direction would give other predictions.
    data = bitext([A, A, B], [A, B, C], ["f0", "f2", "f1"])
    result, predictions = run(tmp_path, "tatoeba", tiny_encoder(), data)
    assert predictions == [
        {"id": "e0", "prediction": "f0"},
        {"id": "e1", "prediction": "f0"},
        {"id": "e2", "prediction": "f1"},
    ]
    assert result["languages"]["de"]["metrics"]["accuracy"] == pytest.approx(200 / 3)
    assert result["languages"]["de"]["examples"] == 3
    assert result["layer"] == 1


def test_questions_without_an_answer_need_the_threshold_of_the_models_dev_set(
    tmp_path: Path,
) -> None:
    with pytest.raises(StepError, match="squad_v2: the model has no null_threshold"):
        run(tmp_path, "squad_v2", tiny_encoder(), bitext([A], [A], ["f0"]))


@pytest.mark.parametrize(("setting", "layer"), [(0, 0), (2, 2), (0.5, 1), (1.0, 2), (14 / 24, 1)])
def test_a_layer_is_an_index_or_a_share_of_the_depth(
    tmp_path: Path, setting: float, layer: int
) -> None:
    data = bitext([A], [A], ["f0"])
    result, _ = run(tmp_path, "tatoeba", tiny_encoder(), data, retrieval={"layer": setting})
    assert result["layer"] == layer


def test_a_trained_form_is_decoded_and_scored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = tiny_model(tiny_encoder(), labels=3)
    data = tiny_pairs(9, tokens=tuple(range(10, 40)))
    labels = TASKS["xnli"].labels
    examples = [{"id": each["id"], "gold": labels[int(each["gold"])]} for each in data.examples]
    result, predictions = run(tmp_path, "xnli", model, DataSet(rows=data.rows, examples=examples))
    assert [each["id"] for each in predictions] == [each["id"] for each in examples]
    right = sum(
        each["gold"] == found["prediction"]
        for each, found in zip(examples, predictions, strict=True)
    )
    assert result["languages"]["de"]["metrics"]["accuracy"] == pytest.approx(100 * right / 9)
    assert "layer" not in result


def test_bucc_records_threshold_and_dev_scores(tmp_path: Path) -> None:
    data = bitext([A, B, C], [A, B, C], ["f0", "f1", "f2"])
    examples = [
        {**example, "gold": [f"e{example['id'][1:]}"]} if example["side"] == "foreign" else example
        for example in data.examples
    ]
    data = DataSet(rows=data.rows, examples=examples)
    spec = {
        "languages": ["de"],
        "retrieval": {"layer": 1, "layers": "all", "scoring": "ratio", "neighbours": 2},
    }
    result = evaluate(
        spec,
        TASKS["bucc2018"],
        model=tiny_encoder(),
        context=CONTEXT,
        data=lambda language: data,
        dev=lambda language: data,
        folder=tmp_path,
        report=lambda language, share: None,
    )
    found = result["languages"]["de"]
    assert found["metrics"] == {"f1": 100.0, "precision": 100.0, "recall": 100.0}
    assert found["examples"] == 3
    assert found["threshold"] > 0
    assert found["dev"] == found["metrics"]
    assert list(found["layers"]) == ["0", "1", "2"]
    assert found["layers"]["1"]["threshold"] == found["threshold"]
    lines = (tmp_path / "predictions" / "de.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[1]) == {"id": "f1", "prediction": "e1"}

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.retrieval.made import corpus
from tests.tiny import rows_of, tiny_encoder
from xtransfer.errors import ConfigError
from xtransfer.forms.encoding import Encoded
from xtransfer.steps import bitext
from xtransfer.steps.bitext import Settings, embed, layer_of, retrieve
from xtransfer.tasks import TASKS
from xtransfer.train.context import Context
from xtransfer.train.prediction import DataSet

CONTEXT = Context(pad_id=1)
BUCC, TATOEBA = TASKS["bucc2018"], TASKS["tatoeba"]
MARGIN = Settings(layer=1, scoring="ratio")


def data_of(examples: list[dict[str, Any]], ids: list[list[int]] | None = None) -> DataSet:
    """Return a data set; token ids do not matter where vectors are given."""
    rows = ids or [[0, 10 + at % 40, 2] for at in range(len(examples))]
    columns = {
        "input_ids": rows,
        "example": list(range(len(rows))),
        "weight": [1] * len(rows),
    }
    return DataSet(rows=rows_of(Encoded(columns=columns)), examples=examples)


@pytest.fixture
def with_vectors(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that gives data sets vectors of their own, in every layer."""
    known: dict[int, Any] = {}

    def embed_as_told(_encoder: Any, data: DataSet, _context: Any, **options: Any) -> Any:
        return dict.fromkeys(options["layers"], known[id(data)])

    def tell(vectors: dict[str, Any], examples: list[dict[str, Any]]) -> DataSet:
        data = data_of(examples)
        known[id(data)] = np.concatenate([vectors["foreign"], vectors["english"]])
        return data

    monkeypatch.setattr(bitext, "embed", embed_as_told)
    return tell


def mined(test: DataSet, dev: DataSet, settings: Settings = MARGIN) -> Any:
    found, _ = retrieve(
        tiny_encoder(), BUCC, settings, language="zh", test=test, dev=dev, context=CONTEXT
    )
    return found


def test_mining_agrees_with_xtreme(with_vectors: Any) -> None:
    # Threshold and scores of google-research/xtreme@838c13b (third_party/utils_retrieve.py:
    # mine_bitext, bucc_optimize on the first corpus, bucc_extract on the second; evaluate.py:
    # bucc_f1), run on the same vectors with faiss-cpu 1.15.1.
    found = mined(with_vectors(*corpus(2)), with_vectors(*corpus(1)))
    assert found.threshold == pytest.approx(1.2576540112495422, abs=1e-6)
    assert found.dev == pytest.approx(
        {"f1": 86.95652173913044, "precision": 90.9090909090909, "recall": 83.33333333333334}
    )
    assert found.metrics == pytest.approx(
        {"f1": 52.63157894736842, "precision": 71.42857142857143, "recall": 41.66666666666667}
    )


def test_the_threshold_does_not_depend_on_the_test_set(with_vectors: Any) -> None:
    dev = with_vectors(*corpus(1))
    one, other = (mined(with_vectors(*corpus(seed)), dev) for seed in (2, 3))
    assert one.threshold == other.threshold
    assert one.dev == other.dev
    assert one.metrics != other.metrics
    vectors, examples = corpus(2)
    unlike = [{**example, "gold": []} for example in examples]
    unlike[0]["gold"] = ["english-39"]
    assert mined(with_vectors(vectors, unlike), dev).threshold == one.threshold


def test_a_text_of_several_sentences_is_in_no_pair(with_vectors: Any) -> None:
    vectors, examples = corpus(1)
    dev = with_vectors(vectors, examples)
    predictions = mined(dev, dev).predictions
    assert predictions[3] is None
    assert predictions[20] is None
    plain = [{k: v for k, v in e.items() if k != "same_as"} for e in examples]
    with_repeats = with_vectors(vectors, plain)
    assert mined(with_repeats, with_repeats).predictions[3] is not None


def test_predictions_are_those_that_are_scored(with_vectors: Any) -> None:
    found = mined(with_vectors(*corpus(2)), with_vectors(*corpus(1)))
    assert [example["side"] for example in found.examples] == ["foreign"] * 30
    taken = [
        (example["id"], prediction)
        for example, prediction in zip(found.examples, found.predictions, strict=True)
        if prediction is not None
    ]
    right = sum(one.split("-")[1] == other.split("-")[1] for one, other in taken)
    assert found.metrics["precision"] == pytest.approx(100 * right / len(taken))
    assert len({other for _, other in taken}) == len(taken)


def test_an_embedding_is_the_unit_mean_over_the_tokens_or_the_first_one() -> None:
    encoder = tiny_encoder(dropout=0.5)
    ids = [[0, 25, 2], [0, 11, 12, 13, 2], [0, 31, 32, 33, 34, 35, 36, 2]]
    data = data_of([{}] * 3, ids)
    for pooling in ("mean", "cls"):
        found = embed(encoder, data, CONTEXT, layers=[0, 1, 2], pooling=pooling)
        for layer, vectors in found.items():
            assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 1, 1])
            for vector, row in zip(vectors, ids, strict=True):
                with torch.inference_mode():
                    out = encoder(torch.tensor([row]), output_hidden_states=True)
                states = out.hidden_states[layer][0]
                pooled = states[0] if pooling == "cls" else states.mean(0)
                assert vector == pytest.approx((pooled / pooled.norm()).numpy(), abs=1e-5)


def pairs(count: int) -> DataSet:
    """Return `count` sentences on each side; those of the same number share their first token."""
    examples = [
        {"id": f"{side[0]}{at}", "side": side, "gold": [f"{other[0]}{at}"]}
        for side, other in (("foreign", "english"), ("english", "foreign"))
        for at in range(count)
    ]
    ids = [[0, 10 + at, 30 + 7 * side + at % 5, 2] for side in (0, 1) for at in range(count)]
    return data_of(examples, ids)


def test_every_layer_is_scored_in_one_forward_pass() -> None:
    encoder, calls = tiny_encoder(), []
    with torch.no_grad():  # fresh layers change hardly anything
        for weight in encoder.encoder.parameters():
            weight.mul_(20)
    encoder.register_forward_hook(lambda *_: calls.append(1))
    data = pairs(12)

    def run(settings: Settings) -> tuple[Any, Any]:
        calls.clear()
        return retrieve(
            encoder, TATOEBA, settings, language="de", test=data, dev=None, context=CONTEXT
        )

    alone = {layer: run(Settings(layer=layer))[0] for layer in (0, 1, 2)}
    once = len(calls)
    main, sweep = run(Settings(layer=1, layers="all"))
    assert len(calls) == once
    assert main.predictions == alone[1].predictions
    assert main.metrics == alone[1].metrics
    assert sweep == {"layers": {str(n): {"metrics": each.metrics} for n, each in alone.items()}}
    assert len({tuple(each.predictions) for each in alone.values()}) > 1
    _, some = run(Settings(layer=1, layers=(2,)))
    assert list(some["layers"]) == ["1", "2"]


def test_a_sweep_of_mining_notes_the_layer_that_is_best_on_dev() -> None:
    data = pairs(12)
    settings = Settings(layer=2, layers="all", scoring="ratio")
    main, sweep = retrieve(
        tiny_encoder(), BUCC, settings, language="zh", test=data, dev=data, context=CONTEXT
    )
    layers = sweep["layers"]
    assert layers["2"] == main.record()
    assert set(layers["0"]) == {"metrics", "threshold", "dev"}
    best = max(each["dev"]["f1"] for each in layers.values())
    assert layers[str(sweep["best_dev_layer"])]["dev"]["f1"] == best


def test_a_margin_may_find_what_cosine_does_not() -> None:
    data = pairs(20)
    found = {
        scoring: retrieve(
            tiny_encoder(),
            TATOEBA,
            Settings(layer=1, scoring=scoring),
            language="de",
            test=data,
            dev=None,
            context=CONTEXT,
        )[0].predictions
        for scoring in ("cosine", "ratio", "csls")
    }
    assert found["cosine"] != found["ratio"]
    assert found["cosine"] != found["csls"]


def test_a_layer_that_the_encoder_has_not_is_an_error() -> None:
    assert [layer_of(setting, 24) for setting in (14, 14 / 24, 1.0, 0)] == [14, 14, 24, 0]
    for setting in (3, 25):
        with pytest.raises(ConfigError, match=rf"no layer {setting}.*layers 0 to 2"):
            layer_of(setting, 2)


def test_an_oracle_finds_everything_and_a_constant_encoder_what_chance_does() -> None:
    # An oracle: where both sides are the same sentences, everything is found; a constant encoder
    # finds what chance finds.
    examples = pairs(12).examples
    same = [[0, 10 + at, 2] for _ in (0, 1) for at in range(12)]
    encoder = tiny_encoder()
    constant = [[0, 10, 2]] * 24
    scores = [
        retrieve(
            encoder,
            TATOEBA,
            Settings(layer=1),
            language="de",
            test=data_of(examples, ids),
            dev=None,
            context=CONTEXT,
        )[0].metrics["accuracy"]
        for ids in (same, constant)
    ]
    assert scores == pytest.approx([100, 100 / 12])

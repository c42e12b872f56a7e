from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_pairs, tiny_tokenizer
from xtransfer.data.examples import ChoiceExample, TaggingExample
from xtransfer.forms import choice, sequences, tagging
from xtransfer.statistics.transferability import leep, logme
from xtransfer.steps import estimation
from xtransfer.steps.assembly import make_head
from xtransfer.steps.estimation import features
from xtransfer.train import lookahead
from xtransfer.train.context import Context
from xtransfer.train.prediction import DataSet

CONTEXT = Context(pad_id=1)


def states(encoder: Any, ids: Any) -> Any:
    """Last hidden states of one sequence, without padding."""
    with torch.inference_mode():
        return (
            encoder.eval()(input_ids=torch.tensor([list(map(int, ids))]))
            .last_hidden_state[0]
            .numpy()
        )


def unordered(vectors: Any, labels: Any) -> list[tuple[float, ...]]:
    return sorted(
        (int(label), *np.round(v, 4).tolist()) for v, label in zip(vectors, labels, strict=True)
    )


def test_a_classified_input_is_the_mean_of_its_own_tokens() -> None:
    encoder, data = tiny_encoder(), tiny_pairs(9, tokens=tuple(range(5, 40)))
    vectors, labels = features(encoder, data, CONTEXT, form="classification", examples=99, seed=0)
    expected = [states(encoder, data.rows["input_ids"][row]).mean(0) for row in range(9)]
    assert unordered(vectors, labels) == unordered(expected, data.rows["label"])


def test_examples_are_drawn_by_seed_and_those_without_a_label_left_out() -> None:
    encoder, data = tiny_encoder(), tiny_pairs(30, tokens=tuple(range(5, 40)))
    data.rows["label"][:10] = -1  # type: ignore[index]

    def drawn(seed: int, examples: int = 8) -> list[tuple[float, ...]]:
        found = features(
            encoder, data, CONTEXT, form="classification", examples=examples, seed=seed
        )
        return unordered(*found)

    assert drawn(0) == drawn(0)
    assert drawn(0) != drawn(1)
    assert len(drawn(0)) == 8
    assert len(drawn(0, examples=99)) == 20
    assert set(drawn(0)) <= set(drawn(0, examples=20))


def tagged() -> DataSet:
    """Return two sentences of four words, three of them with a label."""
    examples = [
        TaggingExample(id="0", tokens=("the", "xyz", "cat"), tags=("D", "N", "?")),
        TaggingExample(id="1", tokens=("ran",), tags=("V",)),
    ]
    encoded = tagging.encode(
        examples, tiny_tokenizer(), labels=("D", "N", "V"), max_length=20, stride=0
    )
    return DataSet(rows=rows_of(encoded), examples=[{}, {}])


def test_a_word_is_the_state_of_its_first_subword() -> None:
    encoder, data = tiny_encoder(vocabulary=len(tiny_tokenizer())), tagged()
    vectors, labels = features(encoder, data, CONTEXT, form="tagging", examples=99, seed=0)
    first, second = (states(encoder, data.rows["input_ids"][row]) for row in (0, 1))
    start = int(data.rows["words"][0][1])  # type: ignore[index]
    assert unordered(vectors, labels) == unordered([first[1], first[start], second[1]], [0, 1, 2])
    assert len(features(encoder, data, CONTEXT, form="tagging", examples=2, seed=0)[1]) == 2


@pytest.mark.parametrize("classes", [0, 5])
def test_only_the_states_of_words_leave_the_device(
    monkeypatch: pytest.MonkeyPatch, classes: int
) -> None:
    encoder, data = tiny_encoder(vocabulary=len(tiny_tokenizer())), tagged()
    head = make_head(encoder, "tagging", classes) if classes else None
    left: list[int] = []

    def results(*given: Any) -> Any:
        for batch, found in lookahead.results(*given):
            left.append(found.shape[:-1].numel())
            yield batch, found

    monkeypatch.setattr(estimation, "results", results)
    features(encoder, data, CONTEXT, form="tagging", examples=99, seed=0, head=head)
    assert sum(left) == 3  # and not as many as there are tokens


def test_an_answer_is_a_feature_labelled_by_whether_it_is_right() -> None:
    encoder, tokenizer = tiny_encoder(vocabulary=len(tiny_tokenizer())), tiny_tokenizer()
    examples = [
        ChoiceExample(
            id="0", context="the cat", question="who", choices=("dog", "old cat"), label=1
        ),
        ChoiceExample(
            id="1", context="", question="where", choices=("tree", "river", "mat"), label=0
        ),
    ]
    encoded = choice.encode(examples, tokenizer, labels=(), max_length=30, stride=0)
    data = DataSet(rows=rows_of(encoded), examples=[{}, {}])
    vectors, labels = features(encoder, data, CONTEXT, form="choice", examples=99, seed=0)
    answers = [ids for row in (0, 1) for ids in sequences("choice", data.rows, [row], "input_ids")]
    expected = [states(encoder, ids).mean(0) for ids in answers]
    assert unordered(vectors, labels) == unordered(expected, [0, 1, 1, 0, 0])


@pytest.mark.parametrize("examples", [60, 300])
def test_a_task_that_the_features_hold_has_a_higher_logme_than_a_random_one(examples: int) -> None:
    encoder, data = tiny_encoder(), tiny_pairs(300, tokens=tuple(range(5, 40)))
    vectors, labels = features(
        encoder, data, CONTEXT, form="classification", examples=examples, seed=0
    )
    mixed = np.random.default_rng(0).permutation(labels)
    assert logme(vectors, labels) > logme(vectors, mixed)


def test_with_a_head_its_class_probabilities_are_the_features() -> None:
    encoder, data = tiny_encoder(), tiny_pairs(9, tokens=tuple(range(5, 40)))
    head = make_head(encoder, "classification", 4, seed=3)
    vectors, labels = features(
        encoder, data, CONTEXT, form="classification", examples=99, seed=0, head=head
    )
    head.eval()
    with torch.inference_mode():
        expected = [
            head(torch.tensor(states(encoder, data.rows["input_ids"][row]))[None]).softmax(-1)[0]
            for row in range(9)
        ]
    assert vectors.shape == (9, 4)
    assert unordered(vectors, labels) == unordered(
        [e.numpy() for e in expected], data.rows["label"]
    )
    assert -5 < leep(vectors, labels) < 0


def test_a_tagging_head_gives_each_word_a_distribution() -> None:
    encoder, tokenizer = tiny_encoder(vocabulary=len(tiny_tokenizer())), tiny_tokenizer()
    examples = [TaggingExample(id="0", tokens=("the", "cat"), tags=("D", "N"))]
    encoded = tagging.encode(examples, tokenizer, labels=("D", "N"), max_length=20, stride=0)
    data = DataSet(rows=rows_of(encoded), examples=[{}])
    head = make_head(encoder, "tagging", 5)
    found, labels = features(encoder, data, CONTEXT, form="tagging", examples=99, seed=0, head=head)
    assert found.shape == (2, 5)
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    assert sorted(labels) == [0, 1]

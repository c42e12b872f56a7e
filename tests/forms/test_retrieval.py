from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_tokenizer
from xtransfer.data.examples import RankingExample
from xtransfer.forms import FORMS, retrieval, scored_examples, sequences, split_logits
from xtransfer.forms.encoding import Encoded
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel
from xtransfer.train.prediction import make_inputs

PAIRS = (
    RankingExample(
        id="q1",
        query="who sat",
        candidate="the cat sat.",
        candidate_id="s1",
        context="the cat sat. a dog ran.",
        match=("q1",),
    ),
    RankingExample(
        id="q2",
        query="who ran",
        candidate="a dog ran.",
        candidate_id="s2",
        context="the cat sat. a dog ran.",
        match=("q2",),
    ),
)
APART = (
    RankingExample(id="q1", query="who sat", match=("q1",)),
    RankingExample(id="s1", candidate="the cat sat.", candidate_id="s1", match=("q1", "q9")),
    RankingExample(id="q2", query="who ran", match=("q2",)),
    RankingExample(id="s2", candidate="a dog ran.", candidate_id="s2", match=("q2", "q1")),
    RankingExample(id="s3", candidate="near", candidate_id="s3"),
    RankingExample(id="q3", query="who saw", match=("q3",)),
    RankingExample(id="q4", query="where"),
)


def encode(examples: tuple[RankingExample, ...] = PAIRS, max_length: int = 64) -> Encoded:
    return retrieval.encode(examples, tiny_tokenizer(), labels=(), max_length=max_length, stride=0)


def decoded(ids: list[Any]) -> list[str]:
    return tiny_tokenizer().batch_decode(ids)


def test_a_row_holds_a_query_a_candidate_with_its_context_or_both() -> None:
    tokenizer = tiny_tokenizer()
    rows = rows_of(encode((*PAIRS, APART[0])))
    texts = decoded(sequences("retrieval", rows, [1, 2, 0], "input_ids"))
    expected = [
        tokenizer.decode(tokenizer(*parts)["input_ids"])
        for parts in [
            ("who ran",),
            ("a dog ran.", PAIRS[1].context),
            ("who sat",),
            ("who sat",),
            ("the cat sat.", PAIRS[0].context),
        ]
    ]
    assert texts == expected
    assert encode((APART[1],)).columns["lengths"] == [[len(tokenizer("the cat sat.")["input_ids"])]]


def test_queries_are_cut_at_96_tokens_and_candidates_at_the_stages_length() -> None:
    long = RankingExample(
        id="q", query="cat " * 300, candidate="dog " * 300, candidate_id="s", match=("q",)
    )
    encoded = encode((long,), max_length=256)
    assert encoded.columns["lengths"] == [[96, 256]]
    assert encoded.counts == {"queries cut": 1, "candidates cut": 1}
    assert encode((long,), max_length=64).columns["lengths"] == [[64, 64]]


def test_token_types_tell_sentence_from_context() -> None:
    class WithTypes:
        def __call__(self, *args: Any, **options: Any) -> Any:
            found = tiny_tokenizer()(*args, **options)
            pair = len(args) > 1
            types = [[0] * (len(ids) - 2) + [int(pair)] * 2 for ids in found["input_ids"]]
            return {"input_ids": found["input_ids"], "token_type_ids": types}

    encoded = retrieval.encode(PAIRS, WithTypes(), labels=(), max_length=64, stride=0)
    query, candidate = sequences("retrieval", rows_of(encoded), [0], "token_type_ids")
    assert query.tolist() == [0] * len(query)
    assert candidate.tolist() == [0] * (len(candidate) - 2) + [1, 1]
    assert "token_type_ids" not in encode().columns


def test_a_query_knows_the_candidates_that_answer_it() -> None:
    found = scored_examples("retrieval", [retrieval.describe(example) for example in APART])
    assert found == [
        {"id": "q1", "gold": ["s1", "s2"]},
        {"id": "q2", "gold": ["s2"]},
        {"id": "q3", "gold": []},
        {"id": "q4", "gold": None},
    ]
    assert scored_examples("retrieval", [retrieval.describe(example) for example in PAIRS]) == [
        {"id": "q1", "gold": ["s1"]},
        {"id": "q2", "gold": ["s2"]},
    ]
    assert scored_examples("choice", [{"id": "1", "gold": 0}]) == [{"id": "1", "gold": 0}]


def test_logits_are_cosines_times_the_scale() -> None:
    torch.manual_seed(0)
    head = retrieval.Head(8, 0, 0.1)
    states = torch.randn(6, 5, 8)
    vectors = head(states)
    pooled = torch.tanh(head.project(states[:, 0]))
    cosines = torch.nn.functional.cosine_similarity(pooled[0::2, None], pooled[None, 1::2], dim=-1)
    assert torch.allclose(vectors[0::2] @ vectors[1::2].T, 100 * cosines, atol=1e-3)
    # The gradient is that of XTREME-R's form of it: similarity times scale.
    expected = torch.nn.functional.cross_entropy(cosines * head.scale, torch.arange(3))
    (want,) = torch.autograd.grad(expected, head.scale, retain_graph=True)
    loss = retrieval.loss(vectors, {}) / 3
    (found,) = torch.autograd.grad(loss, head.scale)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-4)
    assert found.item() == pytest.approx(want.item(), rel=1e-3)


def test_the_loss_compares_each_query_with_every_candidate() -> None:
    right = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]) * 10
    wrong = right[[0, 3, 2, 1]]
    assert float(retrieval.loss(right, {})) == pytest.approx(0, abs=1e-6)
    assert float(retrieval.loss(wrong, {})) == pytest.approx(200)
    alike = torch.ones(8, 2)
    assert float(retrieval.loss(alike, {})) == pytest.approx(4 * np.log(4))


def test_candidates_are_ranked_for_each_query() -> None:
    angles = {"q1": 0.0, "s1": 0.1, "q2": 1.0, "s2": 0.9, "s3": 3.0, "q3": 3.1, "q4": 0.4}
    vectors = [torch.tensor([[np.cos(a), np.sin(a)]]) for a in angles.values()]
    rows = rows_of(encode(APART))
    examples = [retrieval.describe(example) for example in APART]
    assert retrieval.decode(vectors, rows, examples, ()) == [
        ["s1", "s2", "s3"],
        ["s2", "s1", "s3"],
        ["s3", "s2", "s1"],
        ["s1", "s2", "s3"],
    ]


def test_of_pairs_each_candidate_is_ranked_once() -> None:
    again = RankingExample(
        id="q3", query="who", candidate="a dog ran.", candidate_id="s2", match=("q3",)
    )
    examples = (*PAIRS, again)
    vectors = [torch.tensor([[1.0, 0.0], [0.0, 1.0]]), *[torch.eye(2)[[1, 0]]] * 2]
    found = retrieval.decode(
        vectors, rows_of(encode(examples)), [retrieval.describe(e) for e in examples], ()
    )
    assert found == [["s2", "s1"], ["s1", "s2"], ["s1", "s2"]]


def test_at_most_20_are_named() -> None:
    queries = torch.ones(2, 3)
    found = retrieval.rank(queries, torch.ones(50, 3), [f"s{at}" for at in range(50)])
    assert found == [[f"s{at}" for at in range(20)]] * 2


def test_a_model_gives_a_vector_for_each_sequence() -> None:
    model = TransferModel(
        tiny_encoder(vocabulary=80), [FORMS["retrieval"].Head(16, 0, 0.0)], bf16=False
    )
    rows = rows_of(encode((*PAIRS, APART[0])))
    batch = np.array([2, 0, 1])
    logits = model(**make_inputs("retrieval", rows, batch, Context(pad_id=1)))
    assert logits.shape == (5, 16)
    assert logits.norm(dim=1).tolist() == pytest.approx([10.0] * 5)
    parts = split_logits("retrieval", logits, rows, batch)
    assert [len(part) for part in parts] == [1, 2, 2]

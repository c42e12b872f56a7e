from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import rows_of, tiny_encoder, tiny_tokenizer
from xtransfer.data.examples import RankingExample
from xtransfer.errors import DataError
from xtransfer.forms import retrieval, sequences
from xtransfer.steps.ranking import rank_pooled
from xtransfer.steps.scoring import evaluate
from xtransfer.tasks import TASKS
from xtransfer.train.context import Context
from xtransfer.train.model import TransferModel
from xtransfer.train.prediction import DataSet
from xtransfer.train.randomness import build_head

CONTEXT = Context(pad_id=1)
TEXTS = ("the cat sat", "a dog ran", "who saw a bird", "near the river", "old mat", "red tree")


def query(name: str, text: str, *match: str) -> RankingExample:
    return RankingExample(id=name, query=text, match=match or (name,))


def candidate(name: str, text: str, *match: str) -> RankingExample:
    return RankingExample(id=name, candidate=text, candidate_id=name, match=match)


def data_of(*examples: RankingExample) -> DataSet:
    encoded = retrieval.encode(examples, tiny_tokenizer(), labels=(), max_length=20, stride=0)
    return DataSet(
        rows=rows_of(encoded), examples=[retrieval.describe(example) for example in examples]
    )


def model_of() -> TransferModel:
    head = build_head("retrieval", 16, 0, dropout=0.0, seed=1)
    return TransferModel(tiny_encoder(vocabulary=80), [head], bf16=False)


def language(code: str) -> DataSet:
    """Return questions q0 to q2 and six sentences of one language; sentence 2i answers qi."""
    queries = [query(f"q{at}", TEXTS[2 * at]) for at in range(3)]
    answers = [
        candidate(f"{code}_{at}", text, *([f"q{at // 2}"] if at % 2 == 0 else []))
        for at, text in enumerate(TEXTS)
    ]
    return data_of(*queries, *answers)


def test_the_candidates_of_all_languages_are_one_set() -> None:
    sets = {code: language(code) for code in ("de", "ar")}
    ranked, count = rank_pooled(model_of(), sets, None, CONTEXT, where="lareqa")
    assert count == 12
    for code in sets:
        # The same words in both languages: the two answers tie, and the first read comes first.
        assert [each["gold"] for each in ranked[code].examples] == [
            [f"de_{2 * at}", f"ar_{2 * at}"] for at in range(3)
        ]
        assert [each["id"] for each in ranked[code].examples] == ["q0", "q1", "q2"]
        for at, found in enumerate(ranked[code].predictions):
            assert sorted(found) == sorted(f"{c}_{n}" for c in ("de", "ar") for n in range(6))
            assert found[:2] == [f"de_{2 * at}", f"ar_{2 * at}"]


def test_rankings_are_those_of_the_models_vectors() -> None:
    sets, model = {"de": language("de")}, model_of()
    ranked, _ = rank_pooled(model, sets, None, CONTEXT, where="lareqa")
    ids = sequences("retrieval", sets["de"].rows, range(9), "input_ids")
    with torch.inference_mode():
        vectors = [model(input_ids=torch.tensor(row[None]).long()).numpy()[0] for row in ids]
    scores = np.stack(vectors[:3]) @ np.stack(vectors[3:]).T
    for found, row in zip(ranked["de"].predictions, scores, strict=True):
        order = [int(name.split("_")[1]) for name in found]
        assert row[order] == pytest.approx(np.sort(row)[::-1], abs=1e-3)


def run(task: str, sets: dict[str, DataSet], pool: DataSet | None, folder: Path) -> Any:
    return evaluate(
        {"languages": list(sets)},
        TASKS[task],
        model=model_of(),
        context=CONTEXT,
        data=sets.__getitem__,
        pool=pool,
        folder=folder,
        report=lambda language, share: None,
    )


def test_an_oracle_scores_100_and_a_constant_what_its_rank_gives(tmp_path: Path) -> None:
    # The question is its own answer in the first set; in the second all candidates are alike, so
    # that they are ranked as they stand.
    sets = {"en": language("en")}
    assert run("lareqa", sets, None, tmp_path)["languages"]["en"]["metrics"] == {"map20": 100.0}
    alike = [candidate(f"s{at}", "old", f"q{at}") for at in range(3)]
    constant = data_of(*(query(f"q{at}", TEXTS[at]) for at in range(3)), *alike)
    found = run("lareqa", {"en": constant}, None, tmp_path)["languages"]["en"]["metrics"]
    assert found["map20"] == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)


def test_entities_are_one_set_for_the_mentions_of_all_languages(tmp_path: Path) -> None:
    pool = data_of(*(candidate(f"Q{at}", text, f"Q{at}") for at, text in enumerate(TEXTS)))
    sets = {
        "ta": data_of(query("m1", TEXTS[0], "Q0"), query("m2", TEXTS[1], "Q1")),
        "en": data_of(query("m1", TEXTS[2], "Q2"), query("m3", TEXTS[3], "Q99")),
    }
    result = run("mewslix", sets, pool, tmp_path)
    assert result["candidates"] == 6
    scores = {code: found["metrics"]["mrr20"] for code, found in result["languages"].items()}
    # The entity of m3 is not among the candidates.
    assert scores == {"ta": 100.0, "en": 50.0}
    assert {code: found["examples"] for code, found in result["languages"].items()} == {
        "ta": 2,
        "en": 2,
    }
    lines = (tmp_path / "predictions" / "en.jsonl").read_text().splitlines()
    assert json.loads(lines[0])["id"] == "m1"
    assert json.loads(lines[0])["prediction"][0] == "Q2"


def test_mentions_without_entities_cannot_be_scored(tmp_path: Path) -> None:
    pool = data_of(candidate("Q1", "x", "Q1"))
    sets = {"ta": data_of(RankingExample(id="m1", query="who"))}
    with pytest.raises(DataError, match="mewslix ta: 1 of 1 examples have no gold label"):
        run("mewslix", sets, pool, tmp_path)
    with pytest.raises(DataError, match="mewslix: there is no candidate"):
        run("mewslix", sets, None, tmp_path)

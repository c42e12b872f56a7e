"""Steps done one after the other, without a cluster, by a tiny encoder on a few examples."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.small import TASK, small_bench
from tests.tiny import WORDS, tiny_encoder, tiny_tokenizer
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.errors import StepError
from xtransfer.execution import execute
from xtransfer.execution.execute import run_step
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records.record import Done, Record
from xtransfer.store import open_store


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    folder = tmp_path / "encoder"
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder)
    tiny_encoder(vocabulary=len(tokenizer)).save_pretrained(folder)
    return folder


def run(folder: Path, encoder: Path, settings: dict[str, Any]) -> dict[str, Record]:
    """Do all steps of an experiment; return their records by `kind/name`."""
    path = folder / "experiment.yaml"
    everything = {
        "name": "tiny",
        "encoder": {"name": str(encoder)},
        "training": {"eval_every": 2},
        **settings,
    }
    everything["data"] = {"root": str(folder), **settings.get("data", {})}
    path.write_text(json.dumps(everything), encoding="utf-8")
    experiment = load_experiment(path)
    plan = build_plan(experiment, Fingerprints(experiment))
    placement = Placement.model_validate({"train": {"engine": "torch"}})
    bench = Workbench(
        plan=plan,
        store=open_store(f"file://{folder}/store"),
        placement=placement,
        scratch=folder / "scratch",
    )
    return {f"{step.kind}/{step.name}": run_step(step, bench) for step in plan.steps.values()}


def write_questions(path: Path, count: int) -> None:
    """Write questions in the format of SQuAD v2.0, every other one without an answer."""
    paragraphs = []
    for number in range(count):
        words = [WORDS[(number * 7 + at) % len(WORDS)] for at in range(6)]
        context = " ".join(words)
        impossible = number % 2 == 1
        answer = {"text": words[2], "answer_start": context.index(f" {words[2]}") + 1}
        paragraphs.append(
            {
                "context": context,
                "qas": [
                    {
                        "id": f"{path.stem}-{number}",
                        "question": "where who" if impossible else "what red",
                        "is_impossible": impossible,
                        "answers": [] if impossible else [answer],
                        **({"plausible_answers": [answer]} if impossible else {}),
                    }
                ],
            }
        )
    path.write_text(
        json.dumps({"version": "v2.0", "data": [{"title": "t", "paragraphs": paragraphs}]}),
        encoding="utf-8",
    )


def test_the_threshold_of_the_dev_set_is_recorded_and_applied(
    tmp_path: Path, encoder: Path
) -> None:
    for split, count in (("train", 24), ("dev", 12), ("test", 9)):
        write_questions(tmp_path / f"{split}.json", count)
    files = {split: [f"{split}.json"] for split in ("train", "dev", "test")}
    records = run(
        tmp_path,
        encoder,
        {
            "tasks": [
                {
                    "name": "quiz",
                    "like": "squad_v2",
                    "source": {"files": files},
                    "languages": ["en"],
                    "stages": [{"epochs": 2, "batch_size": 8, "max_length": 32}],
                }
            ],
            "target": {
                "tasks": ["quiz"],
                "seeds": [1],
                "learning_rates": [0.01],
                "few_shot": {
                    "quiz": {
                        "languages": ["en"],
                        "examples": [4],
                        "split": "dev",
                        "epochs": 1,
                        "batch_size": 4,
                    }
                },
            },
        },
    )
    trial = records["train/quiz-lr0.01-seed1"].result
    best = next(each for each in trial["history"] if each["step"] == trial["best_step"])
    threshold = best["dev null_threshold"]
    assert trial["null_threshold"] == threshold
    assert records["select/quiz-seed1"].result["null_threshold"] == threshold
    assert best["dev squad_v2"] == trial["score"]
    tests = {name: each for name, each in records.items() if name.startswith("evaluate/")}
    assert len(tests) == 2
    for record in tests.values():
        metrics = record.result["languages"]["en"]["metrics"]
        assert metrics["null_threshold"] == threshold
        assert {"em", "f1", "squad_v2", "HasAns_f1", "NoAns_f1", "best_f1"} <= set(metrics)
    # What went on from the trial scored no dev set of its own.
    further = [each for name, each in records.items() if "4-shot" in name and "train/" in name]
    assert ["null_threshold" in each.result for each in further] == [False]


def test_a_tokenizer_of_another_encoder_is_found_before_any_training(
    tmp_path: Path, encoder: Path
) -> None:
    tiny_encoder(vocabulary=len(tiny_tokenizer()) - 1).save_pretrained(encoder)
    settings = {
        "tasks": [TASK],
        "target": {"tasks": ["reviews"], "learning_rates": [1e-2]},
    }
    for split in ("train", "dev", "test"):
        (tmp_path / f"{split}.tsv").write_text("the cat\tgood\na dog\tbad\n", encoding="utf-8")
    assert run(tmp_path, encoder, settings)  # none of its texts has the token that is too many
    (tmp_path / "train.tsv").write_text("the cat?\tgood\na dog\tbad\n", encoding="utf-8")
    with pytest.raises(
        StepError, match=r"reviews train en: the tokenizer gives the id \d+, and the"
    ):
        run(tmp_path, encoder, settings)


def test_supertags_come_from_the_training_set(tmp_path: Path, encoder: Path) -> None:
    train = "the|DT|NP/N cat|NN|N sat|VB|S\\NP\n" * 6
    dev = "the|DT|NP/N dog|NN|N ran|VB|(S\\NP)/PP\n" * 3
    (tmp_path / "train.pipes").write_text(train, encoding="utf-8")
    (tmp_path / "dev.pipes").write_text(dev, encoding="utf-8")
    (tmp_path / "text.de").write_text("the cat\n", encoding="utf-8")
    (tmp_path / "text.en").write_text("a dog\n", encoding="utf-8")
    records = run(
        tmp_path,
        encoder,
        {
            "data": {
                "files": {
                    "ccg": {"train": ["train.pipes"], "dev": ["dev.pipes"]},
                    "tatoeba": {"test": ["text.de", "text.en"]},
                }
            },
            "intermediate": {
                "tasks": ["ccg"],
                "learning_rates": [0.05],
                "overrides": {"all": {"epochs": 8, "batch_size": 2, "max_length": 16}},
            },
            "target": {
                "tasks": ["tatoeba"],
                "languages": {"tatoeba": ["de"]},
                "overrides": {"all": {"max_length": 16}},
            },
        },
    )
    assert records["prepare/ccg-train"].result["labels"] == ["N", "NP/N", "S\\NP"]
    assert records["prepare/ccg-dev"].result["languages"]["en"]["words with an unknown tag"] == 3
    trial = records["train/ccg-lr0.05-seed1"].result
    # Two of three words can be right; the third has a category that no training sentence has.
    assert 0 < trial["score"] < 67


def write_reviews(folder: Path) -> dict[str, list[str]]:
    """Write a task of two labels, whose dev and test sets are in two languages."""
    for language, words in (("en", ("good dog", "bad cat")), ("sw", ("mat tree", "old river"))):
        for split, count in (("train", 12), ("dev", 6), ("test", 8)):
            # In Swahili two of three are "no", so that even a constant answer scores otherwise.
            labels = ("yes", "no") if language == "en" else ("yes", "no", "no")
            rows = [
                f"{words[at % 2]} {WORDS[at]}\t{labels[at % len(labels)]}" for at in range(count)
            ]
            path = folder / f"{split}-{language}.tsv"
            path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return {split: [f"{split}-{{lang}}.tsv"] for split in ("train", "dev", "test")}


def test_an_oracle_chooses_by_the_dev_sets_of_the_target_languages(
    tmp_path: Path, encoder: Path
) -> None:
    records = run(
        tmp_path,
        encoder,
        {
            "tasks": [
                {
                    "name": "reviews",
                    "form": "classification",
                    "metric": "accuracy",
                    "labels": ["yes", "no"],
                    "languages": ["en", "sw"],
                    "source": {
                        "format": "tsv",
                        "files": write_reviews(tmp_path),
                        "columns": {"text_a": "0", "label": "1"},
                    },
                    "stages": [{"epochs": 1, "batch_size": 4, "max_length": 16}],
                }
            ],
            "target": {
                "tasks": ["reviews"],
                "rule": "target_dev",
                "seeds": [1],
                "learning_rates": [0.02, 1e-06],
            },
        },
    )
    chosen = records["select/reviews-seed1"]
    judges = {
        record.inputs["model"]: record
        for name, record in records.items()
        if name.startswith("evaluate/reviews-after-baseline-dev-")
    }
    assert len(judges) == 2
    assert chosen.result["split"] == "reviews dev en sw"
    for candidate in chosen.result["candidates"]:
        judge = judges[candidate["key"]]
        scores = [each["metrics"]["accuracy"] for each in judge.result["languages"].values()]
        assert len(scores) == 2
        assert candidate["score"] == pytest.approx(sum(scores) / 2)
        assert candidate["judge"] == judge.key
        trial = next(r for r in records.values() if r.key == candidate["key"])
        assert candidate["own_dev"] == trial.result["score"] != candidate["score"]
    best = max(chosen.result["candidates"], key=lambda each: each["score"])
    assert chosen.result["score"] == best["score"]
    scored = records["evaluate/reviews-after-baseline-seed1"]
    assert scored.inputs["model"] == chosen.key
    assert scored.result["languages"]["sw"]["examples"] == 8


def test_the_wait_for_workers_is_no_time_of_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, {})
    now = [1000.0]

    def work(*_: Any) -> Done:
        now[0] += 3600 + 90
        return Done(result={}, timing={"waited_s": 3600.0})

    monkeypatch.setattr(execute, "WORK", {"train": work})
    monkeypatch.setattr("xtransfer.execution.execute.time", SimpleNamespace(time=lambda: now[0]))
    timing = run_step(trial, bench).timing
    assert timing == {"started": 4600.0, "seconds": 90.0, "waited_s": 3600.0}

"""A small experiment with data files of its own, for a doctor to look at."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from xtransfer.config.experiment import Experiment
from xtransfer.doctor import Checkup, Finding, examine
from xtransfer.settings import read_settings

NLI = ("entailment", "neutral", "contradiction")
Row = tuple[str, str, str]


class Patient:
    """The data folder of an experiment: clean at first, then as a test makes it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pairs("mnli/multinli_1.0_train.jsonl", self.rows("train", 9))
        self.pairs("mnli/multinli_1.0_dev_matched.jsonl", self.rows("dev", 6))
        self.pairs("xnli/test-en.tsv", self.rows("test", 6))
        self.pairs("xnli/test-de.tsv", self.rows("prüf", 6))

    @staticmethod
    def rows(word: str, count: int) -> list[Row]:
        return [
            (f"A {word} premise {at}.", f"A {word} claim {at}.", NLI[at % 3]) for at in range(count)
        ]

    def pairs(self, name: str, rows: Sequence[Row]) -> None:
        """Write sentence pairs in MNLI's format, or XTREME's for a tsv."""
        if name.endswith(".tsv"):
            self.text(name, "".join("\t".join(row) + "\n" for row in rows))
            return
        names = ("sentence1", "sentence2", "gold_label")
        lines = [json.dumps(dict(zip(names, row, strict=True))) for row in rows]
        self.text(name, "".join(f"{line}\n" for line in lines))

    def questions(self, name: str, *paragraphs: tuple[str, Sequence[tuple[str, str]]]) -> None:
        """Write SQuAD's format: paragraphs, each with (id, question); the first word is the answer."""
        data = [
            {
                "context": context,
                "qas": [
                    {
                        "id": id_,
                        "question": question,
                        "answers": [{"text": context.split()[0], "answer_start": 0}],
                    }
                    for id_, question in asked
                ],
            }
            for context, asked in paragraphs
        ]
        self.text(name, json.dumps({"data": [{"paragraphs": data}]}))

    def text(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def experiment(self, *overrides: str) -> Experiment:
        given = [
            "name=small",
            f"encoder={{name: org/model, revision: {'a' * 40}}}",
            f"data.root={self.root}",
            "target={tasks: [xnli], languages: {xnli: [en, de], xquad: [en, de], tatoeba: [de], panx: [en, de]}}",
            *overrides,
        ]
        return read_settings(Experiment, None, given, "test")

    def examined(self, *overrides: str) -> Checkup:
        return examine(self.experiment(*overrides))

    def findings(self, kind: str, *overrides: str) -> list[Finding]:
        return [each for each in self.examined(*overrides).findings if each.kind == kind]


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path / "data")

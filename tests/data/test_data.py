from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from xtransfer.data import read_examples, read_first, source_digests
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS


def test_an_empty_file_is_refused(write, tmp_path: Path) -> None:
    write("xnli/test-de.tsv", "")
    with pytest.raises(DataError, match=r"test-de\.tsv: holds no examples"):
        read_examples(TASKS["xnli"], split="test", language="de", root=tmp_path)


def test_an_error_names_file_and_line(write, tmp_path: Path) -> None:
    write("xnli/test-de.tsv", "a\tb\tneutral\na\tb\tneutrl\n")
    with pytest.raises(DataError, match=r"xnli/test-de\.tsv:2: unknown label 'neutrl'"):
        read_examples(TASKS["xnli"], split="test", language="de", root=tmp_path)


def test_anli_plus_reads_each_data_set_in_its_own_columns(write, tmp_path: Path) -> None:
    gold = '{"gold_label": "%s", "sentence1": "a", "sentence2": "b"}\n'
    rounds = '{"uid": "x", "context": "a", "hypothesis": "b", "label": "%s", "reason": ""}\n'
    write("snli/snli_1.0_train.jsonl", gold % "neutral" + gold % "-" + gold % "entailment")
    write("mnli/multinli_1.0_train.jsonl", gold % "-" + gold % "contradiction")
    for number, letter in enumerate("enc", 1):
        write(f"anli/R{number}/train.jsonl", rounds % letter)
    rows = read_examples(TASKS["anli+"], split="train", language="en", root=tmp_path)
    assert [example.label for example in rows.examples] == [  # type: ignore[union-attr]
        *("neutral", "entailment", "contradiction", "entailment", "neutral", "contradiction")
    ]
    assert rows.skipped == {"label '-'": 2}
    assert len({example.id for example in rows.examples}) == 6
    names = [
        entry["file"]
        for entry in source_digests(TASKS["anli+"], split="train", language="en", root=tmp_path)
    ]
    assert names == [
        *("snli_1.0_train.jsonl", "multinli_1.0_train.jsonl"),
        *("train.jsonl", "train.jsonl", "train.jsonl"),
    ]


def test_squad_v2_does_not_pass_for_squad_v1(write, with_files, tmp_path: Path) -> None:
    answered = {"id": "q", "question": "?", "answers": [{"text": "cat", "answer_start": 0}]}
    plausible = [{"text": "cat", "answer_start": 0}]
    impossible = {"id": "r", "question": "?", "answers": [], "is_impossible": True}
    impossible["plausible_answers"] = plausible
    paragraph = {"context": "cat", "qas": [answered, impossible]}
    write("v2.json", json.dumps({"version": "v2.0", "data": [{"paragraphs": [paragraph]}]}))
    for name in ("squad_v1", "tydiqa"):
        with pytest.raises(DataError, match=f"{name} train: question 'r': has no answer") as caught:
            read_examples(
                with_files(name, "train", "v2.json"), split="train", language="en", root=tmp_path
            )
        assert "SQuAD v2.0 is the task squad_v2" in str(caught.value)
    rows = read_examples(
        with_files("squad_v2", "train", "v2.json"), split="train", language="en", root=tmp_path
    )
    assert [example.answers for example in rows.examples] == [(("cat", 0),), ()]  # type: ignore[union-attr]


def flat(count: int, *texts: str) -> str:
    """Return questions as JSON lines, each with the answers `texts`, which stand at its first character."""
    answers = {"text": list(texts), "answer_start": [0 for _ in texts]}
    rows = (
        {"id": f"{''.join(texts)}{at}", "question": "?", "context": "cat"} for at in range(count)
    )
    return "".join(json.dumps({**row, "answers": answers}) + "\n" for row in rows)


@pytest.mark.parametrize("texts", [(), ("",)])
def test_a_flat_question_needs_an_answer_where_all_have_one(
    write, with_files, tmp_path: Path, texts: tuple[str, ...]
) -> None:
    write("a.jsonl", flat(1, "cat") + flat(1, *texts))
    where = {"language": "en", "root": tmp_path}
    for split in ("train", "dev"):
        task = with_files("squad_v1", split, "a.jsonl", format="jsonl")
        with pytest.raises(DataError, match=r"a\.jsonl:2: has no answer"):
            read_examples(task, split=split, **where)
    test = with_files("squad_v1", "test", "a.jsonl", format="jsonl")
    assert len(read_examples(test, split="test", **where).examples) == 2
    write("a.jsonl", flat(2, *texts))
    for read in (read_examples, partial(read_first, count=1)):
        with pytest.raises(DataError, match="squad_v1: no question has an answer"):
            read(test, split="test", **where)


def test_the_first_questions_may_be_those_without_an_answer(
    write, with_files, tmp_path: Path
) -> None:
    write("a.jsonl", flat(60) + flat(1, "cat"))
    task = with_files("squad_v2", "test", "a.jsonl", format="jsonl")
    first = read_first(task, split="test", language="en", root=tmp_path, count=50)
    assert len(first.examples) == 50


def test_bitext_needs_two_files(write, with_files, tmp_path: Path) -> None:
    write("a.de", "Ja.\n")
    with pytest.raises(DataError, match="bitext needs two files"):
        read_examples(
            with_files("tatoeba", "test", "a.de"), split="test", language="de", root=tmp_path
        )


def test_packing_and_moving_files_keeps_their_identity(write, with_files, tmp_path: Path) -> None:
    write("a/rows.tsv", "p\th\tneutral\n")
    write("b/rows.tsv.gz", "p\th\tneutral\n")
    write("c/rows.tsv", "p\th\tentailment\n")
    plain, packed, other = (
        source_digests(
            with_files("xnli", "test", f"{folder}/rows.tsv"),
            split="test",
            language="en",
            root=tmp_path,
        )
        for folder in "abc"
    )
    assert plain == packed
    assert plain[0]["file"] == "rows.tsv"
    assert other != plain

"""The readers on the data sets as published: counts equal those that their authors state."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from xtransfer.data import read_examples
from xtransfer.data.table import read_table
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Split

Case = tuple[str, Split, str, tuple[str, ...], int]

TYDIQA = dict(
    zip(TASKS["tydiqa"].languages, (440, 921, 113, 782, 565, 276, 812, 499, 669), strict=True)
)
"""Questions in the test set of each language."""

OFFICIAL: list[Case] = [
    ("mnli", "dev", "en", (), 9_815),
    ("mnli", "train", "en", ("mnli/multinli_1.0_train.sample10000.jsonl",), 10_000),
    ("squad_v1", "dev", "en", (), 10_570),
    ("squad_v1", "train", "en", ("squad/derived/train-from-dev-noxquad-v1.1.json",), 8_598),
    ("squad_v2", "dev", "en", (), 11_873),
    ("commonsenseqa", "train", "en", (), 9_741),
    ("commonsenseqa", "dev", "en", (), 1_221),
    ("commonsenseqa", "test", "en", (), 1_140),
    ("udpos", "train", "en", (), 21_253),
    ("udpos", "dev", "en", (), 3_974),
    ("udpos", "test", "en", (), 5_440),
    ("udpos", "test", "mr", (), 47),
    ("tydiqa", "train", "sw", (), 2_755),
    ("tydiqa", "train", "ko", (), 1_625),
    *(("tydiqa", "test", language, (), count) for language, count in TYDIQA.items()),
    *(("xnli", "test", language, (), 5_010) for language in TASKS["xnli"].languages),
    *(("xquad", "test", language, (), 1_190) for language in (*TASKS["xquad"].languages, "ro")),
    *(("pawsx", "dev", language, (), 2_000) for language in TASKS["pawsx"].languages),
]


@pytest.mark.parametrize("case", OFFICIAL, ids=lambda case: "-".join(case[:3]))
def test_published_files_hold_as_many_examples_as_stated(
    case: Case, shared_data: Path, with_files
) -> None:
    name, split, language, files, count = case
    task = with_files(name, split, *files) if files else TASKS[name]
    rows = read_examples(task, split=split, language=language, root=shared_data)
    assert len(rows.examples) == count
    assert rows.skipped == {}


def test_every_published_udpos_tag_is_one_of_the_17(shared_data: Path) -> None:
    task = TASKS["udpos"]
    seen: set[str] = set()
    for language in (*task.languages, *task.more_languages):
        if language == "de":  # its labelled test file is too large for the mirrors
            continue
        rows = read_examples(task, split="test", language=language, root=shared_data)
        assert rows.skipped == {}
        for example in rows.examples:
            seen.update(example.tags)  # type: ignore[union-attr,arg-type]
    assert seen == set(task.labels)


def test_published_panx_dev_sets_are_iob2_but_for_chinese_and_japanese(shared_data: Path) -> None:
    task = TASKS["panx"]
    sizes: dict[str, int] = {}
    stray: Counter[str] = Counter()
    for language in (*task.languages, *task.more_languages):
        if language == "th":  # its file is too large for the mirrors
            continue
        rows = read_examples(task, split="dev", language=language, root=shared_data)
        sizes[language] = len(rows.examples)
        for example in rows.examples:
            tags = ("O", *example.tags)  # type: ignore[union-attr,misc]
            stray[language] += sum(
                tag[0] == "I" and before[1:] != tag[1:] for before, tag in pairwise(tags)
            )
    assert set(sizes.values()) == {10_000, 1_000, 100}
    assert len(sizes) == 47
    # An I- that goes on with nothing: metrics.entities begins an entity there, as seqeval does.
    assert +stray == {"ja": 501, "zh": 476}


@pytest.mark.parametrize(("language", "pairs"), [("de", 1_000), ("jv", 205), ("sw", 390)])
def test_tatoeba_pairs(language: str, pairs: int, shared_data: Path, with_files) -> None:
    side = "tatoeba/v1/tatoeba.{lang3}-eng."
    task = with_files("tatoeba", "test", f"{side}{{lang3}}", f"{side}eng")
    rows = read_examples(task, split="test", language=language, root=shared_data)
    assert len(rows.examples) == 2 * pairs


def test_cosmosqa_reads_the_same_from_csv_and_from_json_lines(
    shared_data: Path, tmp_path: Path, with_files
) -> None:
    task = TASKS["cosmosqa"]
    found = read_examples(task, split="dev", language="en", root=shared_data)
    table = read_table(shared_data / "cosmosqa" / "valid.csv.gz", format_="csv", header=True)
    rows = [{**row, "label": int(row["label"])} for _, row in table]
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    (tmp_path / "valid.jsonl").write_text(text, encoding="utf-8")
    again = with_files("cosmosqa", "dev", "valid.jsonl")
    assert read_examples(again, split="dev", language="en", root=tmp_path) == found


def test_xcopa_asks_in_the_words_of_xtreme(shared_data: Path, with_files) -> None:
    task = with_files("xcopa", "test", "xcopa/data/{lang}/test.{lang}.jsonl")
    rows = read_examples(task, split="test", language="et", root=shared_data)
    asked = Counter(example.question for example in rows.examples)  # type: ignore[union-attr]
    assert set(asked) == {"What was the cause?", "What was the effect?"}
    assert asked.total() == 500


def test_socialiqa_reads_the_same_with_its_labels_in_a_file_of_their_own(
    shared_data: Path, tmp_path: Path, with_files
) -> None:
    name = "socialiqa/socialIQa_v1.4_dev.jsonl"
    together = with_files("socialiqa", "dev", name)
    found = read_examples(together, split="dev", language="en", root=shared_data)
    table = read_table(shared_data / f"{name}.gz", format_="jsonl", header=False)
    rows = [row for _, row in table]
    (tmp_path / "socialiqa").mkdir()
    labels = "".join(f"{1 + 'ABC'.index(row.pop('correct'))}\n" for row in rows)
    (tmp_path / "socialiqa" / "dev-labels.lst").write_text(labels, encoding="utf-8")
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (tmp_path / "socialiqa" / "dev.jsonl").write_text(text, encoding="utf-8")
    again = read_examples(TASKS["socialiqa"], split="dev", language="en", root=tmp_path)
    assert again == found
    assert len(again.examples) == 1_954


def test_no_quote_is_left_of_what_csv_writer_added(shared_data: Path) -> None:
    rows = read_examples(TASKS["pawsx"], split="dev", language="fr", root=shared_data)
    texts = [text for row in rows.examples for text in (row.text_a, row.text_b)]  # type: ignore[union-attr]
    assert sum('"' in text for text in texts) > 200
    assert not any('""' in text for text in texts)

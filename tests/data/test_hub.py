from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xtransfer.data import read_examples, source_digests
from xtransfer.data.examples import PairExample
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Hub, Split, Task

ROW = {"sentence1": "p", "sentence2": "h", "gold_label": "neutral"}
REVISION = "0123456789abcdef0123456789abcdef01234567"


def mnli(hub: Hub, *files: str) -> Task:
    task = TASKS["mnli"]
    source = task.source.model_copy(update={"hub": (hub,), "files": {"train": files}})
    return task.model_copy(update={"source": source})


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.mark.usefixtures("cache")
def test_a_builder_reads_the_tasks_own_files(write, tmp_path: Path) -> None:
    write("my/rows.jsonl", json.dumps(ROW) + "\n")
    task = mnli(Hub(path="json"), "my/rows.jsonl")
    rows = read_examples(task, split="train", language="en", root=tmp_path)
    assert rows.examples == (PairExample(id="0", text_a="p", text_b="h", label="neutral"),)


@pytest.mark.usefixtures("cache")
def test_a_folder_below_the_root_is_a_data_set(write, tmp_path: Path) -> None:
    write("folder/train.jsonl", json.dumps(ROW) + "\n" + json.dumps(ROW) + "\n")
    write("folder/validation.jsonl", json.dumps(ROW) + "\n")
    task = mnli(Hub(path="folder"))
    counts = [
        len(read_examples(task, split=split, language="en", root=tmp_path).examples)
        for split in ("train", "dev")
    ]
    assert counts == [2, 1]


@pytest.mark.usefixtures("cache")
def test_named_labels_are_read_by_name(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Sequence, Value

    features = Features(
        {"tokens": Sequence(Value("string")), "tags": Sequence(ClassLabel(names=["DET", "NOUN"]))}
    )
    Dataset.from_dict({"tokens": [["a", "house"]], "tags": [[0, 1]]}, features=features).to_parquet(
        tmp_path / "a.parquet"
    )
    task = TASKS["udpos"]
    source = task.source.model_copy(
        update={"hub": (Hub(path="parquet"),), "files": {"train": ("a.parquet",)}}
    )
    task = task.model_copy(update={"source": source})
    (example,) = read_examples(task, split="train", language="en", root=tmp_path).examples
    assert example.tags == ("DET", "NOUN")  # type: ignore[union-attr]


@pytest.mark.usefixtures("cache")
def test_labels_inside_of_lists_and_objects_are_read_by_name(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    kind = ClassLabel(names=["NOUN", "DET"])
    word = {"form": Value("string"), "about": {"pos": kind}}
    rows = {"words": [[{"form": "a", "about": {"pos": 1}}, {"form": "house", "about": {"pos": 0}}]]}
    Dataset.from_dict(rows, features=Features({"words": List(word)})).to_parquet(
        tmp_path / "a.parquet"
    )
    task = TASKS["udpos"]
    source = task.source.model_copy(
        update={
            "hub": (Hub(path="parquet"),),
            "files": {"train": ("a.parquet",)},
            "columns": {"tokens": "words[].form", "tags": "words[].about.pos"},
        }
    )
    task = task.model_copy(update={"source": source})
    (example,) = read_examples(task, split="train", language="en", root=tmp_path).examples
    assert example.tags == ("DET", "NOUN")  # type: ignore[union-attr]


@pytest.mark.usefixtures("cache")
def test_what_datasets_cannot_load_is_named(write, tmp_path: Path) -> None:
    write("my/rows.jsonl", "not json\n")
    task = mnli(Hub(path="json"), "my/rows.jsonl")
    with pytest.raises(DataError, match="mnli train en: json: datasets cannot load it") as caught:
        read_examples(task, split="train", language="en", root=tmp_path)
    assert f"({tmp_path}/my/rows.jsonl)" in str(caught.value)
    assert "hub reachable" not in str(caught.value)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("second", "cause"),
    [
        (b'"caf\xe9",neutral\n', "'utf-8' codec can't decode byte 0xe9"),
        (b"a,b,c\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_the_cause_is_told_where_datasets_says_only_that_it_failed(
    tmp_path: Path, second: bytes, cause: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/train.csv").write_bytes(b"sentence1,gold_label\nd,neutral\n" + second)
    with pytest.raises(DataError) as caught:
        read_examples(mnli(Hub(path="folder")), split="train", language="en", root=tmp_path)
    assert str(caught.value).startswith("mnli train en: folder: datasets cannot load it: ")
    assert cause in str(caught.value)


@pytest.mark.parametrize("revision", [None, "main", "v1.0", REVISION[:12]])
def test_a_repository_must_be_pinned_to_a_full_hash(revision: str | None, tmp_path: Path) -> None:
    task = mnli(Hub(path="nyu-mll/multi_nli", revision=revision))
    for act in (read_examples, source_digests):
        with pytest.raises(DataError, match="'nyu-mll/multi_nli' is not pinned") as caught:
            act(task, split="train", language="en", root=tmp_path)
        assert "as data.revisions: {nyu-mll/multi_nli: ...}" in str(caught.value)


def test_a_repository_is_identified_by_its_pinned_place(tmp_path: Path) -> None:
    hub = Hub(path="facebook/xnli", name="{lang}", revision=REVISION, splits={"dev": "valid"})
    assert source_digests(mnli(hub), split="dev", language="zh", root=tmp_path) == [
        {"path": "facebook/xnli", "name": "zh", "revision": REVISION, "split": "valid"}
    ]


def test_a_folder_is_identified_by_its_content(write, tmp_path: Path) -> None:
    write("folder/train.jsonl", "{}\n")
    task = mnli(Hub(path="folder"))
    first = source_digests(task, split="train", language="en", root=tmp_path)
    write("folder/train.jsonl", "{} \n")
    second = source_digests(task, split="train", language="en", root=tmp_path)
    assert [entry.get("file") for entry in first] == [None, "train.jsonl"]
    assert first != second


def test_the_copy_of_a_repository_is_identified_by_place_and_content(write, tmp_path: Path) -> None:
    write("org/set/train.jsonl", "{}\n")
    hub = Hub(path="org/set", name="{lang3}", rows={"id": "{language}-"})
    (place, file) = source_digests(mnli(hub), split="dev", language="ko", root=tmp_path)
    assert place == {"name": "kor", "split": "validation", "rows": {"id": "korean-"}}
    assert file["file"] == "train.jsonl"


def saved(*texts: str) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{**ROW, "sentence1": text} for text in texts])


def firsts(task: Task, split: Split, root: Path) -> list[str]:
    rows = read_examples(task, split=split, language="en", root=root)
    return [each.text_a for each in rows.examples]  # type: ignore[union-attr]


@pytest.mark.usefixtures("cache")
def test_what_map_leaves_beside_a_saved_data_set_is_none_of_it(tmp_path: Path) -> None:
    from datasets import DatasetDict, load_from_disk

    parts = {"train": saved("a", "b", "c"), "validation": saved("d")}
    DatasetDict(parts).save_to_disk(tmp_path / "folder")  # type: ignore[arg-type]
    task = mnli(Hub(path="folder"))
    before = source_digests(task, split="train", language="en", root=tmp_path)
    load_from_disk(str(tmp_path / "folder")).map(lambda row: {"sentence1": row["sentence1"] * 2})
    assert list((tmp_path / "folder").rglob("cache-*"))
    assert firsts(task, "train", tmp_path) == ["a", "b", "c"]
    assert firsts(task, "dev", tmp_path) == ["d"]
    assert source_digests(task, split="train", language="en", root=tmp_path) == before
    part = mnli(Hub(path="folder", splits={"train": "train[1:]"}))
    assert firsts(part, "train", tmp_path) == ["b", "c"]
    with pytest.raises(DataError, match=r"datasets cannot load it: .*test"):
        firsts(task, "test", tmp_path)


@pytest.mark.usefixtures("cache")
def test_a_data_set_saved_without_splits_is_its_training_set(tmp_path: Path) -> None:
    saved("a", "b").save_to_disk(tmp_path / "folder")
    assert firsts(mnli(Hub(path="folder")), "train", tmp_path) == ["a", "b"]
    with pytest.raises(DataError, match=r"datasets cannot load it: .* Name it as `splits`"):
        firsts(mnli(Hub(path="folder")), "dev", tmp_path)


@pytest.mark.usefixtures("cache")
def test_a_saved_data_set_has_configurations_as_folders(tmp_path: Path) -> None:
    saved("a").save_to_disk(tmp_path / "folder/one")
    assert firsts(mnli(Hub(path="folder", name="one")), "train", tmp_path) == ["a"]
    saved("b").save_to_disk(tmp_path / "other")
    with pytest.raises(DataError, match="without configurations, and has no folder 'one'"):
        firsts(mnli(Hub(path="other", name="one")), "train", tmp_path)


def test_when_a_copy_was_fetched_is_no_part_of_its_identity(write, tmp_path: Path) -> None:
    write("folder/train.jsonl", "{}\n")
    task = mnli(Hub(path="folder"))
    before = source_digests(task, split="train", language="en", root=tmp_path)
    write("folder/.cache/huggingface/download/train.jsonl.metadata", "1764000000.1\n")
    write("folder/.git/index", "x")
    assert source_digests(task, split="train", language="en", root=tmp_path) == before


@pytest.mark.usefixtures("cache")
def test_rows_cannot_be_chosen_by_a_column_that_is_not_there(write, tmp_path: Path) -> None:
    write("folder/train.jsonl", json.dumps(ROW) + "\n")
    task = mnli(Hub(path="folder", rows={"id": "{language}-"}))
    with pytest.raises(
        DataError, match=r"folder: has no column 'id' to choose rows by\. It has: s"
    ):
        read_examples(task, split="train", language="en", root=tmp_path)


@pytest.mark.usefixtures("cache")
def test_a_row_that_is_wrong_is_named_with_its_file(write, tmp_path: Path) -> None:
    write("my/rows.jsonl", json.dumps({**ROW, "sentence1": None}) + "\n")
    task = mnli(Hub(path="json"), "my/rows.jsonl")
    with pytest.raises(DataError) as caught:
        read_examples(task, split="train", language="en", root=tmp_path)
    assert f"mnli train en: json[0] ({tmp_path}/my/rows.jsonl)" in str(caught.value)


@pytest.mark.usefixtures("cache")
def test_rows_of_a_language_are_not_those_of_one_that_begins_so(write, tmp_path: Path) -> None:
    rows = [{**ROW, "sentence1": name, "language": name} for name in ("fi", "fil", "fi")]
    write("folder/train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    task = mnli(Hub(path="folder", rows={"language": "{lang}"}))
    read = read_examples(task, split="train", language="fi", root=tmp_path)
    assert [each.text_a for each in read.examples] == ["fi", "fi"]  # type: ignore[union-attr]


def test_several_places_are_identified_one_after_the_other(tmp_path: Path) -> None:
    places = [Hub(path=path, revision=REVISION) for path in ("a/b", "c/d")]
    task = TASKS["mnli"]
    source = task.source.model_copy(update={"hub": tuple(places)})
    found = source_digests(
        task.model_copy(update={"source": source}), split="train", language="en", root=tmp_path
    )
    assert [entry["path"] for entry in found] == ["a/b", "c/d"]


def test_a_place_in_one_language_does_not_pass_for_another(tmp_path: Path) -> None:
    task = mnli(Hub(path="nyu-mll/multi_nli", revision=REVISION))
    with pytest.raises(DataError, match="'nyu-mll/multi_nli' is in 'en' alone"):
        source_digests(task, split="train", language="sw", root=tmp_path)


@pytest.mark.usefixtures("cache")
def test_without_the_hub_the_remedy_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets
    import huggingface_hub

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    task = mnli(Hub(path="nyu-mll/multi_nli", revision=REVISION))
    with pytest.raises(DataError) as caught:
        read_examples(task, split="train", language="en", root=tmp_path)
    message = str(caught.value)
    assert message.startswith("mnli train en: nyu-mll/multi_nli: datasets cannot load it: ")
    assert "Is the hub reachable from here?" in message


@pytest.mark.parametrize(
    "path", ["../outside", "/etc", "..", "a/../../b", "a//b", "", "./a", "~/a", "a\0b", "a\\b"]
)
def test_a_folder_of_data_lies_below_the_data_root(path: str) -> None:
    with pytest.raises(ValueError, match="a folder below the data root"):
        Hub(path=path)

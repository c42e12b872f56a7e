"""Every task's hub source, on small copies with the columns and splits that the hub's cards state.

The call of `load_dataset` is the one for the hub, with a folder in place of the repository's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from xtransfer.data import read_examples, source_digests
from xtransfer.data.examples import (
    BitextExample,
    ChoiceExample,
    Example,
    PairExample,
    SpanExample,
    TaggingExample,
)
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.hub import HUB, REVISIONS, on_hub
from xtransfer.tasks.targets.tagging import UPOS
from xtransfer.tasks.task import Split, Task

NLI = ("entailment", "neutral", "contradiction")
PANX = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
ANSWERS = {"text": ["cat"], "answer_start": [4]}
NO_ANSWERS: dict[str, list[Any]] = {"text": [], "answer_start": []}
QUESTION = {"id": "q", "context": "the cat sat", "question": "who?", "answers": ANSWERS}
ANSWERED = SpanExample(id="q", question="who?", context="the cat sat", answers=(("cat", 4),))
CAUSE = {"premise": "p", "choice1": "x", "choice2": "y", "question": "cause", "idx": 0}
CAUSED = ChoiceExample(
    id="0", context="p", question="What was the cause?", choices=("x", "y"), label=1
)


@dataclass(frozen=True, kw_only=True)
class Copy:
    """A split of one configuration of a repository."""

    task: str
    path: str
    split: str
    rows: tuple[Mapping[str, Any], ...]
    read: tuple[Example, ...]
    name: str = "default"
    names: tuple[str, ...] = ()
    """Of the class labels in the column `of`."""
    of: str = "label"
    ours: Split = "train"
    language: str = "en"

    def __str__(self) -> str:
        return f"{self.task}-{self.ours}"


def pair(label: str, number: int = 0, b: str | None = "b") -> PairExample:
    return PairExample(id=str(number), text_a="a", text_b=b, label=label)


def nli(path: str, split: str, *labels: int, name: str = "default", **more: Any) -> dict[str, Any]:
    rows = tuple({"premise": "a", "hypothesis": "b", "label": label} for label in labels)
    return {"path": path, "split": split, "rows": rows, "name": name, "names": NLI, **more}


COPIES = [
    Copy(
        task="mnli",
        read=(pair("neutral"), pair("contradiction", 1)),
        **nli("nyu-mll/multi_nli", "train", 1, 2),
    ),
    Copy(
        task="mnli",
        ours="dev",
        read=(pair("entailment"),),
        **nli("nyu-mll/multi_nli", "validation_matched", 0),
    ),
    Copy(
        task="qqp",
        path="nyu-mll/glue",
        name="qqp",
        split="train",
        rows=({"question1": "a", "question2": "b", "label": 1, "idx": 0},),
        names=("not_duplicate", "duplicate"),
        read=(pair("1"),),
    ),
    Copy(
        task="squad_v1",
        path="rajpurkar/squad",
        split="train",
        rows=(QUESTION | {"title": "t"},),
        read=(ANSWERED,),
    ),
    Copy(
        task="squad_v2",
        path="rajpurkar/squad_v2",
        split="validation",
        ours="dev",
        rows=(QUESTION, QUESTION | {"id": "r", "answers": NO_ANSWERS}),
        read=(
            ANSWERED,
            SpanExample(id="r", question="who?", context="the cat sat", answers=()),
        ),
    ),
    Copy(
        task="hellaswag",
        path="Rowan/hellaswag",
        split="train",
        rows=(
            {
                "ind": 4,
                "activity_label": "x",
                "ctx_a": "A man sits.",
                "ctx_b": "he",
                "ctx": "A man sits. he",
                "endings": ["a", "b", "c", "d"],
                "label": "3",
            },
        ),
        read=(
            ChoiceExample(
                id="0",
                context="A man sits. he",
                question="",
                choices=("a", "b", "c", "d"),
                label=3,
            ),
        ),
    ),
    Copy(
        task="cosmosqa",
        path="allenai/cosmos_qa",
        split="train",
        rows=(
            {"id": "x", "context": "c", "question": "q", "label": 2}
            | {f"answer{n}": f"a{n}" for n in range(4)},
        ),
        read=(
            ChoiceExample(
                id="x", context="c", question="q", choices=("a0", "a1", "a2", "a3"), label=2
            ),
        ),
    ),
    Copy(
        task="commonsenseqa",
        path="tau/commonsense_qa",
        split="train",
        rows=(
            {
                "id": "x",
                "question": "q",
                "question_concept": "k",
                "choices": {"label": list("ABCDE"), "text": list("abcde")},
                "answerKey": "B",
            },
        ),
        read=(ChoiceExample(id="x", context="", question="q", choices=tuple("abcde"), label=1),),
    ),
    Copy(
        task="socialiqa",
        path="allenai/social_i_qa",
        split="train",
        rows=(
            {"context": "c", "question": "q", "label": "3"}
            | {f"answer{letter}": letter for letter in "ABC"},
        ),
        read=(ChoiceExample(id="0", context="c", question="q", choices=("A", "B", "C"), label=2),),
    ),
    Copy(
        task="copa",
        path="aps/super_glue",
        name="copa",
        split="train",
        rows=(CAUSE | {"label": 1},),
        names=("choice1", "choice2"),
        read=(CAUSED,),
    ),
    Copy(
        task="xnli",
        ours="test",
        language="de",
        read=(pair("contradiction"),),
        **nli("facebook/xnli", "test", 2, name="de"),
    ),
    Copy(
        task="pawsx",
        path="google-research-datasets/paws-x",
        name="ko",
        split="test",
        ours="test",
        language="ko",
        rows=({"id": 1, "sentence1": "a", "sentence2": "b", "label": 1},),
        names=("0", "1"),
        read=(pair("1"),),
    ),
    Copy(
        task="udpos",
        path="google/xtreme",
        name="udpos.German",
        split="test",
        ours="test",
        language="de",
        rows=({"tokens": ["Das", "Haus"], "pos_tags": [5, 7]},),
        names=UPOS,
        of="pos_tags",
        read=(TaggingExample(id="0", tokens=("Das", "Haus"), tags=("DET", "NOUN")),),
    ),
    Copy(
        task="panx",
        path="google/xtreme",
        name="PAN-X.de",
        split="validation",
        ours="dev",
        language="de",
        rows=({"tokens": ["In", "Ulm"], "ner_tags": [0, 5], "langs": ["de", "de"]},),
        names=PANX,
        of="ner_tags",
        read=(TaggingExample(id="0", tokens=("In", "Ulm"), tags=("O", "B-LOC")),),
    ),
    Copy(
        task="xquad",
        path="google/xquad",
        name="xquad.de",
        split="validation",
        ours="test",
        language="de",
        rows=(QUESTION,),
        read=(ANSWERED,),
    ),
    Copy(
        task="mlqa",
        path="google/xtreme",
        name="MLQA.de.de",
        split="test",
        ours="test",
        language="de",
        rows=(QUESTION,),
        read=(ANSWERED,),
    ),
    Copy(
        task="tydiqa",
        path="google-research-datasets/tydiqa",
        name="secondary_task",
        split="validation",
        ours="test",
        language="ko",
        rows=tuple(QUESTION | {"id": f"{name}-1-0"} for name in ("english", "korean", "telugu")),
        read=(
            SpanExample(
                id="korean-1-0", question="who?", context="the cat sat", answers=(("cat", 4),)
            ),
        ),
    ),
    Copy(
        task="tatoeba",
        path="google/xtreme",
        name="tatoeba.cmn",
        split="validation",
        ours="test",
        language="zh",
        rows=({"source_sentence": "是。\n", "target_sentence": "Yes.\n", "source_lang": "cmn"},),
        read=(
            BitextExample(id="0", side="foreign", text="是。", match=("0",)),
            BitextExample(id="0", side="english", text="Yes.", match=("0",)),
        ),
    ),
    Copy(
        task="xcopa",
        path="cambridgeltl/xcopa",
        name="et",
        split="test",
        ours="test",
        language="et",
        rows=(CAUSE | {"label": 1, "changed": False},),
        read=(CAUSED,),
    ),
]


def put(copy: Copy, root: Path) -> None:
    """Write a copy of a repository with one configuration and one split below the data root."""
    from datasets import ClassLabel, Dataset, List

    folder = root / copy.path
    columns = {name: [row[name] for row in copy.rows] for name in copy.rows[0]}
    data = Dataset.from_dict(columns)
    if copy.names:
        features = data.features.copy()
        label = ClassLabel(names=list(copy.names))
        features[copy.of] = List(label) if isinstance(columns[copy.of][0], list) else label
        data = Dataset.from_dict(columns, features=features)
    file = Path(copy.name) / f"{copy.split}.parquet"
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    data.to_parquet(folder / file)
    card = (
        f"---\nconfigs:\n- config_name: {copy.name}\n  data_files:\n"
        f"  - split: {copy.split}\n    path: {file}\n---\n"
    )
    (folder / "README.md").write_text(card, encoding="utf-8")


@pytest.fixture(autouse=True)
def _cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def placed(name: str) -> Task:
    return on_hub(TASKS[name], revisions={}, where="data.hub")


@pytest.mark.parametrize("copy", COPIES, ids=str)
def test_a_copy_is_read_like_the_repository(copy: Copy, tmp_path: Path) -> None:
    put(copy, tmp_path)
    rows = read_examples(placed(copy.task), split=copy.ours, language=copy.language, root=tmp_path)
    assert rows.examples == copy.read
    assert rows.skipped == {}


def test_every_hub_source_is_tried() -> None:
    assert {copy.task for copy in COPIES} | {"anli+"} == set(HUB)


def test_anli_plus_joins_its_five_data_sets_and_counts_rows_without_a_label(tmp_path: Path) -> None:
    for copy in (
        Copy(task="anli+", read=(), **nli("stanfordnlp/snli", "train", 0, -1, 1)),
        Copy(task="anli+", read=(), **nli("nyu-mll/multi_nli", "train", 2)),
    ):
        put(copy, tmp_path)
    rounds = [nli("facebook/anli", f"train_r{n}", n - 1) for n in (1, 2, 3)]
    splits = ""
    for each in rounds:
        put(Copy(task="anli+", read=(), **each), tmp_path)
        splits += f"  - split: {each['split']}\n    path: default/{each['split']}.parquet\n"
    (tmp_path / "facebook/anli/README.md").write_text(
        f"---\nconfigs:\n- config_name: default\n  data_files:\n{splits}---\n", encoding="utf-8"
    )
    rows = read_examples(placed("anli+"), split="train", language="en", root=tmp_path)
    labels = [example.label for example in rows.examples]  # type: ignore[union-attr]
    assert labels == ["entailment", "neutral", "contradiction", *NLI]
    assert rows.skipped == {"no label": 1}
    assert [example.id for example in rows.examples] == ["0", "2", "3", "4", "5", "6"]


def test_an_answer_that_moved_is_not_trained_on_and_counted(tmp_path: Path) -> None:
    moved = QUESTION | {"id": "r", "answers": {"text": ["cat"], "answer_start": [5]}}
    for split, ours in (("train", "train"), ("validation", "dev")):
        copy = Copy(
            task="squad_v1",
            path="rajpurkar/squad",
            split=split,
            rows=(QUESTION, moved),
            read=(),
        )
        put(copy, tmp_path)
        rows = read_examples(placed("squad_v1"), split=ours, language="en", root=tmp_path)  # type: ignore[arg-type]
        if ours == "train":
            assert rows.examples == (ANSWERED,)
            assert rows.skipped == {"answer elsewhere in its context": 1}
        else:
            assert [example.id for example in rows.examples] == ["q", "r"]


def test_squad_v2_does_not_pass_for_squad_v1(tmp_path: Path) -> None:
    rows = (QUESTION, QUESTION | {"id": "r", "answers": NO_ANSWERS})
    put(Copy(task="squad_v1", path="rajpurkar/squad", split="train", rows=rows, read=()), tmp_path)
    with pytest.raises(
        DataError, match=r"squad_v1 train en: rajpurkar/squad\[1\]: has no answer, but every"
    ):
        read_examples(placed("squad_v1"), split="train", language="en", root=tmp_path)


@pytest.mark.parametrize("name", sorted(HUB))
def test_every_repository_is_pinned(name: str, tmp_path: Path) -> None:
    task = placed(name)
    splits = [split for split, files in TASKS[name].source.files.items() if files]
    for split in splits:
        found = source_digests(task, split=split, language=task.languages[0], root=tmp_path)
        assert all(entry["revision"] == REVISIONS[entry["path"]] for entry in found)
        assert all(len(entry["revision"]) == 40 for entry in found)

from __future__ import annotations

from pathlib import Path

import pytest

from xtransfer.errors import ConfigError
from xtransfer.tasks import TASKS, get_task
from xtransfer.tasks.hub import HUB, NOT_ON_HUB, REVISIONS, on_hub
from xtransfer.tasks.languages import LANGUAGES, iso3, language_name
from xtransfer.tasks.soundness import check_sound, check_stages

NINE = ["anli+", "mnli", "qqp", "squad_v2", "squad_v1", "hellaswag", "ccg", "cosmosqa"]
NINE.append("commonsenseqa")


def test_the_intermediate_tasks_are_the_nine_of_the_study() -> None:
    assert sorted(name for name, task in TASKS.items() if task.as_intermediate) == sorted(NINE)


def test_the_targets_are_those_of_both_benchmarks() -> None:
    by_benchmark: dict[str, set[str]] = {}
    for name, task in TASKS.items():
        if task.stages is not None:
            by_benchmark.setdefault(task.benchmark, set()).add(name)
    assert by_benchmark == {
        "xtreme": {
            *("xnli", "pawsx", "udpos", "panx", "xquad", "mlqa", "tydiqa", "bucc2018", "tatoeba")
        },
        "xtreme-r": {"xcopa", "lareqa", "mewslix"},
    }


@pytest.mark.parametrize("name", sorted(TASKS))
def test_stages_name_tasks_that_have_training_and_dev_files(name: str) -> None:
    task = TASKS[name]
    for stage in [*(task.stages or ()), *([task.as_intermediate] if task.as_intermediate else [])]:
        trained = TASKS[stage.task]
        assert trained.source.files["train"]
        assert trained.source.files["dev"]


@pytest.mark.parametrize("name", sorted(TASKS))
def test_the_parts_of_a_built_in_task_fit_together_as_they_must_in_ones_own(name: str) -> None:
    check_sound(TASKS[name], name)
    check_stages(TASKS[name], TASKS, name)
    if name in HUB:
        check_sound(on_hub(TASKS[name], revisions={}, where=name), name)


@pytest.mark.parametrize(
    ("name", "languages", "further"),
    [
        ("xnli", 15, 0),
        ("pawsx", 7, 0),
        ("xquad", 11, 1),
        ("mlqa", 7, 0),
        ("tydiqa", 9, 0),
        ("bucc2018", 4, 0),
        ("udpos", 33, 5),
        ("panx", 40, 8),
        ("tatoeba", 36, 5),
        ("xcopa", 11, 0),
        ("lareqa", 11, 0),
        ("mewslix", 11, 0),
    ],
)
def test_languages_are_as_many_as_the_benchmarks_have(
    name: str, languages: int, further: int
) -> None:
    task = TASKS[name]
    assert (len(task.languages), len(task.more_languages)) == (languages, further)
    every = [*task.languages, *task.more_languages]
    assert len(set(every)) == len(every)
    assert set(every) <= set(LANGUAGES)


# The study's phase tables (SPEC): batch size, epochs, longest input.
INTERMEDIATE_STAGES = {
    "anli+": (24, 2, 256),
    "mnli": (24, 2, 256),
    "ccg": (24, 15, 256),
    "commonsenseqa": (4, 10, 256),
    "cosmosqa": (4, 15, 256),
    "hellaswag": (24, 7, 256),
    "qqp": (24, 3, 256),
    "squad_v1": (8, 3, 384),
    "squad_v2": (8, 3, 384),
}
TARGET_STAGES = {
    "xnli": [("mnli", 32, 2, 256)],
    "pawsx": [("pawsx", 32, 5, 256)],
    "udpos": [("udpos", 32, 10, 256)],
    "panx": [("panx", 32, 10, 256)],
    "xquad": [("squad_v1", 16, 2, 384)],
    "mlqa": [("squad_v1", 16, 2, 384)],
    "tydiqa": [("tydiqa", 16, 2, 384)],
    "bucc2018": [],
    "tatoeba": [],
    "xcopa": [("socialiqa", 32, 5, 128), ("copa", 32, 5, 128)],
    "lareqa": [("squad_sentences", 16, 3, 256)],
    "mewslix": [("mewslix", 32, 2, 64)],
}


def test_stages_are_those_of_the_study() -> None:
    found = {
        name: (stage.batch_size, stage.epochs, stage.max_length)
        for name, task in TASKS.items()
        if (stage := task.as_intermediate) is not None
    }
    assert found == INTERMEDIATE_STAGES
    targets = {
        name: [(s.task, s.batch_size, s.epochs, s.max_length) for s in task.stages]
        for name, task in TASKS.items()
        if task.stages is not None
    }
    assert targets == TARGET_STAGES
    stages = [s for task in TASKS.values() for s in (*(task.stages or ()), task.as_intermediate)]
    assert {(s.learning_rate, s.stride) for s in stages if s is not None} == {(1e-5, 128)}


def test_the_hub_has_every_task_or_there_is_a_reason() -> None:
    assert not set(HUB) & set(NOT_ON_HUB)
    assert {*HUB, *NOT_ON_HUB} == {name for name, task in TASKS.items() if task.form != "mlm"}
    for name, source in HUB.items():
        assert source.format == "hub"
        assert source.hub
        assert all(place.path in REVISIONS for place in source.hub), name


def test_a_task_that_the_hub_lacks_says_why() -> None:
    with pytest.raises(ConfigError, match="'ccg' cannot be read from the hub: CCGbank is licensed"):
        on_hub(TASKS["ccg"], revisions={}, where="data.hub")


def test_a_revision_of_the_users_own_is_taken() -> None:
    pinned = {"facebook/xnli": "0" * 40}
    assert on_hub(TASKS["xnli"], revisions=pinned, where="x").source.hub[0].revision == "0" * 40
    other = on_hub(TASKS["mnli"], revisions=pinned, where="x").source.hub[0]
    assert other.revision == REVISIONS["nyu-mll/multi_nli"]


def test_an_unknown_task_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        get_task("xnil", "configs/x.yaml: target.tasks[2]")
    assert str(caught.value) == (
        "configs/x.yaml: target.tasks[2]: no task 'xnil'. "
        "Did you mean 'xnli'? List them with: xtransfer tasks"
    )
    with pytest.raises(ConfigError, match=r"no task 'zzz'\. List them with: xtransfer tasks$"):
        get_task("zzz", "here")


def test_codes_that_are_not_in_the_table_stand_for_themselves() -> None:
    assert (iso3("zh"), iso3("qa")) == ("cmn", "qa")
    assert (language_name("zh"), language_name("qa")) == ("Chinese", "qa")


def test_every_tatoeba_language_has_its_files(shared_data: Path) -> None:
    task = TASKS["tatoeba"]
    folder = shared_data / "tatoeba" / "v1"
    for code in (*task.languages, *task.more_languages):
        assert (folder / f"tatoeba.{iso3(code)}-eng.eng.gz").is_file(), code

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doctor.conftest import Patient
from xtransfer.doctor import Finding

SQUAD = ("target.tasks=[xquad]",)


def overlaps(patient: Patient, *overrides: str) -> list[Finding]:
    return [each for each in patient.examined(*overrides).findings if "overlap" in each.kind]


def leak(patient: Patient, name: str, *rows: tuple[str, str, str]) -> None:
    word = "train" if "train" in name else "dev"
    patient.pairs(name, [*patient.rows(word, 9), *rows])


@pytest.mark.parametrize(
    "pair",
    [
        ("A test premise 2.", "A test claim 2."),
        ("a TEST premise 2", "A  test claim 2 ."),  # tokenised, and without its full stop
        ("A test claim 2.", "A test premise 2."),  # the other way round
    ],
)
def test_a_test_pair_in_the_training_set_is_a_warning(
    patient: Patient, pair: tuple[str, str]
) -> None:
    leak(patient, "mnli/multinli_1.0_train.jsonl", (*pair, "neutral"))
    (found,) = overlaps(patient)
    assert (found.level, found.kind) == ("warning", "train-test overlap")
    assert str(found) == (
        "mnli train en -> xnli test: shares whole inputs: rows in en 1 of 6. "
        "The model trains on what it is tested on: take these rows out."
    )


def test_dev_sets_are_compared_with_what_comes_before_and_after(patient: Patient) -> None:
    test, train = (
        ("A prüf premise 1.", "A prüf claim 1."),
        ("A train premise 1.", "A train claim 1."),
    )
    leak(patient, "mnli/multinli_1.0_dev_matched.jsonl", (*test, "neutral"), (*train, "neutral"))
    assert [(each.level, each.kind, each.where) for each in overlaps(patient)] == [
        ("warning", "dev-test overlap", "mnli dev en -> xnli test"),
        ("warning", "train-dev overlap", "mnli train en -> mnli dev"),
    ]


def test_the_intermediate_task_counts_too(patient: Patient) -> None:
    row = {"ctx": "A test premise 3.", "endings": list("abcd"), "label": 0}
    for split, name in (("train", "hellaswag_train"), ("val", "hellaswag_val")):
        text = str({**row, "ctx": row["ctx"] if split == "train" else "Other."}).replace("'", '"')
        patient.text(f"hellaswag/{name}.jsonl", f"{text}\n")
    (found,) = overlaps(patient, "intermediate={tasks: [hellaswag]}")
    assert found.where == "hellaswag train en -> xnli test"
    assert found.what == "shares sentences: rows in en 1 of 6 (1 different)"
    assert found.level == "warning"  # one in six is no chance


def test_a_sentence_in_a_hundred_is_chance(patient: Patient) -> None:
    patient.pairs("xnli/test-en.tsv", patient.rows("test", 100))
    leak(patient, "mnli/multinli_1.0_train.jsonl", ("A test premise 2.", "Another.", "neutral"))
    (found,) = overlaps(patient)
    assert (found.level, found.kind) == ("note", "train-test overlap")
    assert found.what == "shares sentences: rows in en 1 of 100 (1 different)"


def test_what_the_limits_leave_out_is_noted_only(patient: Patient) -> None:
    leak(
        patient,
        "mnli/multinli_1.0_train.jsonl",
        ("A test premise 2.", "A test claim 2.", "neutral"),
    )
    levels = set()
    for seed in range(20):
        limits = f"data.limits={{train: 2, seed: {seed}}}"
        (found,) = (each for each in overlaps(patient, limits) if "whole" in each.what)
        assert ("under this experiment's limits 0 of 1" in found.what) == (found.level == "note")
        levels.add(found.level)
    assert levels == {"note", "warning"}


def squad(patient: Patient, train: str, dev: str) -> None:
    patient.questions("squad/train-v1.1.json", (train, [("train-question-1", "Who trains?")]))
    patient.questions(
        "squad/dev-v1.1.json",
        (dev, [("question-id-1", "Who asks?"), ("question-id-2", "Who else?")]),
    )
    patient.questions("xquad/xquad.en.json", ("Paris is big.", [("question-id-1", "Who asks?")]))
    patient.questions("xquad/xquad.de.json", ("Paris ist groß.", [("question-id-1", "Wer fragt?")]))


def test_xquad_inside_of_squad_dev_is_known(patient: Patient) -> None:
    squad(patient, train="Rome is old.", dev="Paris is big.")
    found = overlaps(patient, *SQUAD)
    assert {(each.level, each.where) for each in found} == {
        ("known", "squad_v1 dev en -> xquad test")
    }
    assert [each.what for each in found] == [
        "shares ids: rows in de 1 of 1, en 1 of 1",  # a translated question has its old id
        "shares whole inputs: rows in en 1 of 1",
        "shares passages: rows in en 1 of 1 (1 different)",
    ]
    assert all("Artetxe et al. 2020" in each.next for each in found)


def test_xquad_inside_of_the_training_set_is_a_leak(patient: Patient) -> None:
    squad(patient, train="Paris is big.", dev="Rome is old.")
    patient.questions("squad/dev-v1.1.json", ("Rome is old.", [("question-id-9", "Who rules?")]))
    (found,) = overlaps(patient, *SQUAD)
    assert (found.level, found.kind) == ("warning", "train-test overlap")
    assert found.what == "shares passages: rows in en 1 of 1 (1 different)"


def test_shared_ids_alone_may_be_running_numbers(patient: Patient) -> None:
    squad(patient, train="Rome is old.", dev="Lyon is old.")
    patient.questions("squad/train-v1.1.json", ("Rome is old.", [("question-id-1", "Who trains?")]))
    first = next(each for each in overlaps(patient, *SQUAD) if each.where.endswith("xquad test"))
    assert first.what == "shares ids: rows in de 1 of 1, en 1 of 1"
    assert first.next.endswith("take these rows out. Running numbers meet by chance.")


def test_a_dev_set_held_out_of_other_files_is_not_the_known_one(patient: Patient) -> None:
    squad(patient, train="Rome is old.", dev="Paris is big.")
    files = "data.files.squad_v1.train=[squad/train-v1.1.json, squad/dev-v1.1.json]"
    found = overlaps(patient, *SQUAD, files, "data.holdout.squad_v1=1", "data.limits.seed=3")
    assert found
    assert {each.level for each in found} == {"warning"}


def test_published_xquad_is_found_in_published_squad(shared_data: Path) -> None:
    patient = Patient.__new__(Patient)
    patient.root = shared_data
    languages = "target.languages.xquad=[en, de, zh]"
    train = "data.files.squad_v1.train=[squad/derived/train-from-dev-noxquad-v1.1.json]"
    clean = overlaps(patient, *SQUAD, languages, train)
    known = {each.what for each in clean if each.where == "squad_v1 dev en -> xquad test"}
    assert {each.level for each in clean if "xquad" in each.where} == {"known"}
    assert "shares passages: rows in en 1,190 of 1,190 (240 different)" in known
    assert "shares ids: rows in de 1,190 of 1,190, en 1,190 of 1,190, zh 1,190 of 1,190" in known
    leaking = overlaps(
        patient, *SQUAD, languages, "data.files.squad_v1.train=[squad/dev-v1.1.json]"
    )
    first = leaking[0]
    assert (first.level, first.kind) == ("warning", "train-test overlap")
    assert first.where == "squad_v1 train en -> xquad test"


def test_a_question_on_another_passage_is_no_leak(patient: Patient) -> None:
    squad(patient, train="Rome is old.", dev="Lyon is old.")
    patient.questions(
        "squad/train-v1.1.json", ("Rome is old.", [("train-question-1", "Who asks?")])
    )
    patient.questions("squad/dev-v1.1.json", ("Lyon is old.", [("dev-question-1", "Who rules?")]))
    assert [(each.level, each.what) for each in overlaps(patient, *SQUAD)] == [
        ("note", "shares questions: rows in en 1 of 1 (1 different)")
    ]

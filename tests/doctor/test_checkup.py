from __future__ import annotations

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from tests.doctor.conftest import Patient
from xtransfer.config.experiment import load_experiment
from xtransfer.data import read_examples
from xtransfer.doctor import checkup, examine
from xtransfer.tasks import TASKS

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIGS = CHECKOUT / "configs"
CONFIG = CONFIGS / "quickstart.yaml"


def test_a_clean_experiment_has_nothing_to_say(patient: Patient) -> None:
    found = patient.examined()
    assert found.findings == ()
    assert [(str(each.data), each.rows) for each in found.surveys] == [
        ("xnli test de", 6),
        ("xnli test en", 6),
        ("mnli train en", 9),
        ("mnli dev en", 6),
    ]


def test_a_data_set_in_numbers(patient: Patient) -> None:
    rows = [
        ("Ein Satz.", "b", "neutral"),
        ("ein  satz.", "B", "neutral"),
        ("c " * 50, "d", "entailment"),
    ]
    patient.pairs("xnli/test-de.tsv", rows)
    survey = patient.examined("data.limits.test=2").surveys[0].to_json()
    assert survey["labels"] == {"entailment": 1, "neutral": 2}
    assert (survey["rows"], survey["used"], survey["duplicates"], survey["conflicts"]) == (
        3,
        2,
        1,
        0,
    )
    assert survey["characters"] == {"median": 11, "p99": 101, "longest": 101}
    assert survey["words"] == {"median": 3, "p99": 51, "longest": 51}
    json.dumps(survey)


def test_every_file_is_read_once(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[str, str, str]] = []
    original = checkup.read_examples

    def spy(task, *, split, language, root):
        read.append((task.name, split, language))
        return original(task, split=split, language=language, root=root)

    monkeypatch.setattr(checkup, "read_examples", spy)
    overrides = ("data.holdout.mnli=2", "intermediate={tasks: [mnli]}", "target.seeds=[1, 2]")
    found = patient.examined(*overrides, "target.overrides.xnli.max_length=64")
    assert sorted(read) == [("mnli", "train", "en"), ("xnli", "test", "de"), ("xnli", "test", "en")]
    assert [(str(each.data), each.rows) for each in found.surveys if each.data.name == "mnli"] == [
        ("mnli train en", 7),
        ("mnli dev en", 2),
    ]


# --- what makes a run fail ------------------------------------------------------------------------


def test_all_errors_are_told_not_the_first(patient: Patient) -> None:
    (patient.root / "xnli/test-de.tsv").unlink()
    patient.text("xnli/test-en.tsv", "a\tb\tneutrl\n")
    patient.text("mnli/multinli_1.0_dev_matched.jsonl", "")
    found = [str(each) for each in patient.examined().findings if each.level == "error"]
    assert len(found) == 3
    assert found[0].startswith("xnli test de: neither ")
    assert "test-en.tsv:1: unknown label 'neutrl'. Did you mean 'neutral'?" in found[1]
    assert found[2].endswith("multinli_1.0_dev_matched.jsonl: holds no examples")


def test_a_row_of_a_hub_data_set_is_told_by_its_number(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")  # pyright: ignore[reportAttributeAccessIssue]
    rows = [{"premise": "a", "hypothesis": "b", "label": each} for each in ("neutral", "nothing")]
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    patient.text("nyu-mll/multi_nli/train.jsonl", lines)
    places = [each.where for each in patient.findings("unreadable", "data.hub=[mnli]")]
    assert "mnli train en: nyu-mll/multi_nli[1]" in places


@pytest.mark.parametrize("offline", [False, True])
def test_a_hub_that_gives_no_answer_is_asked_once(
    patient: Patient, monkeypatch: pytest.MonkeyPatch, *, offline: bool
) -> None:
    """Each try takes half a minute; told not to ask, `datasets` looks into its cache alone."""
    import datasets

    why = "OfflineModeIsEnabled" if offline else "LocalEntryNotFoundError"
    asked: list[str] = []

    def load(path: str, **_: Any) -> None:
        asked.append(path)
        raise ConnectionError(f"Couldn't reach '{path}' on the Hub ({why})")

    monkeypatch.setattr(datasets, "load_dataset", load)
    found = patient.findings("unreadable", "data.hub=[mnli, xnli]")
    assert len(asked) == (4 if offline else 1)
    told = [each.what for each in found if each.where == "data.hub"]
    expected = ["the hub gives no answer; data sets that were not tried: 3"]
    assert told == ([] if offline else expected)


def test_copies_of_hub_data_sets_are_read_though_the_hub_gives_no_answer(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    asked: list[str] = []

    def load(path: str, **_: Any) -> None:
        asked.append(path)
        raise ConnectionError(f"Couldn't reach '{path}' on the Hub (LocalEntryNotFoundError)")

    monkeypatch.setattr(datasets, "load_dataset", load)
    (patient.root / "facebook/xnli").mkdir(parents=True)
    patient.findings("unreadable", "data.hub=[mnli, xnli]")
    assert asked.count("nyu-mll/multi_nli") == 1
    assert asked.count(str(patient.root / "facebook/xnli")) == 2


def test_a_test_set_without_labels_is_an_error(patient: Patient) -> None:
    patient.text("xnli/test-de.tsv", "a\tb\nc\td\n")
    (found,) = patient.findings("no labels")
    assert str(found).startswith(
        "xnli test: rows without a label: de 2 of 2. They cannot be scored."
    )
    assert found.level == "error"


def test_a_holdout_of_everything_is_an_error(patient: Patient) -> None:
    found = patient.findings("too few rows", "data.holdout.mnli=9")
    assert {each.where for each in found} == {"mnli train en", "mnli dev en"}
    assert "9 examples leave nothing to train on" in found[0].what


def test_a_wrong_root_is_one_error(patient: Patient) -> None:
    (found,) = patient.examined("data.root=absent").findings
    assert (found.level, found.where) == ("error", "data.root")
    assert "absent" in found.what


# --- what makes scores mean less ------------------------------------------------------------------


def test_other_faults_inside_a_data_set(patient: Patient) -> None:
    rows = [
        ("same", "pair", "neutral"),
        ("Same", "pair", "entailment"),
        ("same", "pair", "neutral"),
        (" ", "x", "neutral"),
        ("br\ufffdken", "y", "neutral"),
    ]
    patient.pairs("xnli/test-de.tsv", rows)
    found = {each.kind: each for each in patient.examined().findings}
    assert {kind: each.level for kind, each in found.items()} == {
        "conflicting labels": "warning",
        "duplicates": "note",
        "empty text": "warning",
        "damaged text": "warning",
    }
    assert found["conflicting labels"].what.endswith("de 3 of 5")
    assert found["duplicates"].what.endswith("de 2 of 5")
    assert found["empty text"].what.endswith("de 1 of 5")


def test_a_text_that_cannot_be_seen_is_empty(patient: Patient) -> None:
    patient.pairs("xnli/test-de.tsv", [("\u200b\u200f", "x", "neutral"), ("a", "b", "neutral")])
    (found,) = patient.findings("empty text")
    assert found.what.endswith("de 1 of 2")


def test_an_answer_that_is_not_in_its_passage_is_told(patient: Patient) -> None:
    """As where one of them was normalised, the other not; elsewhere in the passage is well."""
    asked = [("question-id-1", "Wo?")]
    patient.questions("squad/train-v1.1.json", ("Rom ist alt.", asked))
    patient.questions("squad/dev-v1.1.json", ("Bern ist alt.", asked))
    patient.questions("xquad/xquad.en.json", ("Bonn is old.", asked))
    text = unicodedata.normalize("NFD", "Zürich")
    answers = [{"text": text, "answer_start": 0}]
    question = {"id": "question-id-1", "question": "Wo?", "answers": answers}
    for passage, findings in (("Zürich ist groß.", 1), (f"In {text}.", 0)):
        paragraphs = [{"context": passage, "qas": [question]}]
        document = {"data": [{"paragraphs": paragraphs}]}
        patient.text("xquad/xquad.de.json", json.dumps(document))
        found = patient.findings("absent answer", "target.tasks=[xquad]")
        assert [(each.level, each.where) for each in found] == [
            ("warning", "xquad test")
        ] * findings
        assert all(each.what.endswith("de 1 of 1") for each in found)


def test_a_premise_and_claim_that_change_places_are_no_conflict(patient: Patient) -> None:
    patient.pairs("xnli/test-de.tsv", [("a", "b", "neutral"), ("b", "a", "entailment")])
    assert patient.findings("conflicting labels") == []


def test_labels_that_never_come(patient: Patient) -> None:
    patient.pairs("mnli/multinli_1.0_train.jsonl", [("a", "b", "neutral"), ("c", "d", "neutral")])
    assert [str(each) for each in patient.findings("absent label")] == [
        "mnli train en: no row has the label entailment, contradiction"
    ]
    assert [str(each) for each in patient.findings("one label")] == [
        "mnli train en: every row has the label 'neutral'"
    ]


def test_a_limit_beyond_the_rows_is_noted(patient: Patient) -> None:
    found = patient.findings("limit", "data.limits.tasks.mnli.train=10")
    assert [(each.level, str(each)) for each in found] == [
        ("note", "mnli train en: has 9 rows where the limit is 10: all are used")
    ]


def test_fewer_rows_than_a_few_shot_stage_learns_from(patient: Patient) -> None:
    patient.pairs("xnli/dev-de.tsv", patient.rows("wenig", 6))
    settings = "target.few_shot.xnli={examples: [6, 7], languages: [de]}"
    found = patient.findings("too few rows", settings)
    assert [(each.level, str(each)) for each in found] == [
        (
            "error",
            "xnli dev de: has 6 rows, and 7 are to be learned from. Lower target.few_shot.xnli.examples.",
        )
    ]


def test_words_with_the_prefix_of_wikiann(patient: Patient) -> None:
    for split in ("train", "dev", "test"):
        patient.text(f"panx/{split}-en.tsv", f"Ann{split}\tB-PER\nen:x\tO\n")
    patient.text("panx/test-de.tsv", "de:Das\tO\nde:Haus\tO\n\nde:Berlin\tB-LOC\n")
    found = patient.findings("language prefix", "target.tasks=[panx]")
    assert [each.where for each in found] == ["panx test de"]
    assert found[0].what == "'de:' before every word, 3 in all, is taken off, as XTREME does"
    assert patient.findings("left out", "target.tasks=[panx]") == []


@pytest.mark.parametrize(("order", "count"), [(sorted, 1), (lambda lines: lines, 0)])
def test_the_sorted_english_side_of_xtreme(patient: Patient, order, count: int) -> None:
    lines = [f"{(7 * at) % 30:02d} sentences" for at in range(30)]
    patient.text("tatoeba/tatoeba.deu-eng.deu", "".join(f"{line} de\n" for line in lines))
    patient.text("tatoeba/tatoeba.deu-eng.eng", "".join(f"{line}\n" for line in order(lines)))
    found = patient.findings("sorted side", "target.tasks=[tatoeba]")
    assert [each.where for each in found] == ["tatoeba test de"] * count


def test_the_artificial_languages_leak_nothing() -> None:
    found = examine(load_experiment(CONFIG))
    assert found.surveys
    kinds = {each.kind for each in found.findings if each.level in ("error", "warning")}
    assert not {kind for kind in kinds if "overlap" in kind}
    assert found.count("error") == 0


@pytest.mark.parametrize("name", ["typology", "xtreme_r"])
def test_translations_of_mnli_are_read_as_the_authors_of_xnli_publish_them(
    patient: Patient, name: str
) -> None:
    """Their first row names the columns; XTREME's dev files have no such row."""
    rows = [("a", "b", "entailment"), ("c", "d", "neutral"), ("e", "f", "contradictory")]
    for language in TASKS["xnli"].languages:
        translated = [(f"{language} {one}", two, label) for one, two, label in rows * 5]
        header = ("premise", "hypo", "label")
        patient.pairs(f"xnli/multinli.train.{language}.tsv", [header, *translated])
        patient.pairs(f"xnli/dev-{language}.tsv", patient.rows(f"{language} dev", 6))
    patient.questions("squad/train-v1.1.json", ("A b.", [("q", "What?")]))
    patient.questions("squad/dev-v1.1.json", ("C d.", [("r", "Who?")]))
    overrides = (
        f"data.root={patient.root}",
        "target={tasks: [xnli], languages: {xnli: [en, de]}}",
        "claims=[]",
    )
    found = examine(load_experiment(CONFIGS / f"{name}.yaml", overrides))
    assert [each for each in found.findings if each.level == "error"] == []
    counted = {str(each.data): (each.rows, dict(each.skipped)) for each in found.surveys}
    assert counted["mnli train sw"] == (15, {"label 'label'": 1})
    assert counted["mnli dev sw"] == (6, {})


def test_what_is_left_out_is_told_by_reason_and_language(patient: Patient) -> None:
    rows = patient.rows("train", 9)
    patient.pairs("mnli/multinli_1.0_train.jsonl", [*rows, ("a", "b", "-"), ("c", "d", "-")])
    (finding,) = patient.examined().findings
    assert str(finding) == "mnli train: left out, label '-': en 2"
    assert finding.level == "note"


PUBLISHED = """data.sources.xnli={files: {dev: [XNLI-1.0/xnli.dev.tsv], test: [XNLI-1.0/xnli.test.tsv]},
header: true, columns: {text_a: sentence1, text_b: sentence2, label: gold_label}, rows: {language: '{lang}'}}"""


def test_xnli_is_read_as_its_authors_publish_it(patient: Patient) -> None:
    """All languages in one table with a header, 19 columns of which five are of use."""
    names = ["language", "gold_label", "sentence1", "sentence2", "promptID"]
    rows = [
        "\t".join([language, label, f"{language} {premise}", claim, str(at)])
        for language in ("ar", "de", "en")
        for at, (premise, claim, label) in enumerate(patient.rows("xnli", 4))
    ]
    patient.text("XNLI-1.0/xnli.test.tsv", "\n".join(["\t".join(names), *rows, ""]))
    found = patient.examined(PUBLISHED)
    assert found.findings == ()
    counted = {str(each.data): (each.rows, each.used) for each in found.surveys[:2]}
    assert counted == {"xnli test de": (4, 4), "xnli test en": (4, 4)}
    english = found.surveys[1].data
    read = read_examples(english.task, split="test", language="en", root=english.root).examples
    assert [each.text_a for each in read] == [f"en A xnli premise {at}." for at in range(4)]  # type: ignore[union-attr]
    assert [each.id for each in read] == ["0", "1", "2", "3"]
    away = patient.findings("unreadable", PUBLISHED, "target.languages.xnli=[en, fr]")
    assert away[0].what == "has no row with 'language' that is 'fr'"
    wrong = PUBLISHED.replace("language: '{lang}'", "lang: '{lang}'")
    (finding, _) = patient.findings("unreadable", wrong)
    assert "xnli.test.tsv:2: has no column 'lang' to choose rows by" in str(finding)

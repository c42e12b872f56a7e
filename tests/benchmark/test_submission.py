from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.benchmark.runs import LANGUAGES, SORTED, experiment, plan_of, record_run
from xtransfer.benchmark.benchmarks import BENCHMARKS
from xtransfer.benchmark.choice import Chosen, choose_runs
from xtransfer.benchmark.scorecard import score_folder
from xtransfer.benchmark.submission import (
    Submission,
    check_free,
    collect_submission,
    write_submission,
)
from xtransfer.errors import DataError, StoreError, UserError
from xtransfer.plan import Plan
from xtransfer.records.record import Record, commit
from xtransfer.report.build import collect_results
from xtransfer.report.results import tabulate
from xtransfer.store import Store, open_store


class Run(NamedTuple):
    plan: Plan
    records: dict[str, Record]
    store: Store
    root: Path

    def submission(self, after: str = "squad_v1", *, with_labels: bool = True) -> Submission:
        chosen = choose_runs(self.plan, self.records, after=[after])
        return collect_submission(
            self.plan, self.records, self.store, chosen, with_labels=with_labels
        )


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("run"))


def make_run(folder: Path, *overrides: str) -> Run:
    store = open_store(f"file://{folder}/store")
    plan = plan_of(experiment(folder / "data", *overrides))
    return Run(plan, record_run(store, plan, folder / "scratch"), store, folder / "data")


@pytest.mark.parametrize("after", ["squad_v1", "baseline"])
def test_what_is_submitted_scores_as_the_report_says(run: Run, tmp_path: Path, after: str) -> None:
    out, labels = tmp_path / "out", tmp_path / "labels"
    write_submission(run.submission(after), out, labels)
    results = collect_results(run.plan, run.records)
    table = tabulate(results, LANGUAGES)
    compared = set()
    for benchmark in BENCHMARKS.values():
        card = score_folder(out, labels, benchmark, partial=True)
        for name, found in card.tasks.items():
            own = [r for r in results if (r.target, r.intermediate) == (name, after)]
            assert dict(found.languages) == {r.language: dict(r.metrics) for r in own}
            entry = table.entries[name, after]
            # The report sums exactly, the official script does not.
            assert found.score == pytest.approx(entry.score().mean, rel=1e-14)
            compared.add(name)
    assert compared == set(LANGUAGES)


def test_files_are_in_the_official_form(run: Run) -> None:
    found = run.submission()
    assert set(found.predictions) == set(found.labels)
    assert set(found.predictions) == {
        *("xnli/test-de.tsv", "xnli/test-en.tsv", "panx/test-de.tsv", "udpos/test-de.tsv"),
        *("udpos/test-zh.tsv", "xquad/test-en.json", "mlqa/test-de.json", "mlqa/test-zh.json"),
        *("tatoeba/test-de.tsv", "xcopa/test-et.jsonl", "bucc2018/test-fr.tsv"),
        "mewslix/test-ja.json",
    }
    assert set(found.labels["xnli/test-de.tsv"].split()) <= set(run.plan.tasks["xnli"].labels)
    assert found.labels["panx/test-de.tsv"].count("\n\n") == 11
    (article,) = json.loads(found.labels["mlqa/test-zh.json"])["data"]
    unanswered, question = article["paragraphs"][0]["qas"][:2]
    assert unanswered == {"id": "x0", "answers": [{"text": ""}]}
    assert question["id"] == "x1"
    assert len(question["answers"]) == 2
    assert list(json.loads(found.predictions["mlqa/test-zh.json"])) == [
        f"x{at}" for at in range(12)
    ]
    assert json.loads(found.labels["xcopa/test-et.jsonl"].split("\n")[0])["label"] in (0, 1)
    assert found.labels["bucc2018/test-fr.tsv"] == "fr-0\ten-0\nfr-3\ten-3\nfr-6\ten-6\n"
    assert json.loads(found.labels["mewslix/test-ja.json"])["q3"] == ["Q3"]
    assert len(json.loads(found.predictions["mewslix/test-ja.json"])["q3"]) == 5


def test_tatoeba_is_in_the_order_of_xtreme(run: Run) -> None:
    found = run.submission()
    assert found.labels["tatoeba/test-de.tsv"] == "".join(f"{at}\n" for at in SORTED)
    cell = next(c for c in run.plan.cells if (c.target, c.intermediate) == ("tatoeba", "squad_v1"))
    rows = run.store.read(
        next(f.object for f in run.records[cell.key].files if f.name == "predictions/de.jsonl")
    )
    predicted = [json.loads(line)["prediction"] for line in rows.decode().split("\n") if line]
    assert found.predictions["tatoeba/test-de.tsv"].split() == [predicted[at] for at in SORTED]


def test_tatoeba_of_changed_files_is_refused(run: Run) -> None:
    path = run.root / "tatoeba" / "tatoeba.deu-eng.eng"
    kept = path.read_bytes()
    path.write_text("a\nb\nc\nd\ne\n", encoding="utf-8")
    with pytest.raises(DataError, match="changed after the run was planned"):
        run.submission()
    path.write_bytes(kept)


def test_labels_are_left_out_unless_asked_for(run: Run, tmp_path: Path) -> None:
    found = run.submission(with_labels=False)
    assert found.labels == {}
    write_submission(found, tmp_path / "out")
    assert (tmp_path / "out" / "mlqa" / "test-zh.json").is_file()


def test_what_the_benchmark_misses_is_said(run: Run) -> None:
    notes = run.submission().notes
    assert "xnli: after squad_v1, seed 1" in notes
    assert "tatoeba: after squad_v1" in notes
    assert "xnli: 13 of XTREME's 15 languages are not there" in notes
    assert "xnli: 13 of XTREME-R's 15 languages are not there" in notes
    assert any(n.startswith("xnli: a sample of the test set only, in 2 languages") for n in notes)


def test_what_chose_a_model_is_said(run: Run) -> None:
    notes = run.submission().notes
    assert "xnli: selected on: squad_v1 dev en, then mnli dev en" in notes
    assert any(n.startswith("xquad: selected on squad_v1 dev: XQuAD translates") for n in notes)
    assert not any("oracle" in note for note in notes)
    (chosen,) = (
        c for c in choose_runs(run.plan, run.records, after=["squad_v1"]) if of(c) == "xnli"
    )
    oracle = replace(chosen, cell=replace(chosen.cell, selected_on="oracle: xnli dev de en"))
    found = collect_submission(run.plan, run.records, run.store, [oracle], with_labels=False)
    assert any(
        n.startswith("xnli: oracle: ") and "are no zero-shot scores" in n for n in found.notes
    )


def test_a_task_of_neither_benchmark_is_left_out(tmp_path: Path) -> None:
    own = (
        "tasks=[{name: own, form: classification, metric: accuracy, labels: [a, b], "
        "languages: [en], source: {format: tsv, files: {test: [own.tsv], train: [own.tsv], "
        "dev: [own.tsv]}, columns: {text_a: '0', label: '1'}}, stages: [{task: own, epochs: 1, "
        "batch_size: 8, max_length: 64}]}]"
    )
    run = make_run(tmp_path, own, "target.tasks=[own, xnli]", "target.languages={xnli: [en]}")
    found = run.submission()
    assert set(found.predictions) == {"xnli/test-en.tsv"}
    assert "own is left out: it is a task of neither benchmark" in found.notes
    alone = make_run(tmp_path / "alone", own, "target.tasks=[own]", "target.languages={}")
    with pytest.raises(UserError, match="no target of XTREME or XTREME-R"):
        alone.submission()


def test_examples_without_a_label_give_no_label_folder(run: Run, tmp_path: Path) -> None:
    (xnli,) = (c for c in choose_runs(run.plan, run.records, after=["baseline"]) if of(c) == "xnli")
    evaluated = run.records[xnli.cell.key]
    prepared = run.records[evaluated.inputs["test"]]
    rows = "".join(json.dumps({"id": f"x{at}", "gold": None}) + "\n" for at in range(12))
    for language in LANGUAGES["xnli"]:
        path = tmp_path / "blank" / f"{language}.examples.jsonl"
        path.parent.mkdir(exist_ok=True)
        path.write_text(rows, encoding="utf-8")
    blank = prepared.model_copy(update={"key": "0" * 12, "files": ()})
    records = {
        blank.key: commit(run.store, blank, tmp_path / "blank"),
        evaluated.key: evaluated.model_copy(update={"inputs": {"test": blank.key}}),
    }
    with pytest.raises(DataError, match="xnli test de: its examples have no gold label"):
        collect_submission(run.plan, records, run.store, [xnli], with_labels=True)


def of(chosen: Chosen) -> str:
    return chosen.cell.target


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_target_that_is_taken_is_refused(run: Run, tmp_path: Path, place: str) -> None:
    out = tmp_path / "out"
    if place == "file":
        out.write_text("mine", encoding="utf-8")
    else:
        out.mkdir()
        (out / "mine").touch()
    with pytest.raises(UserError, match=r"out: exists and is not empty\. Give a new folder"):
        write_submission(run.submission(), tmp_path / "labels", out)
    assert not (tmp_path / "labels").exists()
    assert out.is_file() or [path.name for path in out.iterdir()] == ["mine"]


def test_an_empty_folder_is_taken(run: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_submission(run.submission(with_labels=False), tmp_path / "out")
    assert (tmp_path / "out" / "xnli").is_dir()


def test_one_folder_in_the_other_is_refused(tmp_path: Path) -> None:
    for labels in (tmp_path / "out", tmp_path / "out" / "labels", tmp_path):
        with pytest.raises(UserError, match=r"Give two folders|not empty"):
            check_free(tmp_path / "out", labels)


def test_nothing_is_left_half_written(run: Run, tmp_path: Path) -> None:
    found = run.submission()
    blocked = replace(found, labels={"xnli": "a file", "xnli/test-en.tsv": "in a file"})
    with pytest.raises(StoreError):
        write_submission(blocked, tmp_path / "new" / "out", tmp_path / "new" / "labels")
    assert list((tmp_path / "new").iterdir()) == []

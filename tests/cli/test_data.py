from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from tests.command import Run
from tests.doctor.conftest import Patient
from tests.recorded import record_steps
from xtransfer.config.experiment import load_experiment
from xtransfer.driver import runner, termination
from xtransfer.errors import StepError
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.logs import JOB_VARIABLE
from xtransfer.store import open_store


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path / "data")


@pytest.fixture
def config(patient: Patient, tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    settings = {
        "name": "small",
        "encoder": {"name": "org/model", "revision": "a" * 40},
        "data": {"root": str(patient.root)},
        "target": {"tasks": ["xnli"], "languages": {"xnli": ["en", "de"]}},
    }
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


@pytest.fixture
def leaking(patient: Patient) -> None:
    rows = [*patient.rows("train", 9), *patient.rows("test", 1)]
    patient.pairs("mnli/multinli_1.0_train.jsonl", rows)


def test_sound_data_are_shown_in_a_table(run: Run, config: Path) -> None:
    done = run("data", "check", config)
    assert done.status == 0
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0][:5] == ["task", "split", "lang", "rows", "used"]
    assert lines[1][:7] == ["xnli", "test", "de", "6", "6", "3", "33.3%"]
    assert [line[:4] for line in lines[2:5]] == [
        ["xnli", "test", "en", "6"],
        ["mnli", "train", "en", "9"],
        ["mnli", "dev", "en", "6"],
    ]
    assert done.out.splitlines()[-1] == "0 error, 0 warning, 0 known, 0 note"
    assert run("data", "check", config, "--strict").status == 0


@pytest.mark.usefixtures("leaking")
def test_a_leak_is_loud_and_fails_only_a_strict_check(run: Run, config: Path) -> None:
    done = run("data", "check", config)
    assert done.status == 0
    assert "warning  train-test overlap: mnli train en -> xnli test: shares whole" in done.out
    assert run("data", "check", config, "--strict").status == 2


def test_errors_are_listed_and_fail(run: Run, config: Path, patient: Patient) -> None:
    (patient.root / "xnli/test-de.tsv").unlink()
    patient.text("xnli/test-en.tsv", "a\tb\tneutrl\n")
    done = run("data", "check", config)
    assert done.status == 2
    assert done.out.count("\nerror    unreadable: ") == 2
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("leaking")
def test_everything_is_there_for_programs(run: Run, config: Path) -> None:
    found = json.loads(run("data", "check", config, "--json").out)
    assert found["counts"] == {"error": 0, "warning": 1, "known": 0, "note": 0}
    (finding,) = found["findings"]
    assert (finding["level"], finding["kind"]) == ("warning", "train-test overlap")
    assert finding["where"] == "mnli train en -> xnli test"
    by_name = {(each["task"], each["split"], each["language"]): each for each in found["data_sets"]}
    assert by_name["mnli", "train", "en"]["labels"] == {
        "contradiction": 3,
        "entailment": 4,
        "neutral": 3,
    }


def test_check_explains_itself(run: Run) -> None:
    done = run("data", "check", "--help")
    assert done.status == 0
    assert "Example: xtransfer data check" in done.out
    assert "check" in run("data", "--help").out


# --- the first look of every run ------------------------------------------------------------------


def test_a_run_names_everything_that_is_wrong_and_starts_nothing(
    run: Run, config: Path, patient: Patient, tmp_path: Path
) -> None:
    (patient.root / "xnli/test-de.tsv").unlink()
    patient.text("mnli/multinli_1.0_dev_matched.jsonl", "{}\n")
    store = tmp_path / "store"
    done = run("run", config, "--store", f"file://{store}", "--set", "encoder={name: org/model}")
    assert done.status == 2
    lines = done.err.splitlines()
    assert lines[0] == f"xtransfer: {config}: nothing was started, for 3 inputs are not in order:"
    assert [line.split(":")[0].strip() for line in lines[1:3]] == ["encoder", "xnli test de"]
    assert "multinli_1.0_dev_matched.jsonl:1: has no column 'gold_label'" in lines[3]
    assert len(lines) == 4
    assert not store.exists()


def test_what_a_jobs_run_lacks_is_in_its_log(
    run: Run, config: Path, patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = "xt-small-aaaa00001111"
    monkeypatch.setenv(JOB_VARIABLE, job)
    (patient.root / "xnli/test-de.tsv").unlink()
    store = f"file://{tmp_path}/store"
    assert run("run", config, "--store", store).status == 2
    kept = run("logs", job, "--store", store).out
    assert "nothing was started, for 1 input is not in order:\n  xnli test de: " in kept


def test_a_run_goes_on_without_the_data_of_steps_that_are_done(
    run: Run, config: Path, patient: Patient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"file://{tmp_path}/store"
    experiment = load_experiment(config)
    made = build_plan(experiment, Fingerprints(experiment))
    record_steps(open_store(url), made, "prepare")
    (patient.root / "mnli/multinli_1.0_train.jsonl").unlink()
    started: list[str] = []

    def run_plan(plan, *_):
        started.append(plan.key)
        raise StepError("", "stopped here")

    monkeypatch.setattr(runner, "run_plan", run_plan)
    monkeypatch.setattr(termination, "on_terminate", lambda: None)
    done = run("run", config, "--store", url)
    assert started == [made.key]
    assert "xtransfer: taken as recorded: mnli train en: neither" in done.err
    status = json.loads(run("status", config, "--store", url, "--json").out)
    assert {row["key"] for row in status if row["state"] == "recorded"} == {
        key for key, step in made.steps.items() if step.kind == "prepare"
    }

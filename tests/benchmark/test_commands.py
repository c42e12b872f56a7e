from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmark.folders import write_folders
from tests.benchmark.runs import record_run
from tests.command import Run
from xtransfer.benchmark.benchmarks import XTREME, XTREME_R
from xtransfer.config.experiment import load_experiment
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.store import open_store

SMALL = f"""
name: small
encoder: {{name: org/model, revision: {"a" * 40}}}
intermediate: {{tasks: [squad_v1]}}
target: {{tasks: [xnli, xquad], languages: {{xnli: [en], xquad: [en]}}}}
"""


@pytest.fixture
def study(tmp_path: Path) -> tuple[Path, str]:
    """Return a recorded experiment and the URL of its store."""
    config, url = tmp_path / "small.yaml", f"file://{tmp_path}/store"
    config.write_text(SMALL, encoding="utf-8")
    experiment = load_experiment(config)
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    record_run(open_store(url), plan, tmp_path / "scratch")
    return config, url


def test_a_submission_is_written_and_scored(
    run: Run, study: tuple[Path, str], tmp_path: Path
) -> None:
    config, url = study
    out, labels = tmp_path / "out", tmp_path / "labels"
    done = run(
        *("submission", config, "--store", url, "--out", out, "--labels", labels),
        *("--after", "best", "--after", "xnli=baseline"),
    )
    assert (done.status, done.out) == (0, f"{out}\n")
    assert "xnli: baseline, seed 1" in done.err
    assert "xquad: after squad_v1, seed 1 (best by dev: 60.00)" in done.err
    assert "xnli: 14 of XTREME's 15 languages are not there" in done.err
    scored = run(
        "score", "--predictions", out, "--labels", labels, "--benchmark", "xtreme", "--partial",
        "--json",
    )  # fmt: skip
    assert scored.status == 0
    found = json.loads(scored.out)
    rows = json.loads(run("report", config, "--store", url, "--json").out)
    for name, arm in (("xnli", "baseline"), ("xquad", "squad_v1")):
        (row,) = [r for r in rows if (r["target"], r["intermediate"]) == (name, arm)]
        assert found["tasks"][name]["languages"] == {"en": row["metrics"]}
    again = run("submission", config, "--store", url, "--out", out, "--after", "baseline")
    assert again.status == 2
    assert "exists and is not empty" in again.err


def test_which_run_must_be_said(run: Run, study: tuple[Path, str], tmp_path: Path) -> None:
    config, url = study
    done = run("submission", config, "--store", url, "--out", tmp_path / "out")
    assert done.status == 2
    assert "xnli: was run after 2 arms: baseline, squad_v1" in done.err
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_not_there_is_named(
    run: Run, study: tuple[Path, str], tmp_path: Path
) -> None:
    elsewhere = f"file://{tmp_path}/other"
    arguments = ("--store", elsewhere, "--out", tmp_path / "out", "--after", "baseline")
    done = run("submission", study[0], *arguments)
    assert done.status == 2
    assert "is not scored yet in this store" in done.err
    assert "missing inputs" in done.err  # the likely reason: another key


def test_a_complete_folder_has_every_score(run: Run, tmp_path: Path) -> None:
    predictions, labels = write_folders(tmp_path, XTREME)
    arguments = ("score", "--predictions", predictions, "--labels", labels)
    done = run(*arguments, "--benchmark", "xtreme")
    assert done.status == 0
    assert "\noverall: 65.55\n" in done.out
    assert "qa: 52.48" in done.out
    assert "mlqa, em/f1: en " in done.out
    assert "incomplete" not in done.out
    found = json.loads(run(*arguments, "--benchmark", "xtreme", "--json").out)
    assert found["complete"] is True
    assert f"{found['overall']:.2f}" == "65.55"


def test_an_incomplete_folder_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    folders = write_folders(tmp_path, XTREME)
    arguments = ("score", "--predictions", folders[0], "--labels", folders[1])
    done = run(*arguments, "--benchmark", "xtreme-r", "--partial")
    assert done.status == 0
    assert "overall: not computed, since tasks are missing or incomplete" in done.out
    assert "incomplete: xcopa: no predictions and no labels" in done.out
    assert "incomplete: xquad: without ro" in done.out
    assert "ignored: bucc2018 is no task of XTREME-R" in done.out
    assert "This is xtransfer's definition" in done.out


def test_the_overall_score_of_xtreme_r_says_how(run: Run, tmp_path: Path) -> None:
    predictions, labels = write_folders(tmp_path, XTREME_R)
    arguments = ("--predictions", predictions, "--labels", labels, "--benchmark", "xtreme-r")
    out = run("score", *arguments).out
    assert "overall: " in out
    assert "not computed" not in out
    assert "the unweighted mean over the 10 tasks" in out
    assert "xtransfer's definition" in run("score", "--help").out


def test_a_bad_folder_ends_with_status_2(run: Run, tmp_path: Path) -> None:
    arguments = ("--predictions", tmp_path / "absent", "--labels", tmp_path)
    done = run("score", *arguments, "--benchmark", "xtreme")
    assert (done.status, done.out) == (2, "")
    assert "no such folder" in done.err
    assert "no benchmark 'glue'" in run("score", *arguments, "--benchmark", "glue").err

"""The main job as a user runs it: the command line, a private Ray, a real store."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from xtransfer.records.record import Record, load_records
from xtransfer.store import open_store

CONFIG = Path(__file__).parent / "tiny.yaml"
LONGEST_S = 600
"""What is waited for by an event, or a process, has come long before."""

pytestmark = pytest.mark.slow


def command(*args: str) -> list[str]:
    return [sys.executable, "-m", "xtransfer", *args]


def xtransfer(*args: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*args),
        capture_output=True,
        text=True,
        timeout=LONGEST_S,
        check=False,
        env={**os.environ, **(env or {})},
    )


def report_of(store: str, env: Mapping[str, str] | None = None) -> str:
    """Return the report as JSON, which holds every score and the keys behind it."""
    found = xtransfer("report", str(CONFIG), "--store", store, "--json", env=env)
    assert found.returncode == 0, found.stderr
    return found.stdout


def steps_of(store: str, env: Mapping[str, str] | None = None) -> list[dict[str, str]]:
    found = xtransfer("status", str(CONFIG), "--store", store, "--json", env=env)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def records_of(store: str) -> dict[str, Record]:
    return load_records(open_store(store), ("pretrain", "prepare", "train", "select", "evaluate"))


def test_a_run_scores_every_cell_and_a_second_one_does_nothing(finished: str) -> None:
    folder = Path(finished.removeprefix("file://"))
    (report,) = folder.glob("reports/*/report.md")
    first = report.read_bytes()
    records = {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")}
    again = xtransfer("run", str(CONFIG), "--store", finished)
    assert again.returncode == 0, again.stderr
    assert f"{len(records)} of {len(records)} steps were recorded before" in again.stderr
    assert report.read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("record.json")} == records
    rows = json.loads(report_of(finished))
    cells = {(row["target"], row["intermediate"], row["language"]) for row in rows}
    assert cells == {
        (target, arm, language)
        for target, languages in {"xnli": ("en", "qa"), "tatoeba": ("qa",)}.items()
        for arm in ("baseline", "commonsenseqa")
        for language in languages
    }
    assert all(0 <= row["value"] <= 100 for row in rows)


def test_selection_takes_the_better_learning_rate_and_keeps_both(finished: str) -> None:
    folder = Path(finished.removeprefix("file://"))
    (path,) = folder.glob("select/commonsenseqa-*/record.json")
    result = json.loads(path.read_text())["result"]
    assert sorted(each["learning_rate"] for each in result["candidates"]) == [5e-4, 1e-3]
    assert result["score"] == max(each["score"] for each in result["candidates"])
    assert result["split"] == "commonsenseqa dev en"


def test_an_exported_model_loads_with_transformers(finished: str, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = Path(finished.removeprefix("file://"))
    (path,) = folder.glob("select/commonsenseqa-*/record.json")
    key = json.loads(path.read_text())["key"]
    out = tmp_path / "model"
    exported = xtransfer("export", key, "--out", str(out), "--store", finished)
    assert exported.returncode == 0, exported.stderr
    model = AutoModel.from_pretrained(out, add_pooling_layer=False)
    inputs = AutoTokenizer.from_pretrained(out)("a b c", return_tensors="pt")
    states = model(**inputs).last_hidden_state
    assert states.shape[-1] == 32
    assert torch.isfinite(states).all()
    second = xtransfer("export", key, "--out", str(out), "--store", finished)
    assert second.returncode == 2
    assert "not empty" in second.stderr


@pytest.mark.parametrize("arm", ["baseline", "commonsenseqa"])
def test_a_submission_scores_as_the_report_says(finished: str, tmp_path: Path, arm: str) -> None:
    out, labels = str(tmp_path / "out"), str(tmp_path / "labels")
    written = xtransfer(
        "submission", str(CONFIG), "--store", finished, "--after", arm, "--out", out,
        "--labels", labels,
    )  # fmt: skip
    assert written.returncode == 0, written.stderr
    scored = xtransfer(
        "score", "--predictions", out, "--labels", labels, "--benchmark", "xtreme", "--partial",
        "--json",
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    found = {
        (name, language): metrics
        for name, task in json.loads(scored.stdout)["tasks"].items()
        for language, metrics in task["languages"].items()
    }
    rows = [row for row in json.loads(report_of(finished)) if row["intermediate"] == arm]
    assert found == {(row["target"], row["language"]): row["metrics"] for row in rows}
    assert len(found) == 3


def test_explain_names_what_a_step_was_made_from(finished: str) -> None:
    step = next(
        row for row in steps_of(finished) if row["step"].startswith("evaluate/xnli-after-baseline")
    )
    shown = xtransfer("explain", step["key"], "--store", finished)
    assert shown.returncode == 0, shown.stderr
    assert "prepare/xnli-test-" in shown.stdout
    assert "select/mnli-seed1-" in shown.stdout


def test_a_killed_driver_goes_on_where_it_was(finished: str, s3_url: str) -> None:
    """Kill -9 at two random moments, on S3; the scores and keys equal an undisturbed run's."""
    store, moments = open_store(s3_url), random.Random(7)
    for fewest in (1, 4):
        driver = subprocess.Popen(
            command("run", str(CONFIG), "--store", s3_url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        # The moment is in the time of a step: after some are recorded, however fast the machine is.
        until = time.monotonic() + LONGEST_S
        while sum(info.name.endswith("/record.json") for info in store.list("")) < fewest:
            assert driver.poll() is None
            assert time.monotonic() < until
            time.sleep(0.2)
        time.sleep(moments.uniform(0, 3))
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
    before = records_of(s3_url)
    run = xtransfer("run", str(CONFIG), "--store", s3_url)
    assert run.returncode == 0, run.stderr
    after = records_of(s3_url)
    assert 4 <= len(before) < len(after)
    assert all(after[key].timing == record.timing for key, record in before.items())
    assert after.keys() == records_of(finished).keys()
    assert report_of(s3_url) == report_of(finished)


def test_two_workers_with_zero_2_score_as_one_worker_does(finished: str, tmp_path: Path) -> None:
    """The same global batch over two processes: dev scores equal, losses within 1e-4.

    The evaluation of tatoeba needs no trial, and must not keep the CPU that the trial's workers need.
    """
    folder = tmp_path / "two"
    shutil.copytree(finished.removeprefix("file://"), folder)
    for kind in ("train", "select", "evaluate"):
        shutil.rmtree(folder / kind)
    store = f"file://{folder}"
    run = xtransfer(
        "run", str(CONFIG), "--store", store, "--set", "intermediate.tasks=[]",
        "--place", "train.workers=2", "--place", "train.zero_stage=2", "--place", "ray.cpus=2",
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    one, two = records_of(finished), records_of(store)
    trained = [key for key, record in two.items() if record.kind == "train"]
    assert len(trained) == 1
    assert any(record.name.startswith("tatoeba-after-baseline") for record in two.values())
    for key in trained:
        assert two[key].placement["train"]["workers"] == 2
        assert two[key].timing["waited_s"] > 0  # for its workers' processes, at least
        assert two[key].timing["seconds"] > two[key].timing["train_s"]
        for mine, theirs in zip(
            one[key].result["history"], two[key].result["history"], strict=True
        ):
            assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-4)
            assert mine["dev accuracy"] == theirs["dev accuracy"]


@pytest.mark.usefixtures("s3_url")  # the variables that point to it
def test_a_failed_step_blocks_what_hangs_on_it_and_nothing_else(failed: Any) -> None:
    run = failed.run
    assert run.returncode == 1
    assert "Traceback" not in run.stderr
    assert "40 examples leave nothing to train on" in run.stderr
    assert "blocked evaluate/tatoeba-after-commonsenseqa" in run.stderr
    names = {record.name for record in records_of(failed.url).values()}
    assert {"xnli-after-baseline-seed1", "tatoeba-after-baseline"} <= names
    assert not any("commonsenseqa" in name for name in names)

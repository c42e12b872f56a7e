"""Sweeps that search and stop, as a user runs them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xtransfer.records.record import Record, load_records
from xtransfer.store import open_store
from xtransfer.sweeps.scheduler import goes_on

CONFIG = Path(__file__).parent / "tiny.yaml"
SEARCH = (
    "intermediate.learning_rates=[]",
    "intermediate.search={kind: random, low: 1e-6, high: 1e-3, trials: 5}",
    "intermediate.asha={grace: 40}",
    "target.tasks=[tatoeba]",
    "target.languages={tatoeba: [qa]}",
)

pytestmark = pytest.mark.slow


PRUNED = (
    "intermediate.learning_rates=[1e-3]",
    "intermediate.overrides.all.epochs=1",
    "pruning={keep: 1, examples: 40}",
    "target.tasks=[xnli]",
    "target.languages={xnli: [qa]}",
)
MEASURES = {
    "LogME": ("intermediate.tasks=[commonsenseqa, squad_v1]",),
    "LEEP": (
        "intermediate.tasks=[mnli, {name: mixed, task: mnli, text: {languages: [qa], holdout: 5, max_length: 64}}]",
        "pruning.measure=leep",
    ),
}


def command(name: str, store: str, settings: tuple[str, ...], *options: str) -> str:
    sets = [word for each in settings for word in ("--set", each)]
    done = subprocess.run(
        [sys.executable, "-m", "xtransfer", name, str(CONFIG), "--store", store, *sets, *options],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def run(store: str) -> None:
    command("run", store, SEARCH)


def trials_of(store: str) -> dict[str, Record]:
    return load_records(open_store(store), ("train",))


def test_what_was_ruled_can_be_ruled_again_and_is_not(tmp_path: Path) -> None:
    store = f"file://{tmp_path}/store"
    run(store)
    trials = trials_of(store)
    assert len(trials) == 5
    entries = [(trial, entry) for trial in trials.values() for entry in trial.result["rulings"]]
    assert {entry["rung"] for _, entry in entries} == {40, 80}
    first = [entry for _, entry in entries if entry["rung"] == 40]
    assert sorted(len(entry["others"]) for entry in first) == [0, 1, 2, 3, 4]
    for trial, entry in entries:
        asked = {name: entry[name] for name in ("rung", "score", "others")}
        assert goes_on(trial.spec["asha"], **asked) == entry["goes_on"]
        stopped = trial.result.get("stopped_at") == entry["rung"]
        assert stopped == (not entry["goes_on"])
    # No trial had to wait for its driver in vain.
    logs = [path.read_text(encoding="utf-8") for path in (tmp_path / "store/logs").rglob("*.log")]
    assert logs
    assert not any("rules itself" in text for text in logs)
    # A trial whose record is lost goes the way it went, though it now comes to its rungs last.
    again = min(trials.values(), key=lambda trial: len(trial.result["rulings"][0]["others"]))
    for record in [again, *load_records(open_store(store), ("select", "evaluate")).values()]:
        shutil.rmtree(tmp_path / "store" / record.folder)
    run(store)
    assert trials_of(store)[again.key].result == again.result


@pytest.mark.parametrize("measure", MEASURES)
def test_a_pruned_pair_is_not_trained_and_is_reported(measure: str, tmp_path: Path) -> None:
    store, settings = f"file://{tmp_path}/store", (*PRUNED, *MEASURES[measure])
    # The processes of two steps at once would load the libraries twice.
    said = command("run", store, settings, "--place", "ray.cpus=1")
    found = load_records(open_store(store), ("estimate", "prune", "train"))
    (prune,) = [record for record in found.values() if record.kind == "prune"]
    estimates = {key: record for key, record in found.items() if record.kind == "estimate"}
    assert prune.result["estimates"] == {
        key: record.result["estimate"] for key, record in estimates.items()
    }
    (kept,) = prune.result["kept"]
    assert kept == max(estimates, key=lambda key: estimates[key].result["estimate"])
    (other,) = estimates.keys() - {kept}
    trained = [record.name for record in found.values() if record.kind == "train"]
    # The two intermediate trials, and the target's after the baseline and after the one that is kept.
    assert len(trained) == 4
    after = [name for name in trained if "-after-" in name]
    assert after == [f"{estimates[kept].name}-lr0.001-seed1"]
    # Its trial, selection and evaluation.
    assert ", 0 failed, 0 blocked, 3 pruned." in said
    steps = json.loads(command("status", store, settings, "--json"))
    assert sum(step["state"] == "pruned" for step in steps) == 3
    assert {step["state"] for step in steps} == {"recorded", "pruned"}
    (report,) = (tmp_path / "store" / "reports").glob("*/report.md")
    text = report.read_text(encoding="utf-8")
    name = estimates[other].name.removeprefix("mnli-after-")
    value = estimates[other].result["estimate"]
    assert f"xnli after {name}: pruned, {measure} {value:.4f}" in text
    again = command("run", store, settings)
    assert "0 are new, 0 failed, 0 blocked, 3 pruned." in again
    # What is pruned is no part of what is left, but the plan and its key stay the same.
    plan = json.loads(command("plan", store, settings, "--json"))
    assert f"- Plan: `{plan['key']}`" in text
    out = tmp_path / "submission"
    command("submission", store, settings, "--after", "best", "--seed", "1", "--out", str(out))
    assert [path.name for path in (out / "xnli").iterdir()] == ["test-qa.tsv"]

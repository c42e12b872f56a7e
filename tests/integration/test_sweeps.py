"""Sweeps that search and stop, as a user runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xtransfer.records import Record, load_records
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


def run(store: str) -> None:
    sets = [word for each in SEARCH for word in ("--set", each)]
    done = subprocess.run(
        [sys.executable, "-m", "xtransfer", "run", str(CONFIG), "--store", store, *sets],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr


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
    # A trial whose record is lost goes the way it went, though it now comes to its rungs last.
    again = min(trials.values(), key=lambda trial: len(trial.result["rulings"][0]["others"]))
    for record in [again, *load_records(open_store(store), ("select", "evaluate")).values()]:
        shutil.rmtree(tmp_path / "store" / record.folder)
    run(store)
    assert trials_of(store)[again.key].result == again.result

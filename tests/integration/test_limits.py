"""A run whose trials hang, die or run out of memory, with one worker and with two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.disk import filled
from tests.integration.test_pipeline import records_of, xtransfer
from tests.small import write_small
from xtransfer.records.leases import attempts
from xtransfer.records.outputs import fetch
from xtransfer.records.record import Record, load_records
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.store import open_store
from xtransfer.train.weights import read_weights

pytestmark = pytest.mark.slow

SITE = Path(__file__).parent / "site"
CHECKOUT = Path(__file__).parents[2]
WORKERS = {1: (), 2: ("--place", "train.workers=2", "--place", "ray.cpus=2")}
EITHER = [1, pytest.param(2, marks=pytest.mark.slowest)]


class Runs:
    """Runs one small experiment in a folder of its own."""

    def __init__(self, folder: Path, store: Path | None = None) -> None:
        self.folder = folder
        self.config = str(write_small(folder))
        self.store = f"file://{store or folder}/store"

    def __call__(self, command: str, *more: str, fault: str = "", once: bool = False) -> Any:
        env = {
            "PYTHONPATH": f"{SITE}:{CHECKOUT}",
            "XTRANSFER_TEST_FAULT": fault,
            "XTRANSFER_TEST_ONCE": str(self.folder / "happened") if once else "",
            "XTRANSFER_TEST_STORE": self.store,
        }
        # The processes of two steps at once would load the libraries twice.
        place = ("--place", "train.engine=torch", "--place", "ray.cpus=1")
        if command == "run":
            more = (*place, *more)
        return xtransfer(command, self.config, "--store", self.store, *more, env=env)

    def trial(self) -> Record:
        records = load_records(open_store(self.store), ("train",))
        (record,) = records.values()
        return record

    def weights(self) -> dict[str, torch.Tensor]:
        folder = fetch(open_store(self.store), self.trial(), self.folder / "weights", [WEIGHTS])
        return read_weights(folder / WEIGHTS)

    def logs(self) -> str:
        names = [item.name for item in open_store(self.store).list("logs/")]
        return "\n".join(open_store(self.store).read(name).decode() for name in names)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    found = Runs(tmp_path_factory.mktemp("undisturbed"))
    done = found("run")
    assert done.returncode == 0, done.stderr
    return found


@pytest.mark.parametrize("workers", EITHER)
def test_a_hung_worker_is_ended_and_the_trial_goes_on(
    runs: Runs, undisturbed: Runs, workers: int
) -> None:
    # Longer than a busy machine takes to load torch and to tell for the first time; the fault does not wait
    # for it, and it is looked for 20 times within it.
    limit = ("--place", "hung_after_s=180", "--place", "train.resume_every_s=0.001")
    done = runs("run", *limit, *WORKERS[workers], fault="hang:3", once=True)
    assert done.returncode == 0, done.stderr
    assert "hung: it told nothing for " in runs.logs()
    assert "in spoiled_step" in runs.logs()  # where it stood
    assert "0 failed" in done.stderr
    if workers == 1:
        assert "hung: it told nothing for " in done.stderr
        for name, value in undisturbed.weights().items():
            assert torch.equal(runs.weights()[name], value), name


@pytest.mark.slowest
def test_workers_leave_a_trial_that_another_driver_has_taken_over(runs: Runs) -> None:
    """They would train it to the end beside the other's, and only then be refused."""
    long = ("--set", "target.overrides.all.epochs=50", "--place", "train.resume_every_s=0.001")
    # A third of a lease, and ten steps to agree on it: some 3 s of the 10 at least that 50 steps take.
    done = runs("run", *long, *WORKERS[2], "--place", "lease_s=3", fault="lose:3", once=True)
    assert done.returncode == 0, done.stderr
    record = runs.trial()
    assert int((runs.folder / "happened").read_text()) < 50 < record.result["steps"]
    found = [each.state for each in attempts(open_store(runs.store), record.key)]
    assert found == ["working", "working", "done"]
    assert "attempt 1 was silent too long and another has taken over" in runs.logs()


@pytest.mark.parametrize("workers", EITHER)
def test_a_trial_without_memory_goes_on_in_smaller_bites(
    runs: Runs, undisturbed: Runs, workers: int
) -> None:
    share = 8 // workers
    retries = ("--place", "retries=0")  # the second try is no matter of these
    done = runs("run", *retries, *WORKERS[workers], fault=f"oom:{share // 2}")
    assert done.returncode == 0, done.stderr
    note = runs.trial().placement["micro_batch"]
    assert (note["asked"], note["micro_batch"]) == (None, share // 2)
    assert "can't allocate memory" in note["why"]
    assert f"It goes on with micro-batches of {share // 2}." in runs.logs()
    for name, value in undisturbed.weights().items():
        assert torch.allclose(runs.weights()[name], value, atol=1e-4), name


def test_memory_that_never_suffices_is_a_clear_failure(runs: Runs) -> None:
    done = runs("run", "--place", "retries=1", fault="oom:0")
    assert done.returncode == 1
    assert "out of memory with micro-batches of 4 (" in done.stderr
    assert "Set train.micro_batch below 4" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_trial_that_keeps_dying_is_listed_and_tried_again(runs: Runs, undisturbed: Runs) -> None:
    done = runs("run", "--place", "retries=1", fault="die:3")
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("failed train/reviews"))
    assert lines[at].endswith(": its process died")
    assert "its process died; it is tried again" in done.stderr
    assert lines[at + 1].startswith("  tried 2 times; log: logs/")
    assert [line.split("-")[0] for line in lines[at + 2 : at + 4]] == [
        "  blocked select/reviews",
        "  blocked evaluate/reviews",
    ]
    assert lines[at + 4] == "The same command tries these again, and nothing that is recorded."
    shown = runs("status").stdout.splitlines()
    assert lines[at] in shown
    states = {row["step"].split("/")[0]: row for row in json.loads(runs("status", "--json").stdout)}
    assert states["train"]["state"] == "failed"
    assert states["train"]["tries"] == 2
    assert states["evaluate"]["state"] == states["select"]["state"] == "blocked"
    assert states["prepare"]["state"] == "recorded"
    again = runs("run")
    assert again.returncode == 0, again.stderr
    assert "3 of 6 steps were recorded before, 3 are new, 0 failed" in again.stderr
    assert "failed" not in runs("status").stdout.split("\n", 1)[1]
    for name, value in undisturbed.weights().items():
        assert torch.equal(runs.weights()[name], value), name


def test_a_store_whose_disk_is_full_is_gone_on_with(
    tmp_path: Path, tiny_disk: Path, undisturbed: Runs
) -> None:
    runs = Runs(tmp_path, tiny_disk)
    filler = filled(tiny_disk, but=80_000)  # enough to begin with, too little for all
    done = runs("run", "--place", "retries=0")
    assert done.returncode == 1
    assert "no space is left on the disk: 0 of 4 MiB are free at" in done.stderr
    assert "Traceback" not in done.stderr
    before = records_of(runs.store)
    assert len(before) < 6
    filler.unlink()
    again = runs("run")
    assert again.returncode == 0, again.stderr
    assert f"{len(before)} of 6 steps were recorded before" in again.stderr
    for name, value in undisturbed.weights().items():
        assert torch.equal(runs.weights()[name], value), name
    assert xtransfer("store", "verify", "--store", runs.store).returncode == 0

"""Trials whose machines go, on real raylets. `make faults` also gives them back."""

from __future__ import annotations

import re
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.elastic import (
    CONFIG,
    drain_and_move,
    lose,
    run_apart,
    state_of,
    trained_key,
    until,
)
from tests.integration.test_pipeline import command
from xtransfer.records.leases import attempts
from xtransfer.records.record import Record, load_records
from xtransfer.store import open_store

pytestmark = pytest.mark.slow

EPOCHS = 80
SET = f"target.overrides.all.epochs={EPOCHS}"
ALONE = ("run", str(CONFIG), "--set", SET, "--place", "train.engine=torch")


def trained(url: str) -> Record:
    (record,) = load_records(open_store(url), ("train",)).values()
    return record


def logged(url: str, key: str) -> str:
    store = open_store(url)
    return "".join(store.read(item.name).decode() for item in store.list(f"logs/{key}/"))


@pytest.mark.slowest
def test_a_trial_goes_on_with_one_worker_when_a_node_is_killed(short_folder: Path) -> None:
    two = f"file://{short_folder / 'two'}"
    done = subprocess.run(
        command(*ALONE, "--store", two, "--place", "train.workers=2", "--place", "ray.cpus=2"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = run_apart(
        short_folder / "ray",
        url=f"file://{short_folder / 'store'}",
        workers="[1,2]",
        disturb=lose,
        epochs=EPOCHS,
    )
    (first, second) = run.workers
    assert (first, second[1]) == ([0, 2], 1)
    assert second[0] >= 100
    # Bit for bit: see the test of the loop.
    assert run.digests == tuple(sorted(file.sha256 for file in trained(two).files))


def test_a_trial_leaves_a_node_that_is_drained_and_needs_no_retry_for_it(
    short_folder: Path,
) -> None:
    url = f"file://{short_folder / 'store'}"
    run = run_apart(
        short_folder / "ray",
        nodes=1,
        url=url,
        workers="1",
        disturb=drain_and_move,
        epochs=EPOCHS,
        more={"retries": "0"},
    )
    tried = attempts(open_store(url), run.record.key)
    assert [attempt.state for attempt in tried] == ["failed", "done"]
    assert "its node is being drained" in logged(url, run.record.key)


def test_sigterm_has_trials_save_and_the_same_command_goes_on(tmp_path: Path) -> None:
    url = f"file://{tmp_path / 'store'}"
    store, key = open_store(url), trained_key("training.warmup=0.1")
    line = command(
        "run", str(CONFIG), "--store", url, "--place", "train.engine=torch",
        "--place", "train.resume_every_s=0.5", "--place", "grace_s=240",
    )  # fmt: skip
    log = tmp_path / "log"
    with log.open("w") as output:
        driver = subprocess.Popen(line, stdout=output, stderr=output)
    until(lambda: state_of(store, key).get("step", 0) > 0, "a first checkpoint")
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(timeout=600) == 130, log.read_text()
    left = re.search(r"left: optimizer step (\d+) of 1280: the driver was told", logged(url, key))
    assert left is not None, logged(url, key)
    assert state_of(store, key)["step"] == int(left[1])
    again = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
    assert again.returncode == 0, again.stderr
    assert trained(url).key == key


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Yield a folder whose name leaves room for Ray's sockets, which may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="el", ignore_cleanup_errors=True) as folder:
        yield Path(folder)

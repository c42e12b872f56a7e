"""Ctrl-C and the end of a terminal, as it sends them: to the driver and to every process of its Ray."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.test_pipeline import CONFIG, command

pytestmark = pytest.mark.slow

LONGEST_S = 600


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_what_a_terminal_sends_has_the_running_trial_save_its_state(
    number: int, tmp_path: Path
) -> None:
    store, said = tmp_path / "store", tmp_path / "said"
    options = {
        "intermediate.tasks": "[]",
        "target.tasks": "[xnli]",
        "target.overrides.all.epochs": "100000",
        "training.patience": "100000",
    }
    sets = [part for item in options.items() for part in ("--set", "=".join(item))]
    # What it saves it saves for the signal, and has long for it.
    sets += ["--place", "train.resume_every_s=3600", "--place", "grace_s=240"]
    with said.open("wb") as output:
        driver = subprocess.Popen(
            command("run", str(CONFIG), "--store", f"file://{store}", *sets),
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        until = time.monotonic() + LONGEST_S
        while " at       train/" not in said.read_text() and time.monotonic() < until:
            assert driver.poll() is None, said.read_text()
            time.sleep(0.1)
        saved = list(store.glob("resume/*/*/manifest.json"))
        os.killpg(driver.pid, number)
        status = driver.wait(timeout=LONGEST_S)
    assert status == 130, said.read_text()
    assert "interrupted. The same command goes on from here." in said.read_text()
    assert saved == []
    assert len(list(store.glob("resume/*/*/manifest.json"))) == 1

"""A step that tells nothing for too long is ended with its process."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from xtransfer.plan import Step
from xtransfer.process import watchdog
from xtransfer.process.watchdog import watched
from xtransfer.records.failures import note_of
from xtransfer.store import Store, open_store

STEP = Step(kind="prepare", name="data", spec={"a": 1}, phase="target")
HANG = {
    "a call that lets others run": "threading.Event().wait()",
    # A call by way of PyDLL keeps Python's lock, so no thread of Python's can do anything.
    "a call that lets nobody run": "ctypes.PyDLL(None).sleep(600)",
}
PROCESS = """
import ctypes, sys, threading
from pathlib import Path
from tests.process.test_watchdog import STEP
from xtransfer.process import watchdog
from xtransfer.store import open_store

watchdog.GRACE_S = {grace_s}
store, scratch = open_store(sys.argv[2]), Path(sys.argv[1])
def stand_still():
    with watchdog.watched(STEP, store, silent_s=0.5, scratch=scratch) as beat:
        beat()
        {hang}
stand_still()
"""
GRACE_S = {"a call that lets others run": 60.0, "a call that lets nobody run": 1.0}
"""What the first does within it takes a busy machine a while; the second waits for all of it."""


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def logs(store: Store) -> list[str]:
    return [item.name for item in store.list("logs/")]


def test_a_silent_step_is_noted_and_ended(folder: Store, tmp_path: Path) -> None:
    ended = threading.Event()
    with watched(STEP, folder, silent_s=0.2, scratch=tmp_path, end=ended.set):
        assert ended.wait(60)
    (name,) = logs(folder)
    assert name.startswith(f"logs/{STEP.key}/")
    text = folder.read(name).decode()
    assert text.startswith("hung: it told nothing for 0 s (hung_after_s)")
    assert "test_a_silent_step_is_noted_and_ended" in text  # where it stood
    assert note_of(folder, STEP.key).endswith(f"Stacks: {name}")


class Clock:
    """Time that passes when it is told to, and whose looks by the watchdog's thread are counted."""

    def __init__(self) -> None:
        self.now = 0.0
        self.looks = threading.Semaphore(0)

    def monotonic(self) -> float:
        now = self.now
        if threading.current_thread() is not threading.main_thread():
            self.looks.release()
        return now

    def looked(self) -> None:
        """Wait until it has been looked at, and what was seen then weighed: for the second of two looks."""
        while self.looks.acquire(blocking=False):
            pass
        for _ in range(2):
            assert self.looks.acquire(timeout=60)


def test_a_step_that_moves_is_left_alone(
    folder: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, clock = threading.Event(), Clock()
    monkeypatch.setattr(watchdog, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(watchdog, "LOOKS", 1000)
    with watched(STEP, folder, silent_s=5, scratch=tmp_path, end=ended.set) as beat:
        for _ in range(10):
            beat()
            clock.now += 4.9
            clock.looked()
            assert not ended.is_set()
    assert logs(folder) == []
    assert list(tmp_path.glob("hung-*")) == []
    with watched(STEP, folder, silent_s=5, scratch=tmp_path, end=ended.set) as beat:
        beat()
        clock.now += 5.1
        assert ended.wait(60)


def test_nothing_is_watched_without_a_limit(folder: Store, tmp_path: Path) -> None:
    before = threading.active_count()
    with watched(STEP, folder, silent_s=None, scratch=tmp_path) as beat:
        beat()
        assert threading.active_count() == before


@pytest.mark.parametrize("hang", HANG)
def test_a_process_that_stands_still_ends(folder: Store, tmp_path: Path, hang: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            PROCESS.format(hang=HANG[hang], grace_s=GRACE_S[hang]),
            tmp_path,
            folder.url,
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == (-9 if "lets others" in hang else 1), done.stderr
    # The next attempt on the node puts into the log what the first could not.
    with watched(STEP, folder, silent_s=None, scratch=tmp_path):
        pass
    (name,) = logs(folder)
    assert name.endswith("-hung.log")
    assert "in stand_still" in folder.read(name).decode()


class Broken:
    """A store that cannot be written to, for a reason that nobody thought of."""

    def write(self, name: str, data: bytes) -> None:
        raise RuntimeError(f"no {name} of {len(data)} bytes")


def test_a_store_that_fails_does_not_save_a_hung_process(tmp_path: Path) -> None:
    ended = threading.Event()
    store: Any = Broken()
    with watched(STEP, store, silent_s=0.2, scratch=tmp_path, end=ended.set):
        assert ended.wait(60)

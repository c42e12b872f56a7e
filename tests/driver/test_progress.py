"""A run shown on something that goes away."""

from __future__ import annotations

import io
import os
import pty
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.small import small_bench
from xtransfer.driver.progress import ProgressBoard, Watched, describe, screen


def pipe() -> tuple[int, int]:
    """Return what is read and what is written."""
    return os.pipe()


@pytest.mark.parametrize("opened", [pipe, pty.openpty])
def test_a_run_whose_terminal_or_pipe_is_closed_goes_on_and_logs_what_it_tells(
    opened: Callable[[], tuple[int, int]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    bench, trial = small_bench(tmp_path, {})
    here, there = opened()
    logged: list[str] = []
    with io.TextIOWrapper(io.FileIO(there, "w"), line_buffering=True) as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        console = screen()
        assert console.is_terminal == (opened is pty.openpty)
        board = ProgressBoard(bench.plan, console, logged.append)
        with board.shown():
            board.changed(trial.key, "running", "")
            os.close(here)
            with pytest.raises(OSError, match=r"Input/output error|Broken pipe"):
                os.write(there, b"x")
            board.told(trial.key, {"step": 1, "total": 2})
            board.changed(trial.key, "failed", "it is out of luck")
        monkeypatch.undo()
    assert logged[-1].endswith(": it is out of luck")


def test_a_share_is_called_no_step() -> None:
    facts = {"stage": "en", "step": 33, "total": 100, "unit": "%"}
    assert describe(Watched(facts=facts)) == "33 % (en)"
    assert describe(Watched(facts={"step": 3, "total": 9})) == "step 3/9"

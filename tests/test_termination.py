"""SIGTERM ends a driver: running trials leave first, and the end comes whatever they do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from xtransfer.termination import ending_on_terminate


def terminated(leave: Any, *, seconds: float, block_s: float) -> float:
    """Return how long a block lasted that is told to end and would go on for `block_s`."""
    began = time.monotonic()

    def block() -> None:
        with ending_on_terminate(leave, seconds=seconds):
            os.kill(os.getpid(), signal.SIGTERM)
            while time.monotonic() < began + block_s:
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        block()
    return time.monotonic() - began


def test_a_block_that_ends_by_itself_is_not_cut_short() -> None:
    told: list[int] = []
    assert terminated(lambda: told.append(1), seconds=60, block_s=0.3) >= 0.3
    assert told == [1]


def test_one_that_does_not_is_interrupted_after_its_grace() -> None:
    assert 0.2 <= terminated(lambda: None, seconds=0.2, block_s=30) < 20


def test_the_interruption_comes_also_when_trials_cannot_be_told(caplog: Any) -> None:
    def leave() -> None:
        raise ConnectionError("the control store is gone")

    assert 0.2 <= terminated(leave, seconds=0.2, block_s=30) < 20
    assert "running trials were not told: the control store is gone" in caplog.text


def test_the_handler_before_is_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending_on_terminate(lambda: None, seconds=1):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before

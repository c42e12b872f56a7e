"""SIGTERM, SIGHUP and Ctrl-C end a driver: running trials leave first, and the end comes whatever they do."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from xtransfer.driver.termination import (
    ending_on_signal,
    on_terminate,
    starting_processes,
    undisturbed,
)

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def terminated(leave: Any, *sent: int, seconds: float, block_s: float) -> float:
    """Return how long a block lasted that is `sent` signals and would go on for `block_s`."""
    began = time.monotonic()

    def block() -> None:
        with ending_on_signal(leave, seconds=seconds):
            for number in sent:
                os.kill(os.getpid(), number)
            while time.monotonic() < began + block_s:
                time.sleep(0.01)

    with pytest.raises(KeyboardInterrupt):
        block()
    return time.monotonic() - began


@pytest.mark.parametrize("number", SIGNALS)
def test_a_block_that_ends_by_itself_is_not_cut_short(number: int) -> None:
    told: list[int] = []
    assert terminated(lambda: told.append(1), number, seconds=60, block_s=0.3) >= 0.3
    assert told == [1]


@pytest.mark.parametrize("number", SIGNALS)
def test_one_that_does_not_is_interrupted_after_its_grace(number: int) -> None:
    assert 0.2 <= terminated(lambda: None, number, seconds=0.2, block_s=30) < 20


@pytest.mark.parametrize("first", SIGNALS)
def test_ctrl_c_after_a_signal_interrupts_at_once(first: int) -> None:
    assert terminated(lambda: None, first, signal.SIGINT, seconds=60, block_s=30) < 20


def test_sigterm_again_leaves_the_grace_as_it_is() -> None:
    sent = (signal.SIGINT, signal.SIGTERM, signal.SIGTERM)
    assert terminated(lambda: None, *sent, seconds=60, block_s=0.3) >= 0.3


@pytest.mark.parametrize("number", SIGNALS)
def test_whoever_ends_a_run_is_told_what_is_waited_for(number: int, caplog: Any) -> None:
    terminated(lambda: None, number, seconds=60, block_s=0.3)
    assert "trials save their state and leave, for which they have 60 s" in caplog.text
    assert ("Ctrl-C again ends the run at once" in caplog.text) == (number == signal.SIGINT)


def test_the_interruption_comes_also_when_trials_cannot_be_told(caplog: Any) -> None:
    def leave() -> None:
        raise ConnectionError("the control store is gone")

    assert 0.2 <= terminated(leave, signal.SIGTERM, seconds=0.2, block_s=30) < 20
    assert "running trials were not told: the control store is gone" in caplog.text


def test_the_handlers_before_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with ending_on_signal(lambda: None, seconds=1):
        assert not {signal.getsignal(number) for number in SIGNALS} & set(before)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_a_hang_up_that_is_ignored_stays_so() -> None:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        on_terminate()
        with ending_on_signal(lambda: None, seconds=1):
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_processes_that_are_started_block_sigterm_which_may_be_sent_to_all_at_once() -> None:
    code = "import signal; print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    with starting_processes():
        said = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert said == "True\n"
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_processes_that_are_started_block_the_hang_up_and_the_driver_hears_of_it() -> None:
    """The signal is sent to the thread that blocks it: others of this process, if any, would take it at once."""
    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGHUP, signal.default_int_handler)
    code = "import signal; print(signal.SIGHUP in signal.pthread_sigmask(signal.SIG_BLOCK, []))"
    said: list[str] = []

    def block() -> None:
        with starting_processes():
            signal.pthread_kill(main, signal.SIGHUP)
            said.append(subprocess.check_output([sys.executable, "-c", code], text=True))

    try:
        with pytest.raises(KeyboardInterrupt):
            block()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert said == ["True\n"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_also_a_driver_to_which_its_shell_lets_no_sigint_through(number: int) -> None:
    before = {each: signal.getsignal(each) for each in SIGNALS}
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # as sh does for `xtransfer run ... &`
        on_terminate()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def sets_a_handler_that_exits() -> None:
    """Do as `ray.init` does."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))


def exits_by_sigterm() -> None:
    sets_a_handler_that_exits()
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)


def test_sigterm_does_the_same_after_somebody_else_has_taken_it() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with starting_processes():
        sets_a_handler_that_exits()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("shielded", [True, False])
def test_sigterm_meanwhile_interrupts_and_does_not_exit_with_a_status_of_its_own(
    shielded: bool,
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), starting_processes(shielded=shielded):
        exits_by_sigterm()
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_what_clears_up_is_interrupted_by_the_third_signal_alone(number: int) -> None:
    before = {each: signal.signal(each, signal.default_int_handler) for each in SIGNALS}
    done: list[int] = []

    def block() -> None:
        with undisturbed():
            for at in range(3):
                signal.pthread_kill(threading.get_ident(), number)
                done.append(at)

    try:
        with pytest.raises(KeyboardInterrupt):
            block()
        assert done == [0, 1]
        assert {signal.getsignal(each) for each in SIGNALS} == {signal.default_int_handler}
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)

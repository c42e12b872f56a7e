"""The command line called inside the test's own process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from xtransfer.cli import main


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    out: str
    err: str


Run = Callable[..., Done]


def caller(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `xtransfer` with the given arguments."""
    monkeypatch.setattr("xtransfer.cli.on_terminate", lambda: None)  # signals are the tests' own

    def call(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["xtransfer", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return Done(int(caught.value.code or 0), out, err)

    return call

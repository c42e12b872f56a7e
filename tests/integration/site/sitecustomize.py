"""Faults in the processes of a cluster: python imports this at its start where it is on the path.

XTRANSFER_TEST_FAULT says which, as `kind:number`; a file named by XTRANSFER_TEST_ONCE makes it happen in one
process only.

    hang:3    the training loop stands still before optimizer step 3, for an hour by its watchdog's clock
    die:3     the process is killed there
    oom:4     memory has room for 4 rows in one forward pass
    lose:3    somebody else takes the trial over there, for a while, in the store XTRANSFER_TEST_STORE; from then on
              a step takes its time, and the file of XTRANSFER_TEST_ONCE says which was the last
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

KIND, _, NUMBER = os.environ.get("XTRANSFER_TEST_FAULT", "").partition(":")
ONCE = os.environ.get("XTRANSFER_TEST_ONCE", "")


def _first() -> bool:
    if not ONCE:
        return True
    try:
        os.close(os.open(ONCE, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _let_an_hour_pass() -> None:
    """Have the watchdog believe that nothing was told for long: a test need not wait for it."""
    from xtransfer.process import watchdog

    watchdog.time = SimpleNamespace(monotonic=lambda: time.monotonic() + 3600)  # type: ignore[assignment]


def _take_over() -> None:
    """Have a process of another machine hold the step that is held: this one was silent too long."""
    from dataclasses import replace

    from xtransfer.records.leases import _text, every_attempt
    from xtransfer.store import open_store

    store = open_store(os.environ["XTRANSFER_TEST_STORE"])
    newest = [each[-1] for each in every_attempt(store).values()]
    (held,) = [each for each in newest if each.state == "working"]
    until = time.time() + 30
    other = replace(held, epoch=held.epoch + 1, token="0" * 16, machine="", expires=until)
    assert store.create(other.name, _text(other))


def _spoil(loop: ModuleType) -> None:
    run: Any = loop._Run  # type: ignore[attr-defined]
    step, loss = run._step, run._loss
    lost: list[Any] = []

    def spoiled_step(self: Any) -> None:
        if KIND in ("hang", "die") and self.state.step == int(NUMBER) and _first():
            if KIND == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            _let_an_hour_pass()
            threading.Event().wait()
        if KIND == "lose" and self.context.rank == 0:
            if self.state.step == int(NUMBER) and _first():
                _take_over()
                lost.append(self)
            if self in lost:
                time.sleep(0.2)
                Path(ONCE).write_text(str(self.state.step))
        step(self)

    def spoiled_loss(self: Any, batch: Any) -> Any:
        if KIND == "oom" and len(batch.inputs["input_ids"]) > int(NUMBER):
            loop.torch.empty(2**50)  # type: ignore[attr-defined]
        return loss(self, batch)

    run._step, run._loss = spoiled_step, spoiled_loss


class _Finder(importlib.abc.MetaPathFinder):
    """Spoils the training loop when it is imported: torch must not be loaded at every start."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != "xtransfer.train.loop":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def then_spoil(module: ModuleType) -> None:
            execute(module)
            _spoil(module)

        spec.loader.exec_module = then_spoil  # type: ignore[method-assign]
        return spec


if KIND:
    sys.meta_path.insert(0, _Finder())

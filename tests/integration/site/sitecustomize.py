"""Faults in the processes of a cluster: python imports this at its start where it is on the path.

XTRANSFER_TEST_FAULT says which, as `kind:number`; a file named by XTRANSFER_TEST_ONCE makes it happen in one
process only.

    hang:3    the training loop stands still before optimizer step 3, for an hour by its watchdog's clock
    die:3     the process is killed there
    oom:4     memory has room for 4 rows in one forward pass
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import os
import signal
import sys
import threading
import time
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


def _spoil(loop: ModuleType) -> None:
    run: Any = loop._Run  # type: ignore[attr-defined]
    step, loss = run._step, run._loss

    def spoiled_step(self: Any) -> None:
        if KIND in ("hang", "die") and self.state.step == int(NUMBER) and _first():
            if KIND == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            _let_an_hour_pass()
            threading.Event().wait()
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

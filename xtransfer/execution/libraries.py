"""Load what models are built of, once for a process and without looking for garbage meanwhile."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

LIBRARIES = ("torch", "transformers.modeling_utils")


def load_libraries(names: Sequence[str] = LIBRARIES) -> None:
    """Import torch and what all of transformers' models share, or some of it, unless this process has it.

    They make about a million objects that live as long as the process. Python's collector of cycles would go
    through all of them again and again as they come into being, at every later collection, and when the
    process ends; they are left to it no more (`gc.freeze`). On two cores of an AMD EPYC a process that imports
    BERT's module and ends took 8.5 s with the collector at work and 5.5 to 6 s without.
    """
    if all(name in sys.modules for name in names):
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        for name in names:
            importlib.import_module(name)
    finally:
        if collecting:
            gc.enable()
    gc.freeze()

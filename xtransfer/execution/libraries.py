"""Load what models are built of, once for a process and without looking for garbage meanwhile."""

from __future__ import annotations

import gc
import importlib
import sys

LIBRARIES = ("torch", "transformers.modeling_utils")


def load_libraries() -> None:
    """Import torch and what all of transformers' models share, unless this process has them.

    They make about a million objects that live as long as the process. Python's collector of cycles would go
    through all of them again and again as they come into being, at every later collection, and when the
    process ends; they are left to it no more (`gc.freeze`). On two cores of an AMD EPYC a process that imports
    BERT's module and ends took 8.5 s with the collector at work and 5.5 to 6 s without.
    """
    if all(name in sys.modules for name in LIBRARIES):
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        for name in LIBRARIES:
            importlib.import_module(name)
    finally:
        if collecting:
            gc.enable()
    gc.freeze()

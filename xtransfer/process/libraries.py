"""Load what models are built of, once for a process and without looking for garbage meanwhile."""

from __future__ import annotations

import gc
import sys


def load_libraries(*, models: bool = True) -> None:
    """Import torch, transformers and, for `models`, what all of its models share; leave a process that has them alone.

    They make some 600,000 objects that live as long as the process. Python's collector of cycles would go
    through all of them again and again as they come into being, at every later collection, and when the
    process ends; they are left to it no more (`gc.freeze`). On two cores of an AMD EPYC a process that imports
    BERT's module and ends took 8.5 s with the collector at work and 5.5 to 6 s without.
    """
    if ("transformers.modeling_utils" if models else "transformers") in sys.modules:
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        import torch  # noqa: F401
        import transformers

        if models:
            import transformers.modeling_utils  # noqa: F401
    finally:
        if collecting:
            gc.enable()
    gc.freeze()

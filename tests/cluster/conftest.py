"""A fake API server, a client of it, and the objects of one job."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cluster.fake_api import FakeApi, serving, write_kubeconfig
from tests.needs import need, need_kustomize
from xtransfer.cluster.api import Api
from xtransfer.cluster.connection import connect
from xtransfer.cluster.jobs import JobObjects, assemble
from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.render import render

CHECKOUT = Path(__file__).resolve().parents[2]
KIND = CHECKOUT / "k8s" / "overlays" / "kind"
NAME = "xt-small-0123456789ab"
"""Of the job whose objects are made here."""


@cache
def _rendered() -> list[Manifest]:
    return render(KIND)


@pytest.fixture
def manifests() -> list[Manifest]:
    """Return the kind overlay's objects, which the test may change."""
    need_kustomize()
    return copy.deepcopy(_rendered())


@pytest.fixture
def objects(manifests: list[Manifest]) -> JobObjects:
    """Return the objects of a job of the kind overlay."""
    return assemble(manifests, experiment="small", plan_key="0123456789ab", text="name: small\n")


@pytest.fixture
def server() -> Iterator[FakeApi]:
    """Return a fake API server with a namespace."""
    need(find_spec("kubernetes") is not None, "no client. Install it with: pip install kubernetes")
    with serving() as api:
        api.objects["namespaces", "", "xtransfer"] = {
            "metadata": {"name": "xtransfer", "uid": "uid-0", "resourceVersion": "1"}
        }
        yield api


@pytest.fixture
def kubeconfig(server: FakeApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a kubeconfig for the fake server, to which KUBECONFIG points."""
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, server.url, namespace="xtransfer")
    monkeypatch.setenv("KUBECONFIG", str(path))
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return path


class Waits(list[float]):
    """The seconds that a client would have waited."""


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def api(kubeconfig: Path, waits: Waits) -> Api:
    """Return a client of the fake server that waits for nothing."""
    assert kubeconfig.exists()
    made = connect(None, None)
    made.pause = waits.append
    return made

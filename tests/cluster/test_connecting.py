"""Which server, context and namespace are meant, and what is said where an operator is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.fake_api import FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError, NotServed
from xtransfer.cluster.connection import connect
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.submission import submit
from xtransfer.errors import ConfigError


def changed(kubeconfig: Path, **fields: Any) -> None:
    """Rewrite a kubeconfig with other fields, without those that are None."""
    body = {**yaml.safe_load(kubeconfig.read_text(encoding="utf-8")), **fields}
    kept = {name: value for name, value in body.items() if value is not None}
    kubeconfig.write_text(yaml.safe_dump(kept), encoding="utf-8")


@pytest.mark.parametrize("current", [None, "gone"])
def test_a_context_that_is_named_needs_no_current_one(
    kubeconfig: Path, current: str | None
) -> None:
    changed(kubeconfig, **{"current-context": current})
    assert connect("other", None).namespace == "elsewhere"
    assert connect("other", "mine").namespace == "mine"
    with pytest.raises(ConfigError, match="kubectl config get-contexts"):
        connect(None, None)


def test_a_kubeconfig_that_cannot_be_read_is_a_mistake(kubeconfig: Path) -> None:
    kubeconfig.write_text("{}: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"kubeconfig: cannot be read: .*line 1"):
        connect(None, None)


def test_without_the_operator_its_crd_is_asked_for_and_nothing_is_made(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    server.missing.add("ray.io")
    advice = "Is its CRD installed.*KubeRay operator"
    for ask in (
        lambda: submit(api, objects),
        lambda: client.jobs(api),
        lambda: client.job_named(api, objects.name),
        lambda: list(client.states(api, objects.name)),
        lambda: client.cancel(api, objects.name),
        lambda: api.delete("RayJob", objects.name),
    ):
        with pytest.raises(NotServed, match=advice):
            ask()
    assert server.all("configmaps") == []


def test_a_setup_without_the_prometheus_operator_says_what_to_leave_out(
    server: FakeApi, api: Api
) -> None:
    server.missing.add("monitoring.coreos.com")
    monitor = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": {"name": "a", "namespace": "xtransfer"},
    }
    with pytest.raises(ApiError, match="leave components/monitoring out"):
        list(client.set_up(api, [monitor]))

"""What an administrator sets up before the first job."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.cluster.fake_api import FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.submission import submit
from xtransfer.errors import ConfigError


def test_setting_up_applies_all_but_the_job(server: FakeApi, api: Api, manifests: list) -> None:
    from xtransfer.cluster.jobs import surroundings

    del server.objects["namespaces", "", "xtransfer"]
    bodies = surroundings(manifests)
    tried = list(client.set_up(api, bodies, dry_run=True))
    assert server.all("namespaces") == []
    assert "Role/xtransfer-submitter (not tried: no namespace yet)" in tried
    applied = list(client.set_up(api, bodies))
    assert applied[0] == "Namespace/xtransfer"
    assert list(client.set_up(api, bodies)) == applied
    assert server.all("rayjobs") == server.all("poddisruptionbudgets") == []
    assert len(server.all("networkpolicies")) > 5
    assert {r.method for r in server.requests} == {"PATCH"}


def test_an_overlays_limits_are_set_up_before_what_they_limit(server: FakeApi, api: Api) -> None:
    from xtransfer.cluster.jobs import surroundings

    kinds = ("ConfigMap", "ServiceAccount", "LimitRange", "ResourceQuota", "Namespace")
    bodies = [{"apiVersion": "v1", "kind": k, "metadata": {"name": "xtransfer"}} for k in kinds]
    for body in bodies[:-1]:
        body["metadata"]["namespace"] = "xtransfer"
    sent = surroundings([Manifest(file="f", body=body) for body in bodies])
    assert [label.split("/")[0] for label in client.set_up(api, sent)] == [
        *("Namespace", "ResourceQuota", "LimitRange", "ServiceAccount")
    ]
    assert server.one("resourcequotas")


def test_a_kind_that_is_not_applied_is_refused_before_anything_is_sent(
    server: FakeApi, api: Api
) -> None:
    bodies = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "more"}},
        {
            "apiVersion": "external-secrets.io/v1",
            "kind": "ExternalSecret",
            "metadata": {"name": "a"},
        },
    ]
    with pytest.raises(ConfigError, match=r"ExternalSecret: is a kind .* Leave it out"):
        list(client.set_up(api, bodies))
    assert server.requests == []


def test_a_field_that_somebody_else_owns_is_not_taken(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    (key,) = [key for key in server.objects if key[0] == "poddisruptionbudgets"]
    server.owners[key]["spec", "minAvailable"] = "an-admin"
    assert objects.budget is not None
    changed = {**objects.budget, "spec": {**objects.budget["spec"], "minAvailable": 2}}
    with pytest.raises(ApiError, match='conflict with "an-admin"'):
        submit(api, replace(objects, budget=changed))

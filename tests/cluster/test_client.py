"""What an API server refuses, and one that is busy, hangs up or is not there."""

from __future__ import annotations

import re

import pytest

from tests.cluster.conftest import NAME
from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError, Unreachable, failure, no_namespace
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.manifests import Manifest
from xtransfer.cluster.submission import submit


def test_a_refusal_names_the_role(server: FakeApi, api: Api, objects: JobObjects) -> None:
    said = 'rayjobs.ray.io is forbidden: User "me" cannot create resource "rayjobs"'
    server.fail(9, Answer(code=403, message=said), method="POST", plural="rayjobs")
    with pytest.raises(ApiError, match=r"cannot create resource.*xtransfer-submitter") as caught:
        submit(api, objects)
    assert caught.value.exit_status == 1
    assert len(server.sent("POST", "rayjobs")) == 1


def test_the_role_is_advised_for_what_it_gives(manifests: list[Manifest]) -> None:
    (role,) = (m.body for m in manifests if m.kind == "Role")
    given = {name for rule in role["rules"] for name in rule["resources"]}
    for name in (*given, "namespaces", "networkpolicies", "secrets"):
        said = f'User "me" cannot patch resource "{name}" in API group ""'
        error = failure("PATCH", "/api/v1/x", 403, {"message": said})
        assert ("Bind yourself" in error.next) is (name in given)


POD = 'pods "a" is forbidden: '


@pytest.mark.parametrize(
    ("code", "said", "advice"),
    [
        (403, 'User "me" cannot create resource "rayjobs" in API group "ray.io"', "Bind yourself"),
        (
            403,
            'User "me" cannot patch resource "namespaces" in API group ""',
            "administrator's rights",
        ),
        (403, POD + "status unknown for quota: gpus, resources: cpu", "try again in a few seconds"),
        (403, POD + "exceeded quota: gpus, requested: cpu=4, used: cpu=8", "resourcequota"),
        (403, POD + "failed quota: gpus: must specify limits.cpu", "resourcequota"),
        (403, POD + 'violates PodSecurity "restricted:latest": seccompProfile', "k8s check"),
        (403, 'admission webhook "a.b.c" denied the request: no', "policy of the cluster's own"),
        (403, "unable to create new content in namespace a because it is being terminated", "Wait"),
        (403, "cannot set an ownerRef on a resource you can't delete: , <nil>", "verb delete"),
        (403, "for a reason that nobody has heard of", ""),
        (404, 'namespaces "a" not found', "xtransfer k8s setup"),
        (404, "the server could not find the requested resource", "CRD"),
        (404, 'rayjobs.ray.io "a" not found', ""),
        (
            409,
            'Apply failed with 1 conflict: conflict with "kubectl": .spec.a',
            "--force-conflicts",
        ),
        (409, 'rayjobs.ray.io "a" already exists', ""),
        (422, "Value: Forbidden: may not be changed in an update.", "delete the object there"),
        (
            422,
            "spec: Forbidden: spec is immutable after creation except",
            "delete the object there",
        ),
        (422, 'spec.backoffLimit: Invalid value: "string"', ""),
    ],
)
def test_what_to_do_next_is_about_what_the_server_said(code: int, said: str, advice: str) -> None:
    error = failure("POST", "/apis/ray.io/v1/namespaces/a/rayjobs", code, {"message": said})
    assert said in error.what
    assert (advice in error.next) if advice else error.next == ""
    assert no_namespace(error) is said.startswith("namespaces")


def test_a_missing_namespace_is_told_with_what_makes_it(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    del server.objects["namespaces", "", "xtransfer"]
    with pytest.raises(ApiError, match=r'namespaces "xtransfer" not found.*k8s setup OVERLAY'):
        submit(api, objects)


def test_a_busy_server_is_asked_again_when_it_says(
    server: FakeApi, api: Api, objects: JobObjects, waits: list[float]
) -> None:
    server.fail(2, Answer(code=429, headers={"Retry-After": "7"}), method="POST")
    assert submit(api, objects).done == "created"
    assert waits == [7, 7]


@pytest.mark.parametrize(("asked", "seconds"), [("86400", 60), ("\u00b2", 0.5), ("-1", 0.5)])
def test_a_busy_server_does_not_make_one_wait_for_long(
    server: FakeApi, api: Api, waits: list[float], asked: str, seconds: float
) -> None:
    server.fail(1, Answer(code=429, headers={"Retry-After": asked}), method="GET")
    assert client.jobs(api) == []
    assert waits == [seconds]


def test_a_quota_that_others_change_too_is_no_job_that_is_there(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    said = (
        'Operation cannot be fulfilled on resourcequotas "jobs": the object has been modified; please apply '
        "your changes to the latest version and try again"
    )
    server.fail(2, Answer(code=409, message=said), method="POST", plural="rayjobs")
    assert submit(api, objects).done == "created"


def test_a_server_that_stays_busy_is_given_up(
    server: FakeApi, api: Api, objects: JobObjects, waits: list[float]
) -> None:
    server.fail(99, Answer(code=429), plural="rayjobs")
    with pytest.raises(ApiError, match="too busy"):
        submit(api, objects)
    assert waits == [0.5, 1, 2, 4]


def test_a_server_that_hangs_up_is_asked_again(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    server.fail(3, Answer(drop=True))
    assert submit(api, objects).done == "created"


def test_no_server_is_said_so(server: FakeApi, api: Api) -> None:
    server.fail(99, Answer(drop=True))
    asked = rf"no answer to GET {re.escape(server.url)}/apis/ray\.io/v1/.*Check the context"
    with pytest.raises(Unreachable, match=asked):
        api.get("RayJob", NAME)


# --- following -----------------------------------------------------------------------------------

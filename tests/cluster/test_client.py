"""What the client does on an API server that behaves, and on one that does not."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import client, submission
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError, Unreachable, failure, no_namespace
from xtransfer.cluster.client import JobNotFound, cancel, follow, states
from xtransfer.cluster.jobs import JobObjects, assemble
from xtransfer.cluster.manifests import Manifest, at, pod_templates
from xtransfer.cluster.submission import submit
from xtransfer.errors import ConfigError, XtransferError

NAME = "xt-small-0123456789ab"


def test_a_submit_makes_the_job_and_what_belongs_to_it(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    done = submit(api, objects)
    job = server.one("rayjobs")
    assert (done.done, job["metadata"]["name"]) == ("created", NAME)
    assert "suspend" not in job["spec"]
    config, placement = sorted(
        server.all("configmaps"), key=lambda b: "placement" in str(b["data"])
    )
    assert config["data"] == {"experiment.yaml": "name: small\n"}
    assert list(placement["data"]) == ["placement.yaml"]
    (budget,) = server.all("poddisruptionbudgets")
    for owned in (config, budget):
        assert owned["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert "ownerReferences" not in placement["metadata"]
    assert budget["spec"]["selector"]["matchLabels"]["xtransfer/job"] == NAME


def test_what_is_sent_is_authorised_strict_and_applied_on_the_server(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    assert {r.headers.get("authorization") for r in server.requests} == {"Bearer secret-token"}
    writes = [r for r in server.requests if r.method in ("POST", "PATCH")]
    assert {r.query["fieldValidation"] for r in writes} == {"Strict"}
    assert {r.query["fieldManager"] for r in writes} == {"xtransfer"}
    assert {r.headers["content-type"] for r in server.sent("PATCH", "configmaps")} == {
        "application/apply-patch+yaml"
    }


def test_twice_is_one_job(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    server.start(NAME)
    before = server.one("rayjobs")
    done = submit(api, objects)
    assert done.done == "adopted"
    assert done.state is not None
    assert done.state.words == "runs"
    assert server.one("rayjobs") == before
    assert len(server.sent("POST", "rayjobs")) == 1


def test_a_job_that_is_refused_leaves_nothing(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    objects.job["spec"]["sizes"] = 1
    with pytest.raises(ApiError, match=r"unknown field \"spec\.sizes\""):
        submit(api, objects)
    assert server.all("rayjobs") == []
    assert server.all("configmaps") == []


def test_a_webhook_that_takes_no_dry_run_hinders_no_job(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    said = 'admission webhook "jobs.example.com" does not support dry run'
    server.fail(1, Answer(code=400, message=said), method="PATCH", plural="rayjobs")
    assert submit(api, objects).done == "created"


def test_an_experiment_keeps_its_owner_while_its_job_is_adopted(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    job_uid = server.one("rayjobs")["metadata"]["uid"]
    before = len(server.history)
    assert submit(api, objects).done == "adopted"
    name = objects.config["metadata"]["name"]
    (kept,) = (body for body in server.all("configmaps") if body["metadata"]["name"] == name)
    seen = [body for _, _, key, body in server.history[before:] if key[2] == name]
    for body in (*seen, kept):
        assert [owner["uid"] for owner in body["metadata"]["ownerReferences"]] == [job_uid]


def test_two_at_once_are_one_job(server: FakeApi, api: Api, objects: JobObjects) -> None:
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.append(submit(api, objects).done)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == ["adopted"] * 3 + ["created"]
    assert len(server.all("rayjobs")) == 1


def test_an_answer_that_is_lost_makes_no_second_job(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    server.fail(1, Answer(drop=True, after=True), method="POST", plural="rayjobs")
    submit(api, objects)
    assert len(server.sent("POST", "rayjobs")) == 2
    assert len(server.all("rayjobs")) == 1
    assert len(server.all("poddisruptionbudgets")) == 1


def test_a_submit_that_was_stopped_half_way_is_completed(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    server.fail(1, Answer(code=403, message="no"), method="PATCH", plural="poddisruptionbudgets")
    with pytest.raises(ApiError):
        submit(api, objects)
    assert server.all("poddisruptionbudgets") == []
    assert submit(api, objects).done == "adopted"
    assert len(server.all("poddisruptionbudgets")) == 1


def test_a_refused_budget_does_not_hide_that_the_job_is_there(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    said = 'User "me" cannot patch resource "poddisruptionbudgets"'
    server.fail(2, Answer(code=403, message=said), plural="poddisruptionbudgets")
    there = r"xt-small-0123456789ab: is there and goes on.*budgets.*xtransfer-submitter.*cancel"
    for _ in ("created", "adopted"):
        with pytest.raises(XtransferError, match=there) as caught:
            submit(api, objects)
        assert caught.value.exit_status == 1
        assert len(server.all("rayjobs")) == 1
    assert submit(api, objects).done == "adopted"
    assert len(server.all("poddisruptionbudgets")) == 1


@pytest.mark.parametrize("status", ["Failed", "ValidationFailed"])
def test_a_job_that_failed_is_replaced_by_the_same_plan(
    server: FakeApi, api: Api, objects: JobObjects, status: str
) -> None:
    submit(api, objects)
    first = server.start(NAME)
    uid = server.one("rayjobs")["metadata"]["uid"]
    server.set_status(NAME, jobDeploymentStatus=status, jobStatus="FAILED", reason="AppFailed")
    assert submit(api, objects).done == "replaced"
    job = server.one("rayjobs")
    assert job["metadata"]["uid"] != uid
    assert job["metadata"]["labels"]["xtransfer/plan"] == "0123456789ab"
    assert server.start(NAME) != first
    assert len(server.all("poddisruptionbudgets")) == 1


def test_a_job_that_succeeded_is_not_run_again(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert submit(api, objects).done == "adopted"


def test_a_job_that_succeeded_is_run_again_on_demand(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.start(NAME)
    assert submit(api, objects, again=True).done == "adopted"  # it runs: there is no second one
    uid = server.one("rayjobs")["metadata"]["uid"]
    server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    done = submit(api, objects, again=True)
    assert (done.done, done.differs) == ("replaced", [])
    assert done.before is not None
    assert done.before.outcome == "succeeded"
    assert server.one("rayjobs")["metadata"]["uid"] != uid


def elsewhere(manifests: list[Manifest], objects: JobObjects) -> JobObjects:
    """Return the same job with another store, as kustomize would render it."""
    for manifest in manifests:
        if manifest.name == objects.shared[0]["metadata"]["name"]:
            manifest.body["metadata"]["name"] = "xtransfer-placement-elsewhere0"
            text = manifest.body["data"]["placement.yaml"]
            manifest.body["data"]["placement.yaml"] = text.replace("s3://xtransfer", "s3://other")
        if manifest.kind == "RayJob":
            head = manifest.body["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
            for volume in head["volumes"]:
                if volume["name"] == "placement":
                    volume["configMap"]["name"] = "xtransfer-placement-elsewhere0"
    return assemble(
        manifests, experiment="small", plan_key="0123456789ab", text="name: small\n", image="new:1"
    )


def test_a_job_that_succeeded_with_another_store_or_image_is_replaced(
    server: FakeApi, api: Api, objects: JobObjects, manifests: list[Manifest]
) -> None:
    submit(api, objects)
    server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    done = submit(api, elsewhere(manifests, objects))
    assert (done.done, done.store) == ("replaced", "s3://other/study")
    placement, image = done.differs
    assert placement.startswith("its placement is xtransfer-placement-")
    assert placement.endswith(", not xtransfer-placement-elsewhere0")
    assert image == "its image is xtransfer:0.1.0-cpu, not new:1"
    (job,) = server.all("rayjobs")
    assert {c["image"] for each in pod_templates(job) for _, c in each.containers()} == {"new:1"}


def test_a_job_that_runs_with_another_store_is_adopted_and_its_own_is_named(
    server: FakeApi, api: Api, objects: JobObjects, manifests: list[Manifest]
) -> None:
    submit(api, objects)
    server.start(NAME)
    before = server.one("rayjobs")
    done = submit(api, elsewhere(manifests, objects), again=True)
    assert (done.done, done.store, len(done.differs)) == ("adopted", "s3://xtransfer/study", 2)
    assert server.one("rayjobs") == before
    assert len(server.all("configmaps")) == 2


def test_a_strangers_job_is_not_removed_though_it_failed(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.relabel(NAME, "xtransfer/plan", "other")
    server.set_status(NAME, jobDeploymentStatus="Failed")
    with pytest.raises(ConfigError, match="not submitted by this program"):
        submit(api, objects)
    assert len(server.all("rayjobs")) == 1


def test_a_replacement_waits_for_the_old_cluster_to_go(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.set_status(NAME, jobDeploymentStatus="Failed")
    server.finalizers = True
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            server.let_go(NAME)

    api.pause = pause
    assert submit(api, objects).done == "replaced"
    assert len(pauses) == 3


def test_an_operator_that_never_lets_go_is_named(
    server: FakeApi, api: Api, objects: JobObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submission, "GONE_S", 10)
    submit(api, objects)
    server.set_status(NAME, jobDeploymentStatus="Failed")
    server.finalizers = True
    with pytest.raises(XtransferError, match="Is the operator running"):
        submit(api, objects)


def test_a_dry_run_keeps_nothing(server: FakeApi, api: Api, objects: JobObjects) -> None:
    assert submit(api, objects, dry_run=True).state is None
    assert server.all("rayjobs") == server.all("configmaps") == []
    writes = [r for r in server.requests if r.method in ("POST", "PATCH")]
    assert {r.query.get("dryRun") for r in writes} == {"All"}
    assert {r.plural for r in writes} == {"rayjobs", "configmaps", "poddisruptionbudgets"}


def test_a_misspelt_field_is_refused(server: FakeApi, api: Api, objects: JobObjects) -> None:
    objects.job["spec"]["backofLimit"] = 3
    with pytest.raises(ApiError, match=r'unknown field "spec.backofLimit"'):
        submit(api, objects, dry_run=True)
    assert server.all("rayjobs") == []


def test_a_misspelt_field_of_what_is_applied_is_refused_at_once(
    server: FakeApi, api: Api, objects: JobObjects, waits: list[float]
) -> None:
    config = {**objects.config, "dta": {}}
    with pytest.raises(ApiError, match=r"\.dta: field not declared in schema.*Correct that field"):
        submit(api, replace(objects, config=config))
    assert waits == []
    assert server.all("rayjobs") == []


def test_an_experiment_gets_its_owner_though_the_job_that_is_adopted_has_another_image(
    server: FakeApi, api: Api, objects: JobObjects, manifests: list[Manifest]
) -> None:
    name = objects.config["metadata"]["name"]
    server.fail(1, Answer(code=403, message="no"), method="PATCH", plural="poddisruptionbudgets")
    with pytest.raises(ApiError):
        submit(api, objects)
    (key,) = (key for key in server.objects if key[2] == name)
    del server.objects[key]["metadata"]["ownerReferences"]
    other = assemble(
        manifests,
        experiment="small",
        plan_key="0123456789ab",
        text="name: small\n",
        image="other:1",
    )
    done = submit(api, other)
    assert (done.done, len(done.differs)) == ("adopted", 1)
    assert server.objects[key]["metadata"]["ownerReferences"]


def test_a_job_of_that_name_that_is_not_of_this_plan_is_left_alone(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.relabel(NAME, "xtransfer/plan", "other")
    with pytest.raises(ConfigError, match="not submitted by this program"):
        submit(api, objects)
    assert len(server.all("rayjobs")) == 1


# --- failures of the server ----------------------------------------------------------------------


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


class Story:
    """Events that happen one after the other, each when the client waits or has heard of the last."""

    def __init__(self, server: FakeApi, *events: Callable[[], object]) -> None:
        self.server = server
        self.events = list(events)
        self.told: list[str] = []
        self.said: list[str] = []

    def next(self, text: str = "") -> None:
        self.told.append(text)
        if self.events:
            self.events.pop(0)()

    def follow(self, api: Api) -> str:
        return follow(api, NAME, say=self.said.append, tell=self.next).outcome


def succeed(server: FakeApi) -> Callable[[], object]:
    return lambda: server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")


def lose(server: FakeApi) -> Callable[[], object]:
    return lambda: server.set_status(
        NAME, jobDeploymentStatus="Retrying", jobStatus="FAILED", failed=1, reason="AppFailed"
    )


def test_following_goes_over_a_new_cluster_to_the_end(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)

    def first() -> None:
        server.log(f"{server.start(NAME)}-submitter", "one", "two")

    def second() -> None:
        server.log(f"{server.start(NAME)}-submitter", "two recorded", "three")

    story = Story(server, first, lose(server), second, succeed(server))
    assert story.follow(api) == "succeeded"
    assert story.said == ["one", "two", "two recorded", "three"]
    clusters = [text.split(" on ")[1].split(":")[0] for text in story.told if "runs" in text]
    assert len(set(clusters)) == 2
    assert any("lost its cluster" in text for text in story.told)
    assert len(server.sent("POST", "rayjobs")) == 1


def test_following_survives_cut_watches(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    server.watch_drops_after = 0
    story = Story(
        server,
        lambda: server.set_status(NAME, jobDeploymentStatus="Initializing"),
        *[lambda: None] * 2,
        succeed(server),
    )
    assert story.follow(api) == "succeeded"
    watches = [r for r in server.requests if r.query.get("watch")]
    assert len(watches) > 1
    assert any("The job runs on" in text for text in story.told)


def test_following_survives_a_history_that_is_gone(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    rounds = iter([server.forget, server.forget, succeed(server)])
    api.pause = lambda seconds: None

    def fault(request: object) -> None:
        # Between the read of the job and its watch.
        if getattr(request, "query", {}).get("watch"):
            next(rounds, lambda: None)()

    server.faults.append(fault)  # type: ignore[arg-type]
    assert Story(server).follow(api) == "succeeded"
    assert len([r for r in server.requests if r.query.get("watch")]) >= 3


def test_following_survives_a_server_that_restarts(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.fail(8, Answer(code=503), method="GET", plural="rayjobs")
    story = Story(server, lambda: None, succeed(server))
    assert story.follow(api) == "succeeded"


def test_lines_are_said_once(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    cluster = server.start(NAME)
    server.log(f"{cluster}-submitter", "a", "b")
    reader = client.LogReader(api, NAME)
    assert list(reader.fresh()) == ["a", "b"]
    assert list(reader.fresh()) == []
    server.log(f"{cluster}-submitter", "c")
    assert list(reader.fresh()) == ["c"]


def test_a_log_that_has_not_begun_is_no_failure(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    assert list(client.LogReader(api, NAME).fresh()) == []
    server.start(NAME)
    assert list(client.LogReader(api, NAME).fresh()) == []


def test_following_a_job_that_is_deleted_says_so(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    with pytest.raises(JobNotFound) as caught:
        Story(server, lambda: cancel(api, NAME)).follow(api)
    assert caught.value.exit_status == 5


def test_following_gives_up_without_any_answer(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    now = [0.0]
    api.pause = lambda seconds: now.__setitem__(0, now[0] + 100)
    server.fail(10**6, Answer(code=503), method="GET")
    with pytest.raises(ApiError, match="too busy"):
        list(states(api, NAME, clock=lambda: now[0]))
    assert now[0] > client.PATIENCE_S


def test_waiting_ends_with_its_limit(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    server.start(NAME)
    last = list(states(api, NAME, limit_s=0.2))[-1]
    assert last.outcome == "going"


# --- the end -------------------------------------------------------------------------------------


def test_cancelling_takes_all_of_the_job_along(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    assert cancel(api, NAME)
    assert server.all("rayjobs") == server.all("poddisruptionbudgets") == []
    assert [at(body, "data", "experiment.yaml") for body in server.all("configmaps")] == [None]
    assert not cancel(api, NAME)


def test_jobs_are_listed_by_their_label(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    stranger = {**objects.job, "metadata": {"name": "other"}}
    api.create(stranger)
    assert [body["metadata"]["name"] for body in client.jobs(api)] == [NAME]
    assert len(server.all("rayjobs")) == 2


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

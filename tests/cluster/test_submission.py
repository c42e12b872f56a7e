"""A job is submitted once, adopted, replaced or left alone."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from tests.cluster.conftest import NAME
from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import submission
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError
from xtransfer.cluster.jobs import JobObjects, assemble
from xtransfer.cluster.manifests import Manifest, pod_templates
from xtransfer.cluster.submission import submit
from xtransfer.errors import ConfigError, XtransferError


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

"""Every status that the operator knows is told in words, with what to do next."""

from __future__ import annotations

from typing import Any

import pytest

from xtransfer.cluster.states import DEPLOYMENT, REASONS, state_of, trouble_of


def job(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "xt-a-1"}, "spec": {}, "status": status}


@pytest.mark.parametrize(
    ("deployment", "ray", "outcome"),
    [
        ("", "", "going"),
        ("Initializing", "", "going"),
        ("Running", "RUNNING", "going"),
        ("Suspended", "", "going"),
        ("Retrying", "FAILED", "going"),
        ("Complete", "SUCCEEDED", "succeeded"),
        ("Complete", "FAILED", "failed"),
        ("Complete", "STOPPED", "failed"),
        ("Failed", "", "failed"),
        ("ValidationFailed", "", "failed"),
        ("SomethingNew", "", "going"),
    ],
)
def test_the_outcome_follows_both_statuses(deployment: str, ray: str, outcome: str) -> None:
    assert state_of(job(jobDeploymentStatus=deployment, jobStatus=ray)).outcome == outcome


def test_a_cluster_without_a_submitter_of_its_own_says_what_it_waits_for() -> None:
    assert "for somebody to submit to it" in state_of(job(jobDeploymentStatus="Waiting")).words


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_told_with_what_to_do(reason: str) -> None:
    state = state_of(job(jobDeploymentStatus="Failed", reason=reason, message="because\n of  it"))
    assert REASONS[reason][0] in state.words
    assert "because of it" in state.words
    assert state.advice
    assert "{" not in state.advice


def test_a_driver_that_was_stopped_is_said_to_be() -> None:
    state = state_of(job(jobDeploymentStatus="Complete", jobStatus="STOPPED"))
    assert state.words == "failed: somebody stopped the driver (ray job stop)"
    assert "submit it again" in state.advice


@pytest.mark.parametrize("ray", ["SUCCEEDED", "FAILED", "STOPPED"])
def test_a_driver_that_has_ended_does_not_run(ray: str) -> None:
    state = state_of(job(jobDeploymentStatus="Running", jobStatus=ray))
    assert state.words == "its driver has ended, its cluster has not"
    assert state.outcome == "going"


def test_a_drivers_log_in_a_message_cannot_control_the_terminal() -> None:
    message = "last logs:\n\x1b]0;title\x07" + "x" * 300
    state = state_of(job(jobDeploymentStatus="Failed", reason="AppFailed", message=message))
    assert state.words.isprintable()
    assert "last logs: \\x1b]0;title" in state.words
    assert len(state.words) < 400


def test_an_unknown_reason_is_passed_on() -> None:
    state = state_of(job(jobDeploymentStatus="Failed", reason="MoonPhase"))
    assert state.words == "failed: MoonPhase"
    assert state.advice == "See: xtransfer logs xt-a-1"


def test_a_refused_job_says_that_a_queue_may_wait_for_it() -> None:
    state = state_of(job(jobDeploymentStatus="ValidationFailed", reason="ValidationFailed"))
    assert "hold its quota" in state.advice


def test_a_retry_is_told_without_alarm() -> None:
    state = state_of(job(jobDeploymentStatus="Retrying", reason="AppFailed", failed=2))
    assert DEPLOYMENT["Retrying"] in state.words
    assert state.words.endswith("2 tries failed")
    assert state.advice == ""


def test_a_suspended_job_that_nobody_looked_at_is_suspended() -> None:
    assert "suspended" in state_of({"metadata": {"name": "a"}, "spec": {"suspend": True}}).words


def pod(role: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": role, "labels": {"xtransfer/role": role}}, "status": status}


def test_a_cluster_without_a_head_is_suspicious() -> None:
    state = state_of(job(jobDeploymentStatus="Initializing", rayClusterName="c"))
    (line,) = trouble_of(state, [])
    assert "no head pod" in line
    assert "raycluster c" in line
    assert trouble_of(state, [pod("head")]) == []


def test_a_running_job_without_a_submitter_is_suspicious() -> None:
    state = state_of(job(jobDeploymentStatus="Running"))
    (line,) = trouble_of(state, [pod("head")])
    assert "no submitter pod" in line
    assert trouble_of(state, [pod("head"), pod("submitter")]) == []


def test_what_kubernetes_says_of_pods_is_told() -> None:
    state = state_of(job(jobDeploymentStatus="Initializing"))
    unscheduled = pod(
        "head",
        conditions=[
            {"type": "PodScheduled", "status": "False", "message": "0/3 nodes: no nvidia.com/gpu"}
        ],
    )
    pulling = pod(
        "worker",
        containerStatuses=[
            {
                "name": "ray-worker",
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            }
        ],
    )
    killed = pod(
        "worker",
        containerStatuses=[
            {"name": "ray-worker", "state": {"terminated": {"reason": "OOMKilled"}}}
        ],
    )
    starting = pod(
        "worker",
        containerStatuses=[{"name": "w", "state": {"waiting": {"reason": "ContainerCreating"}}}],
    )
    lines = trouble_of(state, [unscheduled, pulling, killed, starting])
    assert lines == [
        "head: not scheduled: 0/3 nodes: no nvidia.com/gpu",
        "worker: ray-worker: ImagePullBackOff: no such image",
        "worker: ray-worker: out of memory",
    ]

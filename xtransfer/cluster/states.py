"""What a RayJob's status says, in words, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xtransfer.cluster.manifests import at
from xtransfer.errors import shown

Outcome = Literal["going", "succeeded", "failed"]

DEPLOYMENT: Mapping[str, str] = {
    "": "accepted; the operator has not looked at it yet",
    "Initializing": "its cluster is being made",
    "Waiting": "its cluster waits for somebody to submit to it (InteractiveMode)",
    "Running": "runs",
    "Complete": "complete",
    "Failed": "failed",
    "ValidationFailed": "refused by the operator",
    "Suspending": "is being suspended: its cluster goes, its records and checkpoints stay",
    "Suspended": "suspended: waits in the queue, or for `suspend: false`",
    "Retrying": "lost its cluster; the next try gets a new one and does what has no record",
}
REASONS: Mapping[str, tuple[str, str]] = {
    "SubmissionFailed": (
        "the submitter's pod could not hand the job to the cluster",
        "See: xtransfer logs {name} --pod submitter",
    ),
    "DeadlineExceeded": (
        "it took longer than activeDeadlineSeconds",
        "What is recorded is kept: submit it again, with a longer deadline if need be.",
    ),
    "PreRunningDeadlineExceeded": (
        "its cluster was not ready within preRunningDeadlineSeconds",
        "Is there room for the head, and can its image be pulled? Then submit it again.",
    ),
    "STOPPED": (
        "somebody stopped the driver (ray job stop)",
        "What is recorded is kept: submit it again.",
    ),
    "AppFailed": (
        "the driver ended with an error",
        "See: xtransfer logs {name}, and xtransfer status for the steps that failed.",
    ),
    "ValidationFailed": (
        "the operator does not take its specification",
        (
            "Remove it with: xtransfer cancel {name} (a queue may hold its quota until then), and check"
            " it with: xtransfer k8s check OVERLAY"
        ),
    ),
    "JobDeploymentStatusTransitionGracePeriodExceeded": (
        "the driver ended, and its pods did not",
        "Remove it with: xtransfer cancel {name}",
    ),
    "JobStatusCheckTimeoutExceeded": (
        "the operator could not ask the dashboard how the job is",
        "Does a NetworkPolicy keep the operator from port 8265 of the head?",
    ),
}

"""Reason (or Ray's word, where the operator gives none) -> what it means, and what to do."""
ENDED = ("SUCCEEDED", "FAILED", "STOPPED")
"""Ray's words for a driver that is no more."""


@dataclass(frozen=True, kw_only=True)
class JobState:
    """How one RayJob is doing."""

    name: str
    deployment: str
    """The operator's word (jobDeploymentStatus)."""
    job: str
    """Ray's word (jobStatus)."""
    outcome: Outcome
    cluster: str
    """Name of the RayCluster, a new one for each try."""
    failed: int
    """Tries that failed."""
    words: str
    """All of it in one line."""
    advice: str
    """What to do next, empty where nothing needs to be done."""


def state_of(body: Mapping[str, Any]) -> JobState:
    """Return the state of a RayJob object."""
    status = body.get("status") or {}
    name = str(at(body, "metadata", "name"))
    deployment = str(status.get("jobDeploymentStatus") or "")
    job = str(status.get("jobStatus") or "")
    outcome = _outcome(deployment, job)
    failed = int(status.get("failed") or 0)
    words = DEPLOYMENT.get(deployment, deployment)
    advice = ""
    if deployment == "" and at(body, "spec", "suspend"):
        words = DEPLOYMENT["Suspended"]
    if deployment == "Complete" and outcome == "failed":
        words = "failed"
    if deployment == "Running" and job in ("", "PENDING"):
        words = "its cluster is up, its driver has not started yet"
    if deployment == "Running" and job in ENDED:
        words = "its driver has ended, its cluster has not"
    if outcome == "failed" or (status.get("reason") and deployment == "Retrying"):
        reason = str(status.get("reason") or (job if job == "STOPPED" else deployment))
        said, next_ = REASONS.get(reason, (reason, "See: xtransfer logs {name}"))
        words = f"{words}: {said}"
        advice = next_.format(name=name) if outcome == "failed" else ""
        if status.get("message"):
            words += f" ({_short(str(status['message']))})"
    if failed:
        words += f"; {failed} {'try' if failed == 1 else 'tries'} failed"
    return JobState(
        name=name,
        deployment=deployment,
        job=job,
        outcome=outcome,
        cluster=str(status.get("rayClusterName") or ""),
        failed=failed,
        words=words,
        advice=advice,
    )


def trouble_of(state: JobState, pods: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what keeps a job's pods from running, as Kubernetes says it, one line a cause."""
    found = [line for pod in pods for line in _pod_trouble(pod)]
    roles = {at(pod, "metadata", "labels", "xtransfer/role") for pod in pods}
    if state.deployment == "Initializing" and "head" not in roles:
        found.append(
            "no head pod: Pod Security or a quota may refuse it (kubectl describe raycluster "
            f"{state.cluster or '-l ray.io/originated-from-cr-name=' + state.name})"
        )
    if state.deployment == "Running" and not state.job and "submitter" not in roles:
        found.append(
            f"no submitter pod: Pod Security may refuse it (kubectl describe job {state.name})"
        )
    return list(dict.fromkeys(found))


def _outcome(deployment: str, job: str) -> Outcome:
    if deployment in ("Failed", "ValidationFailed"):
        return "failed"
    if deployment == "Complete":
        return "failed" if job in ("FAILED", "STOPPED") else "succeeded"
    return "going"


def _pod_trouble(pod: Mapping[str, Any]) -> list[str]:
    name, status = at(pod, "metadata", "name"), pod.get("status") or {}
    found: list[str] = []
    found += [
        f"{name}: not scheduled: {_short(str(condition.get('message', '')))}"
        for condition in status.get("conditions") or ()
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False"
    ]
    statuses = [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]
    for container in statuses:
        waiting = at(container, "state", "waiting") or {}
        if waiting.get("reason") not in (None, "PodInitializing", "ContainerCreating"):
            said = _short(str(waiting.get("message") or ""))
            found.append(f"{name}: {container['name']}: {waiting['reason']}: {said}")
        ended = at(container, "state", "terminated") or {}
        if ended.get("reason") == "OOMKilled":
            found.append(f"{name}: {container['name']}: out of memory")
    return found


def _short(text: str) -> str:
    """Return the first of a text as one line that cannot control the terminal: it may be a driver's log."""
    return shown(" ".join(text.split()), most=240)

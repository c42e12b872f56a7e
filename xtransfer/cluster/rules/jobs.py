"""Rules of the KubeRay operator (v1.7) on a job: its name, how it is submitted, deadlines and retries."""

from __future__ import annotations

import re
from collections.abc import Iterator

from xtransfer.cluster.manifests import Manifest, at
from xtransfer.cluster.rules import Rule, each

LONGEST_NAME = 47
"""Characters of a RayJob's name; the operator adds to it, and Kubernetes takes 63."""
DNS_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"

Found = Iterator[tuple[str, str]]
RAY = ("RayJob", "RayCluster")


def _name_length(manifest: Manifest) -> Found:
    if len(manifest.name) > LONGEST_NAME:
        yield "metadata.name", f"'{manifest.name}' has {len(manifest.name)} characters"


def _name_form(manifest: Manifest) -> Found:
    if not re.fullmatch(DNS_1035, manifest.name):
        yield "metadata.name", f"'{manifest.name}' is no DNS-1035 label"


def _submission_mode(manifest: Manifest) -> Found:
    mode = at(manifest.body, "spec", "submissionMode") or "K8sJobMode"
    if mode != "K8sJobMode":
        yield "spec.submissionMode", f"is {mode}"


def _submitter(manifest: Manifest) -> Found:
    mode = at(manifest.body, "spec", "submissionMode") or "K8sJobMode"
    if mode == "K8sJobMode" and not at(manifest.body, "spec", "submitterPodTemplate"):
        yield (
            "spec.submitterPodTemplate",
            "is absent, so the submitter's pod has no securityContext",
        )


def _job_id(manifest: Manifest) -> Found:
    if at(manifest.body, "spec", "jobId"):
        yield "spec.jobId", "is set, but every retry is a new job on a new cluster"


def _deadlines(manifest: Manifest) -> Found:
    for field in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if not at(manifest.body, "spec", field):
            yield f"spec.{field}", "is absent, so a job that hangs holds its nodes for ever"


def _shutdown(manifest: Manifest) -> Found:
    if at(manifest.body, "spec", "shutdownAfterJobFinishes") is not True:
        yield "spec.shutdownAfterJobFinishes", "is not true, so the cluster outlives its job"


def _retries(manifest: Manifest) -> Found:
    if not at(manifest.body, "spec", "backoffLimit"):
        yield "spec.backoffLimit", "is 0, so a lost head ends the job"


RULES = (
    Rule(
        name="name-length",
        look=each(_name_length, *RAY),
        remedy=f"Use {LONGEST_NAME} at most: the API server takes more, the operator then refuses, and"
        " under Kueue the job holds its quota for ever.",
    ),
    Rule(
        name="name-form",
        look=each(_name_form, *RAY),
        remedy="Use a-z, 0-9 and '-', beginning with a letter: the API server takes more, the operator"
        " does not.",
    ),
    Rule(
        name="submission-mode",
        look=each(_submission_mode, "RayJob"),
        remedy="Use K8sJobMode: HTTPMode submits again after the head was evicted, and SidecarMode's"
        " submitter has no securityContext.",
    ),
    Rule(
        name="submitter-template",
        look=each(_submitter, "RayJob"),
        remedy="Write a hardened one: without it Pod Security refuses the pod while the RayJob says"
        " Running.",
    ),
    Rule(
        name="job-id",
        look=each(_job_id, "RayJob"),
        remedy="Remove it: what is done is known from the plan's key and the store.",
    ),
    Rule(name="deadlines", look=each(_deadlines, "RayJob"), remedy="Set both deadlines."),
    Rule(
        name="shutdown",
        look=each(_shutdown, "RayJob"),
        remedy="Set it to true.",
    ),
    Rule(
        name="retries",
        look=each(_retries, "RayJob"),
        remedy="Set it: each retry is a new cluster that does only what has no record.",
    ),
)

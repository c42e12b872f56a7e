"""Which of a job's ConfigMaps is its placement."""

from __future__ import annotations

import copy

from xtransfer.cluster.jobs import JobObjects, store_of
from xtransfer.cluster.manifests import Body, Manifest
from xtransfer.cluster.placements import placement_of, store_in

OTHER = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "mine"},
    "data": {"settings.yaml": "store: s3://mine/else\n"},
}
"""What a user's overlay may add: a file of another program, that has a `store` too."""


def mounting(job: Body) -> Body:
    job = copy.deepcopy(job)
    spec = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    spec["volumes"].insert(0, {"name": "mine", "configMap": {"name": "mine"}})
    return job


def test_a_placement_is_what_the_entry_point_names(
    manifests: list[Manifest], objects: JobObjects
) -> None:
    job = mounting(objects.job)
    assert store_of(objects) == "s3://xtransfer/study"
    assert store_in((OTHER, *objects.shared), job) == "s3://xtransfer/study"
    (the_job,) = [manifest for manifest in manifests if manifest.kind == "RayJob"]
    all_ = [Manifest(file="mine", body=OTHER), *manifests]
    found = placement_of(all_, Manifest(file=the_job.file, body=mounting(the_job.body)))
    assert found is not None
    assert found.store == "s3://xtransfer/study"


def test_a_job_without_one_has_no_store(manifests: list[Manifest], objects: JobObjects) -> None:
    job = copy.deepcopy(objects.job)
    job["spec"]["entrypoint"] = "python -m ray_jobs.experiment experiment.yaml"
    assert store_in(objects.shared, job) == ""
    assert placement_of(manifests, Manifest(file="", body=job)) is None

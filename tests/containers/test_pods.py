"""Pods of a rendered RayJob become the containers that its manifests describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.containers import pods
from tests.containers.cluster import secret_names
from tests.needs import need_kustomize
from xtransfer.cluster.manifests import Body
from xtransfer.cluster.render import render

KIND = Path(__file__).resolve().parents[2] / "k8s" / "overlays" / "kind"


@pytest.fixture(scope="module")
def job() -> Body:
    need_kustomize()
    (found,) = [manifest.body for manifest in render(KIND) if manifest.kind == "RayJob"]
    return found


@pytest.fixture
def around(tmp_path: Path, job: Body) -> pods.Around:
    templates = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    configs = [v["configMap"]["name"] for v in templates["spec"]["volumes"] if "configMap" in v]
    return pods.Around(
        network="net",
        folder=tmp_path,
        token="the-token",
        secrets={name: {"AWS_ACCESS_KEY_ID": "me"} for name in secret_names(job)},
        configs={name: {"a.yaml": "a: 1\n"} for name in configs},
        hosts={"s3.s3.svc": "10.0.0.1"},
    )


def options(line: list[str], name: str) -> list[str]:
    """Return the values of an option."""
    after = [line[at + 1] for at, word in enumerate(line) if word == name]
    return after + [word.split("=", 1)[1] for word in line if word.startswith(f"{name}=")]


def groups(job: Body) -> tuple[Body, Body]:
    spec = job["spec"]["rayClusterSpec"]
    (worker,) = spec["workerGroupSpecs"]
    return spec["headGroupSpec"], worker


def line_of(template: Any, around: pods.Around, **more: Any) -> list[str]:
    return pods.container(template, name="xtc-0", command=["true"], around=around, **more)


def test_a_head_has_no_cpus_and_a_worker_what_its_limits_say(job: Body) -> None:
    head, worker = groups(job)
    found = pods.start_parameters(head, head=True)
    assert (found["num-cpus"], found["memory"]) == ("0", "0")
    assert found["dashboard-host"] == "0.0.0.0"
    found = pods.start_parameters(worker, head=False)
    assert (found["num-cpus"], found["memory"]) == ("1", str(3 * 2**30))
    assert found["address"] == f"{pods.HEAD_SERVICE}:6379"
    assert "--head" in pods.start_command(head, head=True)[-1]
    assert "--head" not in pods.start_command(worker, head=False)[-1]


def test_half_a_cpu_counts_as_one() -> None:
    group = {
        "template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "1500m"}}}]}},
    }
    assert pods.start_parameters(group, head=False)["num-cpus"] == "2"


def test_every_pod_is_confined_as_its_manifest_says(job: Body, around: pods.Around) -> None:
    head, worker = groups(job)
    for template in (head["template"], worker["template"], job["spec"]["submitterPodTemplate"]):
        line = line_of(template, around)
        assert options(line, "--user") == ["1000:1000"]
        assert options(line, "--read-only") == ["true"]
        assert options(line, "--read-only-tmpfs") == ["false"]
        assert options(line, "--cap-drop") == ["ALL"]
        assert options(line, "--security-opt") == ["no-new-privileges"]
        assert "RAY_AUTH_TOKEN=the-token" in options(line, "--env")


def test_limits_secrets_and_volumes_are_the_manifests(job: Body, around: pods.Around) -> None:
    head, worker = groups(job)
    line = line_of(head["template"], around)
    assert options(line, "--memory") == [f"{3 * 2**30}b"]
    assert options(line, "--cpus") == ["2.0"]
    assert options(line, "--shm-size") == [f"{2**30}b"]
    assert "AWS_ACCESS_KEY_ID=me" in options(line, "--env")
    mounts = {volume.split(":")[1]: volume for volume in options(line, "--volume")}
    assert mounts.keys() == {
        "/tmp",
        "/cache/hf",
        "/data",
        "/etc/xtransfer/experiment",
        "/etc/xtransfer/placement",
    }
    assert mounts["/etc/xtransfer/placement"].endswith(":ro")
    assert (Path(mounts["/etc/xtransfer/placement"].split(":")[0]) / "a.yaml").is_file()
    line = line_of(job["spec"]["submitterPodTemplate"], around, memory="256Mi")
    assert options(line, "--memory") == [f"{256 * 2**20}b"]
    assert "AWS_ACCESS_KEY_ID=me" not in options(line, "--env")
    assert options(line_of(worker["template"], around), "--shm-size") == [f"{2**30}b"]


def test_the_submitter_gives_the_rayjobs_own_entry_point(job: Body) -> None:
    (text,) = pods.submit_command(job, "xt-1")[-1:]
    assert f"--submission-id xt-1 -- {job['spec']['entrypoint'].strip()}; fi" in text

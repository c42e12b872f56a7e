"""The commands for Kubernetes, from the command line to a server that stands for the real one."""

from __future__ import annotations

import builtins
import copy
import json
import shutil
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.conftest import KIND, kubeconfig, manifests, server
from tests.cluster.fake_api import FakeApi, Request, write_kubeconfig
from tests.command import Run
from xtransfer.cluster import api as apis
from xtransfer.cluster.manifests import Manifest

__all__ = ["kubeconfig", "manifests", "server"]  # fixtures of the client's tests

SMALL = f"""
name: small
encoder: {{name: org/model, revision: {"a" * 40}}}
target: {{tasks: [tatoeba], languages: {{tatoeba: [de]}}}}
data: {{root: /data}}
"""


QUICKSTART = KIND.parents[2] / "configs" / "quickstart.yaml"
"""An experiment without inputs."""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture
def submitted(run: Run, config: Path, kubeconfig: Path, manifests: list[Manifest]) -> str:
    """Return the name of a submitted job."""
    assert kubeconfig.exists()
    assert manifests
    done = run("submit", config, "--overlay", KIND)
    assert done.status == 0, done.err
    return done.out.strip()


def test_submitting_prints_the_jobs_name(
    run: Run, server: FakeApi, submitted: str, config: Path
) -> None:
    assert submitted.startswith("xt-small-")
    job = server.one("rayjobs")
    assert job["metadata"]["name"] == submitted
    again = run("submit", config, "--overlay", KIND)
    assert (again.status, again.out.strip()) == (0, submitted)
    assert "is there already" in again.err
    assert "s3://xtransfer/study" in again.err
    assert len(server.sent("POST", "rayjobs")) == 1


def test_an_image_that_was_never_filled_in_is_refused(
    run: Run, server: FakeApi, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    image = f"registry.example.com/xtransfer@sha256:{'0' * 64}"
    done = run("submit", config, "--overlay", KIND, "--image", image)
    assert done.status == 2
    assert "nothing was sent, for it is not filled in yet" in done.err
    assert "image registry.example.com/xtransfer: is the example's" in done.err
    assert server.sent("POST", "rayjobs") == []


def test_settings_that_do_nothing_are_told(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    usual = run("submit", QUICKSTART, "--overlay", KIND, "--dry-run")
    assert (usual.status, "does nothing" in usual.err) == (0, False)
    overrides = "target.overrides.mlqa={epochs: 3}"
    done = run("submit", QUICKSTART, "--overlay", KIND, "--dry-run", "--set", overrides)
    assert done.status == 0, done.err
    assert "target.overrides.mlqa does nothing here" in done.err
    assert server.sent("POST", "rayjobs")


def test_a_job_that_runs_otherwise_is_adopted_with_a_word(
    run: Run, server: FakeApi, submitted: str, config: Path
) -> None:
    server.start(submitted)
    done = run("submit", config, "--overlay", KIND, "--image", "new:1")
    assert (done.status, done.out.strip()) == (0, submitted)
    assert "of the job that was there: its image is xtransfer:0.1.0-cpu, not new:1" in done.err
    assert "It runs on as it is." in done.err


def test_a_job_that_succeeded_is_adopted_or_replaced_on_demand(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    first = run("submit", QUICKSTART, "--overlay", KIND)
    assert "provisional" not in first.err
    name = first.out.strip()
    server.set_status(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert "is there already" in run("submit", QUICKSTART, "--overlay", KIND).err
    anew = run("submit", QUICKSTART, "--overlay", KIND, "--again")
    assert (anew.status, anew.out.strip()) == (0, name)
    assert "had succeeded, submitted anew" in anew.err


def test_a_provisional_name_adopts_no_job_that_succeeded(
    run: Run, server: FakeApi, submitted: str, config: Path
) -> None:
    uid = server.one("rayjobs")["metadata"]["uid"]
    server.start(submitted)
    runs = run("submit", config, "--overlay", KIND)
    assert "1 input is not on this machine" in runs.err
    assert "The key in the job's name is provisional" in runs.err
    assert "is there already" in runs.err
    server.set_status(submitted, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    ended = run("submit", config, "--overlay", KIND)
    assert (ended.status, ended.out.strip()) == (0, submitted)
    assert "had succeeded, submitted anew" in ended.err
    assert server.one("rayjobs")["metadata"]["uid"] != uid


def test_other_settings_are_another_job(
    run: Run, server: FakeApi, submitted: str, config: Path
) -> None:
    other = run("submit", config, "--overlay", KIND, "--set", "retrieval.layer=3").out.strip()
    assert other != submitted
    assert len(server.all("rayjobs")) == 2


def test_a_dry_run_starts_nothing(
    run: Run, server: FakeApi, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    done = run("submit", config, "--overlay", KIND, "--dry-run")
    assert done.status == 0
    assert "the server takes it (dry run)" in done.out
    assert server.all("rayjobs") == []


def test_a_broken_rule_is_refused_before_anything_is_sent(
    run: Run,
    server: FakeApi,
    config: Path,
    kubeconfig: Path,
    tmp_path: Path,
    manifests: list[Manifest],
) -> None:
    import yaml

    assert kubeconfig.exists()
    for manifest in manifests:
        if manifest.kind == "RayJob":
            del manifest.body["spec"]["submitterPodTemplate"]
    folder = tmp_path / "rendered"
    folder.mkdir()
    (folder / "all.yaml").write_text(
        yaml.safe_dump_all([manifest.body for manifest in manifests]), encoding="utf-8"
    )
    done = run("submit", config, "--overlay", folder)
    assert done.status == 2
    assert "nothing was sent, for 1 rule is broken" in done.err
    assert "[submitter-template]" in done.err
    assert server.requests == []
    checked = run("k8s", "check", folder)
    assert checked.status == 2
    assert "spec.submitterPodTemplate: is absent" in checked.out
    found = json.loads(run("k8s", "check", folder, "--json").out)
    assert [finding["rule"] for finding in found] == ["submitter-template"]


def test_the_overlays_pass_the_check(run: Run, manifests: list[Manifest]) -> None:
    done = run("k8s", "check", KIND, "--strict")
    assert done.status == 0
    assert done.out.startswith(f"{len(manifests)} objects, ")


def test_relative_data_are_warned_of(
    run: Run, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    done = run("submit", config, "--overlay", KIND, "--set", "data.root=data", "--dry-run")
    assert "--set data.root=/data" in done.err


@pytest.mark.parametrize(
    ("name", "told"), [("models/own", True), ("own", True), ("/data/own", False)]
)
def test_an_encoder_in_a_relative_folder_is_warned_of(
    run: Run, config: Path, kubeconfig: Path, manifests: list[Manifest], name: str, told: bool
) -> None:
    assert kubeconfig.exists()
    assert manifests
    config.write_text(SMALL.replace("org/model, revision: " + "a" * 40, name), encoding="utf-8")
    done = run("submit", config, "--overlay", KIND, "--dry-run")
    assert done.status == 0, done.err
    assert ("--set encoder.name=/data/FOLDER" in done.err) is told


def test_an_encoder_of_the_hub_is_not_warned_of(
    run: Run, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    assert "encoder.name" not in run("submit", config, "--overlay", KIND, "--dry-run").err


def test_a_namespace_without_jobs_is_named(run: Run, server: FakeApi, kubeconfig: Path) -> None:
    assert kubeconfig.exists()
    assert server.all("rayjobs") == []
    done = run("k8s", "status")
    assert (done.status, done.out) == (0, "")
    assert "namespace xtransfer: no jobs" in done.err
    assert json.loads(run("k8s", "status", "--json").out) == []


def test_another_namespace_is_refused(
    run: Run, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    done = run("submit", config, "--overlay", KIND, "-n", "mine")
    assert done.status == 2
    assert "the overlay is for the namespace 'xtransfer'" in done.err


def soon(*events: Callable[[], object]) -> threading.Thread:
    def play() -> None:
        for event in events:
            event()

    thread = threading.Timer(0.1, play)
    thread.start()
    return thread


def test_following_shows_the_log_and_ends_as_the_job_does(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    name = run("submit", QUICKSTART, "--overlay", KIND).out.strip()

    def go() -> None:
        server.log(f"{server.start(name)}-submitter", "12 of 12 steps")

    thread = soon(
        go,
        lambda: server.set_status(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED"),
    )
    done = run("submit", QUICKSTART, "--overlay", KIND, "--follow")
    thread.join()
    assert done.status == 0
    assert done.out.splitlines() == [name, "12 of 12 steps"]
    assert "succeeded" in done.err


def test_waiting_for_a_job_that_fails_has_status_1(
    run: Run, server: FakeApi, submitted: str
) -> None:
    server.set_status(
        submitted, jobDeploymentStatus="Failed", reason="DeadlineExceeded", message="14400 s"
    )
    done = run("wait", submitted)
    assert done.status == 1
    assert "longer than activeDeadlineSeconds (14400 s)" in done.err
    assert "submit it again" in done.err
    assert "Traceback" not in done.err


def test_waiting_statuses(run: Run, server: FakeApi, submitted: str, config: Path) -> None:
    server.start(submitted)
    assert run("wait", config, "--timeout", "0.2").status == 4
    server.set_status(submitted, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert run("wait", config).status == 0
    assert run("wait", "xt-none-0123456789ab").status == 5


def test_a_job_is_found_by_its_file_and_the_settings_that_it_was_submitted_with(
    run: Run, server: FakeApi, config: Path, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    setting = ("--set", f"encoder.revision={'b' * 40}")
    name = run("submit", config, *setting, "--overlay", KIND).out.strip()
    server.log(f"{server.start(name)}-submitter", "line")
    without = run("wait", config, "--timeout", "1")
    assert without.status == 5
    assert "submitted with --set is found by its file with the same" in without.err
    assert run("logs", config, *setting).out == "line\n"
    assert run("k8s", "status", config, *setting).status == 0
    server.set_status(name, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")
    assert run("wait", config, *setting).status == 0
    assert run("cancel", config, *setting).out == f"{name}: cancelled\n"


def test_status_tells_what_is_in_the_way(run: Run, server: FakeApi, submitted: str) -> None:
    labels = {"xtransfer/job": submitted, "xtransfer/role": "head"}
    refused = {"type": "PodScheduled", "status": "False", "message": "no nodes"}
    server.set_status(submitted, jobDeploymentStatus="Initializing")
    server.add_pod("head", labels, conditions=[refused])
    done = run("k8s", "status")
    assert done.status == 0
    assert "its cluster is being made" in done.out
    assert f"{submitted}: head: not scheduled: no nodes" in done.out
    (row,) = json.loads(run("k8s", "status", submitted, "--json").out)
    assert (row["outcome"], row["pods"]) == ("going", 1)


def test_logs_of_pods(run: Run, server: FakeApi, submitted: str) -> None:
    cluster = server.start(submitted)
    server.log(f"{cluster}-submitter", "a", "b", "c")
    server.log(f"{cluster}-head", "head")
    assert run("logs", submitted, "--tail", "2").out == "b\nc\n"
    assert run("logs", submitted, "--pod", "head").out == "head\n"
    assert run("logs", submitted, "--pod", f"{cluster}-head").out == "head\n"
    missing = run("logs", submitted, "--pod", "worker")
    assert missing.status == 2
    assert f"Its pods: {cluster}-submitter, {cluster}-head" in missing.err
    assert server.sent("GET", "pods")[1].query["container"] == "ray-job-submitter"


def test_the_log_of_any_pod_is_followed_to_the_jobs_end(
    run: Run, server: FakeApi, submitted: str
) -> None:
    def lose() -> None:
        for role in ("head", "submitter"):
            server.drop_pod(f"{first}-{role}")
        server.set_status(submitted, jobDeploymentStatus="Retrying", jobStatus="FAILED", failed=1)

    def again() -> None:
        server.log(f"{server.start(submitted)}-head", "the second head")

    def fail() -> None:
        server.set_status(submitted, jobDeploymentStatus="Failed", reason="AppFailed")

    first = server.start(submitted)
    server.log(f"{first}-head", "before", "the first head")
    events = iter([lambda: None, lose, again, fail])

    def play(request: Request) -> None:
        if request.query.get("watch"):  # the log has been read before
            next(events, lambda: None)()

    server.faults.append(play)  # type: ignore[arg-type]
    done = run("logs", submitted, "--pod", "head", "--follow", "--tail", "1")
    assert done.status == 1
    assert done.out.splitlines() == ["the first head", "the second head"]
    named = run("logs", submitted, "--pod", f"{first}-head", "--follow")
    assert (named.status, named.out) == (2, "")
    assert "has no such pod" in named.err


def test_logs_without_pods_say_where_else_to_look(
    run: Run, server: FakeApi, submitted: str
) -> None:
    waiting = run("logs", submitted)
    assert waiting.status == 1
    assert f"{submitted}: has no pods now" in waiting.err
    assert f"xtransfer k8s status {submitted}" in waiting.err
    server.set_status(submitted, jobDeploymentStatus="Failed", reason="AppFailed")
    for words in ((), ("--pod", "head"), ("--pod", "head", "--follow"), ("--follow",)):
        ended = run("logs", submitted, *words)
        assert ended.status == 1
        assert f"xtransfer logs {submitted} --store s3://xtransfer/study" in ended.err


def test_cancelling(run: Run, server: FakeApi, submitted: str) -> None:
    assert run("cancel", submitted).out == f"{submitted}: cancelled\n"
    assert server.all("rayjobs") == []
    assert run("cancel", submitted).status == 5


def test_setup_applies_the_surroundings(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    done = run("k8s", "setup", KIND)
    assert done.status == 0
    assert "Role/xtransfer-submitter applied" in done.out
    assert server.all("rayjobs") == []


def test_a_role_that_was_never_filled_in_is_not_set_up(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest], tmp_path: Path
) -> None:
    assert kubeconfig.exists()
    bodies = [copy.deepcopy(manifest.body) for manifest in manifests]
    (head,) = [
        body
        for body in bodies
        if (body["kind"], body["metadata"]["name"]) == ("ServiceAccount", "xtransfer-head")
    ]
    role = "arn:aws:iam::000000000000:role/xtransfer"
    head["metadata"]["annotations"] = {"eks.amazonaws.com/role-arn": role}
    (tmp_path / "all.yaml").write_text(yaml.safe_dump_all(bodies), encoding="utf-8")
    done = run("k8s", "setup", tmp_path)
    assert done.status == 2
    assert "nothing was sent, for it is not filled in yet" in done.err
    assert (
        "ServiceAccount xtransfer-head: its eks.amazonaws.com/role-arn is the example's" in done.err
    )
    assert server.sent("PATCH", "serviceaccounts") == []
    assert run("k8s", "setup", tmp_path, "--dry-run").status == 0


def test_a_dry_setup_does_not_say_that_the_server_takes_what_was_not_tried(
    run: Run, server: FakeApi, kubeconfig: Path, manifests: list[Manifest]
) -> None:
    assert kubeconfig.exists()
    assert manifests
    del server.objects["namespaces", "", "xtransfer"]
    done = run("k8s", "setup", KIND, "--dry-run")
    assert "Namespace/xtransfer taken (dry run)\n" in done.out
    assert "Role/xtransfer-submitter (not tried: no namespace yet)\n" in done.out


# --- contexts ------------------------------------------------------------------------------------


def test_contexts_and_namespaces_are_kubectls(
    run: Run, server: FakeApi, submitted: str, kubeconfig: Path
) -> None:
    assert submitted in run("k8s", "status").out
    assert submitted not in run("k8s", "status", "--context", "other").out
    assert server.requests[-1].path.split("/")[5] == "elsewhere"
    assert submitted in run("k8s", "status", "--context", "other", "-n", "xtransfer").out
    write_kubeconfig(kubeconfig, server.url)
    run("k8s", "status")
    assert server.requests[-1].path.split("/")[5] == "default"


def test_an_unknown_context_is_a_mistake(run: Run, kubeconfig: Path) -> None:
    assert kubeconfig.exists()
    done = run("k8s", "status", "--context", "nowhere")
    assert done.status == 2
    assert "kubectl config get-contexts" in done.err


def test_no_kubeconfig_is_a_mistake(
    run: Run, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig.unlink()
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = run("k8s", "status")
    assert done.status == 2
    assert "kubeconfig" in done.err


def test_a_server_that_is_not_there_is_a_failure(
    run: Run, kubeconfig: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_kubeconfig(kubeconfig, "http://127.0.0.1:9")
    monkeypatch.setattr(apis, "TRIES", 1)
    done = run("k8s", "status")
    assert done.status == 1
    assert "no answer to GET http://127.0.0.1:9/apis/ray.io/v1/" in done.err


def test_without_the_package_the_remedy_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def blocked(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".", maxsplit=1)[0] == "kubernetes":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", blocked)
    done = run("k8s", "status")
    assert done.status == 1
    assert "pip install 'xtransfer[k8s]'" in done.err
    assert "Traceback" not in done.err


def test_checking_needs_no_package_and_no_cluster(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    shutil.copy(KIND.parents[1] / "base" / "namespace.yaml", tmp_path)
    done = run("k8s", "check", tmp_path)
    assert done.status == 2
    assert "no NetworkPolicy closes the namespace" in done.out

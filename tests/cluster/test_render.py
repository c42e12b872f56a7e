"""Overlays, folders and files become manifests, or one line that says why not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.conftest import KIND
from tests.needs import need_kustomize
from xtransfer.cluster import render as rendering
from xtransfer.cluster.manifests import parse_manifests, pod_templates
from xtransfer.cluster.quantities import quantity
from xtransfer.cluster.render import render
from xtransfer.errors import ConfigError, XtransferError

ONE = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def test_a_folder_of_files_is_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "two.yml").write_text(ONE.replace("a}", "b}"), encoding="utf-8")
    (tmp_path / "a.yaml").write_text(f"---\n{ONE}---\n{ONE.replace('a}', 'c}')}", encoding="utf-8")
    (tmp_path / "note.txt").write_text("no", encoding="utf-8")
    assert [manifest.name for manifest in render(tmp_path)] == ["a", "c", "b"]


def test_a_list_is_taken_apart() -> None:
    text = f"apiVersion: v1\nkind: List\nitems:\n- {ONE.strip().replace(chr(10), chr(10) + '  ')}\n"
    assert [manifest.name for manifest in parse_manifests(text, "f")] == ["a"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [", "f:1: not valid YAML"),
        ("just text", "document 1 is no Kubernetes object"),
        (f"{ONE}---\nname: small\n", "document 2 is no Kubernetes object"),
    ],
)
def test_what_is_no_manifest_is_named(text: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        parse_manifests(text, "f")


def test_nothing_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file or folder"):
        render(tmp_path / "none")
    with pytest.raises(ConfigError, match="holds no YAML file"):
        render(tmp_path)


def test_an_overlay_needs_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "find_kustomize", lambda: None)
    with pytest.raises(XtransferError, match="neither kubectl nor kustomize"):
        render(KIND)


def test_an_overlay_that_kustomize_refuses_is_an_error_in_one_line(tmp_path: Path) -> None:
    need_kustomize()
    (tmp_path / "kustomization.yaml").write_text("resources: [nothing.yaml]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"kustomize refuses it: .*nothing\.yaml") as caught:
        render(tmp_path)
    assert "\n" not in str(caught.value)


def test_rendering_asks_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, program = tmp_path / "config", tmp_path / "kubectl"
    config.write_text("kind: Config\n", encoding="utf-8")
    program.write_text(f"#!/bin/sh\ntest -s \"$KUBECONFIG\" || printf '{ONE}'\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("KUBECONFIG", str(config))
    monkeypatch.setattr(rendering, "find_kustomize", lambda: [str(program), "kustomize"])
    assert [manifest.name for manifest in render(KIND)] == ["a"]


@pytest.mark.parametrize("kind", ["Deployment", "Job", "StatefulSet"])
def test_pods_of_core_kinds_are_looked_at_too(kind: str) -> None:
    body = {"kind": kind, "spec": {"template": {"spec": {"containers": [{"name": "a"}]}}}}
    (template,) = pod_templates(body)
    assert [path for path, _ in template.containers()] == ["spec.template.spec.containers[0]"]


def test_pods_themselves_and_of_cron_jobs_are_looked_at_too() -> None:
    pod = {"kind": "Pod", "spec": {"initContainers": [{"name": "a"}]}}
    assert [path for path, _ in pod_templates(pod)[0].containers()] == ["$.spec.initContainers[0]"]
    cron = {"kind": "CronJob", "spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}}
    assert pod_templates(cron)[0].path == "spec.jobTemplate.spec.template"


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1Gi", "1024Mi"),
        ("0.5", "500m"),
        (2, "2"),
        ("1.5Gi", "1536Mi"),
        ("1e3", "1k"),
        ("1.5E+3", "1500"),
        ("5e-1", ".5"),
        ("1Ei", "1024Pi"),
        ("1E", "1000P"),
        ("500u", "500000n"),
        ("+2.", 2.0),
    ],
)
def test_equal_quantities_are_equal(left: object, right: object) -> None:
    assert quantity(left) == quantity(right) is not None


def test_what_is_no_quantity_is_none() -> None:
    for none in ("much", "3Zi", "1 Gi", "1e3Gi", "-1", ".", "", None, True):
        assert quantity(none) is None

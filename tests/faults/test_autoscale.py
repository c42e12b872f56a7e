"""What the autoscaling campaign takes from the manifests, and what it calls fine."""

from __future__ import annotations

from pathlib import Path

from tests.faults.autoscale import OVERLAY, Scaled, mount
from tests.needs import need_kustomize
from tests.s3_server import S3Server
from xtransfer.cluster.jobs import assemble
from xtransfer.cluster.render import render
from xtransfer.config.placement import load_placement

UP_AND_DOWN = [(0.0, 0), (10.0, 2), (20.0, 1), (30.0, 2), (60.0, 0)]


def test_the_entry_point_is_the_rayjobs_with_its_files_elsewhere(tmp_path: Path) -> None:
    need_kustomize()
    objects = assemble(render(OVERLAY), experiment="x", plan_key="0" * 12, text="name: x\n")
    server = S3Server("http://127.0.0.1:1", "bucket", "me", "secret")
    program, _, module, experiment, option, placement, *more = mount(
        objects, tmp_path / "etc", server
    ).split()
    assert [program, module, option] == ["python", "ray_jobs.experiment", "--placement"]
    assert Path(experiment).read_text(encoding="utf-8") == "name: x\n"
    assert load_placement(Path(placement)).store == "s3://xtransfer/study"
    assert more[:2] == ["--place", "s3.endpoint_url=http://127.0.0.1:1"]


def test_fine_is_up_a_loss_up_again_and_down() -> None:
    fine = Scaled(steps=18, status="SUCCEEDED", nodes=UP_AND_DOWN, lost_at=15.0)
    assert fine.fine
    assert not Scaled(steps=18, status="FAILED", nodes=UP_AND_DOWN, lost_at=15.0).fine
    for nodes in (UP_AND_DOWN[:-1], UP_AND_DOWN[1:], [*UP_AND_DOWN[:3], UP_AND_DOWN[-1]]):
        assert not Scaled(steps=18, status="SUCCEEDED", nodes=nodes, lost_at=15.0).fine
    fine.repeated.append("a step")
    assert not fine.fine

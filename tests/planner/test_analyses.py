from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.prints import FakePrints
from tests.test_plan import SMALL
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan
from xtransfer.planner.planner import build_plan
from xtransfer.planner.subplan import part


def plan_with(folder: Path, analyses: str, *overrides: str) -> Plan:
    raw = {**yaml.safe_load(SMALL), "analyses": yaml.safe_load(analyses)}
    raw["target"]["tasks"] = ["xnli", "tatoeba"]
    raw["target"]["languages"] = {"xnli": ["en", "de"], "tatoeba": ["de", "fr"]}
    path = folder / "analyses.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return build_plan(load_experiment(path, overrides), FakePrints())


def test_forgetting_is_measured_for_every_model_that_had_an_intermediate_task(
    tmp_path: Path,
) -> None:
    plan = plan_with(tmp_path, "{forgetting: true}")
    assert {(p.kind, p.task, p.after, p.target, p.seed) for p in plan.probes} == {
        ("forgetting", arm, arm, "xnli", seed) for arm in ("mnli", "squad_v1") for seed in (1, 2)
    }
    for probe in plan.probes:
        step = plan.steps[probe.key]
        model, head = (plan.steps[step.inputs[role]] for role in ("model", "head"))
        assert (model.kind, model.phase) == ("select", "target")
        assert (head.kind, head.phase) == ("select", "intermediate")
        assert plan.steps[step.inputs["test"]].name == f"{probe.task}-dev"


def test_each_task_of_an_arm_has_its_own_head(tmp_path: Path) -> None:
    plan = plan_with(
        tmp_path, "{forgetting: true}", "intermediate.tasks=[{name: both, tasks: [mnli, ccg]}]"
    )
    heads = {p.task: plan.steps[p.key].spec["analysis"]["head"] for p in plan.probes}
    assert heads == {"mnli": 0, "ccg": 1}
    labels = {p.task: "labels" in plan.steps[p.key].inputs for p in plan.probes}
    assert labels == {"mnli": False, "ccg": True}


def test_alignment_is_measured_before_and_after(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, "{alignment: {targets: [xnli]}}")
    places = {(probe.after, probe.target, probe.seed) for probe in plan.probes}
    arms = ("baseline", "mnli", "squad_v1")
    assert places == {(arm, "", None) for arm in arms} | {
        (arm, "xnli", seed) for arm in arms for seed in (1, 2)
    }
    encoder = next(p for p in plan.probes if (p.after, p.target) == ("baseline", ""))
    assert plan.steps[encoder.key].spec["encoder"] == {"model": "first"}
    assert plan.steps[encoder.key].spec["languages"] == ["de", "fr"]
    scored = {c.key for c in plan.cells}
    assert not scored & {probe.key for probe in plan.probes}


def test_analyses_change_no_other_key_and_survive_reading_back(tmp_path: Path) -> None:
    plain = plan_with(tmp_path, "{}")
    plan = plan_with(tmp_path, "{forgetting: true, alignment: {languages: [de]}}")
    assert set(plain.steps) <= set(plan.steps)
    assert plain.cells == plan.cells
    assert plain.probes == ()
    again = Plan.from_json(plan.to_json())
    assert again.probes == plan.probes
    assert Plan.from_json({k: v for k, v in plan.to_json().items() if k != "probes"}).probes == ()


def test_a_part_of_a_plan_has_the_probes_of_its_steps(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, "{forgetting: true}")
    first = plan.probes[0]
    assert part(plan, [first.key]).probes == (first,)


@pytest.mark.parametrize(
    ("analyses", "message"),
    [
        ("{alignment: {task: xnli}}", "'xnli' has no sentence pairs"),
        ("{alignment: {task: bucc2018}}", "'bucc2018' has no sentence pairs"),
        ("{alignment: {languages: [xx]}}", "'tatoeba' has no language 'xx'"),
        ("{alignment: {targets: [tatoeba]}}", "'tatoeba' is no target that is trained for"),
        ("{forgeting: true}", "forgetting"),
    ],
)
def test_what_cannot_be_analysed_is_refused(tmp_path: Path, analyses: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_with(tmp_path, analyses)

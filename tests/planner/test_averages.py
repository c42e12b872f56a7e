from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.prints import FakePrints
from tests.test_plan import SMALL
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan


def plan_with(folder: Path, average: str | None, *overrides: str) -> Plan:
    raw = yaml.safe_load(SMALL)
    raw["target"]["tasks"] = ["xnli", "tatoeba"]
    raw["target"]["languages"] = {"xnli": ["en", "de"], "tatoeba": ["de"]}
    raw["intermediate"]["tasks"] = ["squad_v1"]
    if average is not None:
        raw["target"]["average"] = yaml.safe_load(average)
    path = folder / "averages.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return build_plan(load_experiment(path, overrides), FakePrints())


def averages(plan: Plan) -> list[Step]:
    return [step for step in plan.steps.values() if step.kind == "average"]


def rows(plan: Plan) -> set[tuple[str, str, int | None]]:
    return {(cell.target, cell.intermediate, cell.seed) for cell in plan.cells}


def test_checkpoints_are_averaged_seed_by_seed_and_then_over_seeds(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, "{checkpoints: 3, seeds: true}")
    without = plan_with(tmp_path, None)
    assert rows(plan) - rows(without) == {
        ("xnli", f"{arm}, mean of last 3{over}", seed)
        for arm in ("baseline", "squad_v1")
        for over, seed in (("", 1), ("", 2), (" over seeds", None))
    }
    (over,) = (s for s in averages(plan) if s.spec["of"] == "runs" and "-after-" not in s.name)
    parents = [plan.steps[key] for key in over.inputs.values()]
    assert [step.kind for step in parents] == ["average", "average"]
    assert [plan.steps[key].kind for step in parents for key in step.inputs.values()] == [
        "select",
        "select",
    ]


def test_over_seeds_alone_the_selected_models_are_averaged(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, "{seeds: true}")
    assert {plan.steps[k].kind for s in averages(plan) for k in s.inputs.values()} == {"select"}
    assert ("xnli", "baseline, mean over seeds", None) in rows(plan)


def test_heads_of_averaged_seeds_are_one_draw_and_only_the_last_stage_keeps_checkpoints(
    tmp_path: Path,
) -> None:
    plan = plan_with(tmp_path, "{seeds: true, checkpoints: 2, which: best, head_seed: 7}")
    trials = [step for step in plan.steps.values() if step.kind == "train"]
    target = [step for step in trials if step.phase == "target"]
    assert {step.spec["head_seed"] for step in target} == {7}
    assert {tuple(step.spec["snapshots"].items()) for step in target} == {
        (("count", 2), ("which", "best"))
    }
    assert not any("head_seed" in step.spec for step in trials if step.phase == "intermediate")


def test_without_averages_every_key_is_as_before(tmp_path: Path) -> None:
    plain = plan_with(tmp_path, None)
    checkpoints = plan_with(tmp_path, "{checkpoints: 2}")
    kept = {key for key, step in plain.steps.items() if step.phase in ("data", "intermediate")}
    assert kept <= set(checkpoints.steps)
    assert not any({"head_seed", "snapshots"} & set(step.spec) for step in plain.steps.values())
    assert not averages(plain)


def test_a_plan_with_averages_reads_back(tmp_path: Path) -> None:
    plan = plan_with(tmp_path, "{checkpoints: 2, seeds: true}")
    again = Plan.from_json(plan.to_json())
    assert list(again.steps) == list(plan.steps)
    assert again.cells == plan.cells


@pytest.mark.parametrize(
    ("average", "overrides", "message"),
    [
        ("{}", (), "asks for nothing"),
        ("{checkpoints: 1}", (), "greater than or equal to 2"),
        ("{seeds: true}", ("target.seeds=[1]",), "there is one seed, and no mean of one"),
        ("{checkpoints: 2}", ("training.eval_every=null",), "eval_every: null scores it once"),
        ("{seeds: true}", ("target.select_per_seed=false",), "lets one trial go on"),
    ],
)
def test_what_cannot_be_averaged_is_refused(
    tmp_path: Path, average: str, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        plan_with(tmp_path, average, *overrides)

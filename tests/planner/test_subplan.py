from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from tests.prints import FakePrints
from xtransfer import cli
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.planner.subplan import part_named

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def plan() -> Plan:
    experiment = load_experiment(CHECKOUT / "tests" / "integration" / "tiny.yaml")
    return build_plan(experiment, Fingerprints(experiment, lenient=True))


def kinds(plan: Plan) -> dict[str, int]:
    return plan.counts()


def test_all_is_all(plan: Plan) -> None:
    assert part_named(plan, None) == plan


def test_the_data_are_the_prepare_steps_and_the_tokenizer(plan: Plan) -> None:
    found = part_named(plan, "data")
    assert set(kinds(found)) == {"prepare", "pretrain"}
    assert kinds(found)["prepare"] == kinds(plan)["prepare"]
    assert found.cells == ()


def test_a_sweep_has_its_trials_its_choice_and_their_parents(plan: Plan) -> None:
    found = part_named(plan, "intermediate:commonsenseqa")
    assert kinds(found) == {
        "pretrain": 1,
        "prepare": 2,
        "train (intermediate)": 2,
        "select (intermediate)": 1,
    }
    both = part_named(plan, "target:xnli")
    assert kinds(both)["train (target)"] == 2
    one = part_named(plan, "target:xnli after baseline")
    assert kinds(one)["train (target)"] == 1
    assert "train (intermediate)" not in kinds(one)


SHARED = """
name: shared
encoder: encoder
intermediate:
  tasks: [mnli]
  seeds: [1, 2]
  learning_rates: [1e-5]
  overrides:
    all: {epochs: 2, batch_size: 24, max_length: 128}
target:
  tasks: [xquad, mlqa, xnli, tatoeba]
  seeds: [1]
  learning_rates: [1e-5]
  overrides:
    all: {epochs: 2, batch_size: 24, max_length: 128}
  languages: {xquad: [en], mlqa: [en], xnli: [en], tatoeba: [de]}
"""


def test_a_target_that_shares_its_trials_has_its_sweeps_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "shared.yaml"
    path.write_text(SHARED, encoding="utf-8")
    plan = build_plan(load_experiment(path), FakePrints())
    sweeps = {step.sweep for step in plan.steps.values() if step.kind == "train"}
    assert sweeps == {"mnli", "xquad after baseline", "xquad after mnli", "xnli after mnli"}
    for name in ("", " after baseline", " after mnli"):
        one, other = (part_named(plan, f"target:{target}{name}") for target in ("xquad", "mlqa"))
        assert set(one.steps) == set(other.steps)
        assert kinds(one)["train (target)"] == (1 if name else 2)
    # XNLI trains on MNLI, here just as the intermediate phase does; of that only its own seed is needed.
    found = part_named(plan, "target:xnli after baseline")
    assert [step.spec["seed"] for step in found.steps.values() if step.kind == "train"] == [1]
    assert kinds(part_named(plan, "target:xnli"))["train (target)"] == 1
    with pytest.raises(ConfigError, match="no target sweep"):
        part_named(plan, "target:tatoeba")


def test_an_arm_of_the_same_content_as_another_has_its_sweep_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "shared.yaml"
    arms = "[mnli, {name: again, task: mnli}, qqp]"
    path.write_text(SHARED.replace("[mnli]", arms, 1), encoding="utf-8")
    plan = build_plan(load_experiment(path), FakePrints())
    assert "again" not in {step.sweep for step in plan.steps.values()}
    first, other = (part_named(plan, f"intermediate:{name}") for name in ("mnli", "again"))
    assert kinds(other)["train (intermediate)"] == 2
    assert {step.key for step in other.steps.values()} <= set(first.steps)
    assert {step.sweep for step in part_named(plan, "intermediate:qqp").steps.values()} <= {
        "qqp",
        "",
    }
    with pytest.raises(ConfigError, match=r"no intermediate sweep .*There are: again, mnli, qqp"):
        part_named(plan, "intermediate:baseline")


@pytest.mark.parametrize("kind", ["train", "select"])
def test_a_model_is_evaluated_in_all_its_languages(plan: Plan, kind: str) -> None:
    evaluate = next(step for step in plan.steps.values() if step.name.startswith("xnli-after"))
    select = plan.steps[evaluate.inputs["model"]]
    key = select.key if kind == "select" else next(iter(select.inputs.values()))
    found = part_named(plan, f"model:{key[:8]}")
    assert [s.key for s in found.steps.values() if s.kind == "evaluate"] == [evaluate.key]
    assert {cell.key for cell in found.cells} == {evaluate.key}


def test_a_part_has_the_parents_of_all_its_steps_before_them(plan: Plan) -> None:
    for name in ("data", "intermediate:commonsenseqa", "target:xnli"):
        seen: set[str] = set()
        for key, step in part_named(plan, name).steps.items():
            assert set(step.inputs.values()) <= seen
            seen.add(key)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("everything", "is no part of a plan"),
        ("target:", "is no part of a plan"),
        ("target:xnl", "Did you mean"),
        ("model:zzz", "0 steps have such a key"),
    ],
)
def test_what_is_no_part_is_said(plan: Plan, name: str, what: str) -> None:
    with pytest.raises(ConfigError, match=what):
        part_named(plan, name)


@pytest.mark.parametrize(
    ("job", "given", "part"),
    [
        ("prepare", [], ["--only", "data"]),
        ("sweep", ["target", "xnli"], ["--only", "target:xnli"]),
        ("evaluate", ["0123"], ["--only", "model:0123"]),
        ("experiment", [], []),
    ],
)
def test_ray_jobs_run_parts_on_the_cluster_they_are_on(
    monkeypatch: pytest.MonkeyPatch, job: str, given: list[str], part: list[str]
) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr(cli, "main", lambda: called.append(sys.argv))
    monkeypatch.setattr(sys, "argv", ["job", *given, "a.yaml", "--store", "s3://b/c"])
    runpy.run_module(f"ray_jobs.{job}", run_name="__main__")
    end = ["--place", "ray.address=auto"]
    assert called == [["xtransfer", "run", "a.yaml", "--store", "s3://b/c", *part, *end]]


@pytest.mark.parametrize(
    ("job", "given"), [("sweep", ["target", "a.yaml"]), ("evaluate", ["0123"])]
)
def test_a_ray_job_that_lacks_an_argument_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], job: str, given: list[str]
) -> None:
    monkeypatch.setattr(cli, "main", lambda: pytest.fail("something was run"))
    monkeypatch.setattr(sys, "argv", ["job", *given])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module(f"ray_jobs.{job}", run_name="__main__")
    assert caught.value.code == 2
    assert f"`python -m ray_jobs.{job} " in capsys.readouterr().err

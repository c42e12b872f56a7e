from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.benchmark.runs import experiment, plan_of
from tests.recorded import record_of
from xtransfer.benchmark.choice import Chosen, choose_runs
from xtransfer.errors import ConfigError, UserError
from xtransfer.plan import Plan
from xtransfer.records.record import Record
from xtransfer.tasks import TASKS


def make(tmp_path: Path, *overrides: str) -> tuple[Plan, dict[str, Record]]:
    plan = plan_of(
        experiment(
            tmp_path,
            "target.tasks=[xnli, xquad, tatoeba]",
            "target.languages={xnli: [de, en], tatoeba: [de]}",
            *overrides,
        )
    )
    records = {key: record_of(step) for key, step in plan.steps.items()}
    for key, step in plan.steps.items():
        if step.kind == "select":
            dev = {"mnli-seed1": 70.0, "mnli-after-squad_v1-seed1": 71.5}.get(step.name, 50.0)
            result = {**records[key].result, "score": dev}
            records[key] = records[key].model_copy(update={"result": result})
    return plan, records


def named(chosen: list[Chosen]) -> dict[str, tuple[str, int | None]]:
    return {each.cell.target: (each.cell.intermediate, each.cell.seed) for each in chosen}


def test_a_run_with_one_choice_needs_no_word(tmp_path: Path) -> None:
    plan, records = make(tmp_path, "intermediate.tasks=[]")
    assert named(choose_runs(plan, records)) == {
        "xnli": ("baseline", 1),
        "xquad": ("baseline", 1),
        "tatoeba": ("baseline", None),
    }


def test_an_arm_is_for_all_targets_or_for_one(tmp_path: Path) -> None:
    plan, records = make(tmp_path)
    chosen = choose_runs(plan, records, after=["squad_v1", "xquad=baseline"])
    assert named(chosen) == {
        "xnli": ("squad_v1", 1),
        "xquad": ("baseline", 1),
        "tatoeba": ("squad_v1", None),
    }
    assert [each.note() for each in chosen] == [
        "xnli: after squad_v1, seed 1",
        "xquad: baseline, seed 1",
        "tatoeba: after squad_v1",
    ]


def test_the_best_is_each_targets_own_by_dev_score(tmp_path: Path) -> None:
    plan, records = make(tmp_path)
    chosen = choose_runs(plan, records, after=["best", "tatoeba=squad_v1"])
    assert named(chosen)["xnli"] == ("squad_v1", 1)
    assert named(chosen)["xquad"] == ("baseline", 1)  # a tie goes to the first
    assert chosen[0].note() == "xnli: after squad_v1, seed 1 (best by dev: 71.50)"


def test_a_seed_is_asked_for_where_there_are_several(tmp_path: Path) -> None:
    plan, records = make(tmp_path, "target.seeds=[1, 2]")
    chosen = choose_runs(plan, records, after=["squad_v1"], seed=2)
    assert named(chosen) == {
        "xnli": ("squad_v1", 2),
        "xquad": ("squad_v1", 2),
        "tatoeba": ("squad_v1", None),
    }
    with pytest.raises(ConfigError, match=r"xnli: was run with 2 seeds: 1, 2\. Say which with"):
        choose_runs(plan, records, after=["squad_v1"])
    with pytest.raises(ConfigError, match=r"--seed 3: xnli was not run with it\. Its seeds: 1, 2"):
        choose_runs(plan, records, after=["squad_v1"], seed=3)


MISTAKES = {
    "none named": ([], r"xnli: was run after 2 arms: baseline, squad_v1\. Say which with --after"),
    "unknown arm": (["squad"], r"not run after 'squad'\. Did you mean 'squad_v1'\? It was after"),
    "unknown target": (["xnly=best"], r"no target 'xnly'\. Did you mean 'xnli'\?"),
    "twice": (["best", "baseline"], r"names a second run for all targets"),
    "twice for one": (["xnli=best", "xnli=mnli"], r"names a second run for target 'xnli'"),
    "no dev score": (["best"], r"tatoeba is not trained.* Add --after tatoeba=ARM, one of: base"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_the_choices(tmp_path: Path, name: str) -> None:
    after, message = MISTAKES[name]
    plan, records = make(tmp_path)
    with pytest.raises(ConfigError, match=message):
        choose_runs(plan, records, after=after)


def test_a_run_that_is_not_scored_is_named(tmp_path: Path) -> None:
    plan, records = make(tmp_path)
    cell = next(c for c in plan.cells if (c.target, c.intermediate) == ("xquad", "squad_v1"))
    del records[cell.key]
    for after in ("squad_v1", "best"):
        with pytest.raises(UserError, match="xquad: after squad_v1, seed 1: is not scored yet"):
            choose_runs(plan, records, after=[after])
    assert named(choose_runs(plan, records, after=["baseline"]))["xquad"] == ("baseline", 1)
    del records[plan.steps[next(c for c in plan.cells if c.target == "xnli").key].inputs["model"]]
    with pytest.raises(UserError, match="the dev score of its run after baseline is not recorded"):
        choose_runs(plan, records, after=["best"])


def test_runs_after_few_shots_are_no_candidates(tmp_path: Path) -> None:
    few = "target.few_shot={xnli: {examples: [4], languages: [de]}}"
    plan, records = make(tmp_path, "intermediate.tasks=[]", few)
    assert any(cell.few_shot for cell in plan.cells)
    assert all(not each.cell.few_shot for each in choose_runs(plan, records))


def test_a_target_of_neither_benchmark_is_not_asked_about(tmp_path: Path) -> None:
    """It is left out, so that no run of it need be chosen."""
    own = {
        **TASKS["tatoeba"].model_dump(mode="json"),
        "name": "own",
        "benchmark": "",
    }
    plan, records = make(
        tmp_path,
        f"tasks=[{json.dumps(own)}]",
        "target={tasks: [xnli, own], languages: {own: [de]}}",
    )
    assert named(choose_runs(plan, records, after=["best"])) == {"xnli": ("squad_v1", 1)}

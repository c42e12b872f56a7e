from __future__ import annotations

from typing import Any

import pytest

from tests.recorded import record_of
from tests.sweeps.test_settings import GRID, plan_of, trials
from xtransfer.config.experiment import Experiment
from xtransfer.plan import Plan
from xtransfer.records.record import Record
from xtransfer.report.savings import device_hours, search_notes, stopping_of
from xtransfer.report.study import study_of
from xtransfer.settings import read_settings

SEARCH = (
    "intermediate.search={kind: random, low: 1e-6, high: 1e-4, trials: 3}",
    "intermediate.asha={grace: 25}",
)
GPUS = {"train": {"cpus": 4, "gpus": 2, "workers": 1}}


@pytest.fixture
def plan() -> Plan:
    return plan_of(*SEARCH)


def trial(step: Any, *, stopped_at: int | None = None, placement: Any = GPUS) -> Record:
    result = {
        **record_of(step).result,
        "total_steps": 100,
        "steps": stopped_at or 100,
        "history": [{"step": 10, "dev accuracy": 50.0, "loss": 1.0}],
    }
    if stopped_at is not None:
        result["stopped_at"] = stopped_at
    timing = {"seconds": 36.0 * (stopped_at or 100)}
    return record_of(step).model_copy(
        update={"result": result, "placement": placement, "timing": timing}
    )


def recorded(plan: Plan, *, scores: tuple[float, float, float]) -> dict[str, Record]:
    """The first trial ran to its end and was chosen; the others were stopped at 25 and 50 percent."""
    steps = trials(plan)
    records = {
        step.key: trial(step, stopped_at=rung)
        for step, rung in zip(steps, (None, 25, 50), strict=True)
    }
    choice = next(
        s for s in plan.steps.values() if s.kind == "select" and s.phase == "intermediate"
    )
    candidates = [
        {
            "key": step.key,
            "score": score,
            "learning_rate": step.spec["learning_rate"],
            "seed": 1,
            **({"rung": rung} if rung else {}),
        }
        for step, score, rung in zip(steps, scores, (None, 25, 50), strict=True)
    ]
    result = {"chosen": steps[0].key, "score": scores[0], "candidates": candidates}
    records[choice.key] = record_of(choice).model_copy(update={"result": result})
    return records


def test_what_stopping_saved_is_told_by_each_trials_own_speed(plan: Plan) -> None:
    (found,) = stopping_of(plan, recorded(plan, scores=(70.0, 50.0, 61.0)))
    assert (found.phase, found.trials, found.stopped) == ("intermediate", 3, 2)
    assert found.spent_h == pytest.approx(2 * (0.25 + 0.5))
    assert found.whole_h == pytest.approx(2 * 2)
    assert found.behind == pytest.approx(9.0)
    assert stopping_of(plan, {}) == ()


@pytest.mark.parametrize(
    ("third", "text"), [(61.0, "9.0 points below"), (71.5, "1.5 points ABOVE")]
)
def test_the_report_says_what_was_searched_saved_and_risked(
    plan: Plan, third: float, text: str
) -> None:
    experiment = read_settings(Experiment, None, (*GRID, *SEARCH), "test")
    search, stopping = search_notes(experiment, plan, recorded(plan, scores=(70.0, 50.0, third)))
    assert search == (
        "intermediate phase: learning rates by random search, 3 between 1e-06 and 0.0001, seed 0"
    )
    assert "ASHA stopped 2 of 3 trials; they took 1.5 GPU-hours" in stopping
    assert "would have taken about 4 at their own speed" in stopping
    assert f"the nearest was {text} the dev score of the trial that was chosen" in stopping


def test_a_grid_has_nothing_to_say() -> None:
    plan = plan_of("intermediate.learning_rates=[1e-5]")
    experiment = read_settings(Experiment, None, GRID, "test")
    assert search_notes(experiment, plan, {}) == []


def test_a_step_without_a_gpu_counts_its_cpus(plan: Plan) -> None:
    step = trials(plan)[0]
    place = {"train": {"cpus": 4, "gpus": 0, "workers": [1, 2]}}
    assert device_hours(trial(step)) == pytest.approx(2.0)
    assert device_hours(trial(step, placement=place)) == pytest.approx(8.0)


def test_the_study_says_which_candidates_were_stopped(plan: Plan) -> None:
    experiment = read_settings(Experiment, None, (*GRID, *SEARCH), "test")
    (choice,) = study_of(experiment, plan, recorded(plan, scores=(70.0, 50.0, 61.0))).choices
    assert [each.rung for each in choice.candidates] == [None, 25, 50]

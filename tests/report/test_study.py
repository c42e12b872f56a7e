from __future__ import annotations

from dataclasses import replace

import pytest

from tests.report.studies import small_study
from xtransfer.report.scatter import dots_of, line_of
from xtransfer.report.study import study_of


def test_curves_are_of_chosen_trials_or_of_all_before_a_choice() -> None:
    made = small_study(drawn=False)
    chosen = {
        record.result["chosen"] for record in made.records.values() if record.kind == "select"
    }
    assert {key for curve in made.study.curves for key in curve.keys} == chosen
    trials = {key: r for key, r in made.records.items() if r.kind == "train"}
    early = study_of(made.experiment, made.plan, trials)
    assert {key for curve in early.curves for key in curve.keys} == set(trials)
    curve = early.curves[0]
    history = trials[curve.keys[0]].result["history"]
    assert [point.step for point in curve.points] == [entry["step"] for entry in history]
    assert [point.dev for point in curve.points] == [entry["dev accuracy"] for entry in history]


def test_a_trial_of_several_tasks_is_drawn_by_their_mean() -> None:
    made = small_study(drawn=False)
    key, record = next((k, r) for k, r in made.records.items() if r.kind == "train")
    step = made.plan.steps[key]
    parts = [{**step.spec["parts"][0], "task": name} for name in ("mnli", "qqp")]
    both = replace(step, spec={**step.spec, "parts": parts})
    history = [
        {"step": 0, "dev text loss": 3.0},
        {"step": 5, "loss": 1.0, "dev mnli accuracy": 40.0, "dev qqp accuracy": 60.0},
    ]
    changed = record.model_copy(
        update={
            "key": both.key,
            "spec": dict(both.spec),
            "result": {**record.result, "history": history},
        }
    )
    plan = replace(made.plan, steps={both.key: both})
    (curve,) = study_of(made.experiment, plan, {both.key: changed}).curves
    assert [(p.step, p.loss, p.dev) for p in curve.points] == [(0, None, None), (5, 1.0, 50.0)]


def test_the_language_of_the_training_data_is_no_dot() -> None:
    made = small_study()
    dots = dots_of(made.answer, made.study.train_languages)
    assert {dot.language for dot in dots} == {"de", "sw", "tr", "fi", "ta", "te"}
    (german,) = [dot for dot in dots if (dot.language, dot.after) == ("de", "mnli")]
    assert german.targets == ("xnli", "tatoeba")
    line = line_of(made.answer, "syntactic", dots)
    assert line is not None
    assert line.at(line.x) == line.y
    assert line.at(line.x + 1) - line.y == pytest.approx(line.slope)
    assert line.at(line.x + 1, line.low) < line.at(line.x + 1) < line.at(line.x + 1, line.high)

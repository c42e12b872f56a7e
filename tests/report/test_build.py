from __future__ import annotations

import io
import json
from typing import cast

import pytest
from rich.console import Console

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.costs.estimate import Question, estimate
from xtransfer.driver.progress import ProgressBoard
from xtransfer.plan import Plan, few_shot_data
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record
from xtransfer.report.build import collect_results, describe_run, results_json
from xtransfer.settings import read_settings
from xtransfer.tasks import TASKS


def experiment(*overrides: str) -> Experiment:
    given_ = [
        "name=small",
        "encoder={name: models/tiny, notes: [a caveat]}",
        "notes=[a remark]",
        "data.limits={seed: 7, train: 100, test: 100}",
        "intermediate={tasks: [mnli], learning_rates: [1e-5, 2e-5]}",
        (
            "target={tasks: [xnli, tatoeba], seeds: [1, 2], "
            "languages: {xnli: [en, de], tatoeba: [de]}}"
        ),
        *overrides,
    ]
    return read_settings(Experiment, None, given_, "test")


@pytest.fixture
def plan() -> Plan:
    return build_plan(experiment(), FakePrints())


def records(plan: Plan, *kinds: str) -> dict[str, Record]:
    return {key: record_of(step) for key, step in plan.steps.items() if step.kind in kinds}


def test_there_is_a_result_for_every_cell_and_language(plan: Plan) -> None:
    results = collect_results(plan, records(plan, "evaluate"))
    assert {(r.target, r.intermediate, r.seed, r.language) for r in results} == {
        *(
            ("xnli", arm, seed, language)
            for arm in ("baseline", "mnli")
            for seed in (1, 2)
            for language in ("en", "de")
        ),
        *(("tatoeba", arm, None, "de") for arm in ("baseline", "mnli")),
    }
    assert len(results) == 10
    for result in results:
        assert result.value == (40.0 if result.intermediate == "baseline" else 45.0)
        assert result.metrics["other"] == 1.0
        assert result.metric == "accuracy"
        assert result.group == {"xnli": "classification", "tatoeba": "retrieval"}[result.target]
        assert result.key in plan.steps


def test_cells_without_a_record_are_left_out_and_named_as_missing(plan: Plan) -> None:
    found = records(plan, "evaluate")
    dropped = next(
        c for c in plan.cells if (c.target, c.seed, c.intermediate) == ("xnli", 2, "mnli")
    )
    del found[dropped.key]
    assert len(collect_results(plan, found)) == 8
    info = describe_run(experiment(), plan, found)
    assert info.missing == ["xnli after mnli, seed 2: not scored yet"]


def test_of_a_held_out_dev_set_paragraphs_are_told_where_there_are_any() -> None:
    asked = experiment(
        "intermediate={tasks: [mnli, squad_v1]}", "data.holdout={mnli: 50, squad_v1: 60}"
    )
    cuts = describe_run(asked, build_plan(asked, FakePrints()), {}).cuts
    assert list(cuts) == [
        "mnli dev: held out of the training file, 50 examples, drawn with seed 7",
        (
            "squad_v1 dev: held out of the training file, at least 60 examples in whole paragraphs, "
            "drawn with seed 7"
        ),
    ]


def test_guessing_is_reckoned_where_the_task_says_how_often_it_is_right() -> None:
    stage = {"epochs": 1, "batch_size": 8, "max_length": 32}
    tasks = [
        {
            **TASKS[like].model_dump(mode="json"),
            "name": name,
            "metric": metric,
            "stages": [{"task": name, **stage}],
        }
        for name, like, metric in (
            ("own-pairs", "qqp", "accuracy_and_f1"),
            ("own-choices", "hellaswag", "accuracy"),
            ("plain", "qqp", "accuracy"),
        )
    ]
    names = ["own-pairs", "own-choices", "plain", "xcopa"]
    own = experiment(f"tasks={json.dumps(tasks)}", f"target={{tasks: {names}}}")
    info = describe_run(own, build_plan(own, FakePrints()), {})
    assert info.chance == {"own-pairs": None, "own-choices": None, "plain": 50.0, "xcopa": 50.0}


def test_forms_come_with_the_results() -> None:
    own = experiment("target={tasks: [udpos, xnli], languages: {udpos: [de], xnli: [de]}}")
    plan = build_plan(own, FakePrints())
    found = collect_results(plan, records(plan, "evaluate"))
    assert {(each.target, each.form) for each in found} == {
        ("udpos", "tagging"),
        ("xnli", "classification"),
    }


def test_failures_are_named_with_their_reason(plan: Plan) -> None:
    key, step = next((k, s) for k, s in plan.steps.items() if s.kind == "train")
    done = records(plan, "evaluate")
    info = describe_run(experiment(), plan, done, {key: "out of memory", "0" * 12: "not ours"})
    assert info.missing == [f"{step.folder} failed: out of memory"]
    several = {key: "so" for key in reversed(list(plan.steps)) if key not in done}
    told = describe_run(experiment(), plan, done, several).missing
    assert [each.partition(" ")[0] for each in told] == [
        step.folder for key, step in plan.steps.items() if key not in done
    ]
    recorded = {**done, key: record_of(step)}
    assert describe_run(experiment(), plan, recorded, {key: "later mended"}).missing == []


def test_what_a_reader_must_know_is_said(plan: Plan) -> None:
    info = describe_run(experiment(), plan, records(plan, "evaluate", "prepare"))
    assert (info.name, info.encoder, info.plan_key) == ("small", "tiny", plan.key)
    assert info.encoder_notes == ("a caveat",)
    assert info.notes[0] == "a remark"
    assert any("seeds 1, 2; the best learning rate of each seed" in note for note in info.notes)
    assert any("the best trial of each sweep goes on" in note for note in info.notes)
    assert any("hidden_states[1]" in note for note in info.notes)
    assert any(note.startswith("mnli train") and "inputs cut" in note for note in info.notes)
    assert info.languages == {"xnli": ("en", "de"), "tatoeba": ("de",)}
    assert info.chance == {"xnli": pytest.approx(100 / 3), "tatoeba": 1.0}
    assert info.chance_in == {"tatoeba": {"de": 1.0}}
    assert info.single_split == ["tatoeba"]


def test_every_cut_of_the_data_is_named(plan: Plan) -> None:
    info = describe_run(experiment(), plan, records(plan, "prepare"))
    assert info.cuts == [
        "mnli train: 100 of 500 examples, sampled with seed 7",
        "tatoeba test: 100 of 500 examples, sampled with seed 7",
        "xnli test: 100 of 500 per language, sampled with seed 7",
    ]


def test_a_few_shot_sample_is_no_cut_of_the_training_set() -> None:
    shots = "target.few_shot={xnli: {examples: [8], languages: [de]}}"
    asked = experiment(shots, "target.seeds=[1]", "data.limits={}")
    plan = build_plan(asked, FakePrints())
    (data,) = {key for step in plan.steps.values() for key in few_shot_data(step)}
    cuts = describe_run(asked, plan, {data: record_of(plan.steps[data])}).cuts
    (cut,) = cuts
    assert cut.startswith("few-shot xnli de: 100 of 500 examples, sampled with seed")


def test_what_is_held_out_of_several_languages_is_so_of_each() -> None:
    arm = (
        "{name: two, task: mnli, languages: [sw, tr], dev_languages: [sw, tr], "
        "source: {files: {train: ['{lang}']}}}"
    )
    asked = experiment(f"intermediate={{tasks: [{arm}]}}", "data.holdout={mnli: 10}")
    cuts = describe_run(asked, build_plan(asked, FakePrints()), {}).cuts
    text = "mnli dev: held out of the training file, 10 examples per language, drawn with seed 7"
    assert text in cuts


@pytest.mark.parametrize(
    ("phase", "text"),
    [
        (
            "target.rule=mean_over_seeds",
            "the trial of each seed at the learning rate with the highest mean over seeds goes on, by dev score in",
        ),
        (
            "target.rule=tied_over_seeds",
            "at the lowest learning rate whose mean over seeds is in the 95 % interval of the highest mean goes on",
        ),
        (
            "target={tasks: [xnli], seeds: [1, 2], select_per_seed: false, rule: mean_over_seeds}",
            "the best trial at the learning rate with the highest mean over seeds goes on, by dev",
        ),
        (
            "target={tasks: [xnli], rule: target_dev}",
            "the best learning rate of each seed goes on, by dev score in the target languages",
        ),
        (
            "target={tasks: [xnli], seeds: [1, 2], rules: {xnli: mean_over_seeds}}",
            "xnli: the trial of each seed at the learning rate with the highest mean over seeds goes on",
        ),
    ],
)
def test_each_rule_of_selection_has_a_sentence(phase: str, text: str) -> None:
    asked = experiment(phase)
    notes = describe_run(asked, build_plan(asked, FakePrints()), {}).notes
    assert any(text in note for note in notes), notes


def test_what_was_drawn_is_told_beside_what_was_planned() -> None:
    asked = experiment("intermediate={tasks: [{name: both, tasks: [mnli, cosmosqa]}]}")
    plan = build_plan(asked, FakePrints())
    key = next(key for key, step in plan.steps.items() if step.kind == "select")
    trial = plan.steps[plan.steps[key].inputs["trial-000"]]
    done = record_of(trial)
    parts = [
        {"name": name, "share": 0.5, "draws": n} for name, n in (("mnli", 9), ("cosmosqa", 15))
    ]
    found = {
        key: record_of(plan.steps[key]),
        trial.key: done.model_copy(update={"result": {**done.result, "parts": parts}}),
    }
    text = "drew, in optimizer steps: mnli 9 (37.5 %, planned 50.0 %), cosmosqa 15 (62.5 %, planned 50.0 %)"
    assert any(text in note for note in describe_run(asked, plan, found).notes)


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("name=small", "hidden_states[1]; the layer is the default, at 14/24 of the depth, not"),
        ("retrieval.layer=1", "hidden_states[1]; the layer was set in the configuration, not"),
    ],
)
def test_a_layer_that_nobody_set_is_the_default(override: str, text: str) -> None:
    asked = experiment(override)
    plan = build_plan(asked, FakePrints())
    notes = describe_run(asked, plan, records(plan, "evaluate")).notes
    assert any(text in note for note in notes)


def test_a_hub_encoder_is_named_in_full(plan: Plan) -> None:
    hub = experiment(f"encoder={{name: org/model, revision: '{'0' * 40}'}}")
    assert describe_run(hub, plan, {}).encoder == "org/model"
    tiny = experiment("encoder={pretrain: {}}")
    assert "pretrained by this run" in describe_run(tiny, plan, {}).encoder


def test_results_are_json_rows(plan: Plan) -> None:
    rows = results_json(collect_results(plan, records(plan, "evaluate")))
    assert len(rows) == 10
    assert rows[1] == {
        "target": "xnli",
        "intermediate": "baseline",
        "seed": 1,
        "few_shot": 0,
        "language": "en",
        "metric": "accuracy",
        "value": 40.0,
        "metrics": {"accuracy": 40.0, "other": 1.0},
        "examples": 100,
        "selected_on": "mnli dev en",
        "key": plan.cells[0].key,
    }


def test_a_selection_that_was_made_without_failed_trials_is_named(plan: Plan) -> None:
    done = {key: record_of(step) for key, step in plan.steps.items()}
    key, step = next((k, s) for k, s in plan.steps.items() if s.kind == "select")
    says = f"{step.name}: selected without 1 of 2 trials, which had failed"
    assert says not in describe_run(experiment(), plan, done).notes
    result = {**done[key].result, "lacking": [step.inputs["trial-001"]]}
    done[key] = done[key].model_copy(update={"result": result})
    assert says in describe_run(experiment(), plan, done).notes


def test_two_arms_on_text_are_told_apart() -> None:
    arms = "[{name: ta, text: {languages: [ta]}}, {name: sw, text: {languages: [sw]}}]"
    asked = experiment(f"intermediate={{tasks: {arms}}}")
    plan = build_plan(asked, FakePrints())
    trials = [each for each in plan.steps.values() if each.name.startswith("text-lr")]
    assert [(each.name, each.arm) for each in trials] == [
        ("text-lr5e-06-seed1", " (ta)"),
        ("text-lr5e-06-seed1", " (sw)"),
    ]
    found: dict[str, Record] = {}
    for each in plan.steps.values():
        if each.kind == "select" and each.name.startswith("text"):
            trial = plan.steps[each.inputs["trial-000"]]
            parts = [{"name": name, "share": 0.5, "draws": 1} for name in ("a", "b")]
            done = record_of(trial)
            found[trial.key] = done.model_copy(update={"result": {**done.result, "parts": parts}})
            found[each.key] = record_of(each)
    notes = describe_run(asked, plan, found).notes
    for arm in ("ta", "sw"):
        assert any(note.startswith(f"text-lr5e-06-seed1 ({arm}) drew,") for note in notes)
    board = ProgressBoard(plan, Console(file=io.StringIO()))
    board.changed(trials[0].key, "done", "")
    written = cast("io.StringIO", board.console.file).getvalue()
    assert f"{trials[0].folder} (ta)" in " ".join(written.split())
    left = estimate(plan, {}, Placement(), Question())
    about = {each.about for each in left.durations.values()}
    assert {"prepare text (256 tokens) (ta)", "train text (256 tokens) (sw)"} <= about

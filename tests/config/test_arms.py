"""What arms, text, few-shot stages and tasks of the user's own become in a plan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.prints import FakePrints
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.tasks import TASKS

BASE = """
name: arms
encoder: encoder
intermediate:
  tasks: [{arm}]
  seeds: [1]
target:
  tasks: [xnli]
  languages: {{xnli: [en, sw]}}
"""


def plan_of(folder: Path, arm: str, **sections: Any) -> Plan:
    raw = yaml.safe_load(BASE.format(arm=arm))
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
    path = folder / "arms.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return build_plan(load_experiment(path), FakePrints())


def first(plan: Plan, kind: str, phase: str) -> Step:
    return next(s for s in plan.steps.values() if (s.kind, s.phase) == (kind, phase))


def parents(plan: Plan, step: Step) -> dict[str, Step]:
    return {role: plan.steps[key] for role, key in step.inputs.items()}


def test_a_bare_name_and_its_written_out_form_are_one_arm(tmp_path: Path) -> None:
    short = plan_of(tmp_path, "mnli")
    long = plan_of(tmp_path, "{name: mnli, task: mnli, languages: [en]}")
    assert list(short.steps) == list(long.steps)
    other = plan_of(tmp_path, "{name: other, task: mnli}")
    assert list(short.steps) == list(other.steps)
    assert [s.folder for s in short.steps.values()] == [s.folder for s in other.steps.values()]
    assert {cell.intermediate for cell in other.cells} == {"baseline", "other"}


def test_several_tasks_are_parts_of_one_trial(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "{name: multi, tasks: [mnli, squad_v1], sampling: {kind: temperature, temperature: 2}}",
        intermediate={"overrides": {"squad_v1": {"max_length": 320}, "multi": {"epochs": 5}}},
    )
    trial = first(plan, "train", "intermediate")
    assert [part["task"] for part in trial.spec["parts"]] == ["mnli", "squad_v1"]
    assert trial.spec["sampling"] == {"kind": "temperature", "cap": 2**17, "temperature": 2.0}
    assert (trial.spec["epochs"], trial.spec["batch_size"]) == (5, 24)
    data = parents(plan, trial)
    assert set(data) == {"train mnli", "dev mnli", "train squad_v1", "dev squad_v1"}
    assert data["train squad_v1"].spec["max_length"] == 320
    assert data["train mnli"].spec["max_length"] == 256
    chosen = first(plan, "select", "intermediate")
    assert chosen.spec["split"] == "mean of mnli dev en, squad_v1 dev en"
    assert trial.name == "mnli+squad_v1-lr1e-05-seed1"


def test_text_beside_a_task_halves_its_default_learning_rate(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, "{name: mixed, task: mnli, text: {languages: [en, sw], files: ['t/{lang}.txt']}}"
    )
    trial = first(plan, "train", "intermediate")
    assert trial.spec["learning_rate"] == 5e-6
    assert trial.spec["text"]["languages"] == ["en", "sw"]
    data = parents(plan, trial)
    assert set(data["train text"].spec["data"]) == {"en", "sw"}
    assert data["train text"].spec["holdout"] == data["dev text"].spec["holdout"]
    assert data["train text"].spec["role"] != data["dev text"].spec["role"]
    assert data["train text"].where["files"] == ["t/{lang}.txt"]
    assert first(plan_of(tmp_path, "mnli"), "train", "intermediate").spec["learning_rate"] == 1e-5


def test_text_may_be_all_that_there_is(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "{name: more-mlm, text: {languages: [sw]}}")
    trial = first(plan, "train", "intermediate")
    assert trial.spec["parts"] == []
    assert first(plan, "select", "intermediate").spec["split"] == "text dev sw"


def test_another_source_language_has_its_own_files(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        "{name: mnli-sw, task: mnli, languages: [sw], source: {format: tsv, "
        "files: {train: ['xnli/train-{lang}.tsv'], dev: ['xnli/dev-{lang}.tsv']}, "
        "columns: {text_a: '0', text_b: '1', label: '2'}}}",
    )
    trial = first(plan, "train", "intermediate")
    assert trial.spec["parts"][0]["languages"] == ["sw"]
    data = parents(plan, trial)
    assert data["train mnli"].where["files"] == ["xnli/train-{lang}.tsv"]
    assert data["train mnli"].spec["source"]["format"] == "tsv"
    assert list(data["dev mnli"].spec["data"]) == ["sw"]
    assert {cell.selected_on for cell in plan.cells} == {
        "mnli dev en",
        "mnli dev sw, then mnli dev en",
    }
    # The targets' own training data are the task's, not the arm's.
    target = next(s for s in plan.steps.values() if s.kind == "train" and s.phase == "target")
    assert parents(plan, target)["train mnli"].spec["source"]["format"] == "jsonl"


def test_an_arms_own_files_go_before_the_experiments(tmp_path: Path) -> None:
    data = {"files": {"mnli": {"train": ["cut.jsonl"], "dev": ["cut-dev.jsonl"]}}}
    arm = "{name: own, task: mnli, source: {files: {train: [own.jsonl], dev: [own-dev.jsonl]}}}"
    plan = plan_of(tmp_path, arm, data=data)
    trial = first(plan, "train", "intermediate")
    assert parents(plan, trial)["train mnli"].where["files"] == ["own.jsonl"]
    assert parents(plan, trial)["dev mnli"].where["files"] == ["own-dev.jsonl"]
    other = first(plan_of(tmp_path, "mnli", data=data), "train", "intermediate")
    assert parents(plan_of(tmp_path, "mnli", data=data), other)["train mnli"].where["files"] == [
        "cut.jsonl"
    ]


@pytest.mark.parametrize(("spread", "examples"), [("true", None), ("900", 900)])
def test_examples_can_be_spread_over_languages(
    tmp_path: Path, spread: str, examples: int | None
) -> None:
    arm = f"{{name: wide, task: mnli, languages: [en, sw], dev_languages: [en], spread: {spread}}}"
    plan = plan_of(tmp_path, arm, data={"files": {"mnli": {"train": ["mnli-{lang}.jsonl"]}}})
    data = parents(plan, first(plan, "train", "intermediate"))
    assert data["train mnli"].spec["spread"] == {"examples": examples, "seed": 0}
    assert "spread" not in data["dev mnli"].spec
    assert list(data["dev mnli"].spec["data"]) == ["en"]


def test_few_shot_stages_follow_every_selected_model(tmp_path: Path) -> None:
    few = {"examples": [10, 100], "languages": ["sw"], "split": "dev", "epochs": 3}
    plan = plan_of(tmp_path, "mnli", target={"few_shot": {"xnli": few}, "seeds": [1, 2]})
    shots = [cell for cell in plan.cells if cell.few_shot]
    assert len(plan.cells) - len(shots) == 4
    assert {(c.intermediate, c.seed, c.few_shot) for c in shots} == {
        (arm, seed, count) for arm in ("baseline", "mnli") for seed in (1, 2) for count in (10, 100)
    }
    for cell in shots:
        scored = plan.steps[cell.key]
        assert scored.spec["languages"] == ["sw"]
        trial = plan.steps[scored.inputs["model"]]
        assert (trial.spec["keep"], trial.spec["head"]) == ("last", "kept")
        assert set(trial.inputs) == {"train xnli", "start"}
        data = plan.steps[trial.inputs["train xnli"]]
        assert data.spec["limit"] == {"examples": cell.few_shot, "seed": cell.seed}
        assert data.spec["split"] == "dev"
        start = plan.steps[trial.inputs["start"]]
        zero = next(
            plan.steps[c.key].inputs["model"]
            for c in plan.cells
            if not c.few_shot and (c.intermediate, c.seed) == (cell.intermediate, cell.seed)
        )
        assert start.key == zero


def test_a_plan_carries_its_tasks_as_json(tmp_path: Path) -> None:
    own = {
        "name": "reviews",
        "form": "classification",
        "metric": "accuracy",
        "labels": ["bad", "good"],
        "source": {"format": "tsv", "files": {"train": ["r.tsv"], "dev": ["r.tsv"]}},
        "as_intermediate": {"epochs": 1, "batch_size": 2, "max_length": 16},
    }
    plan = plan_of(tmp_path, "reviews", tasks=[own])
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert list(again.steps) == list(plan.steps)
    assert (again.cells, again.tasks) == (plan.cells, plan.tasks)
    assert again.tasks["reviews"].as_intermediate is not None
    assert again.tasks["reviews"].as_intermediate.task == "reviews"
    assert list(again.tasks) == ["reviews", "xnli", "mnli"]


def test_a_task_can_start_from_a_known_one_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "snli.yaml").write_text(
        "name: snli\nlike: mnli\nsource: {files: {train: [snli/t.jsonl], dev: [snli/d.jsonl]}}\n"
    )
    plan = plan_of(tmp_path, "snli", tasks=["tasks/snli.yaml"])
    task = plan.tasks["snli"]
    assert task.labels == ("entailment", "neutral", "contradiction")
    assert task.source.skip_labels == ("-",)
    assert task.as_intermediate is not None
    assert (task.as_intermediate.task, task.as_intermediate.batch_size) == ("snli", 24)


OWN = "{name: own, form: classification, metric: accuracy, labels: [a, b], source: {format: tsv}, "
STAGE = "as_intermediate: {epochs: 1, batch_size: 2, max_length: 16}"


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (f"tasks: [{OWN}{STAGE}}}, {OWN}{STAGE}}}]", "tasks[1].name: 'own' is there twice"),
        (f"tasks: [{OWN}}}]".replace(", }", "}"), "tasks[0]: says neither `as_intermediate` nor"),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("accuracy", "f2"),
            "tasks[0].metric: a classification task has no metric 'f2'. It has: accuracy,",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace(" labels: [a, b],", ""),
            "tasks[0].labels: a classification task needs its labels",
        ),
        (f"tasks: [{OWN}{STAGE}}}]".replace("name: own", "name: mnli"), "'mnli' is built in"),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("format: tsv", "format: tsv, columns: {textb: '1'}"),
            "tasks[0].source.columns.textb: a classification task has no field 'textb'. Did you mean 'text_b'?",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {columns: {texta: a}}}]}",
            "source.columns.texta: a classification task has no field 'texta'",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("accuracy", "accuracy_and_f1"),
            "tasks[0].labels: `accuracy_and_f1` takes the F1 of label '1' of two",
        ),
        (
            "tasks: [{name: own, like: panx, labels: [O, B-LOC, E-LOC]}]",
            "tasks[0].labels: 'E-LOC' is not O, B-type or I-type",
        ),
        (
            "tasks: [{name: own, like: mlqa, languages: [en, sw]}]",
            "tasks[0].metric: MLQA has no rules for sw. Take `qa`",
        ),
        (
            "tasks: [{name: own, like: xquad, labels: [no answer]}]",
            "tasks[0].labels: a span task has the label 'no answer' with the metric squad_v2",
        ),
        (
            "tasks: [{name: own, like: bucc2018, source: {files: {test: [a, b, c]}}}]",
            "tasks[0].source.files: have no `dev`, which the threshold",
        ),
        (
            "tasks: [{name: own, like: xnli, labels: [neutral, entailment, contradiction]}]",
            "tasks[0].stages[0].task: 'mnli' has other labels, or in another order: 'entailment', 'neutral'",
        ),
        (
            (
                "tasks: [{name: own, like: panx, stages: [{task: udpos, epochs: 1, batch_size: 2, "
                "max_length: 16}]}]"
            ),
            "tasks[0].stages[0].task: 'udpos' has other labels, or in another order: 'ADJ'",
        ),
        (
            (
                "tasks: [{name: own, like: xnli, stages: [{task: copa, epochs: 1, batch_size: 2, "
                "max_length: 16}]}]"
            ),
            "tasks[0].stages[0].task: 'copa' is a choice task, and its head cannot do this classification",
        ),
        (
            "tasks: [{name: own, like: xnli, stages: []}]",
            "tasks[0].stages: are none, but a classification task has a head, which must be trained",
        ),
        (
            (
                "tasks: [{name: own, like: mnli, as_intermediate: {task: qqp, epochs: 1, batch_size: 2, "
                "max_length: 16}}]"
            ),
            "tasks[0].as_intermediate.task: is 'qqp', but as an intermediate task 'own' is trained on",
        ),
        (
            f"tasks: [{{name: own, form: mlm, metric: loss, source: {{format: text}}, {STAGE}}}]",
            "tasks[0].as_intermediate: 'own' is of the form 'mlm', which no stage trains",
        ),
        (
            f"tasks: [{{name: own, like: tatoeba, {STAGE}}}]",
            "tasks[0].as_intermediate: 'own' is of the form 'bitext', which no stage trains",
        ),
        (
            f"tasks: [{{name: own, like: bucc2018, {STAGE.replace('as_intermediate: {', 'stages: [{task: text, ')}]}}]",
            "tasks[0].stages[0].task: 'text' is of the form 'mlm', which no stage trains",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("[a, b]", "[a, b, a]"),
            "tasks[0].labels: have a repeated one: 'a', 'b', 'a'",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("[a, b]", "[a, '']"),
            "tasks[0].labels: have an empty one: 'a', ''",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("format: tsv", "format: text"),
            "tasks[0].source.format: a classification task is not read from 'text'. It is from: tsv,",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {format: conll}}]}",
            "source.format: a classification task is not read from 'conll'",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("format: tsv", "format: hub"),
            "tasks[0].source.hub: is empty, but the format is 'hub'",
        ),
        (
            "tasks: [{name: own, like: udpos, source: {columns: {tags: '4'}}}]",
            "tasks[0].source.columns: is for tables: what is where in a 'conll' file is fixed",
        ),
        (
            "tasks: [{name: own, like: xquad, source: {header: true}}]",
            "tasks[0].source.header: is for tables: what is where in a 'squad' file is fixed",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("classification", "choice").replace(
                " labels: [a, b],", ""
            ),
            "tasks[0].labels: are none, so it is not known what the files write for the first answer",
        ),
        (
            "tasks: [{name: own, like: tatoeba, max_length: 0}]",
            "tasks[0].max_length: input should be greater than or equal to 8",
        ),
        ("tasks: [{name: own, like: xnli, languages: []}]", "languages: needs at least one"),
        (
            "tasks: [{name: own, like: xnli, languages: [de, de]}]",
            "tasks[0].languages: has a repeated entry: ['de', 'de']",
        ),
        (
            "target: {tasks: [xnli], languages: {xnli: [en, en, sw]}}",
            "target.languages: has a repeated entry",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("epochs: 1", "epochs: 0"),
            "as_intermediate.epochs: input should be greater than or equal to 1",
        ),
        (
            "data: {limits: {tasks: {xnli: {test: 0}}}}",
            "data.limits.tasks.xnli.test: input should be greater than or equal to 1",
        ),
        ("encoder: {pretrain: {steps: 5}}", "encoder.pretrain: pretrains on artificial languages"),
        ("tasks: [{name: own, like: mnly}]", "tasks[0].like: no task 'mnly'. Did you mean 'mnli'?"),
        ("tasks: [nowhere.yaml]", "nowhere.yaml: no such file"),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("format: tsv", "format: tvs"),
            "tasks[0].source.format: input should be 'tsv'",
        ),
        ("intermediate: {tasks: [{name: x}]}", "needs a `task`, `tasks` or `text` to train on"),
        ("intermediate: {tasks: [{name: x, task: a, tasks: [b]}]}", "either `task` or `tasks`"),
        ("intermediate: {tasks: [{name: x, tasks: [mnli, mnli]}]}", "has a repeated task"),
        ("intermediate: {tasks: [{name: baseline, task: mnli}]}", "'baseline' is the name of"),
        (
            "intermediate: {tasks: [{name: best, task: mnli}]}",
            "'best' is what `submission --after`",
        ),
        (
            "intermediate: {tasks: [{name: all, tasks: [mnli, qqp]}], overrides: {all: {epochs: 1}}}",
            "intermediate.overrides.all: is for every arm, and one has that name",
        ),
        (
            "intermediate: {tasks: [{name: x, tasks: [mnli, qqp], sampling: {temperature: 2}}]}",
            "`temperature` does nothing to proportional sampling",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, sampling: uniform}]}",
            "`sampling` is between several",
        ),
        *(
            (
                f"intermediate: {{tasks: [{{name: x, text: {{languages: [en]}}, {which}: [sw]}}]}}",
                "has no task to have `languages`",
            )
            for which in ("languages", "dev_languages")
        ),
        (
            "intermediate: {tasks: [{name: x, text: {languages: [en], probability: 0.7}}]}",
            "has no task to share its steps with: leave `text.probability` out",
        ),
        ("intermediate: {tasks: [mnli, {name: mnli, task: qqp}]}", "has a repeated entry"),
        (
            "intermediate: {tasks: [{name: x, tasks: [mnli, qqp], source: {format: tsv}}]}",
            "`source` needs exactly one task",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {fromat: tsv}}]}",
            "intermediate.tasks[0].source.fromat: unknown key 'fromat'. Did you mean 'format'?",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {files: {train: a}}}]}",
            "intermediate.tasks[0].source.files.train: must be a list, not 'a'. Write it in brackets",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {columns: {text_a: 0}}}]}",
            "intermediate.tasks[0].source.columns.text_a: must be a text, not 0. Put it in quotes.",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {labels: {e: entails}}}]}",
            "source.labels.e: 'entails' is no label of the task. Did you mean 'entailment'?",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {header: true}}]}",
            "source.header: is for tsv and csv: 'jsonl' names the fields of each row",
        ),
        (
            "intermediate: {tasks: [{name: x, task: mnli, source: {files: {train: [a, a]}}}]}",
            "source.files.train: have one twice, whose rows would count twice: ['a', 'a']",
        ),
        (
            "intermediate: {tasks: [{name: x, text: {languages: [en], files: [a, a]}}]}",
            "intermediate.tasks[0].text.files: have one twice, whose rows would count twice",
        ),
        (
            "tasks: [{name: own, like: ccg, source: {skip_labels: ['_']}}]",
            "tasks[0].source.skip_labels: is for labels, and the categories of 'ccg' files are taken",
        ),
        (
            "tasks: [{name: own, like: ccg, labels_from_data: true, labels: [a, b]}]",
            "tasks[0].labels_from_data: takes the labels from the training data, and `labels` lists",
        ),
        (
            f"tasks: [{OWN}{STAGE}, scoring: csls}}]",
            "tasks[0].scoring: is for sentence pairs, and a classification task has none",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("labels: [a, b]", "labels: [a]"),
            "tasks[0].labels: are one, 'a', and there is nothing to tell apart",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("epochs: 1", "stride: 9, epochs: 1"),
            "tasks[0].as_intermediate.stride: only tasks of the form span have windows",
        ),
        (
            f"tasks: [{OWN}{STAGE}}}]".replace("epochs: 1", "epoch: 1"),
            "tasks[0].as_intermediate.epoch: unknown key 'epoch'. Did you mean 'epochs'?",
        ),
        (
            "tasks: [{name: own, like: xnli, more_languages: [de]}]",
            "tasks[0].more_languages: has 'de', which `languages` has already",
        ),
        ("tasks: [{name: own, like: xnli, group: qua}]", "tasks[0].group: input should be 'class"),
        (
            "tasks: [{name: own, like: tatoeba, labels: [a]}]",
            "tasks[0].labels: are given, and a bitext task has none",
        ),
        (
            "tasks: [{name: own, like: tatoeba, source: {files: {dev: [a, b], test: [c, d]}}}]",
            "tasks[0].source.files.dev: is for the threshold of mined pairs (metric f1), and pairs line",
        ),
        (
            "tasks: [{name: own, like: tatoeba, metric: f1}]",
            "tasks[0].metric: 'f1' is not scored on files of the format 'bitext'",
        ),
        (
            "tasks: [{name: own, like: xquad, source: {skip_labels: ['-']}}]",
            "tasks[0].source.skip_labels: is for labels, and a span task has none",
        ),
        (
            "target: {tasks: [xnli], few_shot: {xnli: {examples: [5], languages: [de, de]}}}",
            "target.few_shot.xnli.languages: has a repeated entry: ['de', 'de']",
        ),
        ("intermediate: {tasks: [{task: mnli, spread: true}]}", "`spread` needs two or more"),
        (
            "target: {tasks: [tatoeba], few_shot: {tatoeba: {examples: [1], languages: [de]}}}",
            "target.few_shot.tatoeba: 'tatoeba' is not trained for",
        ),
        (
            "target: {tasks: [xnli], few_shot: {xnli: {examples: [1], languages: [fi]}}}",
            "target.few_shot.xnli.languages[0]: 'xnli' is not scored in 'fi'",
        ),
        (
            "target: {tasks: [tydiqa], few_shot: {tydiqa: {examples: [1], languages: [sw]}}}",
            "target.few_shot.tydiqa.split: 'tydiqa' has one labelled split",
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, section: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    raw = {"name": "x", "encoder": "e", "target": {"tasks": ["xnli"]}} | yaml.safe_load(section)
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_experiment(path)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arm", "sections", "message"),
    [
        (
            "{name: x, task: mnli, languages: [sw]}",
            {},
            "mnli train: mnli/multinli_1.0_train.jsonl would be read as en, sw, and names no language",
        ),
        (
            "{name: x, task: mnli, languages: [en, sw], source: {files: {train: [t], dev: [d]}}}",
            {},
            "mnli train: t would be read as en, sw",
        ),
        (
            "{name: x, task: mnli, languages: [en, sw], source: {files: {train: ['t-{lang2}'], dev: [d]}}}",
            {},
            "mnli train: t-{lang2} would be read as en, sw",  # which would be the name of one file
        ),
        ("mnli", {"data": {"files": {"xnli": {"test": ["test.tsv"]}}}}, "xnli test: test.tsv"),
        (
            "mnli",
            {
                "data": {"files": {"xnli": {"test": ["test.tsv"]}}},
                "target": {"languages": {}},  # all of the task's own
            },
            "xnli test: test.tsv would be read as ar, bg, de,",
        ),
        (
            "mnli",
            {
                "data": {"files": {"xnli": {"dev": ["dev.tsv"]}}},
                "target": {"few_shot": {"xnli": {"examples": [2], "languages": ["sw", "en"]}}},
            },
            "xnli dev: dev.tsv would be read as en, sw",
        ),
    ],
)
def test_files_that_name_no_language_are_not_read_as_any(
    tmp_path: Path, arm: str, sections: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan_of(tmp_path, arm, **sections)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("{id: '{lang}-'}", "own test: rows {'id': '{lang}-'} of 'zh' would hold those of 'zh-x'"),
        ("{id: '{lang}-', language: '{lang}'}", ""),
        ("{language: '{lang}'}", ""),
        ("{set: test}", ""),
    ],
)
def test_rows_that_may_be_of_two_languages_are_not_read(
    tmp_path: Path, choice: str, message: str
) -> None:
    files = "{test: ['{lang}.tsv']}" if "set" in choice else "{test: [all.tsv]}"
    source = f"{{header: true, files: {files}, rows: {choice}}}"
    record = f"{{name: own, like: xnli, languages: [zh, zh-x], source: {source}}}"
    sections = {"tasks": [yaml.safe_load(record)], "target": {"tasks": ["own"], "languages": {}}}
    if not message:
        assert plan_of(tmp_path, "mnli", **sections).cells
        return
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(tmp_path, "mnli", **sections)


def test_an_arm_may_name_files_of_its_one_language(tmp_path: Path) -> None:
    arm = "{name: x, task: mnli, languages: [sw], source: {files: {train: [t], dev: [d]}}}"
    trial = first(plan_of(tmp_path, arm), "train", "intermediate")
    assert trial.spec["parts"][0]["languages"] == ["sw"]


@pytest.mark.parametrize(
    ("record", "labels", "from_data", "longest"),
    [
        ("{name: own, like: ccg, labels: [a, b], languages: [en]}", ("a", "b"), False, 256),
        (
            "{name: own, like: panx, stages: [{epochs: 1, batch_size: 2, max_length: 16}]}",
            TASKS["panx"].labels,
            False,
            128,
        ),
    ],
)
def test_what_a_record_says_stands_in_the_place_of_what_it_inherits(
    tmp_path: Path, record: str, labels: tuple[str, ...], from_data: bool, longest: int
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"{{name: x, encoder: e, tasks: [{record}], target: {{tasks: [xnli]}}}}")
    (task,) = load_experiment(path).tasks
    assert (task.labels, task.labels_from_data, task.max_length) == (labels, from_data, longest)


@pytest.mark.parametrize(
    ("labels", "written"),
    [
        ("[ja, nein]", {}),
        ("[neutral, contradiction, entailment]", {"contradictory": "contradiction"}),
    ],
)
def test_labels_of_its_own_leave_what_files_write_for_others(
    tmp_path: Path, labels: str, written: dict[str, str]
) -> None:
    path = tmp_path / "x.yaml"
    stages = "stages: [{epochs: 1, batch_size: 2, max_length: 16}]"
    record = f"{{name: own, like: xnli, labels: {labels}, {stages}}}"
    path.write_text(f"{{name: x, encoder: e, tasks: [{record}], target: {{tasks: [own]}}}}")
    (task,) = load_experiment(path).tasks
    assert dict(task.source.labels) == written

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import caller
from tests.prints import FakePrints
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import load_placement
from xtransfer.planner.idle import idle_places, idle_settings
from xtransfer.planner.planner import build_plan

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SMALL = """
name: small
encoder: encoder
intermediate:
  tasks: [mnli, {name: both, tasks: [squad_v1, qqp]}, {name: more-mlm, text: {languages: [en]}}]
target: {tasks: [xnli, tatoeba], seeds: [1, 2], languages: {xnli: [en, de]}}
"""
HASH = "b8dd5d7af51114dbda02c0e3f6133f332186418e"
STAGE = "{task: a, epochs: 1, batch_size: 2, max_length: 16}"
CLAIM = "claims=[{name: C1, says: so, holds: {%s, greater_than: 0}}]"


def idle(folder: Path, *overrides: str) -> list[str]:
    path = folder / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    experiment = load_experiment(path, overrides)
    return idle_settings(experiment, build_plan(experiment, FakePrints()))


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.name)
def test_the_experiments_of_the_repository_have_no_idle_setting(path: Path) -> None:
    experiment = load_experiment(path)
    assert idle_settings(experiment, build_plan(experiment, FakePrints())) == []


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("data.holdout.mnli=9", "data.holdout.squad_v1=9"),
        ("data.limits.tasks={mnli: {train: 9, dev: 9}, xnli: {test: 9}, text: {train: 9}}",),
        ("data.files={mnli: {train: [a]}, tatoeba: {test: ['a-{lang}', 'b-{lang}']}}",),
        ("data.hub=[xnli]", f"data.revisions={{facebook/xnli: {HASH}}}"),
        ("target.overrides={all: {epochs: 1}, xnli: {epochs: 2}}",),
        ("intermediate.overrides={mnli: {epochs: 1}, both: {epochs: 1}, qqp: {max_length: 9}}",),
        ("retrieval={layer: 3, neighbours: 9, scoring: {tatoeba: csls}}",),
        ("training.eval_every=null", "training.patience=30"),
        ("target.rule=mean_over_seeds",),
        (
            f"tasks=[{{name: a, like: mnli}}, {{name: b, like: xnli, stages: [{STAGE}]}}]",
            "target.tasks=[b]",
            "target.languages={b: [en]}",
        ),
        ("target.search={kind: random, low: 1e-6, high: 1e-4}", "target.asha={grace: 50}"),
        ("pruning={keep: 1}", "target.average={seeds: true}", "analyses.forgetting=true"),
        ("analyses.alignment={}", "target.languages={tatoeba: [de]}", "target.tasks=[xnli]"),
        (CLAIM % "gain: {after: mnli, over: both, targets: [xnli], languages: [de]}",),
        (CLAIM % "best_gain: {targets: {but: [xnli]}, among: [mnli]}",),
    ],
)
def test_what_does_something_is_not_told(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    assert idle(tmp_path, *overrides) == []


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ("data.holdout.ccg=9", "data.holdout.ccg does nothing here: nothing is trained on 'ccg'"),
        (
            "data.limits.tasks.tatoeba.dev=9",
            "data.limits.tasks.tatoeba.dev does nothing here: no step reads dev data of 'tatoeba'",
        ),
        ("data.files.mnli.test=[a]", "data.files.mnli.test does nothing here: no step reads test"),
        (
            "data.files.mnli.train=[a] & data.synthetic.seed=1",
            "data.files.mnli.train does nothing here: artificial languages",
        ),
        (
            "data.sources.pawsx.header=true",
            "data.sources.pawsx does nothing here: no step reads data of 'pawsx'",
        ),
        ("data.hub=[pawsx]", "data.hub: pawsx does nothing here: no step reads data of 'pawsx'"),
        (f"data.revisions={{facebook/xnli: {HASH}}}", "data.revisions.facebook/xnli does nothing"),
        (
            "encoder={name: ., revision: main}",
            "encoder.revision does nothing here: '.' is a folder",
        ),
        (
            "target.languages.xquad=[de]",
            "target.languages.xquad does nothing here: 'xquad' is not among target.tasks",
        ),
        ("target.overrides.xquad.epochs=2", "target.overrides.xquad does nothing here: 'xquad' is"),
        ("intermediate.overrides.ccg.epochs=2", "intermediate.overrides.ccg does nothing here: no"),
        (
            "intermediate.overrides.qqp.epochs=2",
            "intermediate.overrides.qqp.epochs does nothing here: 'qqp' is trained on among others",
        ),
        (
            "intermediate.overrides.more-mlm.max_length=64",
            "intermediate.overrides.more-mlm.max_length does nothing here: 'more-mlm' has text",
        ),
        (
            "intermediate.tasks=[{name: a, task: mnli, source: {files: {train: [a], test: [b]}}}]",
            "intermediate.tasks[0].source.files.test does nothing here: an arm reads train and dev",
        ),
        (
            "tasks=[{name: own, like: mnli}]",
            "tasks[0] does nothing here: 'own' is no target, and no arm or stage trains on it",
        ),
        (
            "tasks=[{name: a, like: xnli, max_length: 64}] & target={tasks: [a, tatoeba]}",
            "tasks[0].max_length does nothing here: that of the last of its `stages` is taken",
        ),
        ("retrieval.scoring.bucc2018=csls", "retrieval.scoring.bucc2018 does nothing here: "),
        ("retrieval.neighbours=9", "retrieval.neighbours does nothing here: no target is scored"),
        (
            "target.tasks=[xnli] & retrieval.layer=3",
            "retrieval.layer does nothing here: no target compares sentences in two languages",
        ),
        (
            "training.eval_every=null & training.patience=3",
            "training.patience does nothing here: training.eval_every: null scores dev sets once",
        ),
        ("target.asha.grace=50", "target.asha does nothing here: each sweep is one trial"),
        ("intermediate.rule=mean_over_seeds", "intermediate.rule: mean_over_seeds does nothing"),
        (
            "target.search={kind: random, low: 1e-6, high: 1.001e-6}",
            "target.search tries 1 and not 8 learning rates",
        ),
        ("pruning.keep=9", "pruning does nothing here: every target keeps all"),
        (
            "target.tasks=[tatoeba] & target.average.seeds=true & target.languages={}",
            "target.average does nothing here: no target is trained for",
        ),
        (
            "intermediate.tasks=[] & analyses.forgetting=true",
            "analyses.forgetting does nothing here: no target is trained for after an",
        ),
        (
            CLAIM % "gain: {after: mnil}",
            "claim C1 may not be decidable here: this experiment has no arm 'mnil'. Did you mean 'mnli'?",
        ),
        (
            CLAIM % "score: {after: mnli, targets: [xquad]}",
            "claim C1 may not be decidable here: 'xquad' is not among target.tasks",
        ),
        (
            CLAIM % "score: {after: mnli, targets: {group: qa}}",
            "claim C1 may not be decidable here: target.tasks has none of its targets",
        ),
        (
            CLAIM % "score: {after: mnli, languages: [xx]}",
            "claim C1 may not be decidable here: none of its targets is scored in 'xx'",
        ),
    ],
)
def test_a_setting_without_effect_is_told_with_the_reason(
    tmp_path: Path, overrides: str, told: str
) -> None:
    found = idle(tmp_path, *overrides.split(" & "))
    assert len(found) == 1
    assert found[0].startswith(told)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ("ray.address=auto & ray.cpus=4", "ray.cpus does nothing here: it is of a private cluster"),
        ("ray.address=auto & ray.gpus=1", "ray.gpus does nothing here: it is of a private cluster"),
        ("train.resize_every_s=5", "train.resize_every_s does nothing here: train.workers is one"),
        ("train.skips_in_all=3", "train.skips_in_all does nothing here: training.on_nan is fail"),
        ("s3.attempts=3", "s3 does nothing here: the store is a folder"),
    ],
)
def test_a_place_without_effect_is_told_with_the_reason(
    tmp_path: Path, overrides: str, told: str
) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    (line,) = idle_places(load_experiment(path), load_placement(None, overrides.split(" & ")))
    assert line.startswith(told)


@pytest.mark.parametrize(
    "overrides",
    [
        "ray.cpus=4 & ray.gpus=1",
        "train.zero_stage=1",  # as in placements that others take over, some with several workers
        "train.resize_every_s=5 & train.workers=[1, 2]",
        "store=s3://bucket/a & s3.attempts=3",
    ],
)
def test_a_place_with_an_effect_is_not_told(tmp_path: Path, overrides: str) -> None:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    placement = load_placement(None, overrides.split(" & "))
    assert idle_places(load_experiment(path), placement) == []
    skipping = load_experiment(path, ["training.on_nan=skip"])
    assert idle_places(skipping, load_placement(None, ["train.skips_in_all=3"])) == []


def test_plan_and_dry_run_tell_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    call = caller(monkeypatch, capsys)
    (line,) = idle(tmp_path, "data.holdout.ccg=9")
    about = (tmp_path / "small.yaml", "--set", "data.holdout.ccg=9")
    about = (*about, "--store", f"file://{tmp_path}/store", "--place", "train.resize_every_s=5")
    place = "train.resize_every_s does nothing here: train.workers is one number, which stays"
    assert place in call("plan", *about).out.splitlines()
    assert line in call("plan", *about).out.splitlines()
    assert line in call("run", "--dry-run", *about).out.splitlines()
    assert json.loads(call("plan", "--json", *about).out)["idle_settings"] == [line, place]

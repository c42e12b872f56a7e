from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import VERSIONS, Plan, Step
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.inputs import InputSteps
from xtransfer.planner.lessons import LessonPart
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
SMALL = """
name: small
encoder: encoder
data: {limits: {seed: 1, train: 100}, holdout: {squad_v1: 10}}
intermediate: {tasks: [mnli, squad_v1], seeds: [1, 2], learning_rates: [1.0e-5, 2.0e-5]}
target:
  tasks: [xnli, xquad, mlqa, tatoeba]
  seeds: [1, 2]
  languages: {xnli: [en, de], xquad: [en, de], mlqa: [en], tatoeba: [de, fr]}
"""
SETTINGS = yaml.safe_load(SMALL)


def plan_of(folder: Path, *overrides: str, prints: FakePrints | None = None) -> Plan:
    path = folder / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return build_plan(load_experiment(path, overrides), prints or FakePrints())


@pytest.fixture
def small(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def steps(plan: Plan, kind: str, name: str = "") -> list[Step]:
    return [s for s in plan.steps.values() if s.kind == kind and s.name.startswith(name)]


def test_the_number_of_steps_of_each_kind(small: Plan) -> None:
    # Targets: two seeds after each of baseline, mnli and squad_v1; xquad and mlqa share theirs.
    assert small.counts() == {
        "prepare": 8,
        "train (intermediate)": 8,
        "select (intermediate)": 2,
        "train (target)": 12,
        "select (target)": 12,
        "evaluate": 21,
    }
    assert sum(small.counts().values()) == len(small.steps)


def test_parents_come_before_their_children(small: Plan) -> None:
    seen: set[str] = set()
    for key, step in small.steps.items():
        assert set(step.inputs.values()) <= seen
        seen.add(key)


def test_every_step_has_its_own_key_and_folder(small: Plan) -> None:
    assert [step.key for step in small.steps.values()] == list(small.steps)
    assert len({step.folder for step in small.steps.values()}) == len(small.steps)
    assert all(step.folder == f"{step.kind}/{step.name}-{key}" for key, step in small.steps.items())


def test_there_is_a_cell_for_every_arm_target_and_seed(small: Plan) -> None:
    assert len(small.cells) == 21
    assert {(c.target, c.intermediate, c.seed) for c in small.cells} == {
        (target, arm, seed)
        for target in ("xnli", "xquad", "mlqa", "tatoeba")
        for arm in ("baseline", "mnli", "squad_v1")
        for seed in ((1, 2) if target != "tatoeba" else (None,))
    }
    assert {cell.key for cell in small.cells} == {s.key for s in steps(small, "evaluate")}
    assert all(
        small.steps[cell.key].name.startswith(f"{cell.target}-after-{cell.intermediate}")
        for cell in small.cells
    )


def test_a_cell_says_what_chose_its_model(small: Plan) -> None:
    last = {"xnli": "mnli dev en", "xquad": "squad_v1 dev en", "mlqa": "squad_v1 dev en"}
    assert {(c.target, c.intermediate): c.selected_on for c in small.cells if c.seed != 2} == {
        **{(target, "baseline"): split for target, split in last.items()},
        **{
            (target, arm): f"{arm} dev en, then {split}"
            for target, split in last.items()
            for arm in ("mnli", "squad_v1")
        },
        ("tatoeba", "baseline"): "none",
        ("tatoeba", "mnli"): "mnli dev en",
        ("tatoeba", "squad_v1"): "squad_v1 dev en",
    }


def test_the_baseline_starts_from_the_encoder_and_the_others_from_a_selection(small: Plan) -> None:
    for step in steps(small, "train"):
        if step.phase == "intermediate" or "-after-" not in step.name:
            assert "start" not in step.inputs
            assert step.spec["encoder"] == {"model": "first"}
        else:
            assert small.steps[step.inputs["start"]].kind == "select"
            assert step.spec["encoder"] is None


def test_an_intermediate_selection_chooses_among_its_whole_sweep(small: Plan) -> None:
    for task in ("mnli", "squad_v1"):
        (chosen,) = steps(small, "select", f"{task}-best")
        trials = [small.steps[key] for key in chosen.inputs.values()]
        assert {(t.spec["seed"], t.spec["learning_rate"]) for t in trials} == {
            (seed, rate) for seed in (1, 2) for rate in (1e-5, 2e-5)
        }
        assert {t.sweep for t in trials} == {task}


def test_a_target_selection_chooses_within_its_seed(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "target.learning_rates=[1e-5, 3e-5]")
    for step in steps(plan, "select"):
        if step.phase == "target":
            trials = [plan.steps[key] for key in step.inputs.values()]
            assert {t.spec["learning_rate"] for t in trials} == {1e-5, 3e-5}
            assert len({t.spec["seed"] for t in trials}) == 1


def test_a_target_may_choose_among_all_seeds(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "target.select_per_seed=false")
    assert {cell.seed for cell in plan.cells} == {None}
    assert plan.counts()["select (target)"] == 6
    assert plan.counts()["train (target)"] == 12


def test_targets_with_the_same_training_share_its_steps(small: Plan) -> None:
    def ancestors(key: str) -> set[str]:
        parents = small.steps[key].inputs
        return {key}.union(*(ancestors(p) for role, p in parents.items() if role != "test"))

    by = {(c.target, c.intermediate, c.seed): c.key for c in small.cells}
    for arm in ("baseline", "mnli", "squad_v1"):
        xquad, mlqa = by["xquad", arm, 1], by["mlqa", arm, 1]
        assert ancestors(xquad) - {xquad} == ancestors(mlqa) - {mlqa}


def test_intermediate_and_target_training_share_prepared_data(tmp_path: Path) -> None:
    assert len(steps(plan_of(tmp_path), "prepare", "mnli-")) == 2
    longer = plan_of(tmp_path, "target.overrides.xnli.max_length=64")
    assert len(steps(longer, "prepare", "mnli-")) == 4


def test_the_stages_of_a_target_follow_one_another(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        *(
            "target.tasks=[xcopa]",
            "intermediate.tasks=[mnli]",
            "target.learning_rates=[1e-5, 2e-5]",
        ),
    )
    (mnli,) = steps(plan, "select", "mnli-best")
    second = steps(plan, "train", "copa-after-mnli")
    assert len(second) == 4
    for step in second:
        # It starts from the model that was selected among the first stage's trials of its seed,
        # each of which started from the intermediate task's.
        start = plan.steps[step.inputs["start"]]
        assert start.kind == "select"
        assert start.name == f"socialiqa-after-mnli-seed{step.spec['seed']}"
        first = [plan.steps[key] for key in start.inputs.values()]
        assert {trial.spec["parts"][0]["task"] for trial in first} == {"socialiqa"}
        assert {trial.spec["seed"] for trial in first} == {step.spec["seed"]}
        assert {trial.spec["learning_rate"] for trial in first} == {1e-5, 2e-5}
        assert {trial.inputs["start"] for trial in first} == {mnli.key}
        # One head scores the answers of both; that of the intermediate task is left behind.
        assert {trial.spec["head"] for trial in first} == {"fresh"}
        assert (step.spec["head"], step.spec["keep"]) == ("kept", "best")
        assert step.spec["encoder"] is None
    for cell in plan.cells:
        model = plan.steps[plan.steps[cell.key].inputs["model"]]
        arm = "" if cell.intermediate == "baseline" else f"-after-{cell.intermediate}"
        assert model.name == f"copa{arm}-seed{cell.seed}"
    stages = "socialiqa dev en, then copa dev en"
    assert {c.selected_on for c in plan.cells} == {stages, f"mnli dev en, then {stages}"}


def test_a_threshold_is_chosen_on_the_dev_set_of_each_language(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path,
        *("target.tasks=[bucc2018, tatoeba]", "target.languages={bucc2018: [de, zh]}"),
        "target.overrides={all: {max_length: 64}}",
    )
    evaluated = steps(plan, "evaluate", "bucc2018-after-")
    assert len(evaluated) == 3
    for step in evaluated:
        test, dev = plan.steps[step.inputs["test"]], plan.steps[step.inputs["dev"]]
        assert (test.spec["split"], dev.spec["split"]) == ("test", "dev")
        assert list(test.spec["data"]) == list(dev.spec["data"]) == ["de", "zh"]
        assert test.spec["max_length"] == dev.spec["max_length"] == 64
        assert step.spec["retrieval"]["scoring"] == "ratio"
        assert step.spec["retrieval"]["neighbours"] == 4
    selected = {cell.selected_on for cell in plan.cells if cell.target == "bucc2018"}
    assert "none; threshold: bucc2018 dev, each language" in selected
    assert all("dev" not in step.inputs for step in steps(plan, "evaluate", "tatoeba"))


def test_entities_are_prepared_once_for_all_languages(tmp_path: Path) -> None:
    plan = plan_of(
        tmp_path, "target.tasks=[mewslix, lareqa]", "target.languages={}", "intermediate.tasks=[]"
    )
    (pool,) = steps(plan, "prepare", "mewslix-pool")
    assert list(pool.spec["data"]) == ["all"]
    assert pool.spec["limit"] is None
    assert {step.inputs.get("pool") for step in steps(plan, "evaluate", "mewslix")} == {pool.key}
    assert {step.inputs.get("pool") for step in steps(plan, "evaluate", "lareqa")} == {None}
    trained = steps(plan, "train", "squad_sentences")
    assert trained
    assert {part["form"] for step in trained for part in step.spec["parts"]} == {"retrieval"}
    assert all("dev squad_sentences" in step.inputs for step in trained)


def test_held_out_dev_data_are_read_from_the_training_file(small: Plan) -> None:
    (train,) = steps(small, "prepare", "squad_v1-train")
    (dev,) = steps(small, "prepare", "squad_v1-dev")
    assert (dev.spec["split"], dev.spec["role"]) == ("train", "dev")
    assert dev.spec["holdout"] == train.spec["holdout"] == {"examples": 10, "seed": 1}
    assert dev.spec["data"] == train.spec["data"]
    assert (train.spec["limit"], dev.spec["limit"]) == ({"examples": 100, "seed": 1}, None)
    (mnli,) = steps(small, "prepare", "mnli-dev")
    assert (mnli.spec["split"], mnli.spec["holdout"]) == ("dev", None)


def test_a_pretrained_tiny_encoder_is_the_parent_of_everything(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "encoder={pretrain: {steps: 5}}", "data.synthetic.seed=3")
    (pretrain,) = steps(plan, "pretrain")
    assert next(iter(plan.steps)) == pretrain.key
    for step in plan.steps.values():
        if step.kind == "prepare":
            assert step.inputs == {"encoder": pretrain.key}
            assert "tokenizer" not in step.spec
        if step.kind == "train" and step.phase == "intermediate":
            assert step.inputs["start"] == pretrain.key
            assert step.spec["encoder"] is None
    (baseline,) = steps(plan, "evaluate", "tatoeba-after-baseline")
    assert baseline.inputs["model"] == pretrain.key


def test_artificial_languages_are_never_looked_up(tmp_path: Path) -> None:
    prints = FakePrints()
    plan_of(tmp_path, "encoder={pretrain: {}}", "data.synthetic.seed=3", prints=prints)
    assert prints.asked == []


def test_data_are_found_from_any_working_directory(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, "data.root=some/where")
    roots = {step.where["root"] for step in steps(plan, "prepare")}
    assert roots == {str(Path("some/where").absolute())}


def test_data_below_the_home_are_found_and_no_key_knows_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    plan = plan_of(tmp_path, "data.root=~/data")
    roots = {step.where["root"] for step in steps(plan, "prepare")}
    assert roots == {str(tmp_path / "home" / "data")}
    assert plan.key == plan_of(tmp_path, f"data.root={tmp_path / 'home' / 'data'}").key


# --- what enters a key, and what does not -------------------------------------------------------


def changed(before: Plan, after: Plan) -> set[str]:
    """Return "kind name" of the steps of `after` that `before` does not have."""
    return {
        f"{step.kind} {step.name.split('-')[0]}"
        for key, step in after.steps.items()
        if key not in before.steps
    }


ALL_TRAINED = {
    *("train mnli", "train squad_v1", "select mnli", "select squad_v1"),
    *("evaluate xnli", "evaluate xquad", "evaluate mlqa", "evaluate tatoeba"),
}
ALL_PREPARED = {
    f"prepare {name}" for name in ("mnli", "squad_v1", "xnli", "xquad", "mlqa", "tatoeba")
}
AFTER_SQUAD = {"prepare squad_v1", *ALL_TRAINED} - {"select mnli", "train mnli"}


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("name=other", set()),
        ("notes=[a]", set()),
        ("encoder={name: encoder, notes: [a]}", set()),
        ("data.root=/elsewhere", set()),
        ("data.limits.dev=100000", {"prepare mnli", "prepare squad_v1"} | ALL_TRAINED),
        (
            "data.limits.test=5",
            (ALL_PREPARED | ALL_TRAINED)
            - {
                "prepare mnli",
                "prepare squad_v1",
                "train mnli",
                "train squad_v1",
                "select mnli",
                "select squad_v1",
            },
        ),
        ("data.limits.seed=2", {"prepare mnli", "prepare squad_v1"} | ALL_TRAINED),
        ("data.limits.tasks.tatoeba.test=7", {"prepare tatoeba", "evaluate tatoeba"}),
        ("data.holdout.squad_v1=11", None),
        ("training.patience=3", ALL_TRAINED),
        ("training.warmup=0.2", ALL_TRAINED),
        ("training.weight_decay=0.0", ALL_TRAINED),
        ("training.adam_epsilon=1e-6", ALL_TRAINED),
        ("training.adam_betas=[0.9, 0.98]", ALL_TRAINED),
        ("training.clip=2.0", ALL_TRAINED),
        ("training.dropout=0.0", ALL_TRAINED),
        ("training.eval_every=5", ALL_TRAINED),
        ("training.precision=bf16", ALL_TRAINED),
        ("training.on_nan=skip", ALL_TRAINED),
        ("training.on_nan=fail", set()),
        ("retrieval.layer=7", {"evaluate tatoeba"}),
        ("retrieval.pooling=cls", {"evaluate tatoeba"}),
        ("retrieval.layers=all", {"evaluate tatoeba"}),
        ("retrieval.layers=[1, 0.5]", {"evaluate tatoeba"}),
        ("retrieval.scoring={tatoeba: ratio}", {"evaluate tatoeba"}),
        ("retrieval.scoring={tatoeba: cosine}", set()),
        # Cosine takes the one nearest sentence, so there is nothing to average over.
        ("retrieval.neighbours=7", set()),
        ("target.languages.xnli=[en]", {"prepare xnli", "evaluate xnli"}),
        ("target.overrides.xnli.epochs=9", {"train mnli", "select mnli", "evaluate xnli"}),
        ("target.overrides.tatoeba.max_length=64", {"prepare tatoeba", "evaluate tatoeba"}),
        ("target.seeds=[1]", set()),
        ("target.tasks=[tatoeba, xnli]", set()),
        ("intermediate.tasks=[squad_v1, mnli]", set()),
        ("intermediate.tasks=[mnli]", set()),
    ],
)
def test_a_setting_changes_the_keys_of_what_it_changes(
    tmp_path: Path, override: str, expected: set[str] | None
) -> None:
    found = changed(plan_of(tmp_path), plan_of(tmp_path, override))
    if expected is None:  # dev and train set of squad_v1, and everything that saw them
        expected = AFTER_SQUAD | {"train mnli", "select mnli"}
    assert found == expected


@pytest.mark.parametrize(
    ("override", "arms"),
    [
        ("intermediate.overrides.mnli.batch_size=7", {"mnli"}),
        ("intermediate.overrides.squad_v1.epochs=7", {"squad_v1"}),
        ("intermediate.learning_rates=[1e-5]", {"mnli", "squad_v1"}),
        ("intermediate.seeds=[3]", {"mnli", "squad_v1"}),
    ],
)
def test_an_intermediate_setting_changes_only_what_follows_it(
    tmp_path: Path, override: str, arms: set[str]
) -> None:
    before, after = plan_of(tmp_path), plan_of(tmp_path, override)
    kept = {c.intermediate for c in after.cells if c.key in before.steps}
    assert kept == {"baseline", "mnli", "squad_v1"} - arms
    assert {c.intermediate for c in after.cells if c.key not in before.steps} == arms


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tatoeba", {"prepare tatoeba", "evaluate tatoeba"}),
        ("tokenizer", ALL_PREPARED | ALL_TRAINED),
        ("encoder", ALL_TRAINED),
    ],
)
def test_other_bytes_are_other_keys(tmp_path: Path, name: str, expected: set[str]) -> None:
    after = plan_of(tmp_path, prints=FakePrints(changed=(name,)))
    assert changed(plan_of(tmp_path), after) == expected


def test_where_the_encoder_is_does_not_matter(tmp_path: Path) -> None:
    moved = plan_of(tmp_path, prints=FakePrints(folder="/elsewhere"))
    assert list(moved.steps) == list(plan_of(tmp_path).steps)


def test_raising_a_version_changes_the_keys_of_that_kind_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_of(tmp_path)
    monkeypatch.setitem(VERSIONS, "evaluate", VERSIONS["evaluate"] + 1)  # type: ignore[arg-type]
    found = changed(before, plan_of(tmp_path))
    assert {name.split()[0] for name in found} == {"evaluate"}
    monkeypatch.setitem(VERSIONS, "prepare", VERSIONS["prepare"] + 1)  # type: ignore[arg-type]
    assert not set(before.steps) & set(plan_of(tmp_path).steps)


@settings(max_examples=25)
@given(st.data())
def test_the_order_of_settings_does_not_matter(data: st.DataObject) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: shuffled(value[name]) for name in data.draw(st.permutations(list(value)))}

    assert plan_from(shuffled(SETTINGS)).key == plan_from(SETTINGS).key


def plan_from(raw: Mapping[str, Any]) -> Plan:
    overrides = [f"{name}={json.dumps(value)}" for name, value in raw.items()]
    return build_plan(read_settings(Experiment, None, overrides, "test"), FakePrints())


def test_an_untrained_baseline_depends_on_the_precision_alone(tmp_path: Path) -> None:
    (before,) = steps(plan_of(tmp_path), "evaluate", "tatoeba-after-baseline")
    assert before.key in plan_of(tmp_path, "training.patience=3").steps
    assert before.key not in plan_of(tmp_path, "training.precision=bf16").steps


def test_a_plan_survives_json(small: Plan) -> None:
    text = json.dumps(small.to_json())
    again = Plan.from_json(json.loads(text))
    assert json.loads(json.dumps(again.to_json())) == json.loads(text)
    assert list(again.steps) == list(small.steps)
    assert again.key == small.key
    assert again.cells == small.cells


def test_a_doctored_plan_has_other_keys(small: Plan) -> None:
    raw = json.loads(json.dumps(small.to_json()))
    trial = next(step for step in raw["steps"] if step["kind"] == "train")
    trial["spec"]["learning_rate"] = 1.0
    assert trial["key"] in small.steps
    assert trial["key"] not in Plan.from_json(raw).steps


def test_the_step_keys_of_the_paper(golden: Callable[[str, str], None]) -> None:
    """A difference here means that results recorded before are no longer found."""
    plan = build_plan(load_experiment(CONFIGS / "paper.yaml"), FakePrints())
    golden("paper_steps.txt", "".join(f"{step.folder}\n" for step in plan.steps.values()))


def test_the_hub_gives_prepare_steps_another_identity_and_all_others_the_same(
    tmp_path: Path,
) -> None:
    files = plan_of(tmp_path)
    hub = plan_of(tmp_path, "data.hub=[mnli]")
    changed = [
        step.name
        for key, step in hub.steps.items()
        if step.kind == "prepare" and key not in files.steps
    ]
    assert changed == ["mnli-train", "mnli-dev"]
    (train,) = steps(hub, "prepare", "mnli-train")
    assert train.spec["source"]["format"] == "hub"
    assert train.where["files"] == []
    assert [place["path"] for place in train.where["hub"]] == ["nyu-mll/multi_nli"]
    assert list(Plan.from_json(json.loads(json.dumps(hub.to_json()))).steps) == list(hub.steps)


def test_another_revision_is_another_data_set(tmp_path: Path) -> None:
    def train_key(*overrides: str) -> str:
        experiment = load_experiment(
            _written(tmp_path), ["data.hub=[mnli]", "encoder=absent", *overrides]
        )
        plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
        return steps(plan, "prepare", "mnli-train")[0].key

    first = train_key()
    assert first == train_key()
    assert first != train_key(f"data.revisions={{nyu-mll/multi_nli: {'a' * 40}}}")


def test_arms_of_one_task_with_other_revisions_are_other_data_sets(tmp_path: Path) -> None:
    def arm(name: str, revision: str) -> str:
        hub = f"{{path: nyu-mll/multi_nli, revision: {revision * 40}}}"
        return f"{{name: {name}, task: mnli, source: {{format: hub, hub: [{hub}]}}}}"

    arms = f"intermediate.tasks=[{arm('a', 'a')}, {arm('b', 'b')}]"
    experiment = load_experiment(
        _written(tmp_path),
        [arms, "target.tasks=[xnli]", "target.languages={}", "data.holdout={}", "encoder=absent"],
    )
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    trained = [step for step in steps(plan, "train") if step.phase == "intermediate"]
    assert {step.sweep for step in trained} == {"a", "b"}
    for step in trained:
        for role in ("train mnli", "dev mnli"):
            (place,) = plan.steps[step.inputs[role]].spec["data"]["en"]
            assert place["revision"] == step.sweep * 40
    # The target's own stage reads files, which are not there: it is no data set of an arm's.
    own = next(
        step
        for step in steps(plan, "train")
        if step.phase == "target" and "start" not in step.inputs
    )
    data = plan.steps[own.inputs["train mnli"]].spec["data"]["en"]
    assert data == [{"absent": ["mnli", "train", "en"]}]


def _written(folder: Path) -> Path:
    path = folder / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


RATES = "target.learning_rates=[1e-5, 3e-5]"


def keys(plan: Plan, kind: str, phase: str = "") -> set[str]:
    return {k for k, s in plan.steps.items() if s.kind == kind and phase in ("", s.phase)}


def test_another_rule_of_an_intermediate_sweep_changes_what_hangs_on_it_alone(
    tmp_path: Path,
) -> None:
    before = plan_of(tmp_path)
    after = plan_of(tmp_path, "intermediate.rule=mean_over_seeds")
    assert keys(before, "prepare") == keys(after, "prepare")
    assert keys(before, "train", "intermediate") == keys(after, "train", "intermediate")
    assert keys(before, "select", "intermediate").isdisjoint(keys(after, "select", "intermediate"))
    for cell, other in zip(before.cells, after.cells, strict=True):
        assert (cell.key == other.key) == (cell.intermediate == "baseline")
    assert {cell.selected_on for cell in after.cells if cell.target == "tatoeba"} == {
        "none",
        "mnli dev en, mean over seeds",
        "squad_v1 dev en, mean over seeds",
    }


def test_the_rule_that_is_the_default_is_in_no_key(tmp_path: Path) -> None:
    named = plan_of(
        tmp_path, "intermediate.rule=best_dev", "target.rule=best_dev", "target.incomplete=refuse"
    )
    assert list(named.steps) == list(plan_of(tmp_path).steps)


def test_to_take_incomplete_grids_is_part_of_the_selection(tmp_path: Path) -> None:
    before = plan_of(tmp_path)
    after = plan_of(tmp_path, "target.incomplete=allow")
    for step in steps(after, "select"):
        allowed = step.spec.get("incomplete") == "allow"
        assert allowed == (step.phase == "target") == (step.key not in before.steps)


def test_a_mean_over_seeds_looks_at_all_seeds_for_each(tmp_path: Path) -> None:
    before = plan_of(tmp_path, RATES)
    after = plan_of(tmp_path, RATES, "target.rule=mean_over_seeds")
    assert keys(before, "train") == keys(after, "train")
    chosen = [s for s in steps(after, "select") if s.phase == "target"]
    assert {step.spec["seed"] for step in chosen} == {1, 2}
    for step in chosen:
        trials = [after.steps[key].spec for key in step.inputs.values()]
        assert {(t["seed"], t["learning_rate"]) for t in trials} == {
            (seed, rate) for seed in (1, 2) for rate in (1e-5, 3e-5)
        }
    assert len(chosen) == len([s for s in steps(before, "select") if s.phase == "target"])
    assert len({step.folder for step in after.steps.values()}) == len(after.steps)


def test_an_oracle_scores_every_trial_on_the_targets_own_dev_sets(tmp_path: Path) -> None:
    before = plan_of(tmp_path, RATES)
    after = plan_of(
        tmp_path,
        RATES,
        "target.rules={xnli: target_dev}",
        "target.dev_languages={xnli: [de, th]}",
    )
    assert keys(before, "train") == keys(after, "train")
    oracles = [s for s in steps(after, "select") if s.spec["rule"] == "target_dev"]
    assert len(oracles) == 6
    for step in oracles:
        assert step.spec["split"] == "xnli dev de th"
        trials = {role: key for role, key in step.inputs.items() if role.startswith("trial")}
        assert len(trials) == 2
        for role, key in trials.items():
            judge = after.steps[step.inputs[role.replace("trial", "dev")]]
            assert judge.inputs["model"] == key
            data = after.steps[judge.inputs["test"]]
            assert (data.spec["role"], set(data.spec["data"])) == ("dev", {"de", "th"})
    xnli = {cell.selected_on for cell in after.cells if cell.target == "xnli"}
    assert xnli == {
        "oracle: xnli dev de th",
        "mnli dev en, then oracle: xnli dev de th",
        "squad_v1 dev en, then oracle: xnli dev de th",
    }
    # The other targets stay as they were, and no number of the report comes from a dev set.
    others = {cell.key for cell in before.cells if cell.target != "xnli"}
    assert others == {cell.key for cell in after.cells if cell.target != "xnli"}
    assert all("-dev-" not in after.steps[cell.key].name for cell in after.cells)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("target.rule=target_dev", "'xquad' has one labelled split"),
        ("target.rules={xquad: target_dev}", "target.rules.xquad: 'xquad' has one labelled split"),
        ("intermediate.rule=target_dev", "an intermediate task has no target"),
        ("target.rules={panx: best_dev}", "'panx' is not among target.tasks"),
        ("intermediate.select_per_seed=true", "is a setting of targets"),
        ("target.rule=luck", "luck"),
    ],
)
def test_a_rule_that_cannot_be_is_refused(override: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        plan_of(tmp_path, override)


def test_the_arms_of_the_typology_study_are_of_one_size() -> None:
    experiment = load_experiment(CONFIGS / "typology.yaml")
    plan = build_plan(experiment, FakePrints())
    data = [
        plan.steps[step.inputs["train mnli"]].spec
        for step in steps(plan, "train")
        if step.phase == "intermediate"
    ]
    sources = {tuple(spec["data"]) for spec in data}
    assert {len(languages) for languages in sources} == {1, 14}
    assert {languages[0] for languages in sources} == {"en", "sw", "tr", "zh"}
    for spec in data:
        # The same rows, whole: parallel files, of which `spread` takes as many as the first has.
        assert (spec["limit"], spec["holdout"], spec["source"]) == (
            None, None, data[0]["source"],
        )  # fmt: skip
        assert spec.get("spread") == (
            {"examples": None, "seed": 0} if len(spec["data"]) > 1 else None
        )
    arms = [arm.name for arm in experiment.intermediate.tasks]
    assert len(plan.cells) == 6 * (5 * 5 + 1)
    assert {cell.intermediate for cell in plan.cells} == {"baseline", *arms}
    assert [claim.name for claim in experiment.claims] == ["C7", "C7-every", "C7-english"]


def test_the_data_of_a_sweep_are_planned_once_however_many_trials_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[str] = []
    part_data = InputSteps.part_data

    def counting(self: InputSteps, part: LessonPart) -> dict[str, str]:
        planned.append(part.task.name)
        return part_data(self, part)

    monkeypatch.setattr(InputSteps, "part_data", counting)
    plan_of(tmp_path, "intermediate.learning_rates=[1e-5]")
    few = len(planned)
    plan_of(tmp_path, "intermediate.learning_rates=[1e-5, 2e-5, 3e-5]")
    assert len(planned) == 2 * few

"""Pruned plans: what waits, what runs, what is left out, and what is said of it."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from tests.command import Run
from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.benchmark.choice import choose_runs
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.driver.outages import STORE_PAUSE_S
from xtransfer.driver.search import PlanSearcher
from xtransfer.errors import ConfigError, InputLost, StepError, StoreError
from xtransfer.plan import VERSIONS, Plan, Step, gates_of
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.planner.subplan import sweep_of
from xtransfer.pruning.pairs import dropped_steps, pruned_pairs, without_pruned
from xtransfer.pruning.rule import best
from xtransfer.pruning.settings import Pruning
from xtransfer.records.record import Record, commit
from xtransfer.report.build import answer_of, describe_run
from xtransfer.report.savings import leaving_of, search_notes
from xtransfer.settings import read_settings
from xtransfer.store import open_store

BASE = (
    "name=small",
    "encoder=encoder",
    "intermediate={tasks: [mnli, squad_v1, commonsenseqa], learning_rates: [1e-5]}",
    "target={tasks: [xnli, xquad, udpos, tatoeba], seeds: [1, 2]}",
    "target.languages={xnli: [en], xquad: [en], udpos: [en], tatoeba: [de]}",
)
KEEP = "pruning={keep: 1}"
BEST = "mnli"


def experiment_of(*overrides: str) -> Experiment:
    return read_settings(Experiment, None, (*BASE, *overrides), "test")


def plan_of(*overrides: str) -> Plan:
    return build_plan(experiment_of(*overrides), FakePrints())


def value_of(step: Step) -> float:
    """A made-up estimate: that after mnli is the best."""
    return -0.5 if BEST in step.sweep.split(" after ")[1] else -0.9


def kept_of(plan: Plan, prune: str) -> list[str]:
    estimates = {key: value_of(plan.steps[key]) for key in plan.steps[prune].inputs.values()}
    return best(estimates, plan.steps[prune].spec["keep"])


def recorded(plan: Plan, kinds: Collection[str]) -> dict[str, Record]:
    found: dict[str, Record] = {}
    for key, step in plan.steps.items():
        if step.kind not in kinds:
            continue
        result: Mapping[str, Any]
        if step.kind == "estimate":
            result = {"estimate": value_of(step)}
        elif step.kind == "prune":
            values = {each: value_of(plan.steps[each]) for each in step.inputs.values()}
            result = {"kept": kept_of(plan, key), "estimates": values}
        else:
            found[key] = record_of(step)
            continue
        blank = Step(
            kind="select", name=step.name, spec={}, inputs={"trial-000": key}, phase="target"
        )
        found[key] = record_of(blank).model_copy(
            update={"kind": step.kind, "key": key, "inputs": dict(step.inputs), "result": result}
        )
    return found


@pytest.fixture
def plan() -> Plan:
    return plan_of(KEEP)


def test_pruning_adds_steps_and_changes_no_key() -> None:
    before, after = plan_of(), plan_of(KEEP)
    added = [step for key, step in after.steps.items() if key not in before.steps]
    assert before.steps.keys() < after.steps.keys()
    assert [s.kind for s in added] == ["estimate"] * 6 + ["prune"] * 2
    assert {s.name for s in added if s.kind == "prune"} == {"mnli", "udpos"}
    assert before.cells == after.cells
    assert before.gates == ()


def test_nothing_is_planned_where_nothing_would_be_left_out() -> None:
    assert plan_of("pruning={keep: 3}").steps.keys() == plan_of().steps.keys()
    assert plan_of("pruning={keep: 1.0}").steps.keys() == plan_of().steps.keys()


def test_a_share_is_rounded_up() -> None:
    assert [Pruning(keep=share).kept_of(5) for share in (0.01, 0.2, 0.5, 1.0)] == [1, 1, 3, 5]
    # As numbers of the machine, 0.28 * 25 and 0.07 * 100 are a little more than 7.
    assert [Pruning(keep=0.28).kept_of(25), Pruning(keep=0.07).kept_of(100)] == [7, 7]
    prune = next(s for s in plan_of("pruning={keep: 0.5}").steps.values() if s.kind == "prune")
    assert prune.spec == {"keep": 2}


def test_the_baseline_and_what_is_shared_stand_behind_no_gate(plan: Plan) -> None:
    behind = gates_of(plan.gates)
    assert behind
    for key, step in plan.steps.items():
        gated = step.kind in ("train", "select", "evaluate") and any(
            f"after-{arm}" in step.name and step.name.startswith(("mnli", "xnli", "udpos"))
            for arm in ("mnli", "squad_v1", "commonsenseqa")
        )
        assert (key in behind) == gated, step.folder


def test_an_analysis_of_a_pair_goes_with_it() -> None:
    plan = plan_of(KEEP, "analyses={forgetting: true}")
    behind = gates_of(plan.gates)
    for probe in plan.probes:
        gates = {(gate.target, gate.intermediate) for gate in behind.get(probe.key, ())}
        prunable = probe.target in ("xnli", "udpos")
        assert gates == ({(probe.target, probe.after)} if prunable else set())
    left = without_pruned(plan, recorded(plan, ("estimate", "prune")))
    assert {p.after for p in left.probes if p.target == "udpos"} == {BEST}
    assert all(p.key in left.steps for p in left.probes)


def test_a_plan_with_gates_survives_json(plan: Plan) -> None:
    again = Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert again.gates == plan.gates
    assert "gates" not in plan_of().to_json()


def test_a_part_of_a_plan_takes_its_gates_along(plan: Plan) -> None:
    part = sweep_of(plan, "target", "xnli after squad_v1")
    assert {gate.intermediate for gate in part.gates} == {"squad_v1"}
    assert {gate.prune for gate in part.gates} <= part.steps.keys()
    assert all(key in part.steps for gate in part.gates for key in gate.steps)
    assert len([s for s in part.steps.values() if s.kind == "estimate"]) == 3


class Driver:
    """Works a plan off as Tune would, without Tune."""

    def __init__(self, plan: Plan, **more: Any) -> None:
        self.plan, self.ran = plan, list[str]()
        self.events: list[tuple[str, str]] = []
        self.searcher = PlanSearcher(
            plan,
            **{
                "done": (),
                "work_inline": lambda step: self.ran.append(step.key),
                "kept": lambda step: kept_of(plan, step.key),
                "changed": lambda key, state, _: self.events.append((key, state)),
                **more,
            },
        )

    def run(self) -> Any:
        trials = 0
        while True:
            wave: list[tuple[str, str]] = []
            while isinstance(found := self.searcher.suggest(f"t{trials}"), dict):
                wave.append((f"t{trials}", found["key"]))
                trials += 1
            if not wave:
                return found
            for trial, key in wave:
                self.ran.append(key)
                self.searcher.on_trial_complete(trial, {"error": "", "finished": 1})


def test_only_the_pairs_that_are_kept_are_run(plan: Plan) -> None:
    driver = Driver(plan)
    assert driver.run() == Searcher.FINISHED
    dropped = dropped_steps(plan, recorded(plan, ("prune",)))
    assert driver.searcher.frontier.pruned == dropped
    assert sorted(driver.ran) == sorted(plan.steps.keys() - dropped)
    assert not driver.searcher.frontier.unfinished
    left = {plan.steps[key].name for key in dropped}
    assert any(name.startswith("udpos-after-squad_v1") for name in left)
    assert not any("after-mnli" in name or name.startswith("xquad") for name in left)
    assert {key for key, state in driver.events if state == "pruned"} == dropped


def test_a_gated_step_waits_for_its_prune_step(plan: Plan) -> None:
    prunes = [key for key, step in plan.steps.items() if step.kind == "prune"]
    behind = gates_of(plan.gates)
    order = Driver(plan)
    order.run()
    for key in order.ran:
        for gate in behind.get(key, ()):
            assert order.ran.index(gate.prune) < order.ran.index(key)
    assert set(prunes) <= set(order.ran)


def test_a_run_that_goes_on_prunes_as_before(plan: Plan) -> None:
    done = [k for k, s in plan.steps.items() if s.kind in ("prepare", "estimate", "prune")]
    driver = Driver(plan, done=done)
    dropped = dropped_steps(plan, recorded(plan, ("prune",)))
    assert driver.searcher.frontier.pruned == dropped
    driver.run()
    assert not set(driver.ran) & dropped


def test_a_prune_step_that_fails_blocks_its_pairs_and_no_others(plan: Plan) -> None:
    (broken,) = [k for k, s in plan.steps.items() if s.kind == "prune" and s.name == "udpos"]

    def work(step: Step) -> None:
        if step.key == broken:
            raise StepError(step.folder, "cannot choose")

    driver = Driver(plan, work_inline=work)
    assert driver.run() == Searcher.FINISHED
    behind = {key for key, gates in gates_of(plan.gates).items() if gates[0].target == "udpos"}
    assert set(driver.searcher.frontier.blocked) == behind
    assert set(driver.searcher.frontier.failed) == {broken}


def test_a_prune_record_that_is_damaged_is_made_anew(plan: Plan) -> None:
    read: list[str] = []

    def kept(step: Step) -> list[str]:
        read.append(step.key)
        if len(read) == 1:
            raise InputLost(step.folder, "altered")
        return kept_of(plan, step.key)

    driver = Driver(plan, kept=kept)
    assert driver.run() == Searcher.FINISHED
    assert not driver.searcher.frontier.unfinished
    assert driver.ran.count(read[0]) == 2


def test_a_store_that_is_away_when_a_prune_record_is_read_only_delays(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr("xtransfer.driver.search.time.monotonic", lambda: clock[0])
    read: list[str] = []

    def kept(step: Step) -> list[str]:
        read.append(step.key)
        if len(read) == 1:
            raise StoreError("s3://b", "no reply")
        return kept_of(plan, step.key)

    driver = Driver(plan, kept=kept, retries=1)
    while driver.run() is None:
        clock[0] += STORE_PAUSE_S
    assert driver.searcher.frontier.failed == {}
    assert driver.searcher.frontier.pruned == dropped_steps(plan, recorded(plan, ("prune",)))
    assert not driver.searcher.frontier.unfinished
    # So it is where the driver finds the step done when it begins.
    del read[:]
    done = plan.steps.keys() - driver.searcher.frontier.pruned
    driver = Driver(plan, kept=kept, retries=1, done=done)
    while driver.run() is None:
        clock[0] += STORE_PAUSE_S
    assert driver.searcher.frontier.pruned == dropped_steps(plan, recorded(plan, ("prune",)))
    assert {plan.steps[key].kind for key in driver.ran} == {"prune"}


def test_a_prune_record_that_can_never_be_read_fails(plan: Plan) -> None:
    def kept(_: Step) -> list[str]:
        raise StoreError("s3://b", "no reply")

    driver = Driver(plan, kept=kept)
    assert driver.run() == Searcher.FINISHED
    failed = driver.searcher.frontier.failed
    assert {plan.steps[key].kind for key in failed} == {"prune"}


def test_readers_see_a_plan_without_what_was_pruned(plan: Plan) -> None:
    assert without_pruned(plan, {}) is plan
    records = recorded(plan, ("estimate", "prune"))
    left = without_pruned(plan, records)
    assert plan.steps.keys() - left.steps.keys() == dropped_steps(plan, records)
    assert {(c.target, c.intermediate) for c in plan.cells} - {
        (c.target, c.intermediate) for c in left.cells
    } == {(t, i) for t in ("xnli", "udpos") for i in ("squad_v1", "commonsenseqa")}
    for step in left.steps.values():
        assert set(step.inputs.values()) <= left.steps.keys()


def test_every_pruned_pair_is_reported_with_its_estimate(plan: Plan) -> None:
    records = recorded(plan, ("estimate", "prune", "train"))
    gpus = {"train": {"cpus": 1, "gpus": 2, "workers": 1}, "evaluate": {"cpus": 1, "gpus": 1}}
    records = {
        key: record.model_copy(update={"placement": gpus, "timing": {"seconds": 1800.0}})
        for key, record in records.items()
        if key not in dropped_steps(plan, records)
    }
    pairs = pruned_pairs(plan, records)
    assert [(p.target, p.intermediate, p.estimate, p.least_kept) for p in pairs] == [
        (target, arm, -0.9, -0.5)
        for target in ("xnli", "udpos")
        for arm in ("squad_v1", "commonsenseqa")
    ]
    left = leaving_of(plan, records)
    assert left is not None
    assert left.trials == 8  # two targets after two tasks with two seeds
    assert left.saved_h == pytest.approx(8 * 0.5 * 2)
    assert left.spent_h == pytest.approx(6 * 0.5)
    notes = search_notes(experiment_of(KEEP), plan, records)
    assert notes[0] == ("pruning does not concern xquad, tatoeba: all intermediate tasks are kept")
    assert "pruning left out 4 pairs and 8 trials, about 8 GPU-hours" in notes[1]
    assert notes[2] == (
        "xnli after squad_v1: pruned, LogME -0.9000; the lowest that is kept has -0.5000"
    )
    assert len(notes) == 6


def test_a_pruned_pair_is_named_as_one_where_it_is_asked_for(plan: Plan) -> None:
    """By a claim, and as a submission's row."""
    records = recorded(plan, ("estimate", "prune"))
    pairs = pruned_pairs(plan, records)
    why = "xnli after squad_v1 was pruned (LogME -0.9000; the lowest that is kept has -0.5000)"
    every = {key: record_of(s) for key, s in plan.steps.items() if s.kind in ("select", "evaluate")}
    left = without_pruned(plan, {**records, **every})
    with pytest.raises(ConfigError, match=re.escape(f"{why}. Name another for it")):
        choose_runs(left, every, after=["squad_v1"], seed=1, pruned=pairs)
    claim = "claims=[{name: c, says: t, source: s, holds: {gain: {after: squad_v1, targets: [xnli]}, greater_than: 0}}]"
    asked = experiment_of(KEEP, claim)
    info = describe_run(asked, plan, records)
    (found,) = answer_of(asked, left, [], info, pruned=pairs).claims
    assert (found.verdict, found.reason) == ("not decidable", why)


def test_a_model_of_a_pruned_pair_is_said_to_be_pruned(run: Run, tmp_path: Path) -> None:
    path, url = tmp_path / "small.yaml", f"file://{tmp_path}/store"
    path.write_text(f"{{name: x, encoder: encoder, data: {{root: {tmp_path}}}}}", encoding="utf-8")
    sets = [part for each in (*BASE, KEEP) for part in ("--set", each)]
    experiment = load_experiment(path, [*BASE, KEEP])
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    for key, record in recorded(plan, ("estimate", "prune")).items():
        spec, version = dict(plan.steps[key].spec), VERSIONS[record.kind]
        commit(open_store(url), record.model_copy(update={"spec": spec, "version": version}))
    done = run(
        "export", "xnli", "--config", path, *sets, "--store", url, "--after", "squad_v1", "--out", tmp_path / "m"
    )  # fmt: skip
    assert "xnli after squad_v1, seed 1: was pruned (LogME -0.9000; the lowest" in done.err


def test_ties_are_decided_by_name() -> None:
    assert best({"b": 1.0, "a": 1.0, "c": 2.0}, 2) == ["c", "a"]


def test_settings_that_make_no_sense_are_refused() -> None:
    for keep in (0, -1, 1.5, 0.0):
        with pytest.raises(ValueError, match="is a number of tasks"):
            Pruning(keep=keep)


LEEP = (
    "intermediate.tasks=[mnli, qqp, squad_v1, {name: both, tasks: [mnli, qqp]}]",
    "pruning={keep: 1, measure: leep}",
)


def test_leep_compares_only_tasks_whose_heads_give_classes() -> None:
    plan = plan_of(*LEEP)
    assert {(gate.target, gate.intermediate) for gate in plan.gates} == {
        ("xnli", "mnli"),
        ("xnli", "qqp"),
    }
    assert {s.spec["measure"] for s in plan.steps.values() if s.kind == "estimate"} == {"leep"}
    (prune,) = [step for step in plan.steps.values() if step.kind == "prune"]
    assert len(prune.inputs) == 2
    assert plan_of(*LEEP, "pruning.keep=2").gates == ()


def test_logme_compares_any_intermediate_task() -> None:
    for source in ("classification", "choice", "tagging", "span", "retrieval", ""):
        assert Pruning(keep=1).compares("tagging", source)
        assert not Pruning(keep=1).compares("span", source)


def test_what_a_measure_does_not_compare_is_said() -> None:
    experiment, plan = experiment_of(*LEEP), plan_of(*LEEP)
    notes = search_notes(experiment, plan, recorded(plan, ("estimate", "prune")))
    assert any(note.startswith("LEEP compares no squad_v1, both") for note in notes)
    assert any("xnli after qqp: pruned, LEEP -0.9" in note for note in notes)

from __future__ import annotations

import json
from typing import get_args

import pytest
from pydantic import ValidationError

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement, section_of
from xtransfer.costs.devices import CPU
from xtransfer.costs.durations import Needs, needs_of
from xtransfer.costs.lineage import device_of_record
from xtransfer.costs.packing import UNCUT, bytes_of, gpus_of, resources_of, trials_together
from xtransfer.driver.room import bundle_of
from xtransfer.forms import FORMS
from xtransfer.plan import INLINE, Kind, Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.records.record import Record
from xtransfer.report.costs import held_by
from xtransfer.settings import read_settings
from xtransfer.tasks import TASKS


def plan_of(encoder: str, *more: str) -> Plan:
    settings = (
        "name=packed",
        f"encoder={{name: {encoder}, revision: {'0' * 40}}}",
        "intermediate={tasks: [mnli, squad_v1, commonsenseqa], learning_rates: [1e-5]}",
        "target={tasks: [xnli]}",
        *more,
    )
    return build_plan(read_settings(Experiment, None, settings, "test"), FakePrints(folder=encoder))


def placed(memory: float, **train: object) -> Placement:
    packing = {"gpu_memory_gb": memory}
    return Placement.model_validate(
        {"train": {"gpus": 1, "packing": packing, **train}, "evaluate": {"gpus": 0.5}}
    )


def trial(plan: Plan, task: str) -> Step:
    return next(s for s in plan.steps.values() if s.kind == "train" and s.name.startswith(task))


def test_more_trials_share_a_larger_gpu_and_no_key_changes() -> None:
    plan = plan_of("xlm-roberta-large")
    step = trial(plan, "mnli")
    shares = [gpus_of(step, plan.steps, placed(memory)) for memory in (16, 40, 80, 141, 10_000)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert shares[-1] == 0.125
    assert all(round(1 / share) * share <= 1 for share in shares)


def test_as_many_as_the_memory_model_lets_in() -> None:
    plan = plan_of("xlm-roberta-large", "training.precision=bf16")
    step, placement = trial(plan, "mnli"), placed(80)
    packing = placement.train.packing
    assert packing is not None
    needed = bytes_of(step, plan.steps, placement.train)
    assert needed is not None
    together = trials_together(step, plan.steps, placement.train, packing)
    room = 0.7 * 80e9
    assert together * (needed + 1.5e9) <= room < (together + 1) * (needed + 1.5e9)


def test_longer_inputs_several_choices_and_smaller_bites_count() -> None:
    plan = plan_of("xlm-roberta-large", "target.tasks=[xnli, lareqa]")
    whole = placed(80).train
    found = {
        name: bytes_of(trial(plan, name), plan.steps, whole)
        for name in ("mnli", "squad_v1", "commonsenseqa")
    }
    about = TASKS["commonsenseqa"].model_dump(mode="json", exclude_defaults=True)
    eight = {**about, "name": "wide", "labels": [*"ABCDEFGH"]}
    wider = plan_of(
        "xlm-roberta-large", f"tasks=[{json.dumps(eight)}]", "intermediate.tasks=[wide]"
    )
    assert bytes_of(trial(wider, "wide"), wider.steps, whole) > found["commonsenseqa"]  # type: ignore[operator]
    smaller = bytes_of(trial(plan, "mnli"), plan.steps, placed(80, micro_batch=2).train)
    assert smaller is not None
    assert all(each is not None and each > smaller for each in found.values())
    uncut = trial(plan, "squad_sentences")
    assert bytes_of(uncut, plan.steps, placed(80, micro_batch=2).train) == bytes_of(
        uncut, plan.steps, whole
    )
    in_bf16 = plan_of("xlm-roberta-large", "training.precision=bf16")
    assert bytes_of(trial(in_bf16, "mnli"), in_bf16.steps, whole) < found["mnli"]  # type: ignore[operator]


def test_the_forms_whose_batches_are_not_cut_say_so_themselves() -> None:
    assert set(UNCUT) == {
        name for name, form in FORMS.items() if getattr(form, "WHOLE_BATCH", False)
    }


def test_an_encoder_of_unknown_size_takes_a_gpu_to_itself() -> None:
    plan = plan_of("nobody/knows")
    assert gpus_of(trial(plan, "mnli"), plan.steps, placed(10_000)) == 1


def test_other_steps_take_what_the_placement_says() -> None:
    plan, placement = plan_of("xlm-roberta-large"), placed(10_000)
    for step in plan.steps.values():
        expected = {"train": 0.125, "evaluate": 0.5}.get(step.kind, 0.0)
        assert gpus_of(step, plan.steps, placement) == expected
        assert needs_of(step, plan.steps, placement).gpus == expected


def test_a_record_counts_the_share_that_its_trial_took() -> None:
    plan, placement = plan_of("xlm-roberta-large"), placed(10_000)
    step = trial(plan, "mnli")
    record = record_of(step).model_copy(
        update={"placement": resources_of(step, plan.steps, placement)}
    )
    assert held_by(record)[1] == 0.125
    other = next(s for s in plan.steps.values() if s.kind == "evaluate")
    assert resources_of(other, plan.steps, placement)["evaluate"]["gpus"] == 0.5


@pytest.mark.parametrize("train", [{"gpus": 0.5}, {"workers": 2}, {"gpus": 0}])
def test_only_trials_on_one_whole_gpu_are_packed(train: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="packing needs gpus: 1 and workers: 1"):
        placed(80, **train)


def test_plain_torch_is_not_asked_to_shard() -> None:
    with pytest.raises(ValidationError, match="engine torch shards nothing"):
        Placement.model_validate({"train": {"engine": "torch", "zero_stage": 2}})


KINDS: tuple[Kind, ...] = get_args(Kind)
EACH = {"train": (2.0, 1.0), "prepare": (1.0, 0.25), "evaluate": (8.0, 0.5)}
"""Section of the placement -> CPUs and GPUs of one process."""


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in INLINE])
def test_the_estimate_the_driver_and_the_record_say_the_same_of_a_step(kind: Kind) -> None:
    step = Step(kind=kind, name="one", spec={}, phase="target")
    plan = Plan(experiment="one", steps={step.key: step}, cells=(), tasks={})
    placement = Placement.model_validate(
        {section: {"cpus": cpus, "gpus": gpus} for section, (cpus, gpus) in EACH.items()}
    )
    cpus, gpus = EACH[section_of(kind)]
    if kind == "pretrain":
        gpus = 0.0  # it computes on the CPU, whatever trials take
    assert needs_of(step, plan.steps, placement) == Needs(cpus=cpus, gpus=gpus)
    bundle = bundle_of(step, plan, placement)
    assert (bundle["CPU"], bundle.get("GPU", 0.0)) == (cpus, gpus)
    placed_as = {**resources_of(step, plan.steps, placement), "device": "NVIDIA H200"}
    assert held_by(_record(step, placed_as)) == (cpus, gpus, False)
    on_gpu = kind in ("train", "evaluate", "estimate")
    assert (device_of_record(kind, placed_as) != CPU) == on_gpu


def test_the_encoder_of_the_demo_is_made_by_one_process_however_many_workers_trials_have() -> None:
    step = Step(kind="pretrain", name="one", spec={}, phase="encoder")
    plan = Plan(experiment="one", steps={step.key: step}, cells=(), tasks={})
    placement = Placement.model_validate({"train": {"cpus": 2, "gpus": 1, "workers": (2, 8)}})
    assert bundle_of(step, plan, placement) == {"CPU": 2.0}
    assert needs_of(step, plan.steps, placement) == Needs(cpus=2.0)
    assert held_by(_record(step, resources_of(step, plan.steps, placement))) == (2.0, 0.0, False)


def test_the_steps_that_the_driver_does_itself_take_nothing() -> None:
    for kind in INLINE:
        step = Step(kind=kind, name="one", spec={}, phase="target")
        assert needs_of(step, {step.key: step}, Placement()) == Needs()


def _record(step: Step, placement: dict[str, object]) -> Record:
    about = {"key": step.key, "kind": step.kind, "name": step.name, "version": 1}
    return Record.model_validate({**about, "spec": {}, "result": {}, "placement": placement})

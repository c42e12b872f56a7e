from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from tests.prints import FakePrints
from tests.recorded import record_of
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.costs.durations import needs_of
from xtransfer.costs.packing import UNCUT, bytes_of, gpus_of, resources_of, trials_together
from xtransfer.forms import FORMS
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
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

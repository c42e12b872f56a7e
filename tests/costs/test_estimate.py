from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from tests.costs.timed import PLACED, SMALL, by_key, counted, of_kind, plan_of, scored, trained
from xtransfer.config.placement import Placement, RayCluster, Resources, TrainResources
from xtransfer.costs.document import to_json
from xtransfer.costs.estimate import Estimate, Question, estimate
from xtransfer.costs.tables import Figure, Price, Prices, SpeedTable
from xtransfer.costs.words import figure_lines, phase_rows, summary_lines, unknown_lines
from xtransfer.plan import Plan
from xtransfer.records.record import Record

# mnli: 2 epochs of 1,000 rows at 100 a second, 1,000 dev rows once at 400 a second, 5 s around it.
MNLI = 5 + 2 * 1000 / 100 + 1000 / 400
# pawsx has no trial yet, but its form has: 5 epochs.
PAWSX = 5 + 5 * 1000 / 100 + 1000 / 400
# An evaluation: 3 s to begin, and its 1,000 rows in 10 s.
SCORED = 3 + 10
LEFT = 3 * MNLI + 2 * PAWSX + 3 * SCORED
CHAIN = MNLI + PAWSX + SCORED
DAY = dt.date(2026, 11, 2)
FIGURE = {
    "encoder": "xlm-roberta-base",
    "device": "h100",
    "max_length": 256,
    "precision": "fp32",
    "examples_per_s": 50.0,
    "source": "a pilot",
    "date": DAY,
}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


def data_of(plan: Plan) -> dict[str, Record]:
    return by_key(*(counted(step) for step in of_kind(plan, "prepare")))


def some_done(plan: Plan) -> dict[str, Record]:
    """All data, one of the two mnli trials and one evaluation."""
    first, scores = of_kind(plan, "train", "mnli-lr")[0], of_kind(plan, "evaluate", "xnli")[0]
    return data_of(plan) | by_key(trained(first), scored(scores))


def seconds_of(found: Estimate, plan: Plan, name: str) -> set[float | None]:
    return {d.seconds for k, d in found.durations.items() if plan.steps[k].name.startswith(name)}


def bases_of(found: Estimate, plan: Plan, kind: str) -> set[str]:
    return {d.trust for k, d in found.durations.items() if plan.steps[k].kind == kind}


def test_the_hours_left_are_the_sum_done_by_hand(plan: Plan) -> None:
    found = estimate(plan, some_done(plan), PLACED, Question())
    assert found.total.gpu_s == pytest.approx(LEFT)
    assert found.phases["target"].gpu_s == pytest.approx(2 * MNLI + 2 * PAWSX)
    assert found.phases["intermediate"].gpu_s == pytest.approx(MNLI)
    assert (found.total.cpu_s, found.total.unknown) == (0, 0)
    assert (found.trials, found.trials_recorded, found.recorded) == (6, 1, 8)
    assert found.critical_s == pytest.approx(CHAIN)
    assert found.device == "h100"


def test_every_figure_names_source_and_date(plan: Plan) -> None:
    found = estimate(plan, some_done(plan), PLACED, Question())
    lines = list(figure_lines(found))
    assert "[1] 1 of train mnli (256 tokens) on h100; 2026-09-21" in lines
    assert any("others of the form; 2026-09-21" in line for line in lines)
    assert bases_of(found, plan, "train") == {"measured", "alike"}


def test_a_trial_on_more_gpus_counts_them_all(plan: Plan) -> None:
    on_two = Placement(train=TrainResources(gpus=1, workers=2), evaluate=Resources(gpus=1))
    first = of_kind(plan, "train", "mnli-lr")[0]
    found = estimate(plan, data_of(plan) | by_key(trained(first, workers=2)), on_two, Question())
    assert seconds_of(found, plan, "mnli-lr") == {MNLI}
    assert found.phases["intermediate"].gpu_s == pytest.approx(2 * MNLI)


def test_a_speed_of_one_gpu_is_taken_to_two_in_proportion_and_said_so(plan: Plan) -> None:
    on_two = Placement(train=TrainResources(gpus=1, workers=2), evaluate=Resources(gpus=1))
    found = estimate(plan, some_done(plan), on_two, Question())
    assert seconds_of(found, plan, "mnli-lr") == {5 + (MNLI - 5) / 2}
    assert any("from 1 to 2 devices in proportion" in line for line in figure_lines(found))
    assert bases_of(found, plan, "train") == {"alike"}


def test_an_elastic_trial_takes_what_there_is_room_for(plan: Plan) -> None:
    elastic = Placement(train=TrainResources(gpus=1, workers=(1, 4)), evaluate=Resources(gpus=1))
    of = {gpus: estimate(plan, {}, elastic, Question(device="h100", gpus=gpus)) for gpus in (2, 8)}
    most = {gpus: max(needs.gpus for needs in found.needs.values()) for gpus, found in of.items()}
    assert most == {2: 2, 8: 4}


def test_makespan_and_bound(plan: Plan) -> None:
    found = estimate(plan, some_done(plan), PLACED, Question(gpus=1))
    assert (found.makespan_s, found.bound_s) == (pytest.approx(LEFT), pytest.approx(LEFT))
    wide = estimate(plan, some_done(plan), PLACED, Question(gpus=100))
    assert wide.makespan_s == pytest.approx(CHAIN)
    assert estimate(plan, some_done(plan), PLACED, Question()).makespan_s is None


def test_the_gpus_and_steps_of_a_private_cluster_are_the_default(plan: Plan) -> None:
    one_at_a_time = PLACED.model_copy(update={"ray": RayCluster(gpus=100), "concurrent": 1})
    found = estimate(plan, some_done(plan), one_at_a_time, Question())
    assert found.makespan_s == pytest.approx(LEFT)


def test_without_any_figure_it_is_unknown_and_named(plan: Plan) -> None:
    nothing = estimate(plan, {}, PLACED, Question())
    assert nothing.total.unknown == len([s for s in plan.steps.values() if s.kind != "select"])
    assert nothing.total.gpu_s == 0
    (line,) = unknown_lines(nothing, plan)
    assert "prepare/mnli-train-" in line
    assert not to_json(nothing)["complete"]
    text = "\n".join((*figure_lines(nothing), *summary_lines(nothing), *phase_rows(nothing)[-1]))
    assert "which GPU: --device NAME" in text
    assert "at least" in text


def test_a_device_that_no_data_sheet_here_is_of_stays_unknown(plan: Plan) -> None:
    found = estimate(plan, {}, PLACED, Question(device="tpu-v9"))
    assert bases_of(found, plan, "train") == {"unknown"}


def test_records_replace_estimates_as_they_come(plan: Plan) -> None:
    records: dict[str, Record] = {}
    question = Question(device="h100")
    before = estimate(plan, records, PLACED, question)
    assert bases_of(before, plan, "train") == {"estimate"}
    # Sizes as published, every input as long as it may be.
    mnli = of_kind(plan, "train", "mnli-lr")[0]
    assert "every input as long" in before.durations[mnli.key].source
    assert before.durations[mnli.key].examples.startswith("Williams")
    flops = 85_054_464 * 256 * (6 * 2 * 392_702 + 2 * 9_815)
    assert before.durations[mnli.key].seconds == pytest.approx(flops / (67e12 * 0.3))
    records |= data_of(plan)
    exact = estimate(plan, records, PLACED, question)
    # 30,000 tokens a data set, counted.
    flops = 85_054_464 * (6 * 2 * 30_000 + 2 * 30_000)
    assert exact.durations[mnli.key].seconds == pytest.approx(flops / (67e12 * 0.3))
    assert exact.durations[mnli.key].examples == "counted"
    records |= by_key(trained(mnli))
    after = estimate(plan, records, PLACED, question)
    assert bases_of(after, plan, "train") == {"measured", "alike"}
    assert seconds_of(after, plan, "mnli-lr") == {MNLI}


def test_the_utilisation_is_a_setting(plan: Plan) -> None:
    def hours(share: float) -> float:
        placed = PLACED.model_copy(
            update={"estimates": PLACED.estimates.model_copy(update={"utilisation": share})}
        )
        return estimate(plan, data_of(plan), placed, Question(device="h100")).total.gpu_s

    assert hours(0.2) == pytest.approx(2 * hours(0.4))


def test_records_of_another_plan_count_too(plan: Plan, tmp_path: Path) -> None:
    other = plan_of(tmp_path, SMALL.replace("seeds: [1, 2]", "seeds: [7]"))
    (step,) = [s for s in of_kind(other, "train", "mnli-lr") if s.spec["seed"] == 7]
    found = estimate(plan, data_of(plan) | by_key(trained(step)), PLACED, Question())
    assert seconds_of(found, plan, "mnli-lr") == {MNLI}
    assert found.trials_recorded == 0


@pytest.mark.parametrize(
    "changed",
    [
        SMALL.replace("xlm-roberta-base", "xlm-roberta-large"),
        SMALL.replace("eval_every: null", "eval_every: null, precision: bf16"),
        SMALL.replace("eval_every: null", "eval_every: null, lora: {rank: 8}"),
    ],
    ids=["encoder", "precision", "adapters"],
)
def test_records_of_another_encoder_or_precision_or_of_adapters_do_not(
    plan: Plan, tmp_path: Path, changed: str
) -> None:
    other = plan_of(tmp_path, changed)
    records = data_of(plan) | data_of(other)
    records |= by_key(*(trained(step) for step in of_kind(other, "train", "mnli-lr")))
    found = estimate(plan, records, PLACED, Question())
    assert bases_of(found, plan, "train") == {"estimate"}


def test_a_record_that_says_no_device_measures_nothing(plan: Plan) -> None:
    first = of_kind(plan, "train", "mnli-lr")[0]
    records = data_of(plan) | by_key(trained(first, device=None))
    assert bases_of(estimate(plan, records, PLACED, Question()), plan, "train") == {"unknown"}


def test_a_trial_that_was_resumed_is_measured_by_what_its_last_process_did(plan: Plan) -> None:
    # 500 of its 2,000 rows, at the same speed; without `examples`, all would have been counted.
    first = of_kind(plan, "train", "mnli-lr")[0]
    part = trained(first, seconds=5 + 5 + 2.5, examples=500.0)
    found = estimate(plan, data_of(plan) | by_key(part), PLACED, Question())
    assert seconds_of(found, plan, "mnli-lr") == {MNLI}


def test_the_users_table_comes_after_records_and_before_estimates(plan: Plan) -> None:
    figures = (
        Figure(**FIGURE, form="classification"),
        Figure(**{**FIGURE, "examples_per_s": 200.0, "predicted_per_s": 500.0}, task="mnli"),
    )
    question = Question(device="h100", speeds=SpeedTable(figures=figures))
    found = estimate(plan, data_of(plan), PLACED, question)
    assert seconds_of(found, plan, "mnli-lr") == {2000 / 200 + 1000 / 500}
    assert seconds_of(found, plan, "pawsx-lr") == {5000 / 50 + 1000 / 150}
    assert seconds_of(found, plan, "xnli-after") == {1000 / 150}
    assert bases_of(found, plan, "train") == {"table"}
    assert any(line.endswith("a pilot; 2026-11-02") for line in figure_lines(found))
    measured = estimate(plan, some_done(plan), PLACED, question)
    assert bases_of(measured, plan, "train") == {"measured", "alike"}


def test_prices(plan: Plan) -> None:
    price = Price(spot=2.0, on_demand=5.0, currency="USD", source="a list", date=DAY)
    question = Question(gpus=2, prices=Prices({"NVIDIA H100": price}))
    found = estimate(plan, some_done(plan), PLACED, question)
    (cost,) = to_json(found)["costs"]
    assert cost["used"] == {
        "spot": round(2 * LEFT / 3600, 2),
        "on_demand": round(5 * LEFT / 3600, 2),
    }
    assert found.makespan_s
    assert cost["held"]["spot"] == round(2 * 2 * found.makespan_s / 3600, 2)
    assert (cost["currency"], cost["source"], cost["date"]) == ("USD", "a list", "2026-11-02")
    assert any("a list, 2026-11-02" in line for line in summary_lines(found))


def test_a_device_without_a_price_is_named(plan: Plan) -> None:
    price = Price(spot=2.0, currency="USD", source="a list", date=DAY)
    question = Question(gpus=2, prices=Prices({"a100": price}))
    found = estimate(plan, some_done(plan), PLACED, question)
    assert not found.costs
    assert to_json(found)["unpriced"] == ["h100"]
    assert any(line.startswith("no price is given for h100") for line in summary_lines(found))


def test_there_is_no_built_in_price(plan: Plan) -> None:
    assert not estimate(plan, some_done(plan), PLACED, Question(gpus=2)).costs


def test_a_quota_that_fits_and_one_that_does_not(plan: Plan) -> None:
    def ask(quota: int, hours: float | None = None, placed: Placement = PLACED) -> str:
        question = Question(quota=quota, deadline_h=hours)
        found = estimate(plan, some_done(plan), placed, question)
        return next(line for line in summary_lines(found) if line.startswith("quota"))

    assert ask(2).startswith("quota of 2 GPUs: fits;")
    assert "fits, " in ask(2, 1)
    assert "min to spare" in ask(2, 1)
    unknown = next(
        line
        for line in summary_lines(estimate(plan, {}, PLACED, Question(quota=2, deadline_h=1)))
        if line.startswith("quota")
    )
    assert unknown.startswith("quota of 2 GPUs: fits as far as is known, at most 1.0 h to spare")
    half = LEFT / 3600 / 2
    short = ask(1, half)
    assert f"does not fit: {LEFT / 60 / 2:.1f} min over the deadline" in short
    assert f"{half:.3f} GPU-hours short" in short
    wide = PLACED.model_copy(update={"train": TrainResources(gpus=1, workers=8)})
    assert "does not fit: a step takes 8 GPUs" in ask(4, placed=wide)


@pytest.mark.parametrize(
    ("deadline_h", "told"),
    [
        (None, "quota of 2 GPUs: does not fit: --gpus asks for 4; with 2, makespan "),
        (100, "quota of 2 GPUs: does not fit: --gpus asks for 4, "),
        (0.001, "quota of 2 GPUs: does not fit: "),
    ],
)
def test_more_gpus_than_the_quota_has_are_the_reason_why_it_does_not_fit(
    plan: Plan, deadline_h: float | None, told: str
) -> None:
    question = Question(gpus=4, quota=2, deadline_h=deadline_h)
    found = estimate(plan, some_done(plan), PLACED, question)
    line = next(line for line in summary_lines(found) if line.startswith("quota"))
    assert line.startswith(told)
    assert "with 2, makespan" in line
    assert to_json(found)["quota"]["fits"] is False
    enough = estimate(plan, some_done(plan), PLACED, Question(gpus=2, quota=2)).fit
    assert enough
    assert (enough.fits, enough.beyond) == (True, None)


def test_a_deadline_counts_on_cpus_and_on_the_gpus_of_a_private_cluster(plan: Plan) -> None:
    placed = Placement(train=TrainResources(cpus=4))
    first = of_kind(plan, "train", "mnli-lr")[0]
    records = data_of(plan) | by_key(trained(first, device=None, gpus=0))
    for hours, fits in ((0.001, False), (100, True)):
        fit = estimate(plan, records, placed, Question(cpus=4, deadline_h=hours)).fit
        assert fit
        assert (fit.gpus, fit.fits, fit.short_gpu_s) == (None, fits, 0)
    lines = summary_lines(estimate(plan, records, placed, Question(cpus=4, deadline_h=0.001)))
    assert any(line.startswith("these CPUs: does not fit: ") for line in lines)
    private = PLACED.model_copy(update={"ray": RayCluster(gpus=1)})
    short = estimate(plan, some_done(plan), private, Question(deadline_h=LEFT / 3600 / 2)).fit
    assert short
    assert (short.gpus, short.fits) == (1, False)
    assert short.over_s == pytest.approx(LEFT / 2)


def test_on_cpus_hours_are_cpu_hours(plan: Plan) -> None:
    placed = Placement(train=TrainResources(cpus=4))
    first = of_kind(plan, "train", "mnli-lr")[0]
    records = data_of(plan) | by_key(trained(first, device=None, gpus=0))
    found = estimate(plan, records, placed, Question(cpus=4))
    assert found.phases["intermediate"].cpu_s == pytest.approx(4 * MNLI)
    assert found.total.gpu_s == 0
    assert found.makespan_s == pytest.approx(3 * MNLI + 2 * PAWSX)  # evaluations are unknown


def test_data_that_is_left_is_measured_by_data_that_was_read(plan: Plan) -> None:
    first, *rest = of_kind(plan, "prepare")
    found = estimate(plan, by_key(counted(first)), PLACED, Question())
    dev = next(step for step in rest if step.name == "mnli-dev")
    assert found.durations[dev.key].seconds == 2 + 9815 / (1000 / 10)


def test_json_is_json(plan: Plan) -> None:
    question = Question(gpus=2, quota=1, deadline_h=0.1)
    found = to_json(estimate(plan, some_done(plan), PLACED, question))
    assert json.loads(json.dumps(found)) == found
    assert found["quota"]["fits"] is False
    assert {row["basis"] for row in found["figures"]} == {"measured", "alike"}

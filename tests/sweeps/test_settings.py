from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.errors import ConfigError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings
from xtransfer.sweeps.rungs import rungs_of, sweep_key
from xtransfer.sweeps.settings import Asha, Search, check_sweeps, rounded

GRID = ("name=small", "encoder=encoder", "intermediate.tasks=[mnli]", "target.tasks=[xnli]")
RANDOM = "{kind: random, low: 5e-6, high: 5e-5, trials: 4}"


def plan_of(*overrides: str) -> Plan:
    found = read_settings(Experiment, None, (*GRID, *overrides), "test")
    return build_plan(found, FakePrints())


def trials(plan: Plan, phase: str = "intermediate") -> list[Step]:
    return [s for s in plan.steps.values() if s.kind == "train" and s.phase == phase]


def test_random_learning_rates_are_those_that_ray_tune_draws() -> None:
    import numpy as np
    from ray import tune

    search = Search(kind="random", low=5e-6, high=5e-5, trials=6, seed=7)
    theirs = tune.loguniform(5e-6, 5e-5).sample(size=6, random_state=np.random.RandomState(7))
    assert search.rates((), 1e-5) == tuple(sorted(rounded(rate) for rate in theirs))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30))
def test_a_draw_is_within_its_range_and_its_names_show_it_whole(seed: int, count: int) -> None:
    found = Search(kind="random", low=1e-6, high=1e-3, trials=count, seed=seed).rates((), 1e-5)
    assert len(found) == count
    assert all(1e-6 <= rate <= 1e-3 and float(f"{rate:g}") == rate for rate in found)
    assert len(set(found)) == len(found)


def test_what_is_drawn_twice_is_made_up_for() -> None:
    narrow = {"low": 1e-5, "high": 1.3e-5}  # 31 learning rates of three digits
    once = Search(kind="random", **narrow, trials=1).rates((), 1e-5)
    draws = [Search(kind="random", **narrow, trials=count).rates((), 1e-5) for count in (12, 25)]
    assert [len(rates) for rates in draws] == [12, 25]
    assert set(once) < set(draws[0]) < set(draws[1])
    assert len(Search(kind="random", **narrow, trials=100).rates((), 1e-5)) == 31
    # What tpe lacks is suggested, so that its trials are as many as ever.
    tpe = Search(kind="tpe", **narrow, trials=40, startup=25)
    drawn = len(tpe.rates((), 1e-5))
    assert drawn < 25
    assert drawn + len(list(tpe.suggested(drawn))) == 40


def test_a_longer_draw_has_the_shorter_one_in_it() -> None:
    few, many = (
        Search(kind="random", low=1e-6, high=1e-3, trials=count).rates((), 1e-5) for count in (3, 9)
    )
    assert set(few) < set(many)


def test_a_random_trial_is_the_step_of_a_grid_that_has_its_learning_rate() -> None:
    drawn = plan_of(f"intermediate.search={RANDOM}")
    rates = sorted(step.spec["learning_rate"] for step in trials(drawn))
    assert len(rates) == 4
    grid = plan_of(f"intermediate.learning_rates={rates}")
    assert drawn.steps.keys() == grid.steps.keys()
    assert plan_of(f"intermediate.search={RANDOM}").steps.keys() == drawn.steps.keys()
    other = plan_of(f"intermediate.search={RANDOM[:-1]}, seed: 1}}")
    assert not {s.key for s in trials(other)} & {s.key for s in trials(drawn)}


def test_a_grid_has_the_keys_it_had_before_there_was_anything_else() -> None:
    plain = plan_of("intermediate.learning_rates=[1e-5, 2e-5]")
    named = plan_of("intermediate.learning_rates=[1e-5, 2e-5]", "intermediate.search=grid")
    assert plain.steps.keys() == named.steps.keys()
    assert all("asha" not in step.spec for step in trials(plain))


def test_a_trial_under_asha_is_another_step_and_names_whom_it_competes_with() -> None:
    rates = "learning_rates=[1e-5, 2e-5]"
    plain = plan_of(f"intermediate.{rates}")
    ruled = plan_of(f"intermediate.{rates}", "intermediate.asha={grace: 20}")
    assert not {s.key for s in trials(plain)} & {s.key for s in trials(ruled)}
    assert {sweep_key(step) for step in trials(ruled)} == {sweep_key(trials(ruled)[0])}
    asha = trials(ruled)[0].spec["asha"]
    assert asha == {"grace": 20, "reduction": 2, "learning_rates": [1e-5, 2e-5], "seeds": [1]}
    assert rungs_of(trials(ruled)[0]) == (20, 40, 80)
    assert rungs_of(trials(plain)[0]) == ()
    wider = plan_of(
        "intermediate.learning_rates=[1e-5, 2e-5, 3e-5]", "intermediate.asha={grace: 20}"
    )
    assert sweep_key(trials(wider)[0]) != sweep_key(trials(ruled)[0])


def test_only_trials_of_one_selection_compete() -> None:
    plan = plan_of(
        "target.seeds=[1, 2]", "target.learning_rates=[1e-5, 2e-5]", "target.asha={grace: 20}"
    )
    found = trials(plan, "target")
    of_seed = {seed: {sweep_key(s) for s in found if s.spec["seed"] == seed} for seed in (1, 2)}
    assert not of_seed[1] & of_seed[2]
    assert all(len(keys) == 2 for keys in of_seed.values())  # after the baseline, and after mnli
    for step in plan.steps.values():
        if step.kind == "select" and step.phase == "target":
            keys = {
                sweep_key(plan.steps[k]) for r, k in step.inputs.items() if r.startswith("trial")
            }
            assert len(keys) == 1


def test_a_trial_without_rivals_is_as_it_was() -> None:
    one = plan_of("target.seeds=[1, 2]", "target.learning_rates=[1e-5]")
    ruled = plan_of(
        "target.seeds=[1, 2]", "target.learning_rates=[1e-5]", "target.asha={grace: 20}"
    )
    assert one.steps.keys() == ruled.steps.keys()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "random"}, "random needs `low` and `high`"),
        ({"kind": "random", "low": 1e-5, "high": 1e-5}, "`low` must be below `high`"),
        ({"low": 1e-5}, "a grid has no range"),
        ({"kind": "best"}, "Input should be"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Search.model_validate(settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"search": Search(kind="random", low=1e-6, high=1e-5), "grid": (1e-5,)},
            "x.yaml: target.learning_rates: are those of a grid, and target.search is random",
        ),
        (
            {"asha": Asha(grace=25), "rules": ["best_dev", "mean_over_seeds"]},
            "stops trials by the score that best_dev selects by, and the rule is mean_over_seeds",
        ),
        (
            {"search": Search(kind="tpe", low=1e-6, high=1e-5), "asha": Asha(grace=25)},
            "tpe follows whole trials by the score that best_dev selects by, and asha stops them",
        ),
        (
            {"search": Search(kind="tpe", low=1e-6, high=1e-5), "rules": ["target_dev"]},
            "tpe follows whole trials .* the rule is target_dev",
        ),
        ({"asha": Asha(grace=25), "eval_every": None}, "needs dev evaluations on the way"),
    ],
)
def test_what_does_not_go_together_is_refused(changes: dict[str, object], message: str) -> None:
    good = {"search": Search(), "asha": None, "grid": (), "rules": ["best_dev"], "eval_every": 50}
    check_sweeps(**good, where="x.yaml: target")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=message):
        check_sweeps(**{**good, **changes}, where="x.yaml: target")  # type: ignore[arg-type]

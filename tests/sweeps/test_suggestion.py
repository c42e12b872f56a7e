"""TPE's suggestions: what they follow from, and that they are made once."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from tests.small import small_bench
from tests.sweeps.test_settings import plan_of, trials
from xtransfer import card
from xtransfer.driver.frontier import Frontier
from xtransfer.execution.execute import run_step
from xtransfer.plan import Step
from xtransfer.process.workbench import Workbench
from xtransfer.records.audit import audit
from xtransfer.records.failures import blocked_by
from xtransfer.records.layout import SUGGESTIONS
from xtransfer.records.notes import note_text
from xtransfer.records.results import learning_rate_of
from xtransfer.sweeps.suggestion import suggest, suggestion_of

optuna = pytest.importorskip("optuna")

SPACE = {"low": 1e-6, "high": 1e-2, "seed": 3}
TPE = "intermediate.search={kind: tpe, low: 1e-6, high: 1e-3, trials: 6, startup: 3%s}"


def bowl(rate: float) -> float:
    """A dev score that is best at a learning rate of 1e-4."""
    return 80 - 10 * (math.log10(rate) + 4) ** 2


def search(
    score: Callable[[float], float], *, trials: int, startup: int = 4, seed: int = 1
) -> list[float]:
    """Return the learning rates that a sweep would try, one after the other."""
    rates = [1e-6 * 10 ** (4 * (each + 0.5) / startup) for each in range(startup)]
    for number in range(startup, trials):
        known = [(rate, score(rate)) for rate in rates]
        rates.append(suggest({**SPACE, "number": number}, seed, known))
    return rates


def test_the_first_trials_are_those_of_a_random_search_and_the_others_know_of_them() -> None:
    plan = plan_of(TPE % "")
    random = plan_of("intermediate.search={kind: random, low: 1e-6, high: 1e-3, trials: 3}")
    drawn, suggested = trials(plan)[:3], trials(plan)[3:]
    assert {s.key for s in drawn} == {s.key for s in trials(random)}
    assert [s.spec["tpe"]["number"] for s in suggested] == [3, 4, 5]
    assert all(s.spec["learning_rate"] is None for s in suggested)
    for at, step in enumerate(suggested, 3):
        known = [key for role, key in step.inputs.items() if role.startswith("earlier-")]
        assert known == [s.key for s in trials(plan)[:at]]
    choice = next(
        s for s in plan.steps.values() if s.kind == "select" and s.phase == "intermediate"
    )
    assert set(choice.inputs.values()) == {s.key for s in trials(plan)}


def test_trials_that_may_run_at_once_do_not_wait_for_each_other() -> None:
    plan = plan_of(TPE % ", parallel: 2")
    known = [sum(role.startswith("earlier-") for role in s.inputs) for s in trials(plan)]
    assert known == [0, 0, 0, 3, 3, 4]


def test_each_seed_is_a_search_of_its_own() -> None:
    plan = plan_of(TPE % "", "intermediate.seeds=[1, 2]")
    for step in trials(plan):
        for role, key in step.inputs.items():
            if role.startswith("earlier-"):
                assert plan.steps[key].spec["seed"] == step.spec["seed"]


def test_a_suggestion_follows_from_its_number_its_seeds_and_what_is_known() -> None:
    known = [(rate, bowl(rate)) for rate in (1e-6, 1e-5, 1e-4, 1e-3)]
    first = suggest({**SPACE, "number": 4}, 1, known)
    assert first == suggest({**SPACE, "number": 4}, 1, known)
    others = {
        suggest({**SPACE, "number": 5}, 1, known),
        suggest({**SPACE, "number": 4, "seed": 4}, 1, known),
        suggest({**SPACE, "number": 4}, 2, known),
        suggest({**SPACE, "number": 4}, 1, [(rate, -score) for rate, score in known]),
    }
    assert first not in others
    assert SPACE["low"] <= first <= SPACE["high"]
    assert float(f"{first:.3g}") == first


def test_it_is_what_optuna_itself_suggests() -> None:
    import numpy as np

    known = [(rate, bowl(rate)) for rate in (1e-6, 1e-5, 1e-4, 1e-3)]
    seed = int(np.random.SeedSequence([3, 1, 4]).generate_state(1)[0])
    space = optuna.distributions.FloatDistribution(1e-6, 1e-2, log=True)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=1)
    )
    for rate, score in known:
        study.add_trial(
            optuna.trial.create_trial(
                value=score, params={"learning_rate": rate}, distributions={"learning_rate": space}
            )
        )
    theirs = study.ask({"learning_rate": space}).params["learning_rate"]
    assert suggest({**SPACE, "number": 4}, 1, known) == float(f"{theirs:.3g}")


def test_suggestions_come_close_to_what_scores_best() -> None:
    by_chance = 80 - 10 * 4 / 3  # the mean score over the range
    for seed in range(3):
        rates = search(bowl, trials=16, seed=seed)
        assert fmean(map(bowl, rates[8:])) > by_chance + 5


def test_a_failed_trial_ends_a_search_unless_its_sweep_is_taken_as_it_is() -> None:
    blocked: dict[str, int] = {}
    for incomplete in ("refuse", "allow"):
        plan = plan_of(TPE % "", f"intermediate.incomplete={incomplete}")
        found = Frontier(plan, done=(), changed=lambda key, state, text: None)
        sweep = [step.key for step in trials(plan)]
        for key in sweep[:3]:
            found.finish(key)
        found.fail(sweep[3], "the loss is not finite")
        blocked[incomplete] = len(found.blocked.keys() & set(sweep))
        assert (found.waits(sweep[4])) == (incomplete == "allow")
        reported = blocked_by(plan, {sweep[3]}, recorded=sweep[:3])[sweep[3]]
        assert set(reported) == set(found.blocked)
    assert blocked == {"refuse": 2, "allow": 0}


def test_what_is_suggested_without_failed_trials_says_so_in_its_key() -> None:
    plans = [plan_of(TPE % "", f"intermediate.incomplete={each}") for each in ("refuse", "allow")]
    refused, allowed = ([step.key for step in trials(plan)] for plan in plans)
    assert refused[:3] == allowed[:3]
    assert not set(refused[3:]) & set(allowed[3:])


def test_a_suggestion_does_without_a_trial_that_has_failed(tmp_path: Path) -> None:
    tpe = {"kind": "tpe", "low": 1e-4, "high": 1e-2, "trials": 4, "startup": 3}
    search = {"learning_rates": [], "search": tpe, "incomplete": "allow"}
    bench, _ = small_bench(tmp_path, {}, target=search)
    steps = [step for step in bench.plan.steps.values() if step.kind == "train"]
    run_step(steps[0], bench)
    run_step(steps[2], bench)
    found = suggestion_of(steps[3], bench)
    assert found is not None
    assert [key for key, _, _ in found.earlier] == [steps[0].key, steps[2].key]


@pytest.fixture
def ready(tmp_path: Path) -> tuple[Workbench, list[Step]]:
    """A bench on which all that precedes the trials of a search is done, and the trials."""
    tpe = {"kind": "tpe", "low": 1e-4, "high": 1e-2, "trials": 4, "startup": 2}
    bench, _ = small_bench(tmp_path, {}, target={"learning_rates": [], "search": tpe})
    return bench, [step for step in bench.plan.steps.values() if step.kind == "train"]


def test_a_suggested_trial_is_recorded_with_what_it_was_suggested_from(
    ready: tuple[Workbench, list[Step]],
) -> None:
    bench, steps = ready
    records = [run_step(step, bench) for step in steps]
    assert [step.name.rpartition("reviews")[2][:4] for step in steps[2:]] == ["-tpe", "-tpe"]
    for number, record in enumerate(records[2:], 2):
        assert record.spec["learning_rate"] is None
        found = record.result["suggestion"]
        assert found["learning_rate"] == record.result["learning_rate"] == learning_rate_of(record)
        assert found["earlier"] == [
            [each.key, learning_rate_of(each), each.result["score"]] for each in records[:number]
        ]
        known = [(rate, score) for _, rate, score in found["earlier"]]
        assert suggest(record.spec["tpe"], 1, known) == found["learning_rate"]
    choice = next(s for s in bench.plan.steps.values() if s.kind == "select")
    candidates = run_step(choice, bench).result["candidates"]
    assert [each["learning_rate"] for each in candidates] == [learning_rate_of(r) for r in records]
    assert audit(bench.store).findings == ()
    assert f"| {learning_rate_of(records[3]):g} |" in card._stages(records)


def test_a_trial_that_is_started_again_takes_what_was_suggested(
    ready: tuple[Workbench, list[Step]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, steps = ready
    for step in steps[:2]:
        run_step(step, bench)
    first = suggestion_of(steps[2], bench)
    monkeypatch.setattr("xtransfer.sweeps.suggestion.suggest", lambda *_: 0.5)
    assert suggestion_of(steps[2], bench) == first
    # What cannot be read is suggested anew.
    bench.store.write(
        f"{SUGGESTIONS}/{steps[2].key}.json", json.dumps({"learning_rate": 3}).encode()
    )
    again = suggestion_of(steps[2], bench)
    assert again is not None
    assert again.learning_rate == 0.5
    assert suggestion_of(steps[2], bench) == again
    assert suggestion_of(steps[0], bench) is None


def test_a_suggestion_to_which_a_newer_version_has_added_something_holds(
    ready: tuple[Workbench, list[Step]],
) -> None:
    bench, steps = ready
    for step in steps[:2]:
        run_step(step, bench)
    made = suggestion_of(steps[2], bench)
    assert made is not None
    name = f"{SUGGESTIONS}/{steps[2].key}.json"
    other = made.model_copy(update={"learning_rate": 0.5})
    newer = note_text(name, {**other.model_dump(), "sampler": "TPE"})
    bench.store.write(name, newer)
    assert suggestion_of(steps[2], bench) == other
    assert bench.store.read(name) == newer


def test_a_suggestion_is_believed_only_as_it_was_written_and_where(
    ready: tuple[Workbench, list[Step]],
) -> None:
    bench, steps = ready
    for step in steps[:3]:
        run_step(step, bench)
    made = [suggestion_of(step, bench) for step in steps[2:]]
    names = [f"{SUGGESTIONS}/{step.key}.json" for step in steps[2:]]
    data = [bench.store.read(name) for name in names]
    for spoiled in (data[0].replace(b'"learning_rate": 0.00', b'"learning_rate": 0.01'), data[1]):
        assert spoiled != data[0]
        bench.store.write(names[0], spoiled)
        assert [each.object for each in audit(bench.store).findings] == [names[0]]
        assert suggestion_of(steps[2], bench) == made[0]
        assert bench.store.read(names[0]) == data[0]

"""What a driver finds when it begins, and how it ends."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.error import TuneError
from rich.console import Console

from tests.drafts import draft
from tests.small import small_bench
from xtransfer.cli.options import records_of
from xtransfer.driver import runner
from xtransfer.driver.progress import ProgressBoard
from xtransfer.driver.runner import recorded, run_plan
from xtransfer.errors import XtransferError
from xtransfer.records.record import commit, record_name


def test_damage_is_told_from_what_is_not_done_without_a_look_at_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, trial = small_bench(tmp_path, {})
    store, plan = bench.store, bench.plan
    done = {key for key in plan.steps if store.exists(f"{plan.steps[key].folder}/record.json")}
    assert done >= set(trial.inputs.values())
    assert recorded(plan, store) == (done, set())
    damaged = next(iter(trial.inputs.values()))
    name = f"{plan.steps[damaged].folder}/record.json"
    store.write(name, store.read(name)[:-9])
    asked: list[str] = []
    monkeypatch.setattr(type(store), "exists", lambda _, name: asked.append(name))
    assert recorded(plan, store) == (done - {damaged}, {damaged})
    assert asked == []


def test_a_plan_reads_its_own_records_of_a_store_that_holds_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = small_bench(tmp_path, {})
    store, plan = bench.store, bench.plan
    other = commit(store, draft())
    assert other.kind in {step.kind for step in plan.steps.values()}
    read: list[str] = []
    before = type(store).read
    monkeypatch.setattr(type(store), "read", lambda s, name: read.append(name) or before(s, name))
    done, _ = recorded(plan, store)
    assert records_of(plan, store).keys() == done
    assert set(read) == {record_name(plan.steps[key].folder) for key in done}


class Ends:
    """A tuner that ends at once: by Ctrl-C, or with all steps given out and done."""

    interrupted = True

    def __init__(self, *_: Any, tune_config: Any, **__: Any) -> None:
        self.searcher = tune_config.search_alg

    def fit(self) -> None:
        while not self.interrupted and isinstance(found := self.searcher.suggest("one"), dict):
            self.searcher.on_trial_complete("one", {"finished": True, "key": found["key"]})


def test_a_run_that_tune_has_ended_by_ctrl_c_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, _ = small_bench(tmp_path, {})
    monkeypatch.setattr(tune, "Tuner", Ends)
    monkeypatch.setattr(runner, "ray_session", lambda _: nullcontext())
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [{"CPU": 1.0}])
    board = ProgressBoard(bench.plan, Console(quiet=True))
    with pytest.raises(KeyboardInterrupt):
        run_plan(bench.plan, bench.store, bench.placement, board)
    # A selection without records fails, which is no interruption.
    monkeypatch.setattr(Ends, "interrupted", False)
    summary = run_plan(bench.plan, bench.store, bench.placement, board)
    assert len(summary.failed) == len(summary.blocked) == 1


@pytest.mark.parametrize(("mended", "new"), [(True, 1), (False, 0)])
def test_a_step_that_was_damaged_counts_by_what_has_become_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mended: bool, new: int
) -> None:
    bench, trial = small_bench(tmp_path, {})
    before = len(recorded(bench.plan, bench.store)[0])
    parent, others = bench.plan.steps[next(iter(trial.inputs.values()))], list[int]()

    def fit(tuner: Ends) -> None:
        searcher = tuner.searcher
        while searcher.suggest("one") != {"key": trial.key}:
            searcher.on_trial_complete("one", {"finished": 1})
            others.append(1)
        searcher.on_trial_complete("one", {"lost": parent.folder, "error": "altered"})
        assert searcher.suggest("two") == {"key": parent.key}
        searcher.on_trial_complete("two", {"finished": 1} if mended else {"error": "no"})
        if mended:
            assert searcher.suggest("three") == {"key": trial.key}
            searcher.on_trial_complete("three", {"error": "no"})

    monkeypatch.setattr(Ends, "fit", fit)
    monkeypatch.setattr(tune, "Tuner", Ends)
    monkeypatch.setattr(runner, "ray_session", lambda _: nullcontext())
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [{"CPU": 1.0}])
    board = ProgressBoard(bench.plan, Console(quiet=True))
    summary = run_plan(bench.plan, bench.store, bench.placement, board)
    assert (summary.done_before, summary.done_now) == (before - 1, len(others) + new)
    assert len(summary.failed) == 1
    assert not summary.complete


def test_what_tune_writes_is_gone_after_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a `scratch` that stays it would grow with every run, and two drivers of a node would share it."""
    bench, _ = small_bench(tmp_path, {})
    scratch, places = tmp_path / "fixed", list[Path]()

    class Writes(Ends):
        def __init__(self, *_: Any, run_config: Any, tune_config: Any, **__: Any) -> None:
            super().__init__(tune_config=tune_config)
            self.place = Path(run_config.storage_path)

        def fit(self) -> None:
            (self.place / "tune").mkdir()
            places.append(self.place)

    monkeypatch.setattr(tune, "Tuner", Writes)
    monkeypatch.setattr(runner, "ray_session", lambda _: nullcontext())
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [{"CPU": 1.0}])
    placement = bench.placement.model_copy(update={"scratch": str(scratch)})
    board = ProgressBoard(bench.plan, Console(quiet=True))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run_plan(bench.plan, bench.store, placement, board)
    assert len({*places}) == 2
    assert {place.parent for place in places} == {scratch}
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("no driver\n  more"), "ray: no driver."),
        (RuntimeError(), "ray: RuntimeError."),
        (
            TuneError(
                "Traceback (most recent call last):\n  raise\nOSError: no space: error.pkl\n"
            ),
            "ray: OSError: no space: error.pkl.",
        ),
    ],
)
def test_what_ray_ends_a_run_by_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, told: str
) -> None:
    def fit(_: Ends) -> None:
        raise error

    bench, _ = small_bench(tmp_path, {})
    monkeypatch.setattr(Ends, "fit", fit)
    monkeypatch.setattr(tune, "Tuner", Ends)
    monkeypatch.setattr(runner, "ray_session", lambda _: nullcontext())
    monkeypatch.setattr("xtransfer.driver.tuner.ray_nodes", lambda: [{"CPU": 1.0}])
    with pytest.raises(XtransferError) as found:
        run_plan(
            bench.plan, bench.store, bench.placement, ProgressBoard(bench.plan, Console(quiet=True))
        )
    assert str(found.value) == f"{told} What is recorded is safe: the same command goes on."

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.command import Run
from tests.costs.timed import SMALL, of_kind, plan_of
from tests.tracking.shown import record_all
from xtransfer.plan import Plan
from xtransfer.records.record import Record
from xtransfer.store import open_store
from xtransfer.tracking import catch_up, runs
from xtransfer.tracking.facts import Facts, facts_of
from xtransfer.tracking.runs import KEY, MlflowRuns

pytest.importorskip("mlflow")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def records(plan: Plan, tmp_path: Path) -> dict[str, Record]:
    return record_all(open_store(f"file://{tmp_path}/store"), plan)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def runs_of(uri: str) -> Callable[[], dict[str, Any]]:
    """Return a function that returns the runs of the experiment, by step key."""

    def find() -> dict[str, Any]:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=uri)
        experiment = client.get_experiment_by_name("small")
        assert experiment
        found = client.search_runs([experiment.experiment_id], max_results=1000)
        assert len({run.data.tags[KEY] for run in found}) == len(found)
        return {run.data.tags[KEY]: run for run in found}

    return find


def test_steps_become_runs_once_each(
    plan: Plan, records: dict[str, Record], uri: str, runs_of: Callable[[], dict[str, Any]]
) -> None:
    from mlflow.tracking import MlflowClient

    assert catch_up(MlflowRuns(uri, "small"), plan, records) == (len(plan.steps), 0)
    runs = runs_of()
    assert set(runs) == set(plan.steps)
    step = of_kind(plan, "train", "mnli-after-mnli")[0]
    run = runs[step.key]
    assert run.info.run_name == step.folder
    assert (run.info.start_time, run.info.end_time) == (1_790_000_000_000, 1_790_000_020_000)
    assert run.data.params["learning_rate"] == "1e-05"
    assert run.data.tags["xtransfer.parent start"] == step.inputs["start"]
    assert run.data.metrics["score"] == 50
    points = MlflowClient(tracking_uri=uri).get_metric_history(run.info.run_id, "dev accuracy")
    assert [(point.step, point.value) for point in points] == [(4, 40), (8, 50)]
    assert catch_up(MlflowRuns(uri, "small"), plan, records) == (0, len(plan.steps))

    # What a writer left half-way is made anew, and what two drivers made is kept once.
    client = MlflowClient(tracking_uri=uri)
    client.set_terminated(run.info.run_id, "KILLED")
    other = next(key for key in runs if key != step.key)
    twin = client.create_run(run.info.experiment_id, tags={KEY: other})
    client.set_terminated(twin.info.run_id, "FINISHED")
    assert catch_up(MlflowRuns(uri, "small"), plan, records) == (1, len(plan.steps) - 1)
    again = runs_of()
    assert set(again) == set(plan.steps)
    assert again[step.key].info.run_id != run.info.run_id


@pytest.fixture
def facts(plan: Plan, records: dict[str, Record]) -> Facts:
    step = of_kind(plan, "train", "mnli-after-mnli")[0]
    return facts_of(records[step.key], step)


def test_two_drivers_make_one_run_of_a_step(
    facts: Facts, uri: str, runs_of: Callable[[], dict[str, Any]]
) -> None:
    first, second = MlflowRuns(uri, "small"), MlflowRuns(uri, "small")
    assert first.known() == second.known() == set()
    for sink in (first, second):
        sink.show(facts)
    assert list(runs_of()) == [facts.key]


def test_who_comes_while_another_writes_leaves_it_to_that_one(
    facts: Facts, uri: str, runs_of: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = MlflowRuns(uri, "small"), MlflowRuns(uri, "small")
    logs, seen = first._client.log_batch, list[bool]()

    def log_batch(*arguments: Any, **more: Any) -> None:
        logs(*arguments, **more)
        assert second.known() == set()  # it is there once it is whole
        seen.append(second.show(facts))

    monkeypatch.setattr(first._client, "log_batch", log_batch)
    first.show(facts)
    assert set(seen) == {False}
    assert second.show(facts)
    (run,) = runs_of().values()
    assert run.info.status == "FINISHED"


def test_of_two_that_begin_in_the_same_moment_one_goes_on(
    facts: Facts, uri: str, runs_of: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks = [MlflowRuns(uri, "small") for _ in range(2)]
    both = threading.Barrier(2)
    for sink in sinks:
        sink.known()
        create = sink._client.create_run

        def create_run(*arguments: Any, create: Any = create, **more: Any) -> Any:
            both.wait(60)
            return create(*arguments, **more)

        monkeypatch.setattr(sink._client, "create_run", create_run)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda sink: sink.show(facts), sinks))
    (run,) = runs_of().values()
    assert run.info.status == "FINISHED"


def test_a_run_that_its_writer_left_is_made_anew(
    facts: Facts, uri: str, runs_of: Callable[[], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = MlflowRuns(uri, "small")

    def lost(*_: Any, **__: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(sink._client, "set_terminated", lost)
        with pytest.raises(ConnectionError):
            sink.show(facts)
    (half,) = runs_of().values()
    other = MlflowRuns(uri, "small")
    assert other.known() == set()
    assert other.show(facts) is False  # it may be at work yet
    assert runs_of().keys() == {facts.key}
    monkeypatch.setattr(runs, "YOUNG_S", -1.0)
    other = MlflowRuns(uri, "small")
    assert other.known() == set()
    assert runs_of() == {}
    other.show(facts)
    # Its own is its own to make anew, at once.
    monkeypatch.setattr(runs, "YOUNG_S", 300.0)
    sink._client.delete_run(runs_of()[facts.key].info.run_id)
    with monkeypatch.context() as patched:
        patched.setattr(sink._client, "set_terminated", lost)
        with pytest.raises(ConnectionError):
            sink.show(facts)
    assert sink.known() == set()
    sink.show(facts)
    (run,) = runs_of().values()
    assert run.info.status == "FINISHED" != half.info.status


def test_the_command_makes_the_database_from_the_store(
    run: Run,
    plan: Plan,
    records: dict[str, Record],
    uri: str,
    runs_of: Callable[[], dict[str, Any]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "experiment.yaml"
    assert path.read_text(encoding="utf-8") == SMALL
    store = ("--store", f"file://{tmp_path}/store")
    done = run("track", path, *store, "--mlflow", uri)
    assert done.status == 0, done.err
    assert done.out == f"mlflow: {len(plan.steps)} steps are new, 0 were there\n"
    assert set(runs_of()) == set(records)
    assert run("track", path, *store).status == 2
    down = run("track", path, *store, "--mlflow", "http://127.0.0.1:9")
    assert down.status == 1
    assert down.err.startswith("xtransfer: mlflow: ")

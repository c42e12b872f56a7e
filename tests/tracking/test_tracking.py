from __future__ import annotations

from pathlib import Path

import pytest

from tests.costs.timed import of_kind, plan_of
from tests.tracking.shown import HISTORY, Shown, record_all
from xtransfer.config.placement import Tracking, load_placement
from xtransfer.errors import ConfigError, XtransferError
from xtransfer.plan import Plan
from xtransfer.store import Store, open_store
from xtransfer.tracking import catch_up, sinks_of
from xtransfer.tracking.facts import LONGEST, facts_of


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return plan_of(tmp_path)


@pytest.fixture
def opened(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def test_a_trial_is_shown_with_all_that_it_was(plan: Plan, opened: Store) -> None:
    records = record_all(opened, plan)
    step = of_kind(plan, "train", "mnli-after-mnli")[0]
    facts = facts_of(records[step.key], step)
    assert facts.series["loss"] == ((4, 1.5), (8, 1.25))
    assert facts.series["dev accuracy"] == ((4, 40.0), (8, 50.0))
    assert facts.scores["score"] == 50
    assert facts.scores["timing train_s"] == 15
    assert facts.params["learning_rate"] == "1e-05"
    assert facts.tags["parent start"] == step.inputs["start"]
    assert (facts.tags["key"], facts.tags["phase"]) == (step.key, "target")
    assert facts.ended - facts.started == 20


def test_an_evaluation_is_shown_by_language_and_on_average(plan: Plan, opened: Store) -> None:
    records = record_all(opened, plan)
    step = of_kind(plan, "evaluate", "pawsx-after-mnli")[0]
    scores = facts_of(records[step.key], step).scores
    assert (scores["de accuracy"], scores["mean accuracy"]) == (45, 45)


def test_a_long_parameter_is_cut(plan: Plan, opened: Store) -> None:
    records = record_all(opened, plan)
    step = of_kind(plan, "prepare", "mnli-train")[0]
    long = records[step.key].model_copy(update={"spec": {"labels": ["x" * LONGEST]}})
    assert len(facts_of(long, step).params["labels"]) == LONGEST


def test_catching_up_is_done_once(plan: Plan, opened: Store) -> None:
    records = record_all(opened, plan)
    sink = Shown()
    some = dict(list(records.items())[:5])
    assert catch_up(sink, plan, some) == (5, 0)
    assert catch_up(sink, plan, records) == (len(plan.steps) - 5, 5)
    assert catch_up(sink, plan, records) == (0, len(plan.steps))
    assert len(sink.facts) == len(plan.steps)
    assert len(HISTORY) == 2


def test_catching_up_with_a_tracker_that_is_down_says_so(plan: Plan, opened: Store) -> None:
    records = record_all(opened, plan)
    with pytest.raises(XtransferError, match="shown: ConnectionError: the tracker is down"):
        catch_up(Shown(fails=1), plan, records)


def test_what_is_not_installed_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("xtransfer.tracking.find_spec", lambda name: None)
    assert sinks_of(Tracking(), "e") == []
    with pytest.raises(
        ConfigError, match=r"tracking.mlflow: mlflow is not installed.*\[tracking\]"
    ):
        sinks_of(Tracking(mlflow="sqlite:///x.db"), "e")


@pytest.mark.parametrize(
    "uri",
    [
        "http://me:the-word@host:5000",
        "https://the-word@host",
        "http://me:the/word@host",
        "postgresql://me:the-word@host/mlflow",
        "postgresql+psycopg://me:the/word@host/mlflow",
    ],
)
def test_a_uri_with_credentials_is_refused_without_repeating_them(uri: str) -> None:
    for refused in (
        lambda: load_placement(None, [f"tracking.mlflow={uri}"]),
        lambda: sinks_of(Tracking().model_copy(update={"mlflow": uri}), "e"),
    ):
        with pytest.raises(ConfigError, match=r"tracking\.mlflow: carries credentials") as caught:
            refused()
        assert "MLFLOW_TRACKING_TOKEN" in str(caught.value)
        assert "word" not in str(caught.value).replace("PASSWORD", "")


@pytest.mark.parametrize(
    "uri",
    ["http://host:5000/a", "sqlite:////a:b@c/x.db", "postgresql://me@host:5432/db", "runs/a:b@c"],
)
def test_a_uri_without_credentials_is_taken(uri: str) -> None:
    assert Tracking(mlflow=uri).mlflow == uri

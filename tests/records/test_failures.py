from __future__ import annotations

import io
import json
import traceback
from pathlib import Path

import pytest
from ray.exceptions import ActorDiedError, RayTaskError
from rich.console import Console

from tests.prints import FakePrints
from xtransfer.cli.output import failure_lines
from xtransfer.config.experiment import Experiment
from xtransfer.driver.progress import ProgressBoard
from xtransfer.errors import StoreError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.records.failures import (
    DIED,
    blocked_by,
    failures,
    forget,
    note_failure,
    note_of,
    noted,
    reason,
)
from xtransfer.records.leases import claim
from xtransfer.settings import read_settings
from xtransfer.store import Store, open_store

OVERRIDES = (
    "name=small",
    "encoder=encoder",
    "intermediate={tasks: [mnli], learning_rates: [1e-5, 2e-5]}",
    "target={tasks: [xnli, tatoeba], languages: {xnli: [en], tatoeba: [de]}}",
)


@pytest.fixture
def plan() -> Plan:
    return build_plan(read_settings(Experiment, None, OVERRIDES, "test"), FakePrints())


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(f"file://{tmp_path}/store")


def step_of(plan: Plan, kind: str, name: str = "") -> Step:
    return next(s for s in plan.steps.values() if s.kind == kind and s.name.startswith(name))


def names(plan: Plan, keys: list[str]) -> set[str]:
    return {f"{plan.steps[key].kind} {plan.steps[key].name}" for key in keys}


def test_an_error_is_shown_so_that_it_neither_controls_nor_fills_a_terminal(
    plan: Plan, folder: Store
) -> None:
    trial = step_of(plan, "train", "mnli-lr")
    text = "quotes \x1b[31m\x1b]0;title\x07" + "x" * 100_000 + "\nand \x1b[2J more"
    (line, *_) = failure_lines(failures(plan, folder, {trial.key: text}, recorded=set()))
    screen = io.StringIO()
    board = ProgressBoard(plan, Console(file=screen, force_terminal=True))
    board.changed(trial.key, "failed", text)
    for said in (line, screen.getvalue()):
        assert "quotes \\x1b[31m\\x1b]0;title\\x07xxx" in said
        assert "\x1b" not in said
        assert len(said) < 3_000
    assert screen.getvalue().endswith("and \\x1b[2J more\n")


def test_what_waits_for_a_failed_step(plan: Plan) -> None:
    trial = step_of(plan, "train", "mnli-lr")
    (waiting,) = blocked_by(plan, {trial.key}).values()
    found = names(plan, waiting)
    assert "select mnli-seed1" in found
    assert "evaluate tatoeba-after-mnli" in found
    assert not any("baseline" in name for name in found)
    chosen = step_of(plan, "select", "mnli-seed1")
    # What has a record is not waited for, nor is what only hangs on that.
    assert blocked_by(plan, {trial.key}, recorded={chosen.key}) == {trial.key: []}
    both = blocked_by(plan, {trial.key, chosen.key})
    assert sorted(key for keys in both.values() for key in keys) == sorted(
        set(waiting) - {chosen.key}
    )


def test_a_failure_says_how_often_and_where(plan: Plan, folder: Store) -> None:
    trial = step_of(plan, "train", "mnli-lr")
    for outcome in ("failed", "failed", "found"):
        lease = claim(folder, trial.key, seconds=60)
        lease.outcome = outcome
        lease.end()
    for name in ("20260101T000000-b-9", "20260102T000000-a-1", "20260102T000001-a-1-hung"):
        folder.write(f"logs/{trial.key}/{name}.log", b"")
    (found,) = failures(plan, folder, {trial.key: "broke: at once\nmore"}, recorded=())
    assert (found.error, found.tries) == ("broke: at once", 2)
    assert found.log == f"logs/{trial.key}/20260102T000001-a-1-hung.log"
    lines = list(failure_lines([found], most=2))
    assert lines[0] == f"failed {trial.folder}: broke: at once"
    assert lines[1] == f"  tried 2 times; log: {found.log}"
    assert len([line for line in lines if line.startswith("  blocked ")]) == 2
    assert lines[-2] == f"  and {len(found.blocked) - 2} more are blocked"


def test_how_to_select_without_failed_trials_is_said_where_others_are_left(
    plan: Plan, folder: Store
) -> None:
    one, other = [
        step
        for step in plan.steps.values()
        if step.kind == "train" and step.phase == "intermediate"
    ]

    def said(*failed: Step) -> list[str]:
        notes = {step.key: "broke" for step in failed}
        lines = failure_lines(failures(plan, folder, notes, recorded=()))
        return [line for line in lines if "incomplete" in line]

    assert said(one) == ["To select among the other trials: --set intermediate.incomplete=allow"]
    assert said(one, other) == []
    assert said(step_of(plan, "prepare")) == []


def test_a_note_stands_until_it_is_dropped(plan: Plan, folder: Store) -> None:
    one, other = step_of(plan, "prepare"), step_of(plan, "train")
    for step in (one, other):
        note_failure(folder, step, f"{step.kind} failed", "Traceback")
    assert noted(folder) == {one.key: "prepare failed", other.key: "train failed"}
    assert json.loads(folder.read(f"failures/{one.key}.json"))["traceback"] == "Traceback"
    forget(folder, [one.key, "another"])
    assert noted(folder) == {other.key: "train failed"}
    assert (note_of(folder, one.key), note_of(folder, other.key)) == ("", "train failed")
    folder.write(f"failures/{other.key}.json", b"[")
    assert noted(folder) == {}


def test_the_reason_of_an_end_in_words() -> None:
    cause = StoreError("store/x", "access denied", "Ask.")
    try:
        raise cause
    except StoreError:
        task = RayTaskError("run", traceback.format_exc(), cause)
    assert reason(str(task)) == "store/x: access denied. Ask."
    assert reason("") == reason(str(ActorDiedError())) == DIED
    # What Ray says of every dead process names an OOM killer as one of many possible causes.
    assert reason("causes include: (1) killed by the OOM killer due to high memory usage") == DIED
    low = "1 worker(s) were killed due to the node running low on memory.\nMemory on the node"
    assert reason(low).startswith("Ray ended its process because the node was low on memory.")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_note_of_a_failure_hides_no_other(folder: Store, data: bytes) -> None:
    folder.write("failures/a.json", data)
    folder.write("failures/b.json", json.dumps({"key": "b", "error": "no memory"}).encode())
    assert noted(folder) == {"b": "no memory"}

from __future__ import annotations

import io
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from tests.command import Run
from tests.reading import note_reads
from tests.recorded import record_steps
from xtransfer.cli.options import make_plan
from xtransfer.cli.watch import _drawn, page_maker
from xtransfer.config.experiment import load_experiment
from xtransfer.config.placement import Placement
from xtransfer.plan import Plan
from xtransfer.records.failures import note_failure
from xtransfer.records.leases import claim
from xtransfer.store import Store, open_store
from xtransfer.watching import look

TINY = Path(__file__).parents[1] / "integration" / "tiny.yaml"


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def plan() -> Plan:
    return make_plan(load_experiment(TINY), TINY, lenient=True)[0]


def test_a_run_that_is_over_ends_the_watch(run: Run, folder: Store, plan: Plan) -> None:
    record_steps(
        folder, plan, *{step.kind for step in plan.steps.values() if step.kind != "pretrain"}
    )
    first = next(step for step in plan.steps.values() if step.kind == "pretrain")
    note_failure(folder, first, "no luck", "")
    done = run("watch", TINY, "--store", folder.url)
    assert done.status == 1
    total = len(plan.steps)
    assert f"tiny  {total - 1} of {total} steps recorded" in done.out
    assert f"failed {first.folder}: no luck" in done.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_any_command_ends_by_a_signal_as_by_ctrl_c(folder: Store, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "xtransfer", "watch", str(TINY), "--store", folder.url]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline()
        process.send_signal(number)
        assert process.wait(60) == 130
        assert "xtransfer: interrupted." in process.stderr.read()


def test_one_look_at_a_run_under_way(run: Run, folder: Store, plan: Plan) -> None:
    trial = next(step for step in plan.steps.values() if step.kind == "train")
    claim(folder, trial.key, seconds=600)
    done = run("watch", TINY, "--store", folder.url, "--once")
    assert done.status == 0
    assert f"0 of {len(plan.steps)} steps recorded, time left unknown" in done.out
    assert f"at work  {trial.folder}" in done.out
    lines = [line.split() for line in done.out.splitlines()]
    assert ["commonsenseqa", "intermediate", "2", "-", "1", "-", "-"] in lines


def test_no_number_is_cut_however_narrow_it_is(
    run: Run, folder: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    lines = run("watch", TINY, "--store", folder.url, "--once").out.splitlines()
    assert lines[1].split() == "sweep phase steps recorded at work failed blocked".split()
    assert ["commonsenseqa", "intermediate", "2", "-", "-", "-", "-"] in map(str.split, lines)
    # On a terminal the names are folded.
    console = Console(width=50, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(_drawn(look(plan, folder, {}, Placement()), bar=False))
    assert isinstance(console.file, io.StringIO)
    drawn = console.file.getvalue().splitlines()
    assert all(len(line) <= 50 for line in drawn)
    assert drawn[1].split()[-6:] == "steps recorded at work failed blocked".split()
    assert f"{plan.counts()['prepare']}" in " ".join(drawn).split()


@pytest.mark.parametrize("height", [12, 24, 60])
def test_what_goes_on_is_seen_on_a_terminal_with_fewer_lines_than_sweeps(
    folder: Store, height: int
) -> None:
    paper = Path(__file__).parents[2] / "configs" / "paper.yaml"
    plan, _ = make_plan(load_experiment(paper), paper, lenient=True)
    first, *_, last = (step for step in plan.steps.values() if step.kind == "train")
    claim(folder, last.key, seconds=600)
    note_failure(folder, first, "no luck " * 50, "")
    sight = look(plan, folder, {}, Placement())
    assert len(sight.sweeps) > height
    console = Console(
        width=100, height=height, file=io.StringIO(), force_terminal=True, color_system=None
    )
    console.print(_drawn(sight, height=height))
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    assert len(lines) < height
    for begin in (first.sweep, last.sweep, "at work  ", "failed  ", "and "):
        assert any(line.startswith(begin) for line in lines), begin


def test_a_record_is_read_once_however_often_the_page_is(
    folder: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = record_steps(folder, plan, "prepare")
    for key in records:
        claim(folder, key, seconds=60).end()
    read = note_reads(folder, monkeypatch)
    page = page_maker(load_experiment(TINY), Placement(), plan, folder, command="tiny.yaml")
    first = page()
    assert {name for name in read if name.endswith("/record.json")}
    read.clear()
    assert page() == first
    assert read == []
    # What comes and what goes is seen all the same.
    damaged, *_ = records
    name = f"{plan.steps[damaged].folder}/record.json"
    folder.write(name, folder.read(name)[:-9])
    record_steps(folder, plan, "train")
    trials = plan.counts()["train (intermediate)"] + plan.counts()["train (target)"]
    now = len(records) - 1 + trials
    assert f"{now} of {len(plan.steps)} steps recorded" in page()


def test_the_served_page_says_how_the_run_stands(folder: Store, plan: Plan) -> None:
    experiment = load_experiment(TINY)
    page = page_maker(experiment, Placement(), plan, folder, command="tiny.yaml")
    assert f"0 of {len(plan.steps)} steps recorded; nothing is at work." in page()
    trial = next(step for step in plan.steps.values() if step.kind == "train")
    claim(folder, trial.key, seconds=600)
    text = page()
    assert f"<code>{trial.folder}</code> on " in text
    assert 'id="progress-table"' in text
    note_failure(folder, next(iter(plan.steps.values())), "<b>no luck</b>", "")
    assert "&lt;b&gt;no luck&lt;/b&gt;" in page()

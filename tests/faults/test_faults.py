"""The campaigns in small; `make faults` runs them in full."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.faults.campaign import corrupt_and_look, operate
from tests.faults.driver import STEPS
from tests.faults.kills import Moment, draw_moments, run_series
from tests.faults.processes import below
from tests.faults.proxy import Faults, fault_proxy
from tests.faults.rounds import bench, undisturbed
from tests.faults.watch import Watch
from tests.records.test_record import FILES, draft
from tests.s3_server import S3Server
from xtransfer.records.leases import holding
from xtransfer.records.record import commit, record_name
from xtransfer.store import open_store


def test_no_corruption_goes_unnoticed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for number in range(4):
        folder = tmp_path / f"output{number}"
        for name, data in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data + bytes([number]))
        commit(store, draft(spec={"n": number}, name=f"n{number}", inputs={}), folder)
        shutil.rmtree(folder)
    rows = corrupt_and_look(tmp_path / "store", count=70, seed=1)
    assert sum(row.tried for row in rows) == 70
    assert len(rows) == 7
    assert all(row.good == row.read == row.tried and row.served == 0 for row in rows), rows


@pytest.mark.slow
def test_every_operation_succeeds_over_a_bad_network(
    s3: S3Server, s3_url: str, tmp_path: Path
) -> None:
    faults = Faults(error=0.1, reset=0.05, truncate=0.05, stall=0.01, stall_s=2.5)
    with fault_proxy(s3.endpoint, faults=faults, seed=3) as proxy:
        rows = operate(s3_url, tmp_path, endpoint=proxy.url, rounds=15, seed=3)
    assert all(row.good == row.read == row.tried for row in rows), rows
    assert all(proxy.counts[name] for name in ("error", "reset", "truncate", "passed"))


def test_moments_follow_from_the_seed_and_come_one_after_the_other() -> None:
    victims = ["driver", "trial", "trial", "s3", "raylet"]
    first, again, other = (draw_moments(victims, draw=random.Random(seed)) for seed in (4, 4, 5))
    assert first == again != other
    assert sorted(moment.victim for moment in first) == sorted(victims)
    steps = [moment.step for moment in first]
    assert steps == sorted(steps)
    assert steps[-1] > STEPS / 2


def test_only_a_process_s_own_descendants_are_found() -> None:
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    parent = subprocess.Popen([sys.executable, "-c", f"import subprocess; subprocess.run({sleep})"])
    stranger = subprocess.Popen(sleep)
    try:
        deadline = time.monotonic() + 60
        while len(found := below([parent.pid])) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert found[0].pid == parent.pid
        (child,) = found[1:]
        assert child.kill()
        assert parent.wait(timeout=60) == 0  # its child was killed, and nothing else
        assert not child.alive
        assert not child.kill()
        assert stranger.poll() is None
    finally:
        for process in (parent, stranger):
            process.kill()
            process.wait()


def test_a_step_done_again_and_a_record_written_anew_are_noticed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with Watch(store) as watch:
        record = commit(store, draft())
        name = record_name(record.folder)
        assert watch.wait(lambda: name in watch.records, ended=lambda: False)
    for state in ("found", "failed"):
        with holding(store, record.key, seconds=60) as lease:
            lease.outcome = state
        assert watch.repeated() == []
    with holding(store, record.key, seconds=60) as lease:
        lease.outcome = "done"
    assert watch.repeated() == [name]
    assert watch.rewritten() == []
    store.write(name, store.read(name) + b" ")
    assert watch.rewritten() == [name]
    store.delete(name)
    assert watch.rewritten() == [name]


@pytest.mark.slow
@pytest.mark.usefixtures("s3")  # skips, or fails, where there is no such service
@pytest.mark.slowest
def test_a_run_whose_processes_are_killed_leaves_what_an_undisturbed_one_does() -> None:
    with bench() as on:
        expected = undisturbed("alone", on)
        moments = [
            Moment(victim=victim, step=step, training=training, pause_s=0.2, down_s=2)
            for victim, step, training in (
                ("driver", 3, False),
                ("s3", 6, False),
                ("trial", 8, True),
            )
        ]
        series, _ = run_series("killed", moments, on, expected=expected)
    assert series.fine, series
    assert "driver" in {blow.moment.victim for blow in series.blows}

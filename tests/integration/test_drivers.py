"""Several drivers on one plan share its steps out among themselves."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.test_pipeline import CONFIG, command, records_of, report_of
from xtransfer.records.leases import attempts
from xtransfer.store import open_store

pytestmark = pytest.mark.slow


def test_three_drivers_train_no_step_twice(finished: str, tmp_path: Path) -> None:
    store = f"file://{tmp_path / 'store'}"
    drivers = [
        subprocess.Popen(
            command("run", str(CONFIG), "--store", store, "--place", "ray.cpus=1"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = [driver.communicate(timeout=600)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], "\n\n".join(said)
    records = records_of(store)
    assert records.keys() == records_of(finished).keys()
    opened = open_store(store)
    tried = {key: attempts(opened, key) for key in records}
    # Each step was done in one attempt; any other found it done.
    for key, record in records.items():
        ended = Counter(attempt.state for attempt in tried[key])
        assert ended.pop("done") == 1, (record.folder, ended)
        assert set(ended) <= {"found"}, (record.folder, ended)
    # They did share it out: a driver selects by itself, and has one process for all else on its one CPU.
    worked = [key for key, record in records.items() if record.kind != "select"]
    assert len({a.pid for key in worked for a in tried[key] if a.state == "done"}) > 1
    assert report_of(store) == report_of(finished)

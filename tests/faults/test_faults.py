"""The campaigns in small; `make faults` runs them in full."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.faults.campaign import corrupt_and_look, operate
from tests.faults.proxy import Faults, fault_proxy
from tests.s3_server import S3Server
from tests.test_records import FILES, draft
from xtransfer.records import commit
from xtransfer.store import open_store


def test_no_corruption_goes_unnoticed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    for number in range(4):
        folder = tmp_path / f"output{number}"
        for name, data in FILES.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data + bytes([number]))
        commit(store, draft(spec={"n": number}, name=f"n{number}"), folder)
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

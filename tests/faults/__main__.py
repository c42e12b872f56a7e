"""The campaigns in full, with tables: `python -m tests.faults [PART …] [--seed N] [--count N]`.

corruptions  damages the store of a finished run 300 times, and looks who notices
requests     sends thousands of operations to an S3 service through a proxy that lets 5 % of requests fail
             with 500 or 503, resets 2 %, cuts 2 % of replies short and stalls 0.5 %
malformed    gives more than 500 malformed inputs to the command line
elastic      has a trial of two workers lose a node (killed, then drained) and get one back
kills        kills -9 driver, trial, worker, raylet and S3 service at 50 moments of whole runs
network      does whole runs through such a proxy, half of them with kills
drivers      starts 8 drivers on one plan at once; then again, and kills 4 of them

All of them by default. `--count` is for one of the parts, `--only trial worker` for victims of `kills`.
Ends with status 1 unless everything was noticed or refused in words, everything succeeded, nothing was done
twice and every result is what an undisturbed run leaves.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from tests.faults.campaign import corrupt_and_look, operate, table
from tests.faults.elastic import ELASTIC, Elastic, elastic_table, raylets, run_elastic
from tests.faults.kills import Series
from tests.faults.malformed.campaign import malformed as try_all
from tests.faults.malformed.campaign import table as malformed_table
from tests.faults.proxy import Faults, fault_proxy
from tests.faults.rounds import SHARES, bench, crowd, kill_processes, spoil_the_network, summary
from tests.integration.test_pipeline import CONFIG, xtransfer
from tests.s3_server import s3_server


def corruptions(count: int, seed: int) -> bool:
    """Damage a store; return whether all was noticed."""
    with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as temporary:
        folder = Path(temporary)
        run = xtransfer("run", str(CONFIG), "--store", str(folder / "store"))
        if run.returncode:
            sys.exit(run.stderr)
        rows = corrupt_and_look(folder / "store", count=count, seed=seed)
    head = ("tried", "by verify", "by reading", "served")
    print(table(f"corruptions, seed {seed}", head, rows), end="\n\n", flush=True)
    return all(row.good == row.read == row.tried and not row.served for row in rows)


def requests(count: int, seed: int) -> bool:
    """Break requests; return whether all operations succeeded."""
    with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as temporary:
        folder = Path(temporary)
        with s3_server(folder / "s3") as server:
            os.environ |= server.environment
            with fault_proxy(server.endpoint, faults=Faults(), seed=seed) as proxy:
                url = f"s3://{server.bucket}/faults"
                rows = operate(url, folder, endpoint=proxy.url, rounds=count, seed=seed)
    head = ("tried", "succeeded", "right", "wrong")
    print(table(f"operations, seed {seed}", head, rows), end="\n\n")
    told = ", ".join(f"{count} {name}" for name, count in sorted(proxy.counts.items()))
    print(f"requests: {told}", end="\n\n", flush=True)
    return all(row.good == row.read == row.tried for row in rows)


def malformed(_: int, seed: int) -> bool:
    """Give malformed inputs to the command line; return whether each ended in one plain error."""
    rows = try_all(seed)
    print(malformed_table(rows, seed=seed), end="\n\n", flush=True)
    for row in rows:
        for text in row.shown:
            print(text)
    return all(row.fine for row in rows)


def elastic(_: int, __: int) -> bool:
    """Take nodes from a trial; return whether its weights are those of one that kept them."""
    runs: dict[str, Elastic] = {}
    with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as temporary:
        for name, (workers, disturb) in ELASTIC.items():
            folder = Path(temporary) / name
            with raylets(folder) as cluster:
                url = f"file://{temporary}/store-{name}"
                runs[name] = run_elastic(url, cluster, workers=workers, disturb=disturb)
    print(elastic_table(runs), end="\n\n", flush=True)
    return len({run.digests for run in runs.values()}) == 1


def kills(count: int, seed: int, only: Sequence[str] = ()) -> bool:
    """Kill processes; return whether all runs kept what is promised."""
    with bench() as on:
        series = kill_processes(on, count=count, seed=seed, only=only)
        return _told(f"kill -9, seed {seed}", series, kills=count)


def network(count: int, seed: int) -> bool:
    """Run whole experiments over a bad network; return whether all kept what is promised."""
    with bench() as on:
        return _told(f"network, seed {seed}", spoil_the_network(on, count=count, seed=seed))


def drivers(count: int, seed: int) -> bool:
    """Run many drivers at once; return whether all was done once."""
    with bench() as on:
        series = crowd(on, drivers=count, killed=count // 2, seed=seed)
        return _told(f"{count} drivers, seed {seed}", series)


PARTS: dict[str, tuple[Callable[[int, int], bool], int]] = {
    "corruptions": (corruptions, 300),
    "requests": (requests, 200),
    "malformed": (malformed, 0),
    "elastic": (elastic, 0),
    "kills": (kills, 50),
    "network": (network, 8),
    "drivers": (drivers, 8),
}
"""Name -> what does it, and how much of it."""


def main() -> int:
    """Run the parts that are asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Fault campaigns.")
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], metavar="PART")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--only", nargs="*", choices=SHARES, help="victims of the part `kills`")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end what was started
    fine = True
    for name in asked.parts or PARTS:
        do, count = PARTS[name]
        if name == "kills" and asked.only:
            do = partial(kills, only=asked.only)
        fine &= do(asked.count or count, asked.seed)
    print("all as promised" if fine else "FAILED")
    return 0 if fine else 1


def _told(title: str, series: Iterator[Series], *, kills: int = 0) -> bool:
    """Do them all and print what has come of them, also when this is interrupted."""
    found: list[Series] = []
    try:
        found.extend(series)
    finally:
        print(summary(title, found), end="\n\n", flush=True)
    return all(each.fine for each in found) and sum(len(each.blows) for each in found) >= kills


if __name__ == "__main__":
    sys.exit(main())

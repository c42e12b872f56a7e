"""The campaigns in full, with a table each: `python -m tests.faults [PART …] [--seed N]`.

corruptions  trains the tiny experiment once and damages its store 300 times, once at a time
network      sends thousands of operations to an S3 service through a proxy that lets 5 % of requests fail
             with 500 or 503, resets 2 %, cuts 2 % of replies short and stalls 0.5 %
malformed    gives over 800 malformed inputs to the command line
elastic      has a trial of two workers lose a node (killed, then drained) and get one back
autoscale    runs the RayJob's entry point on a cluster that scales from no worker and loses a node
kills        kills -9 driver, trial, worker, raylet and S3 service at 50 moments of whole runs
runs         does 8 whole runs through such a proxy, every second one with kills, too
drivers      starts 8 drivers on one plan at once; then again, and kills 4 of them

`--count` changes how many of the last three, `--only trial worker` whom `kills` kills.

Ends with status 1 unless everything was noticed, succeeded, or was refused in words, nothing was done
twice, and every result is what an undisturbed run leaves.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

CORRUPTIONS = 300
ROUNDS = 200


def corruptions(seed: int, folder: Path) -> bool:
    """Damage a finished store; say whether all was noticed."""
    from tests.faults.campaign import corrupt_and_look, table
    from tests.integration.test_pipeline import CONFIG, xtransfer

    run = xtransfer("run", str(CONFIG), "--store", str(folder / "store"))
    if run.returncode:
        sys.exit(run.stderr)
    rows = corrupt_and_look(folder / "store", count=CORRUPTIONS, seed=seed)
    print(table(f"corruptions, seed {seed}", ("tried", "by verify", "by reading", "served"), rows))
    return all(row.good == row.read == row.tried and not row.served for row in rows)


def network(seed: int, folder: Path) -> bool:
    """Operate a store over a bad network; say whether all succeeded."""
    from tests.faults.campaign import operate, table
    from tests.faults.proxy import Faults, fault_proxy
    from tests.s3_server import s3_server

    with s3_server(folder / "s3") as server:
        os.environ |= server.environment
        with fault_proxy(server.endpoint, faults=Faults(), seed=seed) as proxy:
            url = f"s3://{server.bucket}/faults"
            rows = operate(url, folder, endpoint=proxy.url, rounds=ROUNDS, seed=seed)
    print(table(f"operations, seed {seed}", ("tried", "succeeded", "right", "wrong"), rows))
    told = ", ".join(f"{count} {name}" for name, count in sorted(proxy.counts.items()))
    print(f"requests: {told}")
    return all(row.good == row.read == row.tried for row in rows)


def malformed(seed: int, _: Path) -> bool:
    """Give malformed inputs to the command line; say whether each ended in one plain error."""
    from tests.faults.malformed.campaign import malformed as try_all
    from tests.faults.malformed.campaign import table

    rows = try_all(seed)
    print(table(rows, seed=seed))
    for row in rows:
        for text in row.shown:
            print(text)
    return all(row.fine for row in rows)


def elastic(_: int, folder: Path) -> bool:
    """Take nodes from a trial; say whether its weights are those of one that kept them."""
    from tests.faults.elastic import ELASTIC, elastic_table, run_apart

    runs = {
        name: run_apart(
            folder / name, url=f"file://{folder}/store-{name}", workers=workers, disturb=disturb
        )
        for name, (workers, disturb) in ELASTIC.items()
    }
    print(elastic_table(runs))
    return len({run.digests for run in runs.values()}) == 1


def autoscale(_: int, __: Path) -> bool:
    """Scale a cluster up and down around a job; say whether it went as an undisturbed run."""
    from tests.faults.autoscale import scale_and_compare, scaled_table

    found, same = scale_and_compare(say=lambda text: print(text, file=sys.stderr, flush=True))
    print(scaled_table(found, same=same))
    return found.fine and same


def kills(seed: int, _: Path, *, count: int = 50, only: Collection[str] = ()) -> bool:
    """Kill processes of whole runs; say whether all of them kept what is promised."""
    from tests.faults.rounds import bench, kill_processes, report

    with bench() as on:
        series = kill_processes(on, count=count, seed=seed, only=only)
        return report(f"kill -9, seed {seed}", series, kills=count)


def runs(seed: int, _: Path, *, count: int = 8) -> bool:
    """Do whole runs over a bad network; say whether all of them kept what is promised."""
    from tests.faults.rounds import bench, report, spoil_the_network

    with bench() as on:
        return report(f"runs, seed {seed}", spoil_the_network(on, count=count, seed=seed))


def drivers(seed: int, _: Path, *, count: int = 8) -> bool:
    """Start many drivers at once; say whether every step was done once."""
    from tests.faults.rounds import bench, crowd, report

    with bench() as on:
        series = crowd(on, drivers=count, killed=count // 2, seed=seed)
        return report(f"{count} drivers, seed {seed}", series)


PARTS: Mapping[str, Callable[..., bool]] = {
    "corruptions": corruptions,
    "network": network,
    "malformed": malformed,
    "elastic": elastic,
    "autoscale": autoscale,
    "kills": kills,
    "runs": runs,
    "drivers": drivers,
}


def main() -> int:
    """Run the parts that are named, or all; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="tests.faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int)
    parser.add_argument("--only", nargs="*", default=())
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and end what was started
    failed: list[str] = []
    for name in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as folder:
            more: dict[str, Any] = {}
            if asked.count and name in ("kills", "runs", "drivers"):
                more["count"] = asked.count
            if asked.only and name == "kills":
                more["only"] = asked.only
            if not PARTS[name](asked.seed, Path(folder), **more):
                failed.append(name)
        print(flush=True)
    print(f"FAILED: {', '.join(failed)}" if failed else "all as it must be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

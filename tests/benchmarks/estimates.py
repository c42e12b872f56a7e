"""What `xtransfer plan` foretells of the second half of an experiment, from its first, beside what it took.

    python -m tests.benchmarks.estimates [--cpus 2]

The tiny experiment is run with one seed, and planned with two: what is left is told from the records of the
first half. Then it is run. Steps of no like in the first half are unknown, and left out of both sums. The
figures go to results/estimates.json; `makespan` is from the start of the first step to the end of the last.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tests.integration.test_pipeline import CONFIG, xtransfer
from xtransfer.records.record import Record, load_records
from xtransfer.store import open_store

RESULTS = Path(__file__).parent / "results" / "estimates.json"
HALF = ("--set", "intermediate.seeds=[1]", "--set", "target.seeds=[1]")
WHOLE = ("--set", "intermediate.seeds=[1, 2]", "--set", "target.seeds=[1, 2]")


def main() -> None:
    """Run both halves, and write what was foretold and what it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cpus", type=int, default=2)
    cpus = parser.parse_args().cpus
    with tempfile.TemporaryDirectory() as folder:
        found = compare(f"file://{folder}/store", cpus)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def compare(url: str, cpus: int) -> dict[str, Any]:
    """Return seconds foretold and taken, of each kind of step and of all, and of the whole run."""
    common = (str(CONFIG), "--store", url, "--place", f"ray.cpus={cpus}")
    _done("run", *common, *HALF)
    before = set(_records(url))
    told = json.loads(_done("plan", *common, *WHOLE, "--json"))
    _done("run", *common, *WHOLE)
    after = {key: record for key, record in _records(url).items() if key not in before}
    durations = told["cost"]["durations"]
    rows: dict[str, dict[str, float]] = {}
    each: list[dict[str, Any]] = []
    for key, record in after.items():
        foretold = durations[key]["seconds"]
        if foretold is None or record.kind == "select":
            continue
        timing = {name: round(value, 1) for name, value in record.timing.items()}
        each.append({"step": record.folder, "foretold_s": round(foretold, 1), **timing})
        for name in (record.kind, "all"):
            row = rows.setdefault(name, {"steps": 0, "foretold_s": 0.0, "took_s": 0.0})
            row["steps"] += 1
            row["foretold_s"] += foretold
            row["took_s"] += record.timing["seconds"]
    ends = [record.timing["started"] + record.timing["seconds"] for record in after.values()]
    starts = [record.timing["started"] for record in after.values()]
    return {
        "cpus": cpus,
        "left_out": sum(each["seconds"] is None for each in durations.values()),
        "steps": {name: _rounded(row) for name, row in rows.items()},
        "makespan": _rounded(
            {
                "foretold_s": told["cost"]["makespan_hours"] * 3600,
                "took_s": max(ends) - min(starts),
            }
        ),
        "load": round(os.getloadavg()[0], 1),
        "each": each,
    }


def _rounded(row: dict[str, float]) -> dict[str, float]:
    error = 100 * (row["foretold_s"] / row["took_s"] - 1)
    return {name: round(value, 1) for name, value in (row | {"error_percent": error}).items()}


def _records(url: str) -> dict[str, Record]:
    return load_records(open_store(url), ["prepare", "pretrain", "train", "select", "evaluate"])


def _done(*arguments: str) -> str:
    done = xtransfer(*arguments)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


if __name__ == "__main__":
    main()

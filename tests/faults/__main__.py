"""The campaigns in full, with a table each: `python -m tests.faults [PART ...] [--seed N]`.

corruptions  trains the tiny experiment once and damages its store 300 times, once at a time
network      sends thousands of operations to an S3 service through a proxy that lets 5 % of requests fail
             with 500 or 503, resets 2 %, cuts 2 % of replies short and stalls 0.5 %
malformed    gives more than 500 malformed inputs to the command line

Ends with status 1 unless everything was noticed, succeeded, or was refused in words.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

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


PARTS: Mapping[str, Callable[[int, Path], bool]] = {
    "corruptions": corruptions,
    "network": network,
    "malformed": malformed,
}


def main() -> int:
    """Run the parts that are named, or all; return the exit status."""
    parser = argparse.ArgumentParser(prog="tests.faults", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    failed: list[str] = []
    for name in asked.parts or PARTS:
        with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as folder:
            if not PARTS[name](asked.seed, Path(folder)):
                failed.append(name)
        print(flush=True)
    print(f"FAILED: {', '.join(failed)}" if failed else "all as it must be")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""Both campaigns in full, with a table each: `python -m tests.faults [SEED]`.

Trains the tiny experiment once, damages its store 300 times, and sends thousands of operations to an S3
service through a proxy that lets 5 % of requests fail with 500 or 503, resets 2 %, cuts 2 % of replies
short and stalls 0.5 %. Ends with status 1 unless everything was noticed, and everything succeeded.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.faults.campaign import corrupt_and_look, operate, table
from tests.faults.proxy import Faults, fault_proxy
from tests.integration.test_pipeline import CONFIG, xtransfer
from tests.s3_server import s3_server

CORRUPTIONS = 300
ROUNDS = 200


def main() -> int:
    """Run both; return the exit status."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with tempfile.TemporaryDirectory(prefix="xtransfer-faults-") as temporary:
        folder = Path(temporary)
        run = xtransfer("run", str(CONFIG), "--store", str(folder / "store"))
        if run.returncode:
            sys.exit(run.stderr)
        rows = corrupt_and_look(folder / "store", count=CORRUPTIONS, seed=seed)
        head = ("tried", "by verify", "by reading", "served")
        print(table(f"corruptions, seed {seed}", head, rows), end="\n\n", flush=True)
        fine = all(row.good == row.read == row.tried and not row.served for row in rows)
        with s3_server(folder / "s3") as server:
            os.environ |= server.environment
            with fault_proxy(server.endpoint, faults=Faults(), seed=seed) as proxy:
                url = f"s3://{server.bucket}/faults"
                rows = operate(url, folder, endpoint=proxy.url, rounds=ROUNDS, seed=seed)
        head = ("tried", "succeeded", "right", "wrong")
        print(table(f"operations, seed {seed}", head, rows), end="\n\n")
        told = ", ".join(f"{count} {name}" for name, count in sorted(proxy.counts.items()))
        print(f"requests: {told}")
        fine &= all(row.good == row.read == row.tried for row in rows)
    print("all noticed, all succeeded" if fine else "FAILED")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())

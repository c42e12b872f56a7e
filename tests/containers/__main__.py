"""The image and the kind overlay, run for real without a cluster: `make cluster-test` runs it.

    python -m tests.containers [--image TAG] [--config FILE] [--kills N] [--keep FOLDER]
    python -m tests.containers base [--mirror URL]

A head, two workers and a submitter are containers of the image. What they run, as whom, with which memory, volumes
and environment is read from the RayJob that `xtransfer submit` would send for `k8s/overlays/kind`
(tests/containers/pods.py says what the operator adds). A worker is killed while a trial is on it, and another one
started in its place. The report is then compared with that of the same experiment run on this machine.

`base` makes a stand-in for the base image by debootstrap, prints its name, and ends.

As root, with podman, runc, netavark and iptables; for `base` debootstrap and buildah. About 4 GB of memory. Ends
with status 1 unless the report is the same, nothing was done twice, and no pod ran out of memory. What it found
is added to tests/containers/results/kind.md by `--record`.
"""

from __future__ import annotations

import argparse
import platform
import signal
import sys
import tempfile
from pathlib import Path

from tests.containers.base import make_base
from tests.containers.whole_run import CONFIG, LONGER, run_in_containers, table

RESULTS = Path(__file__).with_name("results") / "kind.md"


def main() -> int:
    """Do what is asked; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="tests.containers", description="The image, run for real."
    )
    parser.add_argument("what", nargs="?", choices=("run", "base"), default="run")
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--image", default="localhost/xtransfer:0.1.0-cpu")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--kills", type=int, default=1)
    parser.add_argument("--record", action="store_true")
    parser.add_argument(
        "--keep",
        type=Path,
        help="a folder for volumes and stores; what this machine has computed there is not again",
    )
    asked = parser.parse_args()
    if asked.what == "base":
        print(make_base(asked.mirror))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # and remove the containers
    with tempfile.TemporaryDirectory(prefix="xtransfer-containers-") as temporary:
        folder = (asked.keep or Path(temporary)).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        outcome = run_in_containers(
            folder,
            config=asked.config,
            sets=LONGER if asked.config == CONFIG else (),
            image=asked.image,
            kills=asked.kills,
            say=lambda text: print(text, file=sys.stderr, flush=True),
        )
    print(table(outcome))
    if asked.record:
        head = f"`{asked.config.name}`, Python {platform.python_version()} on {platform.system()}"
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(f"\n{head}\n\n{table(outcome)}\n")
    print("as it must be" if outcome.fine else "FAILED")
    return 0 if outcome.fine else 1


if __name__ == "__main__":
    sys.exit(main())

"""Trials on raylets that are taken away and added while they train.

A head without CPUs and two nodes of one CPU each run on this machine, each with a raylet of its own; the
driver is the command line, in a process of its own, which joins them.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests.faults.nodes import Nodes, joined
from tests.integration.test_pipeline import command
from xtransfer.config.experiment import load_experiment
from xtransfer.errors import NotFound
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.checkpoints import read_manifest
from xtransfer.records.record import Record, load_records
from xtransfer.store import Store, open_store

CONFIG = Path(__file__).with_name("elastic.yaml")
WAIT_S = 600.0


@dataclass(frozen=True, kw_only=True)
class Resize:
    """One change of the number of workers, as the trial's resumable checkpoints show it."""

    what: str
    workers: int
    """After it."""
    down_s: float
    """From the change of nodes to the first checkpoint with that many workers."""


@dataclass(frozen=True, kw_only=True)
class Elastic:
    """A whole run on changing nodes."""

    record: Record
    resizes: list[Resize]
    seconds: float
    """Of the train step."""

    @property
    def workers(self) -> list[list[int]]:
        """[step, workers from there on]."""
        return self.record.placement["workers_from_step"]

    @property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of each file that the trial left."""
        return tuple(sorted(file.sha256 for file in self.record.files))


@contextmanager
def raylets(folder: Path, *, nodes: int = 2) -> Iterator[Nodes]:
    """Run a head without CPUs and nodes with too little memory for a trial's own process."""
    with joined(folder, cpus=0, nodes=nodes, node={"memory": 100 * 2**20}) as found:
        yield found


Disturb = Callable[[Store, str, Nodes], list[Resize]]


def run_elastic(
    url: str,
    cluster: Nodes,
    *,
    workers: str,
    engine: str = "torch",
    disturb: Disturb,
    epochs: int = 160,
    more: Mapping[str, str] | None = None,
) -> Elastic:
    """Run the experiment on `cluster` while `disturb` changes its nodes; return what came of it.

    Args:
        url: of the store.
        cluster: to join.
        workers: as the placement has them.
        engine: of the trial.
        disturb: takes the store, the train step's key and the cluster.
        epochs: of eight steps.
        more: further settings of the placement.
    """
    override = f"target.overrides.all.epochs={epochs}"
    places = {
        "ray.address": cluster.address,
        "train.workers": workers,
        "train.engine": engine,
        "train.resume_every_s": "1",
        "train.resize_every_s": "3",
        **(more or {}),
    }
    options = [part for name, value in places.items() for part in ("--place", f"{name}={value}")]
    log = cluster.folder / "driver.log"
    with log.open("w") as output:
        driver = subprocess.Popen(
            command("run", str(CONFIG), "--set", override, "--store", url, *options),
            stdout=output,
            stderr=output,
        )
        try:
            store = open_store(url)
            resizes = disturb(store, trained_key(override), cluster)
            status = driver.wait(timeout=2 * WAIT_S)
        finally:
            driver.kill()
            driver.wait()
    assert status == 0, log.read_text()
    (record,) = load_records(store, ("train",)).values()
    return Elastic(record=record, resizes=resizes, seconds=record.timing["seconds"])


def leave_alone(*_: object) -> list[Resize]:
    """Change no node."""
    return []


def lose(store: Store, key: str, cluster: Nodes) -> list[Resize]:
    """Kill a node under way, of two; the trial goes on with one worker."""
    until(lambda: state_of(store, key).get("step", 0) >= 100, "100 steps with two workers")
    return [_changed(store, key, cluster.kill, "node killed", workers=1)]


def lose_and_regain(store: Store, key: str, cluster: Nodes) -> list[Resize]:
    """Kill a node under way; when the trial goes on with one worker, add a node."""
    (lost,) = lose(store, key, cluster)
    at = state_of(store, key)["step"]
    until(lambda: state_of(store, key)["step"] >= at + 100, "100 steps with one worker")
    return [lost, _changed(store, key, cluster.add, "node added", workers=2)]


def drain_and_regain(store: Store, key: str, cluster: Nodes) -> list[Resize]:
    """Announce the preemption of a node under way; when the trial has left it, replace it."""
    until(lambda: state_of(store, key).get("step", 0) >= 100, "100 steps with two workers")
    left = _changed(store, key, lambda: cluster.drain(seconds=60), "node drained", workers=1)
    cluster.kill()
    return [left, _changed(store, key, cluster.add, "node added", workers=2)]


def drain_and_move(store: Store, key: str, cluster: Nodes) -> list[Resize]:
    """Announce the preemption of the node that the trial's one process is on, and add another."""
    until(lambda: state_of(store, key).get("step", 0) >= 100, "100 steps")
    cluster.drain(seconds=60)
    cluster.add()
    return []


def run_apart(folder: Path, *, nodes: int = 2, **how: Any) -> Elastic:
    """Run on raylets of its own, in a process of its own: Ray keeps the first token that one sees.

    Args:
        folder: of Ray's own files.
        nodes: to begin with.
        how: arguments of `run_elastic`.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_run_on_raylets, folder, nodes, how).result()


def _run_on_raylets(folder: Path, nodes: int, how: Mapping[str, Any]) -> Elastic:
    with raylets(folder, nodes=nodes) as cluster:
        return run_elastic(cluster=cluster, **how)


ELASTIC: Mapping[str, tuple[str, Disturb]] = {
    "undisturbed": ("2", leave_alone),
    "killed": ("[1,2]", lose_and_regain),
    "drained": ("[1,2]", drain_and_regain),
}
"""Name -> workers and what happens to their nodes."""


def elastic_table(runs: Mapping[str, Elastic]) -> str:
    """Return what came of the runs as aligned text."""
    lines = [f"{'elastic':<14}{'seconds':>9}  weights       workers from step; down for"]
    for name, run in runs.items():
        sizes = ", ".join(f"{workers} from {step}" for step, workers in run.workers)
        down = ", ".join(f"{each.what} {each.down_s:.0f} s" for each in run.resizes)
        lines.append(
            f"{name:<14}{run.seconds:>9.0f}  {run.digests[0][:12]}  {sizes}; {down or '-'}"
        )
    return "\n".join(lines)


def _changed(
    store: Store, key: str, change: Callable[[], None], what: str, *, workers: int
) -> Resize:
    """Change the nodes; return how long the trial took to go on with so many workers."""
    began = time.monotonic()
    change()
    until(
        lambda: state_of(store, key).get("workers", [[0, workers]])[-1][1] == workers,
        f"{what}: then {workers} workers",
    )
    return Resize(what=what, workers=workers, down_s=time.monotonic() - began)


def state_of(store: Store, key: str) -> dict[str, Any]:
    """Return the state of the newest resumable checkpoint; empty without one."""
    names = [item.name for item in store.list(f"resume/{key}/")]
    for name in sorted((name for name in names if name.endswith("manifest.json")), reverse=True):
        try:
            return read_manifest(store, name)["state"]
        except NotFound:  # removed meanwhile
            continue
    return {}


def trained_key(override: str) -> str:
    """Return the key of the experiment's one train step."""
    experiment = load_experiment(CONFIG, [override])
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    (key,) = (key for key, step in plan.steps.items() if step.kind == "train")
    return key


def until(happened: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, f"not within {WAIT_S:.0f} s: {what}"
        time.sleep(0.2)

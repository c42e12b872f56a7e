"""The campaigns of whole runs: kills, a bad network, and many drivers on one plan, with their tables."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults.driver import Bench
from tests.faults.kills import Moment, Series, draw_moments, run_series
from tests.faults.nodes import joined
from tests.faults.processes import variables
from tests.faults.proxy import Faults, fault_proxy
from tests.faults.rivals import run_rivals
from tests.faults.watch import Left
from tests.s3_server import weed

SHARES = {"driver": 12, "trial": 10, "raylet": 8, "s3": 8, "worker": 8, "node": 4}
"""Victim -> moments among 50."""
PER_SERIES = {"alone": 10, "workers": 4, "joined": 4}
"""Kind of series -> moments in one. alone: private clusters, one worker a trial; workers: private
clusters, two workers a trial; joined: a cluster of two raylets that outlives the driver."""
PLACES: Mapping[str, Mapping[str, str]] = {
    "alone": {},
    "workers": {
        "train.workers": "2",
        "train.engine": "torch",
        "ray.cpus": "2",
        "concurrent": "1",  # a trial's workers, controller and helpers are ten processes
    },
    "joined": {},
    "proxied": {"ray.cpus": "1"},
}
ROUNDS_AT_MOST = 4
"""A run may end before a moment comes, which is then drawn anew in another series."""
BAD_NETWORK = Faults(stall=0.005, stall_s=1.0, late=0.01, late_s=1.0)
"""5 % errors, 2 % resets, 2 % of replies cut short, 1.5 % silent for a second."""


@contextmanager
def bench() -> Iterator[Bench]:
    """Yield what series run on: an S3 service and folders of their own."""
    # A Unix socket's path may have 107 characters, and Ray's are below this folder.
    folder = Path(tempfile.mkdtemp(prefix="xf-", dir="/tmp"))
    try:
        (folder / "t").mkdir()
        with weed(folder / "s3") as running, variables(running.server.environment):
            yield Bench(
                folder=folder,
                temporary=folder / "t",
                weed=running,
                endpoint=running.server.endpoint,
                said=lambda text: print(text, flush=True),
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def kill_processes(
    on: Bench, *, count: int, seed: int, only: Collection[str] = ()
) -> Iterator[Series]:
    """Kill at `count` moments, spread over as many series as it takes; `only` these victims, if any."""
    draw = random.Random(seed)
    wanted, number = _victims(count, only), 0
    expected: dict[str, Left] = {}
    for _ in range(ROUNDS_AT_MOST):
        for kind, victims in _series(wanted, draw):
            number += 1
            name = f"{kind}-{number}"
            moments = draw_moments(victims, draw=draw)
            if kind not in expected:
                expected[kind] = undisturbed(kind, on)
            series = _run(name, kind, moments, on, expected[kind])
            wanted.subtract(blow.moment.victim for blow in series.blows)
            yield series
        if not +wanted:
            break


def spoil_the_network(on: Bench, *, count: int, seed: int) -> Iterator[Series]:
    """Do `count` whole runs through a proxy that breaks requests, every second one with kills, too."""
    draw = random.Random(seed)
    expected = undisturbed("proxied", on)
    with fault_proxy(on.weed.server.endpoint, faults=BAD_NETWORK, seed=seed) as proxy:
        behind = replace(on, endpoint=proxy.url)
        for number in range(count):
            victims = ("driver", "trial", "s3") if number % 2 else ()
            moments = draw_moments(victims, draw=draw) if victims else []
            yield _run(f"proxied-{number + 1}", "proxied", moments, behind, expected)
        told = ", ".join(f"{count} {name}" for name, count in sorted(proxy.counts.items()))
        on.said(f"requests: {told}")


def crowd(on: Bench, *, drivers: int, killed: int, seed: int) -> Iterator[Series]:
    """Start `drivers` on one plan at once; then again, and kill some of them on the way."""
    folder = Path(tempfile.mkdtemp(prefix="r-", dir=on.folder))
    with joined(folder, cpus=drivers) as nodes:
        among = replace(on, cluster=nodes)
        _, left = run_series("rivals-0", [], among)
        for name, number in (("rivals-1", 0), ("rivals-2", killed)):
            series = run_rivals(
                name, among, drivers=drivers, killed=number, seed=seed, expected=left
            )
            on.said(tell(series))
            yield series


def undisturbed(kind: str, on: Bench) -> Left:
    """Return what a run leaves that nobody disturbs."""
    with _surroundings(kind, on) as where:
        series, left = run_series(f"{kind}-0", [], where, places=PLACES[kind])
    on.said(f"{kind}-0: undisturbed, {series.seconds:.0f} s")
    if left is None:
        raise RuntimeError(f"an undisturbed run failed: {series.trouble}")
    return left


def tell(series: Series) -> str:
    """Return one line about a series."""
    return (
        f"{series.name}: {len(series.blows)} kills, {series.starts} starts, {series.seconds:.0f} s, "
        f"{series.attempts} attempts, {series.resumed} resumed, "
        + ("fine" if series.fine else f"NOT FINE: {series}")
    )


def summary(title: str, found: Sequence[Series]) -> str:
    """Return two tables: what was killed, and what has come of the series."""
    blows = [blow for series in found for blow in series.blows]
    lines = [f"{title:<22}{'moments':>10}{'in training':>13}{'again':>8}"]
    victims = Counter(blow.moment.victim for blow in blows)
    for victim, number in [*victims.items(), ("all", len(blows))]:
        these = [blow for blow in blows if victim in ("all", blow.moment.victim)]
        training, again = (sum(getattr(b, name) for b in these) for name in ("training", "again"))
        lines.append(f"{victim:<22}{number:>10}{training:>13}{again:>8}")
    head = ("runs", "finished", "repeated", "rewritten", "report =", "files =", "leftovers")
    lines += ["", f"{'':<10}" + "".join(f"{name:>11}" for name in head)]
    groups = dict.fromkeys(series.name.split("-")[0] for series in found)
    for group in [*groups, "all"]:
        these = [s for s in found if group in ("all", s.name.split("-")[0])]
        values = (
            len(these),
            sum(s.finished for s in these),
            sum(len(s.repeated) for s in these),
            sum(len(s.rewritten) for s in these),
            sum(s.same_report for s in these),
            sum(s.same_files for s in these),
            sum(len(s.leftovers) for s in these),
        )
        lines.append(f"{group:<10}" + "".join(f"{value:>11}" for value in values))
    seconds = sum(series.seconds for series in found)
    resumed = sum(series.resumed for series in found)
    lines += ["", f"{seconds:.0f} s, {resumed} attempts went on from a checkpoint"]
    if blows:
        lines[-1] += f", {seconds / len(blows):.0f} s a moment"
    return "\n".join(lines)


def report(title: str, series: Iterator[Series], *, kills: int = 0) -> bool:
    """Do all of a campaign and print its tables, also when it is interrupted; say whether all was fine."""
    found: list[Series] = []
    try:
        found.extend(series)
    finally:
        print(summary(title, found), flush=True)
    return all(each.fine for each in found) and sum(len(each.blows) for each in found) >= kills


def _victims(count: int, only: Collection[str]) -> Counter[str]:
    """Return how often each victim is killed: at least once, in proportion to SHARES."""
    shares = {name: share for name, share in SHARES.items() if not only or name in only}
    whole = sum(shares.values())
    found = Counter({name: max(1, count * share // whole) for name, share in shares.items()})
    found[next(iter(shares))] += max(0, count - found.total())
    return found


def _series(wanted: Counter[str], draw: random.Random) -> Iterator[tuple[str, list[str]]]:
    """Yield series of kills that bring about what is wanted."""
    kinds = {"worker": "workers", "node": "joined"}
    for kind, most in PER_SERIES.items():
        victims = [v for v in (+wanted).elements() if kinds.get(v, "alone") == kind]
        draw.shuffle(victims)
        count = -(-len(victims) // most)
        for number in range(count):
            yield kind, victims[number::count]


def _run(name: str, kind: str, moments: Sequence[Moment], on: Bench, expected: Left) -> Series:
    with _surroundings(kind, on) as where:
        series, _ = run_series(name, moments, where, expected=expected, places=PLACES[kind])
    on.said(tell(series))
    return series


@contextmanager
def _surroundings(kind: str, on: Bench) -> Iterator[Bench]:
    with ExitStack() as stack:
        if kind == "joined":
            folder = Path(tempfile.mkdtemp(prefix="r-", dir=on.folder))
            on = replace(on, cluster=stack.enter_context(joined(folder, cpus=1, nodes=1)))
        yield on

"""Hundreds of malformed inputs through the command line: each must end in one plain error, and no trace.

Every case follows from (seed, kind, number) alone, so that one can be looked at again by itself.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.faults.malformed.arguments import (
    LINES,
    PROCESSES,
    by_hand,
    by_process,
    odd_value,
)
from tests.faults.malformed.data import damaged
from tests.faults.malformed.drawn import drawn
from tests.faults.malformed.encoders import bad_encoder, remove_encoders
from tests.faults.malformed.folders import remove_folders, scored
from tests.faults.malformed.manifests import manifest, no_manifest
from tests.faults.malformed.oracle import Case, Fault, judge
from tests.faults.malformed.settings import (
    VALUES,
    any_value,
    broken_bytes,
    misfit,
    misplaced,
    overridden,
)
from tests.faults.malformed.stores import (
    bad_object,
    bad_place,
    bad_record,
    forged_record,
    remove_studies,
)

Maker = Callable[[Random, Path, int], Case]
"""Makes the n-th malformed input of a kind in an empty folder."""
COLUMNS: tuple[Fault, ...] = ("no place", "traceback", "wrote", "taken", "status", "long")


@dataclass(kw_only=True)
class Row:
    """What one kind of input led to."""

    kind: str
    sound: int = 0
    """Random changes that left the input sound: not among those tried."""
    tried: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    faults: Counter[Fault] = field(default_factory=Counter[Fault])
    shown: list[str] = field(default_factory=list[str])
    """Cases with a fault, in full."""

    @property
    def fine(self) -> bool:
        """Whether every case ended as it must."""
        return not self.faults


def try_kind(kind: str, maker: Maker, *, count: int, seed: int) -> Row:
    """Try `count` malformed inputs of a kind; sound ones do not count, and are at most three times as many."""
    row = Row(kind=kind)
    for number in range(4 * count):
        if row.tried == count:
            break
        with tempfile.TemporaryDirectory(prefix="xt-malformed-") as temporary:
            folder = Path(temporary).resolve()
            verdict = judge(maker(Random(f"{seed}/{kind}/{number}"), folder, number), folder)
        if verdict.sound and not verdict.faults:
            row.sound += 1
            continue
        row.tried += 1
        row.statuses[verdict.status] += 1
        row.faults.update(verdict.faults)
        if verdict.faults:
            row.shown.append(f"[{kind} {number}: {', '.join(verdict.faults)}] {verdict.shown}")
    return row


def any_values(draw: Random, folder: Path, number: int) -> Case:
    """Make an experiment with a value of hypothesis somewhere."""
    value = drawn(VALUES, count=2, number=draw.randrange(2**32))[-1]
    return any_value(draw, folder, number, value)


KINDS: Mapping[str, tuple[Maker, int]] = {
    "experiment: a value": (misfit, 110),
    "experiment: any value": (any_values, 40),
    "experiment: bytes": (broken_bytes, 50),
    "placement": (misplaced, 50),
    "--set and --place": (overridden, 30),
    "commands, by hand": (by_hand, len(LINES)),
    "commands, odd values": (odd_value, 60),
    "commands, as processes": (by_process, len(PROCESSES)),
    "data files": (damaged, 110),
    "records": (bad_record, 50),
    "records, sealed": (forged_record, 12),
    "objects of a store": (bad_object, 50),
    "stores": (bad_place, 20),
    "encoders": (bad_encoder, 20),
    "predictions and labels": (scored, 60),
    "manifests: values": (manifest, 40),
    "manifests: files": (no_manifest, 30),
}


def malformed(seed: int, *, share: float = 1.0) -> list[Row]:
    """Try all kinds, or a share of each; return what they led to."""
    try:
        return [
            try_kind(kind, maker, count=max(1, round(share * count)), seed=seed)
            for kind, (maker, count) in KINDS.items()
        ]
    finally:
        for remove in (remove_studies, remove_folders, remove_encoders):
            remove()


def table(rows: list[Row], *, seed: int) -> str:
    """Return the rows and their sum as aligned text."""
    total = Row(kind="all", sound=sum(row.sound for row in rows), tried=sum(r.tried for r in rows))
    for row in rows:
        total.statuses.update(row.statuses)
        total.faults.update(row.faults)
    head = ("tried", "exit 2", "exit 1", *COLUMNS, "(sound)")
    lines = [f"{f'malformed inputs, seed {seed}':<28}" + "".join(f"{name:>11}" for name in head)]
    for row in (*rows, total):
        values = (row.tried, row.statuses[2], row.statuses[1])
        values += (*(row.faults[name] for name in COLUMNS), row.sound)
        lines.append(f"{row.kind:<28}" + "".join(f"{value:>11}" for value in values))
    return "\n".join(lines)

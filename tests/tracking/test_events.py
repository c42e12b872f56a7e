from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.costs.timed import of_kind, plan_of
from tests.tracking.shown import record_all
from xtransfer.store import open_store
from xtransfer.tracking import catch_up
from xtransfer.tracking.events import EventFiles

pytest.importorskip("tensorboardX")


def scalars(folder: Path) -> Iterator[tuple[str, int, float]]:
    """Yield tag, step and value of every scalar: a record is length, check, event, check."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    raw, at = path.read_bytes(), 0
    while at < len(raw):
        (length,) = struct.unpack_from("<Q", raw, at)
        event: Any = Event.FromString(raw[at + 12 : at + 12 + length])
        at += 16 + length
        for value in event.summary.value:
            if value.HasField("simple_value"):
                yield value.tag.replace("_", " "), event.step, value.simple_value


def test_steps_become_folders_once_each(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    records = record_all(open_store(f"file://{tmp_path}/store"), plan)
    sink = EventFiles(tmp_path / "board", "small")
    assert catch_up(sink, plan, records) == (len(plan.steps), 0)
    assert catch_up(EventFiles(tmp_path / "board", "small"), plan, records) == (
        0,
        len(plan.steps),
    )
    step = of_kind(plan, "train", "mnli-after-mnli")[0]
    found = set(scalars(tmp_path / "board" / "small" / step.folder))
    assert {("training/dev accuracy", 4, 40.0), ("training/loss", 8, 1.25)} <= found
    assert ("scores/score", 0, 50.0) in found
    kinds = list((tmp_path / "board" / "small").iterdir())
    assert {path.name for kind in kinds for path in kind.iterdir()} == {
        each.folder.partition("/")[2] for each in plan.steps.values()
    }

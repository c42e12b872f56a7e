"""One step with made-up work, over a real store: what is damaged is noticed and done again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.prints import FakePrints
from xtransfer import execute
from xtransfer.config import Experiment, Placement
from xtransfer.errors import DataError, InputLost
from xtransfer.execute import Workbench, encoder_place, run_step
from xtransfer.plan import Plan, Step
from xtransfer.planner import build_plan
from xtransfer.records import Record
from xtransfer.settings import read_settings
from xtransfer.store import Store

OVERRIDES = ("name=small", "encoder=encoder", "target={tasks: [xnli], languages: {xnli: [en]}}")


class Worked:
    """Made-up work of every kind; counts how often each step was done."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, step: Step, bench: Workbench, folder: Path) -> tuple[dict[str, Any], Any]:
        for key in step.inputs.values():
            bench.files(bench.record(key))
        self.keys.append(step.key)
        (folder / "weights").write_text(step.key * 100)
        (folder / "more").write_text("more")
        return {"score": 1.0, "best_step": 1}, {}


@pytest.fixture
def worked(monkeypatch: pytest.MonkeyPatch) -> Worked:
    work = Worked()
    monkeypatch.setattr(execute, "WORK", dict.fromkeys(execute.WORK, work))
    return work


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Workbench:
    plan: Plan = build_plan(read_settings(Experiment, None, OVERRIDES, "test"), FakePrints())
    return Workbench(plan=plan, store=store, placement=Placement(), scratch=tmp_path / "scratch")


def first(bench: Workbench, kind: str) -> Step:
    return next(step for step in bench.plan.steps.values() if step.kind == kind)


def parents_of(bench: Workbench, step: Step) -> list[Record]:
    return [run_step(bench.plan.steps[key], bench) for key in step.inputs.values()]


def test_a_step_is_done_once(bench: Workbench, worked: Worked) -> None:
    step = first(bench, "prepare")
    assert run_step(step, bench) == run_step(step, bench)
    assert worked.keys == [step.key]


def flip(store: Store, name: str) -> None:
    data = bytearray(store.read(name))
    data[0] ^= 1
    store.write(name, bytes(data))


def alter(store: Store, record: Record) -> None:
    flip(store, record.files[1].object)


def lose(store: Store, record: Record) -> None:
    store.delete(record.files[0].object)


def alter_record(store: Store, record: Record) -> None:
    flip(store, f"{record.folder}/record.json")


def doctor_spec(store: Store, record: Record) -> None:
    doctored = record.model_copy(update={"spec": {}, "seal": ""}).model_dump_json()
    store.write(f"{record.folder}/record.json", doctored.encode())


DAMAGE = pytest.mark.parametrize("harm", [alter, lose, alter_record, doctor_spec])


@DAMAGE
def test_a_damaged_step_is_set_aside_and_done_again(
    bench: Workbench, worked: Worked, harm: Any
) -> None:
    step = first(bench, "prepare")
    before = run_step(step, bench)
    harm(bench.store, before)
    after = run_step(step, bench)
    assert worked.keys == [step.key, step.key]
    assert {f.object for f in after.files}.isdisjoint(f.object for f in before.files)
    notes = [i.name for i in bench.store.list("quarantine/") if i.name.endswith("note.json")]
    assert len(notes) == 1
    assert run_step(step, bench) == after


@DAMAGE
def test_a_child_names_the_parent_that_is_damaged(
    bench: Workbench, worked: Worked, harm: Any
) -> None:
    child = first(bench, "train")
    parents = parents_of(bench, child)
    harm(bench.store, parents[0])
    with pytest.raises(InputLost) as caught:
        run_step(child, bench)
    assert caught.value.where == parents[0].folder
    assert child.key not in worked.keys
    # What the driver does about it:
    run_step(bench.plan.steps[parents[0].key], bench)
    assert run_step(child, bench).key == child.key


@pytest.mark.usefixtures("worked")
def test_a_file_that_was_changed_in_the_scratch_folder_is_fetched_anew(
    bench: Workbench,
) -> None:
    child = first(bench, "train")
    (parent, *_) = parents_of(bench, child)
    folder = bench.files(parent)
    whole = (folder / "weights").read_bytes()
    (folder / "weights").write_bytes(b"X" + whole[1:])
    assert (bench.files(parent) / "weights").read_bytes() == whole
    (folder / "weights").write_bytes(whole[:-1])
    (folder / "more").unlink()
    assert (bench.files(parent) / "weights").read_bytes() == whole
    assert (folder / "more").read_text() == "more"


def test_a_changed_encoder_is_the_users_to_mend(bench: Workbench, tmp_path: Path) -> None:
    import hashlib
    import os
    from dataclasses import replace

    path = tmp_path / "config.json"
    path.write_bytes(b"{1}")
    digests = {"config.json": hashlib.sha256(b"{1}").hexdigest()}
    where = {"encoder": {"name": str(tmp_path), "revision": None, "digests": digests}}
    step = replace(first(bench, "prepare"), where=where)
    assert encoder_place(step, bench) == (str(tmp_path), None)
    times = path.stat().st_mtime_ns
    path.write_bytes(b"{2}")
    os.utime(path, ns=(times, times))  # as a copy that keeps times would leave it
    with pytest.raises(DataError, match=r"config\.json: is not the file that the plan was made"):
        encoder_place(step, bench)

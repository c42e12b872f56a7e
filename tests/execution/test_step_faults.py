"""One step with made-up work, over a real store: what is damaged is noticed and done again."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.config.placement import Placement
from xtransfer.errors import DataError, InputLost, StepBusy, StoreError
from xtransfer.execution import execute
from xtransfer.execution.execute import run_step
from xtransfer.identity import file_digest, source_digest
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.process.workbench import Workbench
from xtransfer.records import leases
from xtransfer.records.leases import attempts
from xtransfer.records.record import Done, Record
from xtransfer.settings import read_settings
from xtransfer.steps.encoder import encoder_place
from xtransfer.store import Store

OVERRIDES = ("name=small", "encoder=encoder", "target={tasks: [xnli], languages: {xnli: [en]}}")


class Worked:
    """Made-up work of every kind; counts how often each step was done."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    def __call__(self, step: Step, bench: Workbench, folder: Path) -> Done:
        for key in step.inputs.values():
            bench.files(bench.record(key))
        self.keys.append(step.key)
        (folder / "weights").write_text(step.key * 100)
        (folder / "more").write_text("more")
        return Done(result={"score": 1.0, "best_step": 1})


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


def test_a_record_says_which_source_wrote_it(bench: Workbench, worked: Worked) -> None:
    record = run_step(first(bench, "prepare"), bench)
    assert record.environment["source"] == source_digest()
    assert worked.keys == [record.key] == [record.expected_key]


def test_a_clean_up_that_fails_does_not_fail_the_step(
    bench: Workbench, worked: Worked, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    step = first(bench, "train")
    parents_of(bench, step)

    def refuse(*_: object) -> None:
        raise StoreError("s3://b", "no reply")

    monkeypatch.setattr(execute, "drop_checkpoints", refuse)
    record = run_step(step, bench)
    assert record.key == step.key == worked.keys[-1]
    assert f"{step.folder}: its checkpoints were not removed: s3://b: no reply" in caplog.text


def test_a_node_keeps_no_more_files_of_ended_steps_than_its_placement_says(
    bench: Workbench, worked: Worked
) -> None:
    bench = replace(bench, placement=Placement(scratch_gb=1e-9))
    step = first(bench, "select")
    parents_of(bench, first(bench, "train"))
    for key in step.inputs.values():
        run_step(bench.plan.steps[key], bench)
    run_step(step, bench)
    kept = {path.parent.name for path in bench.scratch.glob("*/*/weights")}
    assert kept == {bench.plan.steps[key].folder.split("/")[1] for key in step.inputs.values()}
    assert worked.keys


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


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def remote(bench: Workbench, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> Workbench:
    """Return the bench of a driver on another machine, so that no process can be looked up."""
    monkeypatch.setattr(leases, "this_machine", lambda: "")
    return replace(bench, clock=clock, scratch=bench.scratch.with_name("other"))


def test_two_benches_never_work_on_one_step(
    bench: Workbench, worked: Worked, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, clock = first(bench, "prepare"), Clock()
    mine, theirs = replace(bench, clock=clock), remote(bench, monkeypatch, clock)
    refused: list[StepBusy] = []

    def meanwhile(*_: Any) -> Any:
        with pytest.raises(StepBusy, match="is at work on it") as caught:
            run_step(step, theirs)
        refused.append(caught.value)
        return worked(*_)

    monkeypatch.setattr(execute, "WORK", {"prepare": meanwhile})
    record = run_step(step, mine)
    assert len(refused) == 1
    assert worked.keys == [step.key]
    assert run_step(step, theirs) == record
    assert worked.keys == [step.key]
    tried = attempts(bench.store, step.key)
    assert [(each.epoch, each.state) for each in tried] == [(1, "done"), (2, "found")]


def test_a_stale_holder_may_not_commit(
    bench: Workbench, worked: Worked, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, clock = first(bench, "prepare"), Clock()
    mine, theirs = replace(bench, clock=clock), remote(bench, monkeypatch, clock)
    calls: list[str] = []

    def slow(step: Step, bench: Workbench, folder: Path) -> Any:
        calls.append(bench.scratch.name)
        if len(calls) == 1:
            clock.now += bench.placement.lease_s + 1  # fell silent, and wakes up too late
            calls.append(run_step(step, theirs).files[0].object)
            bench.store.delete(f"{step.folder}/record.json")  # or its own commit would find it
        return worked(step, bench, folder)

    monkeypatch.setattr(execute, "WORK", {"prepare": slow})
    with pytest.raises(StepBusy, match="attempt 1 was silent too long and another has taken over"):
        run_step(step, mine)
    assert not bench.store.exists(f"{step.folder}/record.json")
    # The refused files are gone, the other's are there.
    assert calls[2] in [info.name for info in bench.store.list(f"{step.folder}/")]
    assert len(list(bench.store.list(f"{step.folder}/"))) == 2
    tried = attempts(bench.store, step.key)
    assert [(each.epoch, each.state) for each in tried] == [(1, "working"), (2, "done")]


def test_a_holder_that_lost_its_step_stops_when_it_next_tells(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = first(bench, "prepare")

    def work(step: Step, bench: Workbench, _: Path) -> Any:
        bench.tell({"step": 1})
        data = json.loads(bench.store.read(f"leases/{step.key}/000001.json"))
        data.update(epoch=2, token="another's")
        bench.store.write(f"leases/{step.key}/000002.json", json.dumps(data).encode())
        until = time.monotonic() + 60
        while time.monotonic() < until:  # the heartbeat has yet to see it
            time.sleep(0.02)
            bench.tell({"step": 2})
        raise AssertionError("nobody stopped it")

    monkeypatch.setattr(execute, "WORK", {"prepare": work})
    short = bench.placement.model_copy(update={"lease_s": 0.3})
    with pytest.raises(StepBusy, match="another has taken over"):
        run_step(step, replace(bench, placement=short))


@pytest.mark.usefixtures("worked")
def test_a_failed_step_is_free_at_once(bench: Workbench, monkeypatch: pytest.MonkeyPatch) -> None:
    step = first(bench, "prepare")

    def fail(*_: Any) -> Any:
        raise ValueError("no")

    with monkeypatch.context() as patched:
        patched.setattr(execute, "WORK", {"prepare": fail})
        with pytest.raises(ValueError, match="no"):
            run_step(step, bench)
    run_step(step, bench)
    assert [each.state for each in attempts(bench.store, step.key)] == ["failed", "done"]


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


class Flips:
    """Lets one bit of what is read or downloaded flip on the way, the first time of each object."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, store: Store) -> None:
        self.names: list[str] = []
        read, download = type(store).read, type(store).download

        def flipped_read(store: Store, name: str) -> bytes:
            return self.flip(name, read(store, name))

        def flipped_download(store: Store, name: str, path: Path) -> None:
            download(store, name, path)
            path.write_bytes(self.flip(name, path.read_bytes()))

        monkeypatch.setattr(type(store), "read", flipped_read)
        monkeypatch.setattr(type(store), "download", flipped_download)

    def flip(self, name: str, data: bytes) -> bytes:
        if name in self.names or name.startswith("leases/"):
            return data
        self.names.append(name)
        return bytes([data[0] ^ 1]) + data[1:]


def test_what_is_damaged_only_on_the_way_is_looked_at_again_and_not_set_aside(
    bench: Workbench, worked: Worked, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = first(bench, "prepare")
    record = run_step(step, bench)
    flips = Flips(monkeypatch, bench.store)
    assert run_step(step, bench) == record
    assert {*flips.names} >= {file.object for file in record.files}
    assert worked.keys == [step.key]
    assert not list(bench.store.list("quarantine/"))


@pytest.mark.usefixtures("worked")
def test_a_parents_file_that_is_damaged_only_on_the_way_is_fetched_again(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = run_step(first(bench, "prepare"), bench)
    flips = Flips(monkeypatch, bench.store)
    folder = bench.files(record)
    assert {*flips.names} == {file.object for file in record.files}
    for file in record.files:
        assert file_digest(folder / file.name) == file.sha256


def test_what_was_made_with_files_that_were_altered_meanwhile_is_not_recorded(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Worked()
    spoiled: list[Path] = []

    def spoil(step: Step, bench: Workbench, folder: Path) -> Done:
        done = work(step, bench, folder)
        if step.kind == "train" and not spoiled:
            path = bench.files(bench.record(next(iter(step.inputs.values())))) / "weights"
            data = bytearray(path.read_bytes())
            data[7] ^= 4
            path.write_bytes(bytes(data))
            spoiled.append(path)
        return done

    monkeypatch.setattr(execute, "WORK", dict.fromkeys(execute.WORK, spoil))
    step = first(bench, "train")
    parents_of(bench, step)
    with pytest.raises(StoreError, match="weights: was altered while the step used it"):
        run_step(step, bench)
    assert run_step(step, bench).key == step.key
    assert work.keys.count(step.key) == 2

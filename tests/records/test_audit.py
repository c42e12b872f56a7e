from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import drafts
from tests.reading import note_reads
from tests.records.test_record import FILES
from xtransfer.errors import StepBusy
from xtransfer.plan import Plan
from xtransfer.records.audit import audit
from xtransfer.records.checkpoints import save_checkpoint
from xtransfer.records.leases import Lease, claim, holding
from xtransfer.records.leftovers import DAY_S, Garbage, garbage, remove
from xtransfer.records.quarantine import set_aside
from xtransfer.records.record import Record, commit, load_records
from xtransfer.store import Store

draft = partial(drafts.draft, inputs={})
"""A record of a step without parents."""


def step(store: Store, tmp_path: Path, number: int) -> Record:
    folder = tmp_path / f"output{number}"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data + bytes([number]))
    return commit(store, draft(spec={"n": number}, name=f"n{number}"), folder)


@pytest.fixture
def records(store: Store, tmp_path: Path) -> list[Record]:
    return [step(store, tmp_path, number) for number in range(3)]


def faults(store: Store) -> list[tuple[str, str]]:
    return [(finding.fault, finding.object) for finding in audit(store).findings]


def model(record: Record) -> str:
    return next(file.object for file in record.files if file.name == "model.safetensors")


def test_a_sound_store_has_no_findings(store: Store, records: list[Record]) -> None:
    save_checkpoint(store, "0" * 12, state={"step": 1}, tensors={})
    key, sweep = "0" * 12, "1" * 12
    for name in (
        "logs/a/b.log",
        f"logs/job-{sweep}/plan-{key}",
        "reports/a/report.md",
        f"failures/{key}.json",
        f"resume/{key}/memory.json",
        f"resume/{key}/outcome/digests.json",
        f"resume/{key}/outcome/files/weights.safetensors",
        f"rungs/{sweep}/{key}-25.json",
        f"suggestions/{key}.json",
        "probes/0123456789abcdef",
        f"quarantine/20261130T000000-01234567/train/a-{key}/record.json",
    ):
        store.write(name, b"{}")
    made = Plan(experiment="a", steps={}, cells=(), tasks={})
    store.write(f"plans/a-{made.key}.json", json.dumps(made.to_json()).encode())
    claim(store, "0" * 12, seconds=60).end()
    found = audit(store)
    assert found.findings == ()
    assert (found.records, found.objects) == (3, 3 * len(FILES) + 1)
    assert found.size == sum(file.size for record in records for file in record.files)


@pytest.mark.parametrize(
    "data",
    [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"steps": 5}', b'{"key": "x", "epoch": "y"}'],
)
@pytest.mark.parametrize("name", ["plans/a-0123456789ab.json", f"leases/{'0' * 12}/000001.json"])
def test_damaged_plans_and_attempts_are_named(store: Store, name: str, data: bytes) -> None:
    store.write(name, data)
    assert faults(store) == [("unreadable", name)]


@pytest.mark.parametrize(
    "name",
    [
        "notes.txt",
        "failures/a.json",
        f"failures/{'0' * 12}/a.json",
        "logs/a",
        "logs/a/b/c.log",
        "quarantine/note.json",
        "reports/report.md",
        f"resume/{'0' * 12}/notes.json",
        f"resume/{'0' * 12}/000000001/state.safetensors",
        "resume/a/000000001/0123456789abcdef.safetensors",
        f"rungs/{'0' * 12}.json",
        f"suggestions/{'0' * 12}.json.bak",
    ],
)
def test_an_object_that_nothing_writes_is_named(store: Store, name: str) -> None:
    store.write(name, b"{}")
    assert faults(store) == [("unnamed", name)]


def test_plans_and_attempts_in_each_others_place_are_named(store: Store) -> None:
    made = Plan(experiment="a", steps={}, cells=(), tasks={})
    store.write(f"plans/b-{made.key}.json", json.dumps(made.to_json()).encode())
    lease = claim(store, "0" * 12, seconds=60)
    store.write(f"leases/{'0' * 12}/000002.json", store.read(lease.attempt.name))
    (first, second) = audit(store).findings
    assert first.object == f"leases/{'0' * 12}/000002.json"
    assert "holds leases/000000000000/000001.json" in first.what
    assert f"holds the plan a-{made.key}" in second.what


def test_every_kind_of_damage_is_found_and_named(store: Store, records: list[Record]) -> None:
    first, second, third = records
    flipped = bytearray(store.read(model(first)))
    flipped[7] ^= 1
    store.write(model(first), bytes(flipped))
    store.write(model(second), store.read(model(third)))
    store.write(model(third), b"short")
    store.delete(first.files[0].object)
    store.write(second.files[0].object, b"longer than it was")
    store.write(f"{third.folder}/record.json", b"{")
    store.write(f"{first.folder}/0000/stray", b"x")
    store.write("odd/one", b"x")
    found = {finding.object: finding for finding in audit(store).findings}
    kinds = {name: finding.fault for name, finding in found.items()}
    assert kinds == {
        model(first): "altered",
        # The record of the third is unreadable, so nobody knows whose bytes these are.
        model(second): "altered",
        first.files[0].object: "missing",
        second.files[0].object: "grown",
        f"{third.folder}/record.json": "unreadable",
        f"{first.folder}/0000/stray": "unnamed",
        "odd/one": "unnamed",
    }
    assert set(audit(store).damaged_steps) == {record.folder for record in records}


def test_a_swap_says_whose_bytes_they_are(store: Store, records: list[Record]) -> None:
    first, second, _ = (model(record) for record in records)
    data = store.read(first), store.read(second)
    store.write(first, data[1])
    store.write(second, data[0])
    assert faults(store) == sorted([("swapped", first), ("swapped", second)], key=lambda x: x[1])
    assert f"holds the bytes of {second}" in audit(store).findings[0].what + (
        audit(store).findings[1].what
    )


def test_damaged_resume_state_is_found(store: Store) -> None:
    for number in (1, 2, 3):
        save_checkpoint(store, "0" * 12, state={"step": number}, tensors={}, kept=3)
    tensors = [i.name for i in store.list("resume/") if i.name.endswith("safetensors")]
    store.write(tensors[0], store.read(tensors[0])[:-1])
    store.delete(tensors[1])
    store.write(f"resume/{'0' * 12}/000000003/manifest.json", b"{}")
    assert [fault for fault, _ in faults(store)] == ["altered", "missing", "altered"]


def test_files_of_an_attempt_at_work_are_no_findings(store: Store) -> None:
    folder = draft().folder
    store.write(f"{folder}/0000/weights", b"x")
    with holding(store, draft().key, seconds=60):
        assert audit(store).findings == ()
        assert garbage(store) == []
    assert faults(store) == [("unnamed", f"{folder}/0000/weights")]
    assert [each.object for each in garbage(store) if "left over" in each.why] == [
        f"{folder}/0000/weights"
    ]


def test_resume_state_is_examined_in_a_file_and_not_in_memory(
    store: Store, records: list[Record], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is three times as large as the weights of a model, and more."""
    save_checkpoint(store, "0" * 12, state={"step": 1}, tensors={})
    read = note_reads(store, monkeypatch)
    assert audit(store).findings == ()
    manifest = f"resume/{'0' * 12}/000000001/manifest.json"
    assert set(read) == {manifest, *(f"{record.folder}/record.json" for record in records)}


def test_only_what_nothing_refers_to_is_removed(store: Store, records: list[Record]) -> None:
    open_key, other_key, done_key = "a" * 12, "b" * 12, records[0].key
    for key in (open_key, other_key, done_key):
        save_checkpoint(store, key, state={"step": 1}, tensors={})
    claim(store, done_key, seconds=60).end()
    claim(store, open_key, seconds=60).end()
    claim(store, records[1].key, seconds=60)  # at work, or so it seems
    store.write(f"{records[0].folder}/0000/weights", b"left")
    store.write(f"{records[1].folder}/0000/weights", b"at work")
    for name in ("logs/a/b.log", "plans/a.json", "reports/a/report.md", "odd/one"):
        store.write(name, b"{}")
    place = set_aside(store, records[2].folder, ["altered"])
    before = {info.name for info in store.list("")}

    def gone(**options: Any) -> set[str]:
        return {each.object for each in garbage(store, **options)}

    always = {
        f"{records[0].folder}/0000/weights",
        f"leases/{done_key}/000001.json",
        *(info.name for info in store.list(f"resume/{done_key}/")),
    }
    assert gone() == always
    unplanned = {info.name for info in store.list(f"resume/{other_key}/")}
    assert gone(wanted={open_key}) == always | unplanned
    import time

    later = time.time() + 31 * DAY_S
    old = {info.name for info in store.list(f"{place}/")}
    stale = {f"{records[1].folder}/0000/weights", f"leases/{records[1].key}/000001.json"}
    assert gone(clock=lambda: later) == always | old | stale
    assert gone(clock=lambda: later, quarantine_days=32) == always | stale
    remove(store, garbage(store, wanted={open_key}))
    assert {info.name for info in store.list("")} == before - always - unplanned
    assert set(load_records(store, ["train"])) == {record.key for record in records[:2]}
    assert {finding.object for finding in audit(store).findings} == {
        "odd/one",
        "plans/a.json",  # `{}` is no plan
    }


def test_what_verify_says_of_an_unnamed_object_is_what_gc_does(store: Store) -> None:
    names = ("train/notes.txt", "train/notes/a", "mine/a", "logs/a/b.txt")
    for name in names:
        store.write(name, b"x")
    said = {finding.object: finding.what for finding in audit(store).findings}
    assert said.keys() == {*names}
    remove(store, garbage(store))
    left = {info.name for info in store.list("")}  # no leases of folders that are no steps' either
    assert left == {name for name, what in said.items() if "gc leaves it" in what}
    assert left == {"mine/a", "logs/a/b.txt"}


def test_a_record_that_comes_meanwhile_keeps_its_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the listing of all objects and the reading of records, an attempt commits."""
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "weights").write_text("x")
    created: list[Record] = []
    whole = type(store).list

    def listing(self: Store, prefix: str) -> Any:
        if prefix == "" and not created:
            commit(self, draft(), folder)
            found = list(whole(self, prefix))
            created.append(draft())
            record = f"{draft().folder}/record.json"
            return iter([info for info in found if info.name != record])
        return whole(self, prefix)

    monkeypatch.setattr(type(store), "list", listing)
    assert garbage(store) == []


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def left_by_a_process_that_stood_still(
    store: Store, folder: Path, between: Callable[[Clock, Lease], object]
) -> list[str]:
    """Have a commit stand still before its record for longer than its lease, while garbage is removed.

    `between` is called between what is found and what is removed. Returns what was removed.
    """
    folder.mkdir()
    (folder / "weights").write_text("x")
    clock, removed = Clock(), list[str]()
    lease = claim(store, draft().key, seconds=60, clock=clock)

    def pause() -> None:
        clock.now += 61
        found = garbage(store, clock=clock)
        assert [each.object.rpartition("/")[2] for each in found] == ["weights"]
        between(clock, lease)
        removed.extend(each.object for each in remove(store, found, clock=clock))
        lease.check()

    try:
        commit(store, draft(), folder, fence=pause)
    finally:
        assert [each.what for each in audit(store).findings] == []
    return removed


def test_who_stood_still_while_its_files_were_removed_leaves_no_record(
    store: Store, tmp_path: Path
) -> None:
    with pytest.raises(StepBusy, match="silent too long"):
        left_by_a_process_that_stood_still(store, tmp_path / "output", lambda *_: None)
    assert load_records(store, ["train"]) == {}
    assert claim(store, draft().key, seconds=60).attempt.epoch == 3  # it can be done again


def test_files_of_a_step_that_is_at_work_again_stay(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "output"
    assert left_by_a_process_that_stood_still(store, folder, lambda _, own: own.renew()) == []
    assert list(load_records(store, ["train"])) == [draft().key]


def test_files_that_a_record_names_by_now_stay(store: Store, tmp_path: Path) -> None:
    found: list[Garbage] = []
    folder = tmp_path / "output"
    folder.mkdir()
    (folder / "weights").write_text("x")
    commit(store, draft(), folder, fence=lambda: found.extend(garbage(store)))
    assert len(found) == 1
    assert remove(store, found) == []
    assert audit(store).findings == ()


def test_unfinished_files_of_a_folder_are_swept(tmp_path: Path) -> None:
    from xtransfer.store import open_store

    store = open_store(str(tmp_path))
    store.write("a/b", b"1")
    for name, age in (("a/.tmp-old", 7200), ("a/.tmp-new", 0)):
        (tmp_path / name).write_bytes(b"half")
        moment = tmp_path.stat().st_mtime - age
        os.utime(tmp_path / name, (moment, moment))
    assert [tuple(i) for i in store.sweep(older_s=3600, dry_run=True)] == [("a/.tmp-old", 4)]
    assert (tmp_path / "a/.tmp-old").exists()
    assert [tuple(i) for i in store.sweep(older_s=3600, dry_run=False)] == [("a/.tmp-old", 4)]
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == [".tmp-new", "b"]


@pytest.mark.slow
def test_uploads_that_never_ended_are_swept(s3_url: str) -> None:
    from xtransfer.store import open_store
    from xtransfer.store.s3 import S3Store

    store = open_store(s3_url)
    assert isinstance(store, S3Store)
    store.write("whole", b"1")
    key = f"{store.prefix}half"
    store._client().create_multipart_upload(Bucket=store.bucket, Key=key)
    assert store.sweep(older_s=3600, dry_run=False) == []
    assert [i.name for i in store.sweep(older_s=-5, dry_run=True)] == ["half"]
    assert [i.name for i in store.sweep(older_s=-5, dry_run=False)] == ["half"]
    assert store.sweep(older_s=-5, dry_run=True) == []
    assert [i.name for i in store.list("")] == ["whole"]


def test_a_record_whose_parent_has_none_is_told_and_stays(store: Store, tmp_path: Path) -> None:
    parent = step(store, tmp_path, 1)
    child = commit(store, draft(spec={"n": 2}, name="n2", inputs={"data": parent.key}))
    assert faults(store) == []
    for info in list(store.list(parent.folder)):
        store.delete(info.name)
    (found,) = audit(store).findings
    assert (found.fault, found.object) == ("orphaned", f"{child.folder}/record.json")
    assert f"its data, {parent.key}, has no record" in found.what
    assert audit(store).damaged_steps == {}
    with holding(store, parent.key, seconds=60):  # it is done again
        assert faults(store) == []


def test_a_parent_that_is_unreadable_is_the_only_finding(store: Store, tmp_path: Path) -> None:
    parent = step(store, tmp_path, 1)
    commit(store, draft(spec={"n": 2}, name="n2", inputs={"data": parent.key}))
    store.write(f"{parent.folder}/record.json", b"{}")
    assert [fault for fault, _ in faults(store)] == ["unreadable"]


@pytest.mark.parametrize(
    "put", [Path.mkdir, lambda path: path.symlink_to("nothing")], ids=["folder", "link"]
)
def test_what_stands_in_the_place_of_a_record_is_named(
    tmp_path: Path, put: Callable[[Path], None]
) -> None:
    from xtransfer.store import open_store

    store = open_store(f"file://{tmp_path}/store")
    parent = commit(store, draft(name="parent"))
    child = commit(store, drafts.draft(name="child", inputs={"trial-000": parent.key}))
    place = tmp_path / "store" / parent.folder / "record.json"
    place.unlink()
    put(place)
    found = audit(store)
    assert [(each.fault, each.object) for each in found.findings] == [
        ("orphaned", f"{child.folder}/record.json"),
        ("unreadable", f"{parent.folder}/record.json"),
    ]
    assert "move it away" in found.findings[1].what
    assert found.damaged_steps == {}  # there is nothing that could be set aside

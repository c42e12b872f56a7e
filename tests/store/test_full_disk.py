"""A disk without space: a clear error, nothing half-written, and the same again later succeeds."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.command import Run
from tests.disk import MIB, filled
from tests.small import small_bench
from xtransfer.errors import StoreError
from xtransfer.execution import execute
from xtransfer.execution.execute import run_step
from xtransfer.forms.files import write_rows
from xtransfer.plan import Step
from xtransfer.process.workbench import Workbench
from xtransfer.records.checkpoints import load_checkpoint, save_checkpoint
from xtransfer.records.record import Done, read_record
from xtransfer.store import open_store
from xtransfer.store.folder import enough_space

MESSAGE = r"no space is left on the disk: \d+ of 4 MiB are free at .*\. Free some and start again"


def everything_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_store_on_a_full_disk(tiny_disk: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tiny_disk}/store")
    store.write("kept", b"1")
    big = tmp_path / "big"
    big.write_bytes(bytes(5 * MIB))
    for write in (
        lambda: store.write("a/b", bytes(5 * MIB)),
        lambda: store.create("a/b", bytes(5 * MIB)),
        lambda: store.upload("a/b", big),
    ):
        with pytest.raises(StoreError, match=MESSAGE):
            write()
        assert everything_in(tiny_disk) == ["store/kept"]
    filler = filled(tiny_disk, but=0)
    with pytest.raises(StoreError, match=MESSAGE):
        store.write("kept", b"22")
    assert store.read("kept") == b"1"
    filler.unlink()
    store.write("kept", b"22")
    assert store.read("kept") == b"22"


def test_a_download_to_a_full_disk(tiny_disk: Path, tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/store")
    store.write("big", bytes(5 * MIB))
    with pytest.raises(StoreError, match=MESSAGE):
        store.download("big", tiny_disk / "big")
    assert everything_in(tiny_disk) == []


def test_a_checkpoint_for_which_there_is_no_room(tiny_disk: Path) -> None:
    store = open_store(f"file://{tiny_disk}/store")
    small = {"weights/w": torch.ones(3)}
    save_checkpoint(store, "k", state={"step": 1}, tensors=small, scratch=tiny_disk)
    before = everything_in(tiny_disk)
    for elements in (5 * MIB // 4, 5 * MIB // 8):  # no room in scratch, and none in the store
        large = {"weights/w": torch.ones(elements)}
        with pytest.raises(StoreError, match=MESSAGE):
            save_checkpoint(store, "k", state={"step": 2}, tensors=large, scratch=tiny_disk)
        assert everything_in(tiny_disk) == before
    found = load_checkpoint(store, "k")
    assert found is not None
    assert found[0] == {"step": 1}


def arrow(path: Path) -> None:
    from xtransfer.forms.encoding import Encoded

    write_rows(path, Encoded(columns={"example": list(np.zeros(2 * MIB, dtype=int))}))


WRITERS = {
    "safetensors": lambda path: save_file({"x": torch.ones(2 * MIB)}, path),
    "arrow": arrow,
    "text": lambda path: path.write_text("x" * 5 * MIB),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_libraries_raise_is_told_apart(tiny_disk: Path, writer: str) -> None:
    with pytest.raises(StoreError, match=MESSAGE), enough_space(tiny_disk):
        WRITERS[writer](tiny_disk / "file")
    with pytest.raises(FileNotFoundError), enough_space(tiny_disk):
        (tiny_disk / "absent").read_text()


@pytest.mark.parametrize("where", ["scratch", "store"])
def test_a_step_goes_on_once_there_is_room(
    tiny_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def work(_: Step, __: Workbench, folder: Path) -> Done:
        save_file({"x": torch.ones(MIB // 2)}, folder / "weights")
        return Done(result={})

    bench, step = small_bench(tmp_path, {})
    if where == "scratch":
        bench = replace(bench, scratch=tiny_disk / "scratch")
    else:
        bench = replace(bench, store=open_store(f"file://{tiny_disk}/store"))
    monkeypatch.setattr(execute, "WORK", {"train": work})
    filler = filled(tiny_disk, but=MIB)
    with pytest.raises(StoreError, match=MESSAGE):
        run_step(step, bench)
    assert read_record(bench.store, step.kind, step.name, step.key) is None
    assert [p.name for p in (tiny_disk / where).rglob("*weights*")] == []
    assert list(bench.scratch.glob("xtransfer-*")) == []
    filler.unlink()
    record = run_step(step, bench)
    assert read_record(bench.store, step.kind, step.name, step.key) == record


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ENOSPC, "no space is left on the disk: "),
        (errno.EDQUOT, "the disk quota is used up: "),
    ],
)
def test_the_words_for_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, message: str
) -> None:
    """Where nothing can be mounted, and for a quota."""
    store = open_store(f"file://{tmp_path}/store")

    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", refuse)
        for write in (store.write, store.create):
            with pytest.raises(StoreError, match=rf"store/b: {message}\d+ of \d+ MiB are free at"):
                write("b", b"1")
    assert everything_in(tmp_path) == []
    store.write("b", b"1")


def test_a_command_on_a_full_disk_ends_in_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "x"))

    monkeypatch.setattr("xtransfer.cli.output.print_table", refuse)
    monkeypatch.setattr("xtransfer.cli.study.print_table", refuse)
    done = run("tasks")
    assert done.status == 1
    assert done.err == f"xtransfer: {tmp_path}/x: no space is left on the disk. Free some.\n"

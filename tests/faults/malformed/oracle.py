"""What a malformed input is, how it is given to the command line, and what must then be seen."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.command import Done
from xtransfer.cli import main

LONGEST_ERROR = 2_000
"""Characters of all that goes to stderr: an error quotes an input, it does not repeat it."""

Fault = Literal["taken", "traceback", "status", "no place", "long", "wrote"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One command on one malformed input, which lies in the folder that it was made in."""

    what: str
    """What is wrong with the input."""
    arguments: tuple[str, ...]
    places: tuple[str, ...]
    """Each must stand in what is printed: the file, and where in it, or the option."""
    process: bool = False
    """Run in a process of its own, in a locale without Unicode."""
    certain: bool = True
    """False: a random change that may have left the input sound; status 0 then says so."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What one case led to."""

    status: int
    faults: tuple[Fault, ...]
    shown: str
    """The command and what it printed, for whoever mends a fault."""

    @property
    def sound(self) -> bool:
        """Whether a random change has left the input sound, so that it is none of the malformed."""
        return self.status == 0 and "taken" not in self.faults


def judge(case: Case, folder: Path) -> Verdict:
    """Run a case with `folder` as working directory and place of temporary files."""
    before = contents(folder)
    done = (call_process if case.process else call)(case.arguments, folder)
    faults: list[Fault] = []
    printed = done.out + done.err
    if "Traceback" in printed:
        faults.append("traceback")
    if done.status == 0 and case.certain:
        faults.append("taken")
    if done.status not in (0, 1, 2):
        faults.append("status")
    if done.status != 0 and not all(place in _unfolded(printed) for place in case.places):
        faults.append("no place")
    if len(done.err) > LONGEST_ERROR:
        faults.append("long")
    if done.status != 0 and contents(folder) != before:
        faults.append("wrote")
    command = " ".join(_short(argument) for argument in case.arguments)
    shown = f"{case.what}: xtransfer {command}\n{done.status} {_short(printed[-700:], 700)}"
    return Verdict(status=done.status, faults=tuple(faults), shown=shown)


def call(arguments: tuple[str, ...], folder: Path) -> Done:
    """Run `xtransfer` in this process as a shell would: its own folder, strict UTF-8 on stdout."""
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    err = io.TextIOWrapper(
        io.BytesIO(), encoding="utf-8", errors="backslashreplace", write_through=True
    )
    status: object = 0
    with _inside(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        sys.argv = ["xtransfer", *arguments]
        try:
            main()
        except SystemExit as error:
            status = error.code
        except BaseException:  # noqa: BLE001 - an uncaught error is what is looked for
            status = 1
            traceback.print_exc()
    if isinstance(status, str):
        err.write(status)
    texts = (stream.buffer.getvalue().decode() for stream in (out, err))  # type: ignore[attr-defined]
    return Done(status if isinstance(status, int) else int(status is not None), *texts)


def call_process(arguments: tuple[str, ...], folder: Path) -> Done:
    """Run `python -m xtransfer` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "xtransfer", *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        timeout=120,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTHONIOENCODING": "ascii",
            "TMPDIR": str(folder),
        },
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def contents(folder: Path) -> dict[str, str]:
    """Return what is in a folder: path -> digest, kind of what is no file, or target of a link."""
    found: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = f"link to {path.readlink()}"
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder" if path.is_dir() else "other"
    return found


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Make a folder the working directory and the place of temporary files."""
    argv, before, temporary = sys.argv, Path.cwd(), tempfile.tempdir
    os.chdir(folder)
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        sys.argv, tempfile.tempdir = argv, temporary
        os.chdir(before)


def _unfolded(text: str) -> str:
    """Return a text without the line breaks that the library of the command line puts in."""
    return text + " ".join(text.split())


def _short(text: str, most: int = 160) -> str:
    text = text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
    return text.encode(errors="backslashreplace").decode()

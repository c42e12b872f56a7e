"""Folders for files that need not last."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from xtransfer import folders
from xtransfer.folders import private_folder, temporary_folder

LEAVE = """
import os, signal, sys
from pathlib import Path
from xtransfer.folders import private_folder
folder = private_folder("kept", Path(sys.argv[1]))
(folder / "file").write_text("large")
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave(base: Path) -> Path:
    """Have a process make a folder and be killed; return the folder."""
    subprocess.run([sys.executable, "-c", LEAVE, str(base)], check=False)
    (folder,) = base.iterdir()
    return folder


def test_what_a_killed_process_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    left = leave(tmp_path)
    assert (left / "file").is_file()
    mine = private_folder("kept", tmp_path)
    assert list(tmp_path.iterdir()) == [mine]
    other = private_folder("kept", tmp_path)  # of a live process: both stay
    assert set(tmp_path.iterdir()) == {mine, other}


def test_folders_of_other_machines_and_purposes_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = leave(tmp_path)
    another = private_folder("another", tmp_path)
    for machine in ("another boot/1", ""):  # "": processes cannot be looked up
        monkeypatch.setattr(folders, "this_machine", lambda name=machine: name)
        private_folder("kept", tmp_path)
    assert left.is_dir()
    assert another.is_dir()


def test_a_temporary_folder_goes_with_its_block(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), temporary_folder(tmp_path) as folder:  # noqa: PT012
        (folder / "file").write_text("")
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())

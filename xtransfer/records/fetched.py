"""The files that a step has fetched: whether what it reads of them is still what its records say.

A step may have mapped a file into its memory. What it reads then is the file that it has opened, whatever was put
in that one's place since; so each is kept open, and looked at beside the one that has its name.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from xtransfer.identity import file_digest
from xtransfer.records.outputs import OutputFile, is_there

MOST_OPEN = 256
"""Files that a step keeps open: of 1,024, which is what a process may have open on many systems."""


class FileState(NamedTuple):
    """What tells a file from one that was put in its place, or that was written to since."""

    inode: int
    size: int
    modified_ns: int


def file_state(path: Path | int) -> FileState | None:
    """Return the state of a file, given by its path or open, None where it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116 - of a descriptor, too
    except OSError:
        return None
    return FileState(found.st_ino, found.st_size, found.st_mtime_ns)


class FetchedFiles:
    """The files that a step has fetched, each with the states in which its bytes were sound."""

    def __init__(self) -> None:
        self._files: dict[tuple[Path, int], _Fetched] = {}

    def note(self, folder: Path, files: Iterable[OutputFile]) -> None:
        """Take note of files that were fetched into `folder` just now."""
        for file in files:
            path = folder / file.name
            state = file_state(path)
            if state is None or (path, state.inode) in self._files:
                continue
            descriptor = _opened(path) if len(self._files) < MOST_OPEN else None
            self._files[path, state.inode] = _Fetched(path, file, descriptor, state.inode, {state})

    def altered(self) -> list[Path]:
        """Return the files that were written to: what was read of them may be wrong.

        Only where a file's time or size says so are its bytes read, and once. One that was deleted has harmed
        nobody who could read it.
        """
        return _paths(each for each in self._files.values() if each.is_altered())

    def spoiled(self) -> list[Path]:
        """Return the files that are no more what they were, as when somebody cleared the folder."""
        return _paths(each for each in self._files.values() if each.is_spoiled())

    def release(self) -> None:
        """Look at none of them any more."""
        for each in self._files.values():
            if each.descriptor is not None:
                os.close(each.descriptor)
        self._files.clear()


@dataclass(frozen=True)
class _Fetched:
    path: Path
    file: OutputFile
    descriptor: int | None
    """Of what was fetched, where it is open."""
    inode: int
    sound: set[FileState]

    def is_altered(self) -> bool:
        if self.descriptor is not None:
            return self._differs(self.descriptor) or self._differs(self.path)
        now = file_state(self.path)
        # Whether the file whose place another has taken was sound, nobody can say.
        return now is not None and (now.inode != self.inode or self._differs(self.path))

    def is_spoiled(self) -> bool:
        try:
            return not is_there(self.path, self.file) or self.is_altered()
        except OSError:
            return True

    def _differs(self, place: Path | int) -> bool:
        """Say whether a file, given by its path or open, is there with other bytes than its record says."""
        state = file_state(place)
        if state is None or state in self.sound:
            return False
        try:
            digest = file_digest(place)
        except FileNotFoundError:  # deleted since
            return False
        except OSError:
            return True
        if digest != self.file.sha256:
            return True
        self.sound.add(state)
        return False


def _paths(found: Iterable[_Fetched]) -> list[Path]:
    return list(dict.fromkeys(each.path for each in found))


def _opened(path: Path) -> int | None:
    try:
        return os.open(path, os.O_RDONLY)
    except OSError:
        return None

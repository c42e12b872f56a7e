"""Files of a data set: where they are, their lines, and what identifies them."""

from __future__ import annotations

import gzip
import hashlib
import os
import stat
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar, cast

from xtransfer.errors import DataError
from xtransfer.tasks.languages import put_language
from xtransfer.tasks.task import Split, Task

T = TypeVar("T")

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"
"""The first bytes of every gzip file (RFC 1952); no UTF-8 text begins with them."""


def resolve_files(task: Task, *, split: Split, language: str, root: Path) -> list[Path]:
    """Return the files of one split and language, in the order that the task gives them.

    The language is put into the task's templates; where a file is not there but its `.gz` neighbour is,
    that one is returned.

    Raises:
        DataError: where the task has no such split, a path leaves `root`, or a file is missing or is
            a folder.
    """
    where = f"{task.name} {split} {language}"
    names = file_names(task, split=split, language=language)
    if not names:
        # A plan's source may hold one split alone: of the others nothing is known then.
        has = ", ".join(name for name, files in task.source.files.items() if files)
        held = f", or have examples of its training files held out: data.holdout.{task.name}: N"
        raise DataError(
            where,
            f"task '{task.name}' names no files for split '{split}'{f' (it has: {has})' if has else ''}",
            f"Name them as data.files.{task.name}.{split} in the experiment{held if split == 'dev' else ''}.",
        )
    return [_find(name, where, root) for name in names]


def file_names(task: Task, *, split: Split, language: str) -> list[str]:
    """Return the paths below the data root that the task names for one split and language."""
    return [put_language(template, language) for template in task.source.files.get(split, ())]


def _find(name: str, where: str, root: Path) -> Path:
    # Compared as text, without following links: a link inside the root is the user's own doing.
    parts = Path(os.path.normpath(name)).parts
    if Path(name).is_absolute() or parts[:1] == (os.pardir,):
        raise DataError(
            where, f"'{name}' leads out of the data root {root}", "Write a path below it."
        )
    path = root / name
    for candidate in (path, path.with_name(f"{path.name}.gz")):
        try:
            mode = candidate.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: a NUL in a name
            continue
        except OSError as error:
            raise DataError(
                where, f"{candidate} cannot be read: {error.strerror or error}"
            ) from None
        if stat.S_ISDIR(mode):
            raise DataError(where, f"{candidate} is a folder, not a file", "Name a file in it.")
        if not stat.S_ISREG(mode):
            raise DataError(where, f"{candidate} is not a regular file")
        return candidate
    task, split, _ = where.split(" ", 2)
    raise DataError(
        where,
        f"neither {path} nor {path.name}.gz exists",
        f"Put the file there, or name another as data.files.{task}.{split} in the experiment.",
    )


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    r"""Yield (line number from 1, line without its end) of a UTF-8 file, plain or gzip.

    Lines end with \n or \r\n and nothing else: a form feed or a Unicode line separator inside a
    sentence is part of it. A byte order mark is taken off.

    Raises:
        DataError: naming file and line, where a line is not UTF-8 or holds a NUL byte, and naming the
            file where it cannot be read or its compression is damaged or cut short.
    """
    with open_bytes(path) as file:
        for number, raw in enumerate(file, 1):
            if number == 1 and raw.startswith(_GZIP):
                raise DataError(str(path), "is gzip, but is not named .gz", "Rename it.")
            line = raw.removesuffix(b"\n").removesuffix(b"\r")
            if b"\0" in line:
                raise DataError(
                    f"{path}:{number}",
                    "holds a NUL byte",
                    "Is it text? UTF-16 must be converted to UTF-8.",
                )
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"{path}:{number}",
                    f"not UTF-8 (byte {error.start + 1} of the line)",
                    "Convert the file to UTF-8.",
                ) from None
            yield number, text.removeprefix("\ufeff") if number == 1 else text


def read_text(path: Path) -> str:
    r"""Return a whole file as `read_lines` reads it, lines joined by \n."""
    return "\n".join(line for _, line in read_lines(path))


def not_empty(items: Iterable[T], path: Path) -> Iterator[T]:
    """Yield what was read from a file; refuse one that holds nothing.

    Where a data set has several files, the rows of the others must not hide that one is empty.
    """
    count = 0
    for count, item in enumerate(items, 1):  # noqa: B007 - read below
        yield item
    if not count:
        raise DataError(str(path), "holds no examples")


def content_digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's content: of a gzip file, what it unpacks to."""
    digest = hashlib.sha256()
    with open_bytes(path) as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def open_bytes(path: Path) -> Generator[IO[bytes]]:
    """Open a file for reading, unpacking `.gz`; turn failures to read into `DataError`."""
    try:
        with path.open("rb") as file:
            if path.suffix != ".gz":
                yield file
                return
            if not _GZIP.startswith(file.read(len(_GZIP))):
                raise DataError(
                    str(path), "is named .gz, but is not gzip", "Rename it, or fetch it again."
                )
            file.seek(0)
            with gzip.open(file) as unpacked:
                yield cast("IO[bytes]", unpacked)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise DataError(
            str(path), "its gzip compression is damaged or cut short", "Fetch the file again."
        ) from None
    except OSError as error:
        raise DataError(str(path), f"cannot be read: {error.strerror or error}") from None

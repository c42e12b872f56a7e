"""The files of a finished step: uploaded below its record's folder, fetched and verified by its record.

Nothing here is trusted: every byte that is read is compared with the size and digest that the record
names, and a file appears in a folder whole and verified, or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from xtransfer.errors import IntegrityError, NotFound, StoreError
from xtransfer.folders import temporary_folder
from xtransfer.identity import file_digest
from xtransfer.store import Store, name_fault
from xtransfer.store.folder import FULL, disk_errors
from xtransfer.store.parallel import at_once
from xtransfer.store.unfinished import temporary_beside

if TYPE_CHECKING:
    from xtransfer.records.record import Record

_REDO = "Run its plan again: the step is set aside and done anew."
_SET_ASIDE = "Run its plan again after: xtransfer store verify --set-aside."
"""A run reads no files but those that its steps need, so that alone it may not notice."""


def safe_name(name: str) -> str:
    """Return the name of an object or file as it is.

    Raises:
        ValueError: for one that a store refuses, and so for one that leads out of a folder.
    """
    fault = name_fault(name)
    if fault:
        raise ValueError(f"the name {name!r} {fault}")
    return name


class OutputFile(BaseModel):
    """One file of a finished step."""

    # What a newer version adds is left out.
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: Annotated[str, AfterValidator(safe_name)]
    """Relative POSIX path below the step's output folder."""
    object: Annotated[str, AfterValidator(safe_name)]
    """Name in the store."""
    size: int = Field(ge=0)
    """Bytes."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


def fetch(store: Store, record: Record, folder: Path, names: Iterable[str] | None = None) -> Path:
    """Download a record's files (or those of `names`) into `folder` and return it.

    A file that is there already and has the right digest is kept. Processes may fetch one record
    into one folder at the same time: a file appears whole and verified, or not at all.

    Raises:
        IntegrityError: naming the object whose bytes are not those of the record, or absent.
        NotFound: when the record has no file of such a name.
    """
    wanted = files_of(store, record, names)
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    at_once(lambda file: _fetch_file(store, file, folder / file.name), wanted)
    return folder


def files_of(store: Store, record: Record, names: Iterable[str] | None) -> Sequence[OutputFile]:
    """Return a record's files of these names (None: all), or raise NotFound for one that it lacks."""
    return record.files if names is None else [_file(store, record, name) for name in names]


def is_there(path: Path, file: OutputFile) -> bool:
    """Say whether a fetched file is there with every byte as its record says."""
    return path.is_file() and path.stat().st_size == file.size and file_digest(path) == file.sha256


def read_file(store: Store, record: Record, name: str) -> bytes:
    """Return the verified bytes of one of a record's files; raises as `fetch` does."""
    file = _file(store, record, name)
    try:
        data = store.read(file.object)
    except NotFound:
        raise _absent(store, file) from None
    _verify(store, file, len(data), hashlib.sha256(data).hexdigest())
    return data


def damage(store: Store, record: Record) -> list[IntegrityError]:
    """Read every object that a record names, and return what is wrong with them."""
    with temporary_folder() as folder:
        found = at_once(
            lambda pair: _fault(store, pair[1], folder / str(pair[0])),
            enumerate(record.files),
        )
    return [fault for fault in found if fault is not None]


def upload_files(store: Store, folder: Path, target: str) -> tuple[OutputFile, ...]:
    """Upload every file below `folder` to its name below `target`, and return them sorted by name.

    Raises:
        StoreError: when the folder or a file cannot be read, or the store refuses.
    """
    paths = _files_below(folder)
    uploaded = at_once(lambda name: _upload(store, f"{target}/{name}", name, paths[name]), paths)
    return tuple(uploaded)


def delete_files(store: Store, files: Iterable[OutputFile]) -> None:
    """Delete the objects of these files."""
    at_once(lambda file: store.delete(file.object), files)


def found_no_room(error: StoreError) -> bool:
    """Say whether a disk was full: what is not there by now will not come."""
    return isinstance(error.__cause__, OSError) and error.__cause__.errno in FULL


def delete_all(store: Store, prefix: str, *, first: str = "") -> None:
    """Delete every object whose name begins with `prefix`; before the others those whose name ends with `first`."""
    names = [info.name for info in store.list(prefix)]
    for name in sorted(names, key=lambda name: not name.endswith(first)):
        store.delete(name)


def check_listed(store: Store, file: OutputFile, sizes: dict[str, int]) -> None:
    """Compare a file with a listing of its store, name -> bytes.

    Raises:
        IntegrityError: when the listing lacks it, or shows another size.
    """
    if file.object not in sizes:
        raise _absent(store, file)
    _check_size(store, file, sizes[file.object])


def _files_below(folder: Path) -> dict[str, Path]:
    """Return logical name -> path, sorted by name."""
    if not folder.is_dir():
        raise StoreError(str(folder), "is no folder, so its files cannot be committed")
    files = (path for path in folder.rglob("*") if path.is_file())
    return dict(sorted((path.relative_to(folder).as_posix(), path) for path in files))


def _upload(store: Store, target: str, name: str, path: Path) -> OutputFile:
    with disk_errors(path):
        digest, size = file_digest(path), path.stat().st_size
    store.upload(target, path)
    return OutputFile(name=name, object=target, size=size, sha256=digest)


def _file(store: Store, record: Record, name: str) -> OutputFile:
    for file in record.files:
        if file.name == name:
            return file
    has = ", ".join(file.name for file in record.files) or "none"
    raise NotFound(f"{store.url}/{record.folder}", f"has no file '{name}'", f"It has: {has}.")


def _fetch_file(store: Store, file: OutputFile, path: Path) -> None:
    with disk_errors(path):
        if is_there(path, file):
            return
        temporary = temporary_beside(path)
        try:
            store.download(file.object, temporary)
            if not is_there(temporary, file):  # on the way, perhaps
                store.download(file.object, temporary)
            _verify(store, file, temporary.stat().st_size, file_digest(temporary))
            temporary.replace(path)
        except NotFound:
            raise _absent(store, file) from None
        finally:
            temporary.unlink(missing_ok=True)


def _fault(store: Store, file: OutputFile, path: Path) -> IntegrityError | None:
    try:
        _fetch_file(store, file, path)
    except IntegrityError as error:
        return error
    finally:
        path.unlink(missing_ok=True)
    return None


def _check_size(store: Store, file: OutputFile, size: int) -> None:
    if size != file.size:
        where = f"{store.url}/{file.object}"
        raise IntegrityError(where, f"has {size} bytes, its record says {file.size}", _REDO)


def _verify(store: Store, file: OutputFile, size: int, sha256: str) -> None:
    _check_size(store, file, size)
    if sha256 != file.sha256:
        where = f"{store.url}/{file.object}"
        raise IntegrityError(
            where, f"its bytes have SHA-256 {sha256}, its record says {file.sha256}", _SET_ASIDE
        )


def _absent(store: Store, file: OutputFile) -> IntegrityError:
    what = f"absent, though its record says {file.size} bytes with SHA-256 {file.sha256}"
    return IntegrityError(f"{store.url}/{file.object}", what, _REDO)

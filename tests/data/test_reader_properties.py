"""What holds of every reader: nothing is lost, and what is wrong is an error that says where."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.formats import CASES, Case, Written
from xtransfer.data import read_examples
from xtransfer.data.examples import Rows
from xtransfer.errors import DataError

EVERY = pytest.mark.parametrize("case", CASES, ids=str)
IN_JSON = pytest.mark.parametrize("case", [case for case in CASES if case.texts], ids=str)
WRONG = (None, True, 3, 1.5, "text", [], {}, [3], ["text"], {"text": 3}, [[]], [None])


def read(case: Case, files: dict[str, bytes], *, packed: bool = False) -> Rows:
    """Write the files below a new root, compressed or plain, and read them."""
    with TemporaryDirectory() as folder:
        for name, raw in files.items():
            path = Path(folder) / (f"{name}.gz" if packed else name)
            path.write_bytes(gzip.compress(raw, mtime=0) if packed else raw)
        return read_examples(case.task, split=case.split, language="de", root=Path(folder))


def attempt(case: Case, files: dict[str, bytes]) -> Rows | None:
    """Read the files; None where that is refused as it should be: in one line that names a file."""
    try:
        return read(case, files)
    except DataError as caught:
        error = caught
    assert any(name in error.where for name in files), f"names no file: {error}"
    assert "\n" not in str(error)
    assert len(str(error)) < 2_000
    return None


def encoded(written: Written) -> dict[str, bytes]:
    return {name: text.encode() for name, text in written.items()}


def numbered(case: Case, examples: Sequence[Any]) -> tuple[Any, ...]:
    if not case.numbered:
        return tuple(examples)
    return tuple(replace(each, id=str(number)) for number, each in enumerate(examples))


@EVERY
@given(data=st.data(), packed=st.booleans(), mark=st.booleans())
@settings(max_examples=60)
def test_what_was_written_is_read_row_for_row(
    case: Case, data: st.DataObject, packed: bool, mark: bool
) -> None:
    examples = data.draw(case.examples)
    files = encoded(case.write(examples))
    if mark:
        files = {name: b"\xef\xbb\xbf" + raw for name, raw in files.items()}
    found = read(case, files, packed=packed)
    assert found.examples == numbered(case, examples)
    assert found.skipped == {}


@EVERY
@given(data=st.data())
@settings(max_examples=30)
def test_windows_line_ends_change_nothing(case: Case, data: st.DataObject) -> None:
    examples = data.draw(case.examples)
    files = encoded(case.write(examples))
    unix = {name: raw.replace(b"\r\n", b"\n") for name, raw in files.items()}
    windows = {name: raw.replace(b"\n", b"\r\n") for name, raw in unix.items()}
    assert read(case, windows) == read(case, unix)


@EVERY
@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_file_is_refused_or_read_but_never_a_crash(
    case: Case, data: st.DataObject
) -> None:
    files = encoded(case.write(data.draw(case.examples)))
    name = data.draw(st.sampled_from(sorted(files)))
    raw = files[name]
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, min(len(raw), start + 40)))
    patch = data.draw(
        st.binary(max_size=6)
        | st.sampled_from(
            [b"\0", b"\xff", b"\n", b"\t", b'"', b"\r", b"{", b"]", b"\\ud800", b"1e999", b"-1"]
        )
        | st.just(raw[start:end] * 2)
    )
    attempt(case, {**files, name: raw[:start] + patch + raw[end:]})


@EVERY
@given(data=st.data(), bad=st.sampled_from([b"\0", b"\xff", b"\xed\xa0\x80"]))
@settings(max_examples=30)
def test_what_is_no_text_is_refused_with_its_line(
    case: Case, data: st.DataObject, bad: bytes
) -> None:
    files = encoded(case.write(data.draw(case.examples)))
    name = data.draw(st.sampled_from(sorted(files)))
    raw = files[name]
    # Not inside of a character: that is another damage.
    at = data.draw(
        st.sampled_from([i for i in range(len(raw) + 1) if not 0x80 <= (raw + b"x")[i] < 0xC0])
    )
    with pytest.raises(DataError) as caught:
        read(case, {**files, name: raw[:at] + bad + raw[at:]})
    assert caught.value.where.endswith(f"{name}:{raw[:at].count(10) + 1}")


@EVERY
@given(data=st.data())
@settings(max_examples=20)
def test_compression_that_is_cut_short_is_refused(case: Case, data: st.DataObject) -> None:
    written = encoded(case.write(data.draw(case.examples)))
    name = data.draw(st.sampled_from(sorted(written)))
    whole = gzip.compress(written[name], mtime=0)
    short = whole[: data.draw(st.integers(1, len(whole) - 1))]
    names = case.task.source.files[case.split]
    changed = renamed(case, *(f"{each}.gz" if each == name else each for each in names))
    with pytest.raises(DataError, match="damaged or cut short"):
        read(changed, {**{k: v for k, v in written.items() if k != name}, f"{name}.gz": short})


@EVERY
@given(data=st.data(), content=st.sampled_from([b"", b"\n", b"\n\n", b"\xef\xbb\xbf"]))
@settings(max_examples=10)
def test_an_empty_file_is_refused(case: Case, data: st.DataObject, content: bytes) -> None:
    files = encoded(case.write(data.draw(case.examples)))
    name = data.draw(st.sampled_from(sorted(files)))
    if case.name.startswith("bitext"):
        content = b""  # an empty line is an empty sentence
    assert attempt(case, {**files, name: content}) is None


@EVERY
@given(data=st.data())
@settings(max_examples=5)
def test_an_empty_file_among_others_is_refused(case: Case, data: st.DataObject) -> None:
    if case.name.startswith(("bitext", "jsonl with")):
        return  # their files belong together
    files = encoded(case.write(data.draw(case.examples)))
    (name,) = files
    empty = f"empty-{name}"
    assert attempt(renamed(case, name, empty), {**files, empty: b""}) is None


@IN_JSON
@given(data=st.data(), wrong=st.sampled_from(WRONG))
@settings(max_examples=100)
def test_json_of_the_wrong_shape_is_refused_or_read_but_never_a_crash(
    case: Case, data: st.DataObject, wrong: Any
) -> None:
    files = case.write(data.draw(case.examples))
    name = min(name for name in files if ".json" in name)
    document, lines = parse(files[name], name)
    paths = list(walk(document))
    changed = put(document, data.draw(st.sampled_from(paths)), wrong)
    attempt(case, encoded({**files, name: dump(changed, lines=lines)}))


@IN_JSON
@given(data=st.data(), wrong=st.sampled_from([value for value in WRONG if value != "text"]))
@settings(max_examples=50)
def test_text_that_is_no_text_is_refused(case: Case, data: st.DataObject, wrong: Any) -> None:
    files = case.write(data.draw(case.examples))
    name = min(name for name in files if ".json" in name)
    document, lines = parse(files[name], name)
    pattern = data.draw(st.sampled_from([("*", *path) if lines else path for path in case.texts]))
    paths = [path for path in walk(document) if fits(path, pattern)]
    changed = put(document, data.draw(st.sampled_from(paths)), wrong)
    assert attempt(case, encoded({**files, name: dump(changed, lines=lines)})) is None


@EVERY
@given(data=st.data(), letters=st.sampled_from([200_000, 1_000_000]))
@settings(max_examples=2)
def test_a_very_long_line_is_read(case: Case, data: st.DataObject, letters: int) -> None:
    examples = [stretched(each, letters) for each in data.draw(case.examples)[:1]]
    if case.name.startswith("bitext"):
        examples.append(replace(examples[0], side="english"))
    found = read(case, encoded(case.write(examples)))
    assert found.examples == numbered(case, examples)


def stretched(example: Any, letters: int) -> Any:
    """Return the example with a very long text in it."""
    long = "x" * letters
    for name in ("tokens", "choices"):
        if hasattr(example, name):
            return replace(example, **{name: (long, *getattr(example, name)[1:])})
    name = next(name for name in ("text_a", "text", "context") if hasattr(example, name))
    return replace(example, **{name: getattr(example, name) + long})


def renamed(case: Case, *names: str) -> Case:
    """Return the case with these files."""
    source = case.task.source.model_copy(update={"files": {case.split: names}})
    return replace(case, task=case.task.model_copy(update={"source": source}))


# --- JSON taken apart -------------------------------------------------------------------------------


def parse(text: str, name: str) -> tuple[Any, bool]:
    if name.endswith(".jsonl"):
        return [json.loads(line) for line in text.split("\n") if line], True
    return json.loads(text), False


def dump(value: Any, *, lines: bool) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in value) if lines else json.dumps(value)


def walk(value: Any) -> list[tuple[Any, ...]]:
    """Return the paths of all values inside, the whole not among them."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        path for key, item in items for path in ((key,), *((key, *rest) for rest in walk(item)))
    ]


def fits(path: tuple[Any, ...], pattern: tuple[str, ...]) -> bool:
    return len(path) == len(pattern) and all(
        want in ("*", part) for part, want in zip(path, pattern, strict=True)
    )


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy with `new` at the path."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy

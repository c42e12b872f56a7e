from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer import identity
from xtransfer.errors import IdentityError
from xtransfer.identity import canonical_json, digest_once, file_digest, key_of, source_digest

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
) | st.text()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def reversed_keys(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: reversed_keys(value[name]) for name in reversed(list(value))}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


@given(VALUES)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert key_of(reversed_keys(value)) == key_of(value)


@given(VALUES)
def test_the_text_reads_back_to_the_value(value: Any) -> None:
    assert json.loads(canonical_json(value)) == value


@given(VALUES, VALUES)
def test_different_texts_are_different_keys(one: Any, other: Any) -> None:
    assert (canonical_json(one) == canonical_json(other)) == (key_of(one) == key_of(other))


def test_the_order_of_a_list_matters() -> None:
    assert key_of([1, 2]) != key_of([2, 1])


def test_values_that_python_takes_for_equal_have_different_keys() -> None:
    assert len({key_of({"a": value}) for value in (1, 1.0, True, "1", [1], None)}) == 6


def test_tuples_and_other_mappings_stand_for_lists_and_dicts() -> None:
    assert key_of({"a": (1, 2)}) == key_of({"a": [1, 2]})
    assert key_of([MappingProxyType({"b": 1, "a": 2})]) == key_of([{"a": 2, "b": 1}])


def test_the_form_of_the_text_is_fixed() -> None:
    value = {"b": [1, 2.0, 1e-5, True, None], "a": "é\n"}
    assert canonical_json(value) == '{"a":"é\\n","b":[1,2.0,1e-05,true,null]}'
    # printf '{"a":"é\\n","b":[1,2.0,1e-05,true,null]}' | sha256sum
    assert key_of(value) == "72b35c681bba"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"a": [0, float("nan")]}, "$.a[1]"),
        ({"a": float("inf")}, "$.a"),
        ({"a": {"b": {1, 2}}}, "$.a.b"),
        ([Path("data")], "$[0]"),
        ({"a": {1: "b"}}, "$.a"),
        ({"a": b"bytes"}, "$.a"),
        (object(), "$"),
        (["\ud800"], "$[0]"),
        ({"a": {"\udfff": 1}}, "$.a"),
    ],
)
def test_what_has_no_stable_identity_is_refused_with_its_place(value: Any, where: str) -> None:
    with pytest.raises(IdentityError, match="no stable identity") as caught:
        key_of(value)
    assert caught.value.where == where


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # The first test vector of FIPS 180-2.
    assert file_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_file_is_read_again_only_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def noted(path: Path) -> str:
        read.append(path)
        return file_digest(path)

    monkeypatch.setattr(identity, "file_digest", noted)
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert digest_once(path) == digest_once(path) == file_digest(path)
    assert len(read) == 1
    times = path.stat()
    other = tmp_path / "other"
    other.write_bytes(b"xyz")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)  # of the same size and time
    assert digest_once(path) == file_digest(path)
    assert len(read) == 2


def test_another_source_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "identity.py").write_text("a = 1\n", encoding="utf-8")
        (tmp_path / name / "inner" / "loop.py").write_text("b = 1\n", encoding="utf-8")

    def digest(name: str) -> str:
        monkeypatch.setattr(identity, "__file__", str(tmp_path / name / "identity.py"))
        source_digest.cache_clear()
        return source_digest()

    try:
        before = digest("one")
        (tmp_path / "two" / ".#loop.py").symlink_to("nobody@nowhere")
        assert digest("two") == before
        (tmp_path / "two" / "inner" / "loop.py").write_text("b = 2\n", encoding="utf-8")
        assert digest("two") != before
    finally:
        source_digest.cache_clear()

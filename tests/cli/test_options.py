from __future__ import annotations

import json
from pathlib import Path

import pytest

from xtransfer.cli.options import failures_in
from xtransfer.store import open_store


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_a_damaged_note_of_a_failure_hides_no_other(tmp_path: Path, data: bytes) -> None:
    store = open_store(str(tmp_path))
    store.write("failures/a.json", data)
    store.write("failures/b.json", json.dumps({"key": "b", "error": "no memory"}).encode())
    assert failures_in(store) == {"b": "no memory"}

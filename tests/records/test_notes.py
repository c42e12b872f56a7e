"""What vouches for itself is believed in its own place alone."""

from __future__ import annotations

import pytest

from xtransfer.records.notes import note_text, parse_note, sealed


def test_a_note_is_read_in_its_own_place() -> None:
    assert parse_note(note_text("rungs/a.json", {"score": 1}), "rungs/a.json") == {"score": 1}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (note_text("rungs/b.json", {"score": 1}), r"holds rungs/b\.json"),
        (sealed({"state": {"step": 4}, "object": "resume/a/b"}), "holds no note"),  # a manifest
        (note_text("rungs/a.json", {"score": 1}).replace(b"1", b"2", 1), "was altered"),
        (b"[]", "is no JSON object"),
    ],
)
def test_what_is_no_note_of_that_name_is_a_value_error(data: bytes, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        parse_note(data, "rungs/a.json")

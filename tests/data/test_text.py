from __future__ import annotations

from pathlib import Path

import pytest

from xtransfer.data import read_examples
from xtransfer.data.text import read_paragraphs
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS


def test_every_line_is_a_paragraph_and_blank_ones_are_counted(tmp_path: Path) -> None:
    first, second = tmp_path / "a.txt", tmp_path / "b.txt"
    first.write_bytes("\ufeffone\r\n\r\ntwo\u2028three\n".encode())
    second.write_text("  four\n", encoding="utf-8")
    rows = read_paragraphs([first, second])
    assert [(each.id, each.text) for each in rows.examples] == [  # type: ignore[union-attr]
        ("1", "one"),
        ("3", "two\u2028three"),
        ("1:1", "  four"),
    ]
    assert rows.skipped == {"blank lines": 1}


def test_a_file_without_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("\n \n", encoding="utf-8")
    with pytest.raises(DataError, match="holds no text"):
        read_paragraphs([path])


@pytest.mark.parametrize("language", ["en", "sw", "zh"])
def test_real_text_is_read_line_for_line(language: str, shared_data: Path) -> None:
    source = TASKS["text"].source.model_copy(update={"files": {"train": ("mlmtext/{lang}.txt",)}})
    task = TASKS["text"].model_copy(update={"source": source})
    rows = read_examples(task, split="train", language=language, root=shared_data)
    assert len(rows.examples) > 10_000
    assert rows.skipped == {}

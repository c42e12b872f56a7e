from __future__ import annotations

import pytest

from xtransfer.data.bitext import build_bitext, read_bitext
from xtransfer.data.examples import BitextExample
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS


def test_line_n_matches_line_n(write) -> None:
    rows = read_bitext(write("a.de", "Ja.\n\nNein.\n"), write("a.en.gz", "Yes.\nWell.\nNo.\n"))
    assert rows.examples == tuple(
        BitextExample(id=id_, side=side, text=text, match=(id_,))
        for side, texts in (
            ("foreign", ["Ja.", "", "Nein."]),
            ("english", ["Yes.", "Well.", "No."]),
        )
        for id_, text in zip("012", texts, strict=True)
    )


def test_files_of_different_lengths_are_refused(write) -> None:
    with pytest.raises(DataError, match=r"a\.de: has 2 lines, but .*a\.en has 1"):
        read_bitext(write("a.de", "Ja.\nNein.\n"), write("a.en", "Yes.\n"))


def test_a_table_of_pairs_reads_like_two_files(write) -> None:
    rows = [
        (f"t[{n}]", {"foreign": f"{foreign}\n", "english": english})
        for n, (foreign, english) in enumerate([("Ja.", "Yes."), ("Nein.", "No.\r\n")])
    ]
    files = write("a.de", "Ja.\nNein.\n"), write("a.en", "Yes.\nNo.\n")
    assert build_bitext(TASKS["tatoeba"], rows) == read_bitext(*files)


def test_a_row_without_a_sentence_is_named() -> None:
    with pytest.raises(DataError, match=r"t\[0\]: has no text in column 'english'"):
        build_bitext(TASKS["tatoeba"], [("t[0]", {"foreign": "Ja.", "english": None})])

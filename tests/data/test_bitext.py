from __future__ import annotations

import pytest

from xtransfer.data.bitext import read_bitext
from xtransfer.data.examples import BitextExample
from xtransfer.errors import DataError


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

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.data.sentences import split_sentences


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in split_sentences(text)]


@pytest.mark.parametrize(
    "sentences",
    [
        ["One cat.", "Two dogs!", "Who?", "3 rats."],
        ['He said "no."', '"Yes," she said.'],
        ["Dr. Who met Mr. J. R. Smith in St. Louis.", "They left."],
        ["It was made in the U.S. Army in Oct. 1914 by E.I. du Pont."],
        ["It ended.[citation needed]", "It began."],
        ["About 3.5 of them, e.g. this one, stay."],
        ["No full stop at the end"],
    ],
)
def test_sentences_end_where_they_end(sentences: list[str]) -> None:
    assert split(" ".join(sentences)) == sentences
    assert split("  " + "\n".join(sentences) + " ") == sentences


@given(st.text(alphabet="aA. ?!\n)\"'[]1", max_size=40))
def test_nothing_is_lost_but_space(text: str) -> None:
    spans = split_sentences(text)
    outside = set(range(len(text))) - {at for start, end in spans for at in range(start, end)}
    assert all(text[at].isspace() for at in outside)
    assert all(start < end for start, end in spans)
    assert spans == sorted(spans)
    assert all(text[start:end] == text[start:end].strip() for start, end in spans)


def test_lareqas_own_sentences_are_found(shared_data: Path) -> None:
    path = shared_data / "lareqa" / "xquad-r" / "en.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    same = mine = theirs = 0
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            wanted = {tuple(pair) for pair in paragraph["sentence_breaks"]}
            found = set(split_sentences(paragraph["context"]))
            same, mine, theirs = same + len(wanted & found), mine + len(found), theirs + len(wanted)
    assert theirs == 1180
    assert 2 * same / (mine + theirs) > 0.985

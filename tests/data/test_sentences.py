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


@given(st.text(alphabet="aA. ?!\n)\"'[]1。我।", max_size=40), st.sampled_from(["en", "zh"]))
def test_nothing_is_lost_but_space(text: str, language: str) -> None:
    spans = split_sentences(text, language)
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


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("de", ["Das ist es.", "Über 3.5 m.", "\u201eWas?\u201c", "Öl!"]),
        ("ru", ["Это он.", "Он здесь!", "Кто?", "3 дома."]),
        ("el", ["Είναι εδώ.", "Πού είναι\u037e", "Εδώ."]),
        ("ar", ["هذا بيت.", "أين هو؟", "هنا!"]),
        ("ur", ["یہ گھر ہے۔", "کہاں؟", "یہاں۔"]),
        ("hi", ["यह घर है।", "कहाँ?", "यहाँ।"]),
        ("hy", ["Սա տուն է։", "Այստեղ։"]),
        ("am", ["ይህ ቤት ነው።", "እዚህ ነው።"]),
        ("ka", ["ეს სახლია.", "სად?", "აქ."]),
        ("vi", ["Đây là nhà.", "Ở đâu?", "Ở đây."]),
    ],
)
def test_sentences_of_other_scripts_end_too(language: str, sentences: list[str]) -> None:
    text = " ".join(sentences)
    assert [text[a:b] for a, b in split_sentences(text, language)] == sentences


def test_sentences_without_space_between_them_end_too() -> None:
    text = "这是房子。“在哪？”那里！！我不知道 3.5 米。"
    found = [text[start:end] for start, end in split_sentences(text, "zh")]
    assert found == ["这是房子。", "“在哪？”", "那里！！", "我不知道 3.5 米。"]


@pytest.mark.parametrize(
    ("language", "least"),
    [
        *(("ar", 0.98), ("de", 0.92), ("el", 0.97), ("es", 0.95), ("hi", 0.98)),
        *(("ru", 0.95), ("tr", 0.88), ("vi", 0.95), ("zh", 0.87)),
    ],
)
def test_lareqas_own_sentences_are_found_in_other_languages(
    shared_data: Path, language: str, least: float
) -> None:
    path = shared_data / "lareqa" / "xquad-r" / f"{language}.json.gz"
    document = json.loads(gzip.decompress(path.read_bytes()))
    same = total = 0
    for article in document["data"]:
        for paragraph in article["paragraphs"]:
            wanted = {tuple(pair) for pair in paragraph["sentence_breaks"]}
            found = set(split_sentences(paragraph["context"], language))
            same, total = same + len(wanted & found), total + len(wanted) + len(found)
    assert 2 * same / total > least

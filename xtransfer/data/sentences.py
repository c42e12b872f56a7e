"""Where the sentences of a paragraph begin and end."""

from __future__ import annotations

import re
from itertools import pairwise

_END = re.compile(
    r"""[.?!]                                # ends a sentence,
        [)\]'"\u201d\u2019]*                 # whatever is closed behind it,
        (?:\[[\w ?]{1,20}\])*                # and a note such as [citation needed]
        \s+
        (?=['"(\[\u201c\u2018]*[A-Z0-9\u00c0-\u00de])""",
    re.VERBOSE,
)
_CLOSING = r""")\]'"\u201d\u2019\u00bb\u300b\u300d\u300f\u3011\uff09"""
"""Quotes and brackets of many scripts. What opens a quote in English and Chinese closes one in German."""
_END_ELSEWHERE = re.compile(
    rf"""[.?!\u037e\u0589\u061f\u06d4\u1362\u1367\u2026]   # of Latin, Greek, Armenian, Arabic and Ethiopic script
        [{_CLOSING}\u201c]*
        (?:\[[\w ?]{{1,20}}\])*
        \s+
        (?=['"(\[\u201c\u2018\u00ab\u00bf\u00a1\u201e]*(\w))      # a letter that must not be a small one
      | [\u0964\u0965\u0f0d\u104b\u17d4\u3002\uff01\uff1f\uff61]+   # scripts of India and East Asia: a space may lack
        [{_CLOSING}]*
        \s*""",
    re.VERBOSE,
)
_ABBREVIATED = re.compile(
    r"""(?:^|[\s("'\u201c\u2018])(?:
        [A-Z]                                # an initial
      | (?:[A-Za-z]\.)+[A-Za-z]              # U.S, e.g
      | Mrs? | Ms | Dr | Prof | Rev | Sta? | Fr | Msgr | Mt | Ft
      | Lt | Gen | Col | Maj | Adm | Capt | Sgt | Rep | Gov | Sen | Pres
      | Jan | Feb | Aug | Sept? | Oct | Nov | Dec
      | vs? | pp? | cf | ca? | approx | No | Vol | al | Bros
    )\.$""",
    re.VERBOSE,
)


def split_sentences(text: str, language: str = "en") -> list[tuple[int, int]]:
    """Return first character and end of each sentence, without the space around it.

    A sentence ends with a full stop, question or exclamation mark before a capital or a figure, but
    not behind a common abbreviation. Made for SQuAD, in whose training set LAReQA's models look for
    the sentence with the answer. In other languages than English, marks and capitals of all scripts count, and
    letters of scripts that have no capitals; of Thai, which has no marks, a paragraph is one sentence.
    """
    end = _END if language == "en" else _END_ELSEWHERE
    starts = [0]
    starts += [
        match.end()
        for match in end.finditer(text)
        if not (match.lastindex and _is_small(match[1]))
        and not _ABBREVIATED.search(text[max(0, match.start() - 12) : match.start() + 1])
    ]
    spans: list[tuple[int, int]] = []
    for start, stop in pairwise([*starts, len(text)]):
        piece = text[start:stop]
        if piece.strip():
            spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
    return spans


def _is_small(letter: str) -> bool:
    """Say whether no sentence begins with a letter. Georgian is written in small letters alone."""
    return letter.islower() and not "\u10d0" <= letter <= "\u10ff"

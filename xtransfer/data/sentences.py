"""Where the sentences of an English paragraph begin and end."""

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


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Return first character and end of each sentence, without the space around it.

    A sentence ends with a full stop, question or exclamation mark before a capital or a figure, but
    not behind a common abbreviation. Made for SQuAD, in whose training set LAReQA's models look for
    the sentence with the answer.
    """
    starts = [0]
    starts += [
        match.end()
        for match in _END.finditer(text)
        if not _ABBREVIATED.search(text[max(0, match.start() - 12) : match.start() + 1])
    ]
    spans: list[tuple[int, int]] = []
    for start, stop in pairwise([*starts, len(text)]):
        piece = text[start:stop]
        if piece.strip():
            spans.append((start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip())))
    return spans

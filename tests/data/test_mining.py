from __future__ import annotations

from typing import Any

import pytest

from xtransfer.data.examples import BitextExample, Rows
from xtransfer.data.mining import read_mining
from xtransfer.data.samples import cut
from xtransfer.errors import DataError

ZH = "zh-1\t甲\nzh-2\t乙\nzh-3\t甲\n"
EN = "en-1\tOne.\nen-2\tTwo\twith a tab.\n"
GOLD = "zh-2\ten-1\n"


def read(write: Any, *, zh: str = ZH, en: str = EN, gold: str = GOLD) -> Rows:
    return read_mining(write("zh-en.dev.zh", zh), write("b.en.gz", en), write("c.gold", gold))


def test_sentences_gold_pairs_and_repeated_texts(write: Any) -> None:
    def of(name: str, side: str, text: str, *match: str, same_as: str | None = None) -> Any:
        return BitextExample(id=name, side=side, text=text, match=match, same_as=same_as)

    assert read(write).examples == (
        of("zh-1", "foreign", "甲", same_as="zh-1"),
        of("zh-2", "foreign", "乙", "en-1"),
        of("zh-3", "foreign", "甲", same_as="zh-1"),
        of("en-1", "english", "One.", "zh-2"),
        of("en-2", "english", "Two\twith a tab."),
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"gold": "zh-9\ten-1\n"}, r"c\.gold:1: no foreign sentence has the id 'zh-9'"),
        ({"gold": "zh-1\ten-1\nzh-1\ten-9\n"}, r"c\.gold:2: no english sentence has the id 'en-9'"),
        ({"gold": "\nzh-1\ten-1\n\nzh-1\ten-9\n"}, r"c\.gold:4: no english sentence"),
        ({"gold": ""}, r"c\.gold: holds no pair"),
        ({"gold": "zh-1 en-1\n"}, r"c\.gold:1: is not `id<TAB>text`"),
        ({"zh": "甲\n"}, r"zh-en\.dev\.zh:1: is not `id<TAB>text`"),
        ({"zh": "zh-2\t甲\nzh-2\t乙\n"}, r"zh-en\.dev\.zh:2: a second sentence has the id 'zh-2'"),
    ],
)
def test_what_is_malformed_is_said(write: Any, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(write, **files)


def test_a_cut_keeps_the_share_of_sentences_without_a_translation() -> None:
    examples = [
        BitextExample(
            id=f"{side}{at}",
            side=side,
            text="t",
            match=(f"{other}{at}",) if at < 10 else (),
        )
        for side, other, count in (("foreign", "english", 40), ("english", "foreign", 100))
        for at in range(count)
    ]
    found = cut(Rows(examples=tuple(examples)), 20, seed=1).examples
    foreign = [e for e in found if e.side == "foreign"]  # type: ignore[union-attr]
    english = [e for e in found if e.side == "english"]  # type: ignore[union-attr]
    assert len(foreign) == 20
    pairs = {e.match[0] for e in foreign if e.match}  # type: ignore[union-attr]
    assert 0 < len(pairs) < 10
    assert {e.id for e in english if e.match} == pairs  # type: ignore[union-attr]
    assert sum(not e.match for e in english) == 45  # type: ignore[union-attr]

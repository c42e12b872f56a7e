"""Texts of users and of errors in Markdown: they read as they were written."""

from __future__ import annotations

from html import unescape

import pytest
from markdown_it import MarkdownIt

from xtransfer.report.markdown.grid import grid, plain

TEXTS = (
    "a <remark> & more, <script>alert(1)</script>, <!-- not seen -->, </b>",
    "TypeError: <class 'torch.Tensor'> has no __init__ | `x` is *not* _there_",
    "[a link](javascript:alert(1)) and ![a picture](x.png) and [one][two] and <http://a.b>",
    "&lt; is not < and &#60; is neither; 1 < 2 && 3 > 2",
    r"\frac{1}{2} and \* and \\ and C:\data\|x",
    "# no heading",
    "- no item",
    "+ no item",
    "+8.2 points",
    "> no quotation",
    "1. no item",
    "2) no item",
    "===",
    "---",
    "~~not struck out~~ and ***not strong***",
    "مرحبا, \u202eturned\u202c, " + "W" * 300,
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_reads_as_it_was_written(text: str) -> None:
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    assert seen(parser.render(plain(text))) == f"<p>{text}</p>"
    assert seen(parser.render(f"- {plain(text)}")) == f"<ul><li>{text}</li></ul>"
    table = seen(
        parser.render("\n".join(grid(["a", "b"], [[plain(text), "end"]], text={"a", "b"})))
    )
    assert f"<td>{text}</td><td>end</td>" in table


def test_what_is_no_markup_stays_as_it_is() -> None:
    for text in (
        "hidden_states[2]; xtreme_f1, squad_v1 + mnli",
        "30 % of 5,010 (seed 0) - all",
        "a & b",
    ):
        assert plain(text) == text


def seen(html: str) -> str:
    """Return what a reader sees, between the elements that Markdown made."""
    return unescape(html.replace("\n", "").replace(' style="text-align:left"', ""))

from __future__ import annotations

import pytest

from xtransfer.data import read_examples, source_digests
from xtransfer.data.conll import read_conll
from xtransfer.data.examples import Rows, TaggingExample
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.task import Split

UDPOS = TASKS["udpos"]


def read(path, split: Split = "train") -> Rows:
    return read_conll(UDPOS, [path], split=split)


def test_empty_lines_part_sentences(write) -> None:
    path = write("a.tsv", "\nDas\tDET\nHaus\tNOUN\n\n\n#\tSYM\n_\tPUNCT\n \nNein\tINTJ")
    assert read(path).examples == (
        TaggingExample(id="0", tokens=("Das", "Haus"), tags=("DET", "NOUN")),
        TaggingExample(id="1", tokens=("#", "_"), tags=("SYM", "PUNCT")),
        TaggingExample(id="2", tokens=("Nein",), tags=("INTJ",)),
    )


@pytest.mark.parametrize("mark", ["-DOCSTART-\tX\n\n", "-DOCSTART-\tX\n", "-DOCSTART- -X- O O\n\n"])
def test_the_border_of_two_documents_is_no_sentence(write, mark: str) -> None:
    """CoNLL-2003 has one before each document; XTREME's own reader takes it for an empty line."""
    rows = read(write("a.tsv", f"{mark}Das\tDET\n{mark}Nein\tINTJ\n"))
    assert [example.tokens for example in rows.examples] == [("Das",), ("Nein",)]  # type: ignore[union-attr]
    assert rows.skipped == {}


def test_conllu_passes_over_comments_ranges_and_empty_nodes(write) -> None:
    rest = "\t_" * 6
    path = write(
        "de.conllu.gz",
        "# text = Im Haus\n"
        f"1-2\tIm\t_\t_{rest}\n"
        f"1\tIn\tin\tADP{rest}\n"
        f"2\tdem\tder\tDET{rest}\n"
        f"2.1\tleer\tleer\tX{rest}\n"
        f"3\tHaus\tHaus\tNOUN{rest}\n\n",
    )
    assert read(path) == Rows(
        examples=(
            TaggingExample(id="0", tokens=("In", "dem", "Haus"), tags=("ADP", "DET", "NOUN")),
        )
    )


def test_tokens_without_a_tag_of_their_own_are_left_out_and_counted(write) -> None:
    path = write("a.tsv", "Im\t_\nIn\tADP\ndem\tDET\n\nZum\t_\n\nHaus\tNOUN\n")
    rows = read(path)
    assert [example.tokens for example in rows.examples] == [("In", "dem"), ("Haus",)]  # type: ignore[union-attr]
    assert rows.skipped == {"token tagged '_'": 2, "sentence without tokens": 1}


def test_test_files_may_lack_tags_all_or_none(write) -> None:
    rows = read(write("a.tsv", "Das\nHaus\n\nNein\n"), "test")
    assert [example.tags for example in rows.examples] == [None, None]  # type: ignore[union-attr]
    with pytest.raises(DataError, match=r"b\.tsv:4: has no label, like 1 of 2 rows"):
        read(write("b.tsv", "Das\tDET\nHaus\tNOUN\n\nNein\n"), "test")


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        ("Das\tDET\nHaus\n", "train", "a.tsv:2: token 'Haus' has no tag"),
        ("EU NNP B-NP B-ORG\n", "train", "has no tag. A line is `token<TAB>tag`; one with spaces"),
        ("Das\tDET\nHaus\n", "test", "a.tsv:2: token 'Haus' has no tag"),
        ("Das\nHaus\tNOUN\n", "test", "a.tsv:1: only some tokens of the sentence have a tag"),
        ("Das\tDET\textra\n", "train", "a.tsv:1: is not `token<TAB>tag`"),
        ("Das\tDET\n\tNOUN\n", "train", "a.tsv:2: is not `token<TAB>tag`"),
        ("Das\t\n", "train", "a.tsv:1: token 'Das' has an empty tag"),
        ("Das\tDETT\n", "train", "a.tsv:1: unknown label 'DETT'. Did you mean 'DET'"),
    ],
)
def test_lines_of_another_shape_are_named(write, text: str, split: Split, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write("a.tsv", text), split)
    assert message in str(caught.value)


def test_a_short_line_of_conllu_is_named(write) -> None:
    with pytest.raises(DataError, match=r"a\.conllu:1: has 2 columns, where CoNLL-U has 10"):
        read(write("a.conllu", "Das\tDET\n"))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        (("1", "3"), "a.conllu:2: its word has the number '3', not 2. Is a line missing"),
        (("1", "1"), "a.conllu:2: its word has the number '1', not 2. Is a line missing, or the"),
        (("1", "x"), "a.conllu:2: its word has the number 'x', not 2"),
        (("01",), "a.conllu:1: its word has the number '01', not 1"),
    ],
)
def test_words_of_conllu_that_do_not_count_up_are_named(
    write, numbers: tuple[str, ...], message: str
) -> None:
    lines = [f"{number}\tDas\tdas\tDET" + "\t_" * 6 for number in numbers]
    with pytest.raises(DataError) as caught:
        read(write("a.conllu", "\n".join(lines) + "\n"))
    assert message in str(caught.value)


@pytest.mark.parametrize("line", ["1\t\tdas\tDET", "1\tDas\tdas\t"])
def test_an_empty_word_or_tag_of_conllu_is_named(write, line: str) -> None:
    with pytest.raises(DataError, match=r"a\.conllu:1: its word or its tag is empty"):
        read(write("a.conllu", line + "\t_" * 6 + "\n"))


def test_a_space_of_another_kind_is_a_token(write) -> None:
    rows = read(write("a.tsv", "Das\n\u00a0\n\u3000\n \nNein\n"), "test")
    assert [example.tokens for example in rows.examples] == [("Das", "\u00a0", "\u3000"), ("Nein",)]  # type: ignore[union-attr]


def test_ids_go_on_over_several_files(write, with_files, tmp_path) -> None:
    write("a.tsv", "Das\tDET\n")
    write("b.tsv", "Haus\tNOUN\n")
    task = with_files("udpos", "train", "a.tsv", "b.tsv")
    rows = read_examples(task, split="train", language="en", root=tmp_path)
    assert [example.id for example in rows.examples] == ["0", "1"]


def test_the_language_before_every_token_of_wikiann_is_taken_off(write, tmp_path) -> None:
    """As its authors publish it; XTREME's preparation takes it off. It is part of what identifies the rows."""
    write("panx/dev-de.tsv", "de:Das\tO\nde:Haus\tO\n\nde::\tO\nde:\tO\nde:de:b\tB-LOC\n")
    task = TASKS["panx"]
    rows = read_examples(task, split="dev", language="de", root=tmp_path)
    tokens = [example.tokens for example in rows.examples]  # type: ignore[union-attr]
    assert tokens == [("Das", "Haus"), (":", "de:", "de:b")]
    assert rows.skipped == {"language prefix of a token": 5}
    (identity,) = source_digests(task, split="dev", language="de", root=tmp_path)
    assert identity["without"] == "de:"


@pytest.mark.parametrize(
    "text", ["de:Das\tO\n\nHaus\tO\n", "en:Das\tO\n", "\n", "de:a\tO\nde:b\tO\tO\n"]
)
def test_what_not_every_token_begins_with_stays(write, tmp_path, text: str) -> None:
    write("panx/dev-de.tsv", text)
    task = TASKS["panx"]
    (identity,) = source_digests(task, split="dev", language="de", root=tmp_path)
    assert identity.keys() == {"file", "sha256"}
    try:
        rows = read_examples(task, split="dev", language="de", root=tmp_path)
    except DataError:
        return
    assert rows.skipped == {}
    assert rows.examples[0].tokens[0] == text.split("\t", maxsplit=1)[0]  # type: ignore[union-attr]

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xtransfer.data import read_examples
from xtransfer.data.table import choose_rows, read_table
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.languages import is_row_of


def values(path: Path, format_: str, *, header: bool = False) -> list[list[object]]:
    return [list(row.values()) for _, row in read_table(path, format_=format_, header=header)]


def test_tsv_without_header_numbers_its_columns(write) -> None:
    path = write("a.tsv", "one\ttwo\tneutral\nthree\tfour\tneutral\n")
    assert list(read_table(path, format_="tsv", header=False)) == [
        (f"{path}:1", {"0": "one", "1": "two", "2": "neutral"}),
        (f"{path}:2", {"0": "three", "1": "four", "2": "neutral"}),
    ]


def test_tsv_with_header_names_its_columns(write) -> None:
    path = write("a.tsv", "question1\tquestion2\nWhy?\tHow?\n")
    assert list(read_table(path, format_="tsv", header=True)) == [
        (f"{path}:2", {"question1": "Why?", "question2": "How?"})
    ]


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ('"Yes"', '"Yes"'),  # quoted speech in a raw file
        ('"Yes", he said', '"Yes", he said'),
        ('5" pipe', '5" pipe'),
        ('"', '"'),
        ('""', '""'),
        ('"""Yes"""', '"Yes"'),  # the same speech, written by csv.writer
        ('"He said ""yes"" twice"', 'He said "yes" twice'),
        ('""""', '"'),
        ('"a ""b" c"', '"a ""b" c"'),  # not balanced: nobody's quoting
    ],
)
def test_tsv_takes_off_only_the_quotes_of_csv_writer(write, raw: str, read: str) -> None:
    assert values(write("a.tsv", f"{raw}\tx\n"), "tsv") == [[read, "x"]]


def test_a_stray_quote_merges_no_rows(write) -> None:
    path = write("a.tsv", '"open\tx\nnext\ty\nclose"\tz\n')
    assert values(path, "tsv") == [['"open', "x"], ["next", "y"], ['close"', "z"]]


@given(
    st.lists(
        st.tuples(*[st.text(st.characters(exclude_categories=["Cc", "Cs"])) for _ in range(2)]),
        min_size=1,
    )
)
@example([('"', "a"), ('say "x"', '"quoted"')])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
def test_what_csv_writer_wrote_comes_back(tmp_path: Path, rows: list[tuple[str, str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows([*rows, ("end", "end")])
    path = tmp_path / "a.tsv"
    path.write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert values(path, "tsv") == [list(row) for row in [*rows, ("end", "end")]]


def test_a_row_with_another_number_of_columns_is_named(write) -> None:
    with pytest.raises(DataError, match=r"a\.tsv:2: has 4 columns where the first row has 3"):
        values(write("a.tsv", "a\tb\tc\na\tb\tc\td\n"), "tsv")


def test_empty_lines_hold_no_row_but_in_a_table_of_one_column(write) -> None:
    assert values(write("a.tsv", "a\tb\n\nc\td\n\n"), "tsv") == [["a", "b"], ["c", "d"]]
    assert values(write("b.tsv", "a\n\nb\n"), "tsv") == [["a"], [""], ["b"]]


def test_two_columns_of_one_name_are_an_error(write) -> None:
    with pytest.raises(DataError, match="two columns have the same name"):
        values(write("a.tsv", "a\ta\n1\t2\n"), "tsv", header=True)


def test_csv_fields_may_hold_commas_quotes_and_line_ends(write) -> None:
    path = write("a.csv", 'id,text\n1,"a, ""b""\r\nc"\n2,d\n')
    rows = list(read_table(path, format_="csv", header=True))
    assert rows == [
        (f"{path}:2", {"id": "1", "text": 'a, "b"\nc'}),
        (f"{path}:4", {"id": "2", "text": "d"}),
    ]


def test_an_open_quote_in_csv_is_an_error(write) -> None:
    with pytest.raises(DataError, match=r"a\.csv:2: not a CSV row"):
        values(write("a.csv", 'id,text\n1,"open\n2,b\n'), "csv", header=True)


def test_json_lines_and_arrays_give_the_same_rows(write) -> None:
    lines = write("a.jsonl", '{"a": 1, "b": {"c": [2]}}\n\n{"a": null}\n')
    array = write("b.json", '[{"a": 1, "b": {"c": [2]}}, {"a": null}]')
    inside = write("c.json", '{"data": [{"a": 1, "b": {"c": [2]}}, {"a": null}]}')
    expected = [{"a": 1, "b": {"c": [2]}}, {"a": None}]
    assert [row for _, row in read_table(lines, format_="jsonl", header=False)] == expected
    assert [row for _, row in read_table(array, format_="json", header=False)] == expected
    assert [row for _, row in read_table(inside, format_="json", header=False)] == expected
    places = [where for where, _ in read_table(lines, format_="jsonl", header=False)]
    assert places == [f"{lines}:1", f"{lines}:3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', r"a\.jsonl:2: not valid JSON \(line 1 column 8"),
        ("[1, 2]", r"a\.jsonl:2: is not a JSON object"),
        ('{"a": NaN}', r"a\.jsonl:2: not valid JSON \(NaN is no JSON number\)"),
        ('{"a": "\\ud800"}', r"a\.jsonl:2: an escape stands for half of a character"),
        ("[" * 100_000, r"a\.jsonl:2: not valid JSON"),
    ],
)
def test_bad_json_is_named_with_its_line(write, line: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        values(write("a.jsonl", f'{{"a": 1}}\n{line}\n'), "jsonl")


def test_json_of_the_other_format_is_told_apart(write) -> None:
    lines, array = '{"a": 1}\n{"a": 2}\n', '[\n{"a": 1},\n{"a": 2}\n]\n'
    with pytest.raises(DataError, match=r"a\.json: not valid JSON .* the format jsonl"):
        values(write("a.json", lines), "json")
    with pytest.raises(DataError, match=r"a\.txt:1: not valid JSON .* the format json"):
        values(write("a.txt", array), "jsonl")


def test_json_that_is_no_array_is_an_error(write) -> None:
    with pytest.raises(DataError, match="is not a JSON array of rows"):
        values(write("a.json", '{"rows": []}'), "json")


@pytest.mark.parametrize(
    ("labels", "error"),
    [
        ("1\n", r"dev\.jsonl:2: has no label: .*dev-labels\.lst has only 1 lines"),
        ("1\n2\n3\n", r"dev-labels\.lst: has 3 labels for 2 rows"),
        ("1\n4\n", r"dev\.jsonl:2: unknown label '4'"),
    ],
)
def test_labels_in_a_file_of_their_own_must_match_the_rows(
    write, tmp_path: Path, labels: str, error: str
) -> None:
    row = '{"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "c"}\n'
    write("socialiqa/dev.jsonl", 2 * row)
    write("socialiqa/dev-labels.lst", labels)
    with pytest.raises(DataError, match=error):
        read_examples(TASKS["socialiqa"], split="dev", language="en", root=tmp_path)


def test_labels_need_a_file_of_rows_before_them(write, tmp_path: Path, with_files) -> None:
    write("dev-labels.lst", "1\n")
    task = with_files("socialiqa", "dev", "dev-labels.lst")
    with pytest.raises(DataError, match="no file of rows stands before it"):
        read_examples(task, split="dev", language="en", root=tmp_path)


QQP = "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n"
BROKEN = '1\t2\t3\t"What\tis\nit?"\tWhy?\t0\n'
"""A question that holds a tab and a line end: two rows, of 5 columns and of 3."""


def test_rows_of_qqp_that_are_broken_are_left_out_and_counted(write, tmp_path) -> None:
    """As GLUE's own loaders do; the file was refused for them. Other rows are not left out."""
    write("qqp/train.tsv", f"{QQP}0\t1\t2\tA?\tB?\t0\n{BROKEN}4\t5\t6\tC?\tD?\t1\n")
    rows = read_examples(TASKS["qqp"], split="train", language="en", root=tmp_path)
    found = [(each.text_a, each.text_b, each.label) for each in rows.examples]  # type: ignore[union-attr]
    assert found == [("A?", "B?", "0"), ("C?", "D?", "1")]
    assert rows.skipped == {"row with too few columns": 2}
    write("qqp/train.tsv", f"{QQP}0\t1\t2\tA?\tB?\t0\t7\n")
    with pytest.raises(DataError, match=r"train\.tsv:2: has 7 columns where the first row has 6"):
        read_examples(TASKS["qqp"], split="train", language="en", root=tmp_path)


def test_short_rows_are_left_out_only_where_the_source_says_so(write, with_files, tmp_path) -> None:
    write("a.tsv", "p\th\tneutral\np\th\n")
    with pytest.raises(DataError, match=r"a\.tsv:2: has 2 columns .*`skip_short_rows: true`"):
        read_examples(with_files("xnli", "dev", "a.tsv"), split="dev", language="en", root=tmp_path)
    task = with_files("xnli", "dev", "a.tsv", skip_short_rows=True)
    rows = read_examples(task, split="dev", language="en", root=tmp_path)
    assert (len(rows.examples), rows.skipped) == (1, {"row with too few columns": 1})


ALL = "language\tid\ttext\n" + "".join(
    f"{language}\t{language}-{at}\t{language} {at}\n"
    for language in ("en", "fi", "fil", "fi-FI")
    for at in range(2)
)
"""One table with all languages; the code of one begins with that of another."""


@pytest.mark.parametrize(
    ("choice", "texts"),
    [
        ({"language": "{lang}"}, ["fi 0", "fi 1"]),
        ({"id": "{lang}-1"}, ["fi 1"]),
        ({"id": "{lang}-", "language": "{lang}"}, ["fi 0", "fi 1"]),
        ({"id": "fil"}, ["fil 0", "fil 1"]),
    ],
)
def test_rows_of_a_language_are_not_those_whose_code_begins_so(
    write, choice: dict[str, str], texts: list[str]
) -> None:
    rows = read_table(write("a.tsv", ALL), format_="tsv", header=True)
    found = choose_rows(rows, choice, "fi", Path("a.tsv"))
    assert [row["text"] for _, row in found] == texts


def test_the_name_of_a_language_may_begin_with_that_of_another() -> None:
    """Malay and Malayalam, of the benchmarks' own languages."""
    row = {"language": "malayalam", "id": "set-malayalam-1"}
    for choice in ({"language": "{language}"}, {"id": "set-{language}"}):
        assert is_row_of(row, choice, "ml")
        assert not is_row_of(row, choice, "ms")
    assert is_row_of({"id": "korean-7"}, {"id": "{language}-"}, "ko")


def test_a_language_without_rows_is_told_how_to_choose_ids(write) -> None:
    rows = read_table(write("a.tsv", ALL), format_="tsv", header=True)
    with pytest.raises(DataError, match=r"no row with 'id' that is 'fi'\. .* as in '\{lang\}-'"):
        list(choose_rows(rows, {"id": "{lang}"}, "fi", Path("a.tsv")))

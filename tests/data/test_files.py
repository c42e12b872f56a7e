from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xtransfer.data.files import content_digest, read_lines, resolve_files
from xtransfer.errors import DataError
from xtransfer.tasks import TASKS
from xtransfer.tasks.languages import names_language


def lines(path: Path) -> list[tuple[int, str]]:
    return list(read_lines(path))


def test_templates_take_the_language_and_a_compressed_neighbour(write, tmp_path: Path) -> None:
    foreign = write("tatoeba/tatoeba.cmn-eng.cmn", "你好\n")
    english = write("tatoeba/tatoeba.cmn-eng.eng.gz", "Hello\n")
    found = resolve_files(TASKS["tatoeba"], split="test", language="zh", root=tmp_path)
    assert found == [foreign, english]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{lang}.tsv", "zh.tsv"),
        ("{lang3}.tsv", "cmn.tsv"),
        ("{language}.tsv", "chinese.tsv"),
        ("{Language}/x.tsv", "Chinese/x.tsv"),
    ],
)
def test_files_may_be_named_by_codes_and_names(
    write, tmp_path: Path, template: str, name: str
) -> None:
    source = TASKS["xnli"].source.model_copy(update={"files": {"test": (template,)}})
    task = TASKS["xnli"].model_copy(update={"source": source})
    path = write(name, "a\tb\tneutral\n")
    assert resolve_files(task, split="test", language="zh", root=tmp_path) == [path]
    assert names_language(template)


def test_a_plain_file_is_preferred_to_its_compressed_neighbour(write, tmp_path: Path) -> None:
    plain = write("xnli/test-de.tsv", "a\tb\tneutral\n")
    write("xnli/test-de.tsv.gz", "old\told\tneutral\n")
    found = resolve_files(TASKS["xnli"], split="test", language="de", root=tmp_path)
    assert found == [plain]


def test_a_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        resolve_files(TASKS["xnli"], split="test", language="de", root=tmp_path)
    assert str(caught.value) == (
        f"xnli test de: neither {tmp_path}/xnli/test-de.tsv nor test-de.tsv.gz exists. "
        "Put the file there, or name another as data.files.xnli.test in the experiment."
    )


def test_a_split_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no files for split 'train' \(it has: dev, test\)"):
        resolve_files(TASKS["xnli"], split="train", language="en", root=tmp_path)


def test_of_splits_that_a_plan_did_not_ask_about_nothing_is_said(tmp_path: Path) -> None:
    """It asks with the files of one split, and was told that the task had none."""
    task = TASKS["xnli"]
    source = task.source.model_copy(update={"files": {}})
    with pytest.raises(DataError) as caught:
        resolve_files(
            task.model_copy(update={"source": source}), split="dev", language="en", root=tmp_path
        )
    assert "names no files for split 'dev'. Name them as data.files.xnli.dev" in str(caught.value)
    assert "or have examples of its training files held out: data.holdout.xnli: N" in str(
        caught.value
    )


@pytest.mark.parametrize("name", ["../secret.tsv", "a/../../secret.tsv", "/etc/passwd"])
def test_a_path_that_leaves_the_root_is_refused(name: str, with_files, tmp_path: Path) -> None:
    (tmp_path / "secret.tsv").write_text("a\tb\tneutral\n")
    root = tmp_path / "root"
    root.mkdir()
    with pytest.raises(DataError, match="leads out of the data root"):
        resolve_files(with_files("xnli", "test", name), split="test", language="en", root=root)


def test_a_language_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="leads out of the data root"):
        resolve_files(TASKS["xnli"], split="test", language="/../../../x", root=tmp_path)


def test_a_folder_in_place_of_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "xnli" / "test-de.tsv").mkdir(parents=True)
    with pytest.raises(DataError, match="is a folder, not a file"):
        resolve_files(TASKS["xnli"], split="test", language="de", root=tmp_path)


def test_a_link_below_the_root_is_the_users_own_doing(with_files, tmp_path: Path) -> None:
    """Whoever can put a link below the root can also name the other folder as the root."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.tsv").write_text("x", encoding="utf-8")
    root = tmp_path / "root"
    root.mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (found,) = resolve_files(
        with_files("xnli", "test", "linked/a.tsv"), split="test", language="en", root=root
    )
    assert found.read_text(encoding="utf-8") == "x"


def test_a_name_too_long_for_the_disk_is_named(with_files, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: File name too long"):
        resolve_files(
            with_files("xnli", "test", "x" * 300), split="test", language="en", root=tmp_path
        )


def test_what_is_neither_file_nor_folder_is_refused(with_files, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="pipe is not a regular file"):
        resolve_files(
            with_files("xnli", "test", "pipe"), split="test", language="en", root=tmp_path
        )


def test_gzip_under_another_name_is_told_apart_from_broken_text(write) -> None:
    with pytest.raises(DataError, match=r"a\.tsv: is gzip, but is not named \.gz\. Rename it"):
        lines(write("a.tsv", gzip.compress(b"one\n")))


def test_a_byte_order_mark_and_windows_line_ends_are_taken_off(write) -> None:
    path = write("a.tsv", b"\xef\xbb\xbfone\r\ntwo\r\n\r\nthree")
    assert lines(path) == [(1, "one"), (2, "two"), (3, ""), (4, "three")]


def test_only_line_feeds_end_a_line(write) -> None:
    text = "a\u2028b\x85c\x0bd\x0ce\x1cf\rg"
    assert lines(write("a.txt.gz", f"{text}\n")) == [(1, text)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"fine\nbroken \xff here\n", r"a\.tsv:2: not UTF-8 \(byte 8 of the line\)"),
        (b"fine\nno\0pe\n", r"a\.tsv:2: holds a NUL byte"),
        ("two".encode("utf-16"), r"a\.tsv:1: holds a NUL byte"),
    ],
)
def test_what_is_not_text_is_named_with_its_line(write, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        lines(write("a.tsv", content))


WHOLE = gzip.compress(b"one\ntwo\n" * 1000, mtime=0)


def test_plain_text_named_gz_is_told_apart_from_broken_compression(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv.gz"
    path.write_bytes(b"plain text")
    with pytest.raises(DataError, match=r"a\.tsv\.gz: is named \.gz, but is not gzip\. Rename it"):
        lines(path)
    path.write_bytes(b"")
    assert lines(path) == []


@pytest.mark.parametrize("raw", [WHOLE[:-12], WHOLE[:15]])
def test_damaged_compression_is_named(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(raw)
    with pytest.raises(
        DataError, match=r"a\.txt\.gz: its gzip compression is damaged or cut short"
    ):
        lines(path)


def test_a_flipped_bit_in_a_compressed_file_is_found(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(b"one\ntwo\n" * 1000, mtime=0))
    raw[len(raw) // 2] ^= 0xFF
    path = tmp_path / "a.txt.gz"
    path.write_bytes(bytes(raw))
    with pytest.raises(DataError, match="damaged"):
        lines(path)


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read: No such file"):
        lines(tmp_path / "absent.txt")


def test_the_digest_is_of_the_content_not_of_its_packing(write) -> None:
    plain, packed = write("a.txt", "same\n"), write("b.txt.gz", "same\n")
    assert content_digest(plain) == content_digest(packed)
    assert content_digest(plain) != content_digest(write("c.txt", "other\n"))


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r\0\ufeff", exclude_categories=["Cs"])))
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_every_line_comes_back(tmp_path: Path, texts: list[str]) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("".join(f"{text}\n" for text in texts).encode()))
    assert [line for _, line in read_lines(path)] == texts

"""The campaign of malformed inputs in small, and whether it would see what it looks for."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults.malformed import oracle
from tests.faults.malformed.arguments import TEXTS, odd_value
from tests.faults.malformed.campaign import KINDS, malformed, table
from tests.faults.malformed.data import FORMATS, write_format
from tests.faults.malformed.oracle import Case, call, judge
from tests.faults.malformed.settings import EXPERIMENT, PLACEMENT, VALUES, any_value
from tests.faults.malformed.stores import recorded, remove_studies


@pytest.fixture(scope="module", autouse=True)
def _tidy() -> Iterator[None]:
    yield
    remove_studies()


def faults_of(make: Callable[[Path], Case]) -> tuple[Any, str]:
    with tempfile.TemporaryDirectory(prefix="xt-malformed-") as folder:
        root = Path(folder).resolve()
        verdict = judge(make(root), root)
    return verdict.faults, verdict.shown


@pytest.mark.slow
def test_malformed_inputs_end_in_one_plain_error() -> None:
    rows = malformed(1, share=0.08)
    assert [row.kind for row in rows] == list(KINDS)
    assert all(row.fine and row.tried for row in rows), [text for row in rows for text in row.shown]
    assert sum(row.tried for row in rows) > 50
    assert "traceback" in table(rows, seed=1)


def test_a_full_campaign_has_500_inputs() -> None:
    assert sum(count for _, count in KINDS.values()) >= 700


@given(value=VALUES, draw=st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_any_value_in_an_experiment_is_taken_or_refused_in_words(value: Any, draw: Random) -> None:
    faults, shown = faults_of(lambda folder: any_value(draw, folder, 0, value))
    assert not faults, shown


@pytest.mark.slow
@given(text=TEXTS, draw=st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_any_text_on_the_command_line_is_refused_in_words(text: str, draw: Random) -> None:
    faults, shown = faults_of(lambda folder: odd_value(draw, folder, 0, text))
    assert not faults, shown


@pytest.mark.parametrize("name", FORMATS)
def test_data_files_are_sound_before_they_are_damaged(tmp_path: Path, name: str) -> None:
    write_format(name, Random(0), tmp_path)
    done = call(("data", "check", "data.yaml"), tmp_path)
    assert done.status == 0, done.out


def test_settings_and_store_are_sound_before_they_are_damaged(tmp_path: Path) -> None:
    recorded(tmp_path)
    (tmp_path / "base.yaml").write_text(EXPERIMENT, encoding="utf-8")
    (tmp_path / "place.yaml").write_text(PLACEMENT, encoding="utf-8")
    before = oracle.contents(tmp_path)
    for command in (
        ("plan", "base.yaml", "--placement", "place.yaml"),
        ("store", "verify", "--store", "store"),
        ("report", "small.yaml", "--store", "store", "--json"),
    ):
        done = call(command, tmp_path)
        assert done.status == 0, done.out + done.err
    assert oracle.contents(tmp_path) == before


def _raise() -> None:
    raise KeyError("name")


def _write() -> None:
    Path("left").write_text("x")
    raise SystemExit("it.yaml: is wrong")


def _end(text: str) -> Callable[[], None]:
    def end() -> None:
        raise SystemExit(text)

    return end


def _exit(status: int) -> Callable[[], None]:
    def end() -> None:
        print("it.yaml")
        raise SystemExit(status)

    return end


@pytest.mark.parametrize(
    ("main", "fault"),
    [
        (_raise, "traceback"),
        (_write, "wrote"),
        (_end("is wrong"), "no place"),
        (_end("it.yaml" * 1000), "long"),
        (_exit(0), "taken"),
        (_exit(3), "status"),
        (_exit(2), None),
    ],
)
def test_the_oracle_sees_what_must_not_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, main: Callable[[], None], fault: str | None
) -> None:
    monkeypatch.setattr(oracle, "main", main)
    verdict = judge(Case(what="", arguments=(), places=("it.yaml",)), tmp_path)
    assert (fault in verdict.faults) if fault else not verdict.faults


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
@pytest.mark.parametrize("name", ["base.yaml", "store"])
def test_what_may_not_be_read_is_named(tmp_path: Path, name: str) -> None:
    recorded(tmp_path)
    (tmp_path / "base.yaml").write_text(EXPERIMENT, encoding="utf-8")
    (tmp_path / name).chmod(0)
    done = call(("plan", "base.yaml", "--store", "store"), tmp_path)
    (tmp_path / name).chmod(0o755)
    assert done.status in (1, 2)
    assert name in done.err
    assert "Traceback" not in done.err

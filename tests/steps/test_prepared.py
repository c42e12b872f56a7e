from __future__ import annotations

import json
from array import array
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.prints import FilePrints
from tests.small import small_bench
from tests.tiny import rows_of, tiny_tokenizer
from xtransfer.config.experiment import Experiment
from xtransfer.errors import DataError, StepError
from xtransfer.forms.encoding import Encoded, Ragged
from xtransfer.forms.files import read_rows, write_rows
from xtransfer.plan import Step
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings
from xtransfer.steps.prepared import prepare, read_again, read_data_set, task_of
from xtransfer.tasks import TASKS


def test_rows_come_back_from_arrow_as_they_were(tmp_path: Path) -> None:
    encoded = Encoded(
        columns={
            "input_ids": [[0, 5, 2], [0, 2], [0, 7, 8, 9, 2]],
            "offsets": [[], [1, 2], []],
            "label": [1, -1, 2**31 - 1],
        }
    )
    write_rows(tmp_path / "rows.arrow", encoded)
    found, expected = read_rows(tmp_path / "rows.arrow"), rows_of(encoded)
    assert list(found) == list(expected)
    for name, column in expected.items():
        again = found[name]
        if isinstance(column, Ragged):
            assert isinstance(again, Ragged)
            assert again.values.dtype == np.int32
            assert [row.tolist() for row in (again[at] for at in range(3))] == [
                column[at].tolist() for at in range(3)
            ]
        else:
            assert np.array_equal(again, column)  # type: ignore[arg-type]


def test_arrays_of_numbers_are_written_as_lists_are(tmp_path: Path) -> None:
    lists = {"input_ids": [[0, 5, 2], [], [2**31 - 1, -7]], "label": [1, 2, 3]}
    arrays = {**lists, "input_ids": [array("i", ids) for ids in lists["input_ids"]]}  # type: ignore[arg-type]
    for name, columns in (("lists", lists), ("arrays", arrays)):
        write_rows(tmp_path / name, Encoded(columns=columns))  # type: ignore[arg-type]
    assert (tmp_path / "arrays").read_bytes() == (tmp_path / "lists").read_bytes()


def step_of(root: Path, name: str, *overrides: str) -> Step:
    given_ = [
        "name=small",
        "encoder=encoder",
        f"data.root={root}",
        "target={tasks: [xnli], languages: {xnli: [en, de]}}",
        "target.overrides.all.max_length=12",
        *overrides,
    ]
    plan = build_plan(read_settings(Experiment, None, given_, "test"), FilePrints(root))
    return next(step for step in plan.steps.values() if step.name == name)


def write_xnli(root: Path) -> None:
    for language, rows in (("en", 7), ("de", 5)):
        path = root / "xnli" / f"test-{language}.tsv"
        path.parent.mkdir(exist_ok=True)
        lines = [f"the cat sat {at}\ta dog\tneutral\n" for at in range(rows)]
        path.write_text("".join(lines), encoding="utf-8")


def test_a_prepare_step_leaves_rows_and_examples_of_each_language(tmp_path: Path) -> None:
    write_xnli(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    told: list[tuple[str, float]] = []
    result = prepare(
        step_of(tmp_path, "xnli-test"),
        task=TASKS["xnli"],
        tokenizer=tiny_tokenizer(),
        folder=out,
        report=lambda language, share: told.append((language, share)),
    )
    counts = {"read": 7, "available": 7, "used": 7, "rows": 7, "skipped": {}, "tokens": 77}
    assert result["languages"]["en"] == counts
    five = {"read": 5, "available": 5, "used": 5, "rows": 5, "tokens": 55}
    assert result["languages"]["de"] == {**counts, **five}
    assert told == [("de", 0.0), ("de", 0.5), ("en", 0.5), ("en", 1.0)]
    assert sorted(path.name for path in out.iterdir()) == [
        "de.examples.jsonl",
        "de.rows.arrow",
        "en.examples.jsonl",
        "en.rows.arrow",
    ]
    data = read_data_set(out, "de")
    assert data.examples == [{"id": str(at), "gold": "neutral"} for at in range(5)]
    assert data.lengths.tolist() == [11] * 5
    assert data is read_data_set(out, "de")


def test_a_limit_and_a_held_out_dev_set_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "mnli.jsonl"
    row = {"sentence1": "the cat", "sentence2": "a dog", "gold_label": "neutral"}
    lines = [json.dumps(row), json.dumps({**row, "gold_label": "-"})] * 10
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    overrides = (
        "data.files.mnli.train=[mnli.jsonl]",
        "data.holdout.mnli=3",
        "data.limits.train=5",
    )
    seen: list[str] = []
    for role, available, used in (("train", 7, 5), ("dev", 3, 3)):
        out = tmp_path / role
        out.mkdir()
        step = step_of(tmp_path, f"mnli-{role}", *overrides)
        result = prepare(
            step,
            task=TASKS["mnli"],
            tokenizer=tiny_tokenizer(),
            folder=out,
            report=lambda language, share: None,
        )
        assert result["languages"]["en"] == {
            "read": 10,
            "available": available,
            "used": used,
            "rows": used,
            "tokens": 8 * used,
            "skipped": {"label '-'": 10},
        }
        seen += [example["id"] for example in read_data_set(out, "en").examples]
    assert len(set(seen)) == 8


def test_the_task_of_a_step_has_the_experiments_files(tmp_path: Path) -> None:
    step = step_of(tmp_path, "xnli-test", "data.files.xnli.test=['a/{lang}.tsv']")
    again = Step(
        **json.loads(
            json.dumps(
                {
                    "kind": step.kind,
                    "name": step.name,
                    "spec": step.spec,
                    "inputs": step.inputs,
                    "where": step.where,
                    "phase": step.phase,
                }
            )
        )
    )
    for each in (step, again):
        task = task_of(each, TASKS[each.spec["task"]])
        assert task.source.files == {"test": ("a/{lang}.tsv",)}
        assert (task.name, task.form, task.labels[0]) == ("xnli", "classification", "entailment")


def test_files_that_changed_after_planning_are_refused(tmp_path: Path) -> None:
    write_xnli(tmp_path)
    step = step_of(tmp_path, "xnli-test")
    changed = next((tmp_path / "xnli").glob("test-de*"))
    changed.write_bytes(changed.read_bytes() + changed.read_bytes())
    with pytest.raises(DataError, match="xnli test de: its files changed"):
        prepare(
            step,
            task=TASKS["xnli"],
            tokenizer=tiny_tokenizer(),
            folder=tmp_path,
            report=lambda language, share: None,
        )


def test_an_input_longer_than_the_encoder_can_take_is_found_before_any_training(
    tmp_path: Path,
) -> None:
    write_xnli(tmp_path)
    (tmp_path / "out").mkdir()
    asked = partial(
        prepare,
        step_of(tmp_path, "xnli-test"),
        task=TASKS["xnli"],
        tokenizer=tiny_tokenizer(),
        folder=tmp_path / "out",
        report=lambda language, share: None,
    )
    with pytest.raises(DataError, match=r"xnli test \w\w: has an input of \d+ tokens, .* for 7\."):
        asked(longest=7)
    longest = max(
        len(ids)
        for language in asked(longest=None)["languages"]
        for ids in read_data_set(tmp_path / "out", language).rows["input_ids"]  # type: ignore[union-attr]
    )
    assert asked(longest=longest)


def test_examples_are_spread_over_languages(tmp_path: Path) -> None:
    write_xnli(tmp_path)
    step = step_of(tmp_path, "xnli-test")
    spec = {**step.spec, "spread": {"examples": 5, "seed": 1}}
    out = tmp_path / "out"
    out.mkdir()
    result = prepare(
        replace(step, spec=spec),
        task=TASKS["xnli"],
        tokenizer=tiny_tokenizer(),
        folder=out,
        report=lambda language, share: None,
    )["languages"]
    assert {each: result[each]["used"] for each in result} == {"de": 3, "en": 2}
    assert {each: result[each]["available"] for each in result} == {"de": 5, "en": 7}
    assert [len(read_data_set(out, each).examples) for each in ("de", "en")] == [3, 2]


def test_text_is_not_prepared_for_an_encoder_that_cannot_hide_words(tmp_path: Path) -> None:
    (tmp_path / "sw.txt").write_text("the cat sat\n\na dog ran\n" * 20, encoding="utf-8")
    text = "intermediate={tasks: [{name: more, text: {languages: [sw], files: ['{lang}.txt']}}]}"
    settings = [
        "name=small",
        "encoder=encoder",
        f"data.root={tmp_path}",
        "target={tasks: [xnli], languages: {xnli: [en]}}",
        text,
    ]
    plan = build_plan(read_settings(Experiment, None, settings, "test"), FilePrints(tmp_path))
    step = next(
        each
        for each in plan.steps.values()
        if each.kind == "prepare" and plan.tasks[each.spec["task"]].form == "mlm"
    )
    (tmp_path / "out").mkdir()
    with pytest.raises(StepError, match=r"tokenizer has no mask token.*\. Take an encoder"):
        prepare(
            step,
            task=plan.tasks[step.spec["task"]],
            tokenizer=tiny_tokenizer(),
            folder=tmp_path / "out",
            report=lambda language, share: None,
        )
    assert not list((tmp_path / "out").iterdir())


def test_rows_are_not_kept_beyond_a_file_that_was_damaged_and_fetched_again(tmp_path: Path) -> None:
    bench, trial = small_bench(tmp_path, {})
    data = bench.record(trial.inputs["train reviews"])
    folder = bench.files(data)
    before = read_data_set(folder, "en").rows["label"].copy()
    path = folder / "en.rows.arrow"
    with path.open("r+b") as file:  # in place: what is mapped changes with it
        file.write(bytes(path.stat().st_size))
    assert bench.files(data) == folder
    assert (read_data_set(folder, "en").rows["label"] == before).all()


def test_a_text_that_is_held_out_whole_is_named_with_its_setting(tmp_path: Path) -> None:
    """The default of 200 lines is more than a short text has."""
    (tmp_path / "sw.txt").write_text("the cat sat\n" * 60, encoding="utf-8")
    text = "intermediate={tasks: [{name: more, text: {languages: [sw], files: ['{lang}.txt']}}]}"
    target = "target={tasks: [xnli], languages: {xnli: [en]}}"
    settings = ["name=small", "encoder=encoder", f"data.root={tmp_path}", target, text]
    plan = build_plan(read_settings(Experiment, None, settings, "test"), FilePrints(tmp_path))
    step = next(each for each in plan.steps.values() if each.spec.get("form") == "mlm")
    task = task_of(step, plan.tasks["text"])
    with pytest.raises(
        DataError, match=r"text\.holdout of the arm: 200 examples .*: sw\.txt has 60\. Hold fewer"
    ):
        read_again(step, task, "sw")

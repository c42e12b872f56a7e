"""A run over a store in which something was damaged: the same command mends it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.integration.test_pipeline import CONFIG, records_of, report_of, xtransfer

pytestmark = pytest.mark.slow


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(bytes(data))


def test_a_run_does_damaged_steps_again_and_no_others(finished: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(finished.removeprefix("file://"), folder)
    store = f"file://{folder}"
    before = records_of(store)
    # Read by a child: weights by a trial and an evaluation, data by an evaluation.
    for path in (
        *folder.glob("train/commonsenseqa-*/*/weights.safetensors"),
        *folder.glob("prepare/tatoeba-test-*/*/qa.rows.arrow"),
    ):
        flip(path)
    for path in (
        *folder.glob("train/mnli-after-commonsenseqa-*/record.json"),
        *folder.glob("evaluate/tatoeba-*/record.json"),
    ):
        path.unlink()
    # Found without a child: a short file and an altered record.
    (short,) = folder.glob("evaluate/xnli-after-baseline-*/*/scores.json")
    short.write_bytes(short.read_bytes()[:-2])
    (record,) = folder.glob("select/mnli-after-commonsenseqa-*/record.json")
    flip(record)
    run = xtransfer("run", str(CONFIG), "--store", store)
    assert run.returncode == 0, run.stderr
    after = records_of(store)
    assert after.keys() == before.keys()
    again = {key for key in after if after[key].timing != before[key].timing}
    chosen = {after[key].result.get("chosen") for key in after}
    expected = {
        key
        for key, record in after.items()
        if record.folder.startswith(
            ("train/mnli-after", "evaluate/tatoeba-", "evaluate/xnli-after-baseline-", "select/mnli-after", "prepare/tatoeba-test")
        )
        or (record.folder.startswith("train/commonsenseqa-") and key in chosen)
    }  # fmt: skip
    assert again == expected
    assert report_of(store) == report_of(finished)
    assert len(list(folder.glob("quarantine/*/note.json"))) == 4


def test_damage_that_workers_find_is_mended_too(finished: str, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    shutil.copytree(finished.removeprefix("file://"), folder)
    (data,) = folder.glob("prepare/mnli-train-*/*/en.rows.arrow")
    flip(data)
    (trial,) = folder.glob("train/mnli-lr*/record.json")
    trial.unlink()
    run = xtransfer(
        "run", str(CONFIG), "--store", f"file://{folder}", "--set", "intermediate.tasks=[]",
        "--set", "target.tasks=[xnli]", "--place", "train.workers=2", "--place", "ray.cpus=2",
        "--place", "retries=0",  # what is done again counts as none
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert trial.is_file()
    (note,) = folder.glob("quarantine/*/note.json")
    assert "prepare/mnli-train-" in note.read_text()

"""Libraries are loaded without collections, which go on afterwards and leave them alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.small import small_bench
from xtransfer.execution import work
from xtransfer.execution.execute import run_step

LOADING = """
import gc, json, sys
if sys.argv[1] == "off":
    gc.disable()
from xtransfer.process import libraries
before = sum(each["collections"] for each in gc.get_stats())
libraries.load_libraries()
after = sum(each["collections"] for each in gc.get_stats())
frozen = gc.get_freeze_count()
kept = [[]]
kept[0].append(kept)
libraries.load_libraries()  # a process that has them is left alone
print(json.dumps({
    "collections": after - before,
    "loaded": [name in sys.modules for name in ("torch", "transformers.modeling_utils")],
    "on": gc.isenabled(),
    "frozen": frozen,
    "frozen later": gc.get_freeze_count() - frozen,
}))
"""


def loaded(collector: str) -> dict[str, Any]:
    command = [sys.executable, "-c", LOADING, collector]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    return json.loads(ended.stdout)


def test_libraries_are_loaded_without_collections_and_left_to_the_collector_no_more() -> None:
    found = loaded("on")
    assert found["loaded"] == [True, True]
    assert found["collections"] == 0
    assert found["on"]
    assert found["frozen"] > 100_000
    assert found["frozen later"] == 0


def test_a_collector_that_was_off_stays_off() -> None:
    assert not loaded("off")["on"]


def test_loading_them_is_a_part_of_a_steps_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, step = small_bench(tmp_path, {})
    asked: list[bool] = []

    def load(*, models: bool = True) -> None:
        asked.append(models)
        time.sleep(0.3)

    monkeypatch.setattr(work, "load_libraries", load)
    timing = run_step(step, bench).timing
    assert asked == [True]
    assert 0.3 <= timing["start_s"] <= timing["seconds"] - timing["train_s"]

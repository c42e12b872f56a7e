"""On another device than the processor, nothing is left behind there, and the answers are the same."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.conftest import CHECKOUT


@pytest.fixture(scope="module")
def differences() -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.train.accelerator"],
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "work",
    [
        *("classification", "choice", "tagging", "span", "retrieval", "mixture with text"),
        *("embeddings", "neighbours", "resumption", "mixing"),
    ],
)
def test_the_device_makes_no_difference(work: str, differences: dict[str, float]) -> None:
    assert differences[work] < 1e-6

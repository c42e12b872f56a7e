"""On another device than the processor, nothing is left behind there, and the answers are the same."""

from __future__ import annotations

import pytest

from tests.train.alone import answer_of


@pytest.fixture(scope="module")
def differences() -> dict[str, float]:
    return answer_of("tests.train.accelerator")


@pytest.mark.parametrize(
    "work",
    [
        *("classification", "choice", "tagging", "span", "retrieval", "mixture with text"),
        *("embeddings", "neighbours", "resumption", "mixing"),
    ],
)
def test_the_device_makes_no_difference(work: str, differences: dict[str, float]) -> None:
    assert differences[work] < 1e-6

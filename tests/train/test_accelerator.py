"""On another device than the processor, nothing is left behind there, and the answers are the same."""

from __future__ import annotations

from typing import Any

import pytest

from tests.train.alone import answer_of


@pytest.fixture(scope="module")
def differences() -> dict[str, Any]:
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


def test_the_device_always_has_something_to_do(differences: dict[str, Any]) -> None:
    """However much is trained or predicted, the processor waits for all of it as often as for a part."""
    waits = differences["waits"]
    assert len(waits) == 10
    assert {work: more for work, more in waits.items() if more} == {}

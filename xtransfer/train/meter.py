"""How fast a trial goes in the present process."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Adds up rows and seconds: of optimizer steps, and of dev evaluations."""

    def __init__(self) -> None:
        self.examples = 0
        """Rows learnt from."""
        self.seconds = 0.0
        self.dev_examples = 0
        self.dev_seconds = 0.0

    @contextmanager
    def training(self) -> Iterator[None]:
        """Add the time of the block."""
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began

    @contextmanager
    def evaluation(self, rows: int) -> Iterator[None]:
        """Add the time of the block, in which so many rows are predicted."""
        began = time.perf_counter()
        yield
        self.dev_examples += rows
        self.dev_seconds += time.perf_counter() - began

    @property
    def examples_per_s(self) -> float:
        """Rows learnt from a second; 0 before the first."""
        return self.examples / self.seconds if self.seconds else 0.0

    def timing(self) -> dict[str, float]:
        """Return all of it, as `Outcome.timing` has it."""
        return {
            "examples": self.examples,
            "examples_per_s": self.examples_per_s,
            "dev_examples": self.dev_examples,
            "dev_s": self.dev_seconds,
        }

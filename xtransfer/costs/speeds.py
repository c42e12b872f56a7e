"""How fast steps of a kind go, and how far that is to be trusted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Trust = Literal["measured", "alike", "table", "estimate", "unknown"]
"""measured: by this project, on the same task and length. alike: by this project, on another task of the
form. table: the user's. estimate: from first principles. unknown: no figure."""

FORWARD_SHARE = 2 / 6
"""Of a training step's operations those that prediction takes, too: 2 a parameter and token of 6."""


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Rows a second, of one step with all its devices."""

    examples_per_s: float
    """Trained on; of evaluate and prepare steps, predicted or read."""
    dev_examples_per_s: float | None = None
    """Predicted in dev evaluations; None: as training, without its backward passes."""
    start_s: float = 0.0
    """Before and after: loading, uploading."""
    trust: Trust
    source: str
    """Where the figure is from, and of what day."""

    def seconds(self, rows: float, dev_rows: float = 0.0) -> float:
        """Return how long a step takes."""
        dev = self.dev_examples_per_s or self.examples_per_s / FORWARD_SHARE
        return self.start_s + rows / self.examples_per_s + dev_rows / dev

    def times(self, factor: float, note: str) -> Speed:
        """Return the speed on other devices, taken to be so many times as fast."""
        dev = self.dev_examples_per_s
        return replace(
            self,
            examples_per_s=self.examples_per_s * factor,
            dev_examples_per_s=None if dev is None else dev * factor,
            trust="alike",
            source=f"{self.source}{note}",
        )

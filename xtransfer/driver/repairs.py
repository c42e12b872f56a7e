"""Steps that are done again because what they left was found damaged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from xtransfer.driver.frontier import Frontier

REPAIRS_AT_MOST = 3
"""Times that one step is done again because what it left was damaged when a child read it."""


class Repairs:
    """Sends damaged steps back to be done again, and has what needs them wait.

    Args:
        frontier: of the plan.
        suspect: keys of steps whose records are damaged, so that having one does not mean done.
        changed: told (key, state, text) of steps that wait.
    """

    def __init__(
        self,
        frontier: Frontier,
        *,
        suspect: Iterable[str],
        changed: Callable[[str, str, str], None],
    ) -> None:
        self.frontier = frontier
        self.suspect = set(suspect)
        self.changed = changed
        self._times: Counter[str] = Counter()

    def wait_for(self, key: str, folder: str, text: str) -> bool:
        """Have a step wait for its ancestor in `folder`, which it found damaged; False: that helps no more."""
        steps = self.frontier.plan.steps
        ancestor = next((key for key, step in steps.items() if step.folder == folder), "")
        if not ancestor or not self.redo(ancestor, text):
            return False
        self.frontier.wait_for(key, ancestor)
        self.changed(key, "waiting", "")
        return True

    def redo(self, key: str, text: str) -> bool:
        """Take a damaged step for not done; False when it was done again too often already.

        Several children may find the same damage; only the first that does so counts.
        """
        if key not in self.frontier.done:
            return True
        if self._times[key] >= REPAIRS_AT_MOST:
            return False
        self._times[key] += 1
        self.suspect.add(key)
        self.frontier.undo(key)
        self.changed(key, "waiting", f"damaged, to be done again: {text}")
        return True

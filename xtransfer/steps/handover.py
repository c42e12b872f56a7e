"""What the workers of a trial and its own process tell each other through the store: they may be on several nodes."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from xtransfer.errors import NotFound
from xtransfer.identity import file_digest
from xtransfer.records.layout import RESUME
from xtransfer.steps.assembly import WEIGHTS
from xtransfer.steps.outcome import OUTCOME
from xtransfer.store import Store

DIGESTS = "digests.json"
BEGAN = "began"
"""When the first workers of a trial's process began, Unix s."""

log = logging.getLogger(__name__)


def hand_over(store: Store, key: str, folder: Path) -> None:
    """Put rank 0's files into the store; the trial's own process may be on another node."""
    digests = {path.name: file_digest(path) for path in sorted(folder.iterdir())}
    for name in digests:
        store.upload(_object(key, name), folder / name)
    store.write(_object(key, DIGESTS), json.dumps(digests).encode())


def fetch_outcome(store: Store, key: str, folder: Path) -> bool:
    """Fetch what rank 0 handed over, now or before the last driver was lost; False without it."""
    try:
        digests = json.loads(store.read(_object(key, DIGESTS)))
        for name in {WEIGHTS, OUTCOME, *digests}:
            if Path(name).name != name:
                raise ValueError(f"{name} is no name of a file")
            store.download(_object(key, name), folder / name)
            if file_digest(folder / name) != digests[name]:
                raise ValueError(f"{name} is damaged")
    except NotFound:
        return False
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        log.warning("step %s: what its workers left is of no use: %s", key, error)
        store.delete(_object(key, DIGESTS))
        return False
    return True


def forget_begun(store: Store, key: str) -> None:
    """Have nothing say when the workers of a trial began: none of this process's has."""
    store.delete(_object(key, BEGAN))


def say_begun(store: Store, key: str) -> None:
    """Say that the workers of a trial begin now, unless some that began before have."""
    store.create(_object(key, BEGAN), str(time.time()).encode())


def measure_wait(store: Store, key: str, asked: float) -> float:
    """Return the seconds from `asked` until the first workers began; 0 where none did, or nothing says when."""
    try:
        return max(0.0, float(store.read(_object(key, BEGAN))) - asked)
    except (NotFound, ValueError):
        return 0.0


def _object(key: str, name: str) -> str:
    return f"{RESUME}/{key}/outcome/{name}"

"""Resumable checkpoints saved while training goes on: one at a time, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from safetensors import SafetensorError

from xtransfer.errors import StoreError
from xtransfer.train.context import Checkpoint

log = logging.getLogger(__name__)


class BackgroundSaver:
    """Takes checkpoints whose tensors nobody changes any more, and saves each behind the trainer's back.

    A store or disk that refuses costs a checkpoint, not the trial: it is logged, and the next one is tried
    again. What a trial resumes from is then the one before.

    Args:
        save: writes one checkpoint, whole or not at all.
    """

    def __init__(self, save: Callable[[Checkpoint], None]) -> None:
        self._write = save
        self._thread: threading.Thread | None = None
        self._fault: Exception | None = None

    def save(self, checkpoint: Checkpoint) -> None:
        """Begin to save a checkpoint; the one before is waited for, so that memory holds only one.

        Raises:
            Exception: what went wrong with the one before, if it was neither store nor disk.
        """
        self.flush()
        self._thread = threading.Thread(
            target=self._work, args=(checkpoint,), name="checkpoint", daemon=True
        )
        self._thread.start()

    def busy(self) -> bool:
        """Return whether a checkpoint is being written, so that `save` would wait."""
        return self._thread is not None and self._thread.is_alive()

    def flush(self) -> None:
        """Wait until the last checkpoint is saved or given up. Raises as `save` does."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        fault, self._fault = self._fault, None
        if fault is not None:
            raise fault

    def _work(self, checkpoint: Checkpoint) -> None:
        try:
            self._write(checkpoint)
        except (StoreError, OSError, SafetensorError) as error:
            log.warning("no checkpoint after step %s: %s", checkpoint.state.get("step"), error)
        except Exception as error:  # noqa: BLE001 - raised where the trainer next asks
            self._fault = error

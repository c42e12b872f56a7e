"""Every error that xtransfer raises on purpose.

    XtransferError            exit status 1
    ├── UserError             exit status 2: the user can mend it
    │   ├── ConfigError       a YAML file, an override or a command-line argument
    │   └── DataError         a data file: missing, malformed, or not what the task says
    ├── StoreError            the store cannot be reached or refuses
    │   ├── NotFound          no such object
    │   └── IntegrityError    an object is not what its record says
    ├── IdentityError         a value that has no stable identity
    └── StepError             a step of the plan failed
        ├── InputLost         ... because a parent's record or files are gone or damaged
        ├── StepBusy          ... because another process is at work on it
        ├── StepLeft          ... because its machine is about to go; its state is saved
        ├── Diverged          ... because the training loss or the gradient was not finite
        └── OutOfMemory       ... because memory did not suffice; it is tried again with less

Each says where, what and what next, in this order, as one line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

LONGEST_LINE = 1_500
"""Most characters of an error's line that are printed."""
KNOWN_ENCODER = "Give an encoder of a kind that transformers knows, such as xlm-roberta."
"""What to do where a model cannot be used as an encoder."""


class XtransferError(Exception):
    """A failure with a place, a cause and, where one is known, a remedy."""

    exit_status = 1

    def __init__(self, where: str, what: str, next_: str = "") -> None:
        self.where = where
        self.what = what
        self.next = next_
        message = f"{where}: {what}" if where else what
        if next_:
            message = f"{message.rstrip('.')}. {next_}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type[XtransferError], tuple[str, str, str]]:
        """Exceptions cross process boundaries; rebuild from the three parts."""
        return (type(self), (self.where, self.what, self.next))


class UserError(XtransferError):
    """A mistake in what the user supplied."""

    exit_status = 2


class ConfigError(UserError):
    """A configuration file, an override or an argument is wrong."""


class DataError(UserError):
    """A data file is missing, malformed, or disagrees with its task."""


class StoreError(XtransferError):
    """The store cannot be reached or refuses the operation."""


class NotFound(StoreError):
    """No object of that name is in the store."""


class IntegrityError(StoreError):
    """An object differs from the size or digest that its record states."""


class IdentityError(XtransferError):
    """A value cannot be hashed because it has no stable identity."""


class StepError(XtransferError):
    """A step of the plan failed."""


class InputLost(StepError):
    """A parent's record or files are gone or damaged: that step, `where`, must be done again."""


class StepBusy(StepError):
    """Another process is at work on the step, or has taken it over."""


class StepLeft(StepError):
    """The step saved its state and ended, because its machine is about to go: it goes on elsewhere."""


class Diverged(StepError):
    """The training loss or the gradient was not finite, and the step was not to be left out."""


class OutOfMemory(StepError):
    """Memory did not suffice for a trial, which can be tried again in smaller micro-batches."""


def shown(text: str, *, most: int = 80) -> str:
    """Return a text from a file as an error shows it: one line, and no more than `most` characters."""
    cut = text if len(text) <= most else f"{text[:most]}..."
    return cut if cut.isprintable() else repr(cut)[1:-1]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return a sentence that offers the known name nearest to `word`, empty where none is near.

    Where none is near as it is written, small and capital letters are taken for the same.
    """
    names = list(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not near:
        small = {name.casefold(): name for name in reversed(names)}
        found = difflib.get_close_matches(word.strip().casefold(), list(small), n=1, cutoff=0.6)
        near = [small[each] for each in found]
    return f"Did you mean '{near[0]}'?" if near else ""

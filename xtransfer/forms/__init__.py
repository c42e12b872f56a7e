"""What a task does is its form's business: one module of functions per task shape.

Every form has `encode` (examples to token ids) and `describe` (what scoring needs of an example). The
forms that train have `Head`, `gold_tensors` and `loss`, and `decode` unless their loss is the score. Some
have more:

SEQUENCE_LENGTHS    rows hold several token sequences, joined: the column with the length of each
WHOLE_BATCH         the loss cannot be summed over parts of a batch
scored              which examples are scored, where not all are
positions           which positions of a batch the head is asked for, where not all are
TOKEN_GOLD          gold tensors of one value a token, and what each has where a row is padded

bitext, choice, classification, mlm, retrieval, span, tagging    the forms
encoding    what they share when they encode examples
files       encoded rows as Arrow files, which every trial of a node maps into its memory
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from xtransfer.forms import bitext, choice, classification, mlm, retrieval, span, tagging
from xtransfer.forms.encoding import Encoded, Rows, lists

Chosen = Sequence[int] | npt.NDArray[np.int64]
"""Row numbers."""

FORMS: Mapping[str, ModuleType] = {
    "classification": classification,
    "choice": choice,
    "tagging": tagging,
    "span": span,
    "bitext": bitext,
    "mlm": mlm,
    "retrieval": retrieval,
}


def scored_examples(form: str, examples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the examples that `decode` predicts for, in order, each with its `gold`."""
    return getattr(FORMS[form], "scored", list)(examples)


def sequences(form: str, rows: Rows, chosen: Chosen, column: str) -> list[npt.NDArray[np.int32]]:
    """Return what the encoder is given of the chosen rows: a column's values, an array a sequence."""
    found = lists(rows[column], chosen)
    several = getattr(FORMS[form], "SEQUENCE_LENGTHS", None)
    if several is None:
        return found
    out: list[npt.NDArray[np.int32]] = []
    for values, lengths in zip(found, lists(rows[several], chosen), strict=True):
        out += np.split(values, np.cumsum(lengths)[:-1])
    return out


def split_logits(form: str, logits: Tensor, rows: Rows, chosen: Chosen) -> Iterable[Tensor]:
    """Return the logits of each chosen row, given those of all their sequences [sequences, ...].

    A row of several sequences has [its sequences, ...]; a row of one has no such dimension.
    """
    several = getattr(FORMS[form], "SEQUENCE_LENGTHS", None)
    if several is None:
        return logits
    return logits.split([len(lengths) for lengths in lists(rows[several], chosen)])


def longest_sequence(form: str, encoded: Encoded) -> int:
    """Return the tokens of the longest sequence that the encoder is given at once, 0 without any."""
    several = getattr(FORMS[form], "SEQUENCE_LENGTHS", None)
    if several is not None:
        return max(chain.from_iterable(encoded.columns[several]), default=0)
    return max(map(len, encoded.columns["input_ids"]), default=0)

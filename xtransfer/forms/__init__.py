"""What a task does is its form's business: one module of functions per task shape.

Every form has `encode` (examples to token ids) and `describe` (what scoring needs of an example). The
forms that train have `Head`, `gold_tensors` and `loss`, and `decode` unless their loss is the score. A
form whose rows hold several token sequences says how, by `SEQUENCE_LENGTHS` (the column with the tokens of
each), `sequences` and `split_logits`; elsewhere a row is one sequence. One whose examples are not all scored says which are, by `scored`; one whose loss cannot
be summed over parts of a batch says so, by `WHOLE_BATCH`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from types import ModuleType
from typing import Any

from xtransfer.forms import bitext, choice, classification, mlm, retrieval, span, tagging
from xtransfer.forms.encoding import Encoded

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


def longest_sequence(form: str, encoded: Encoded) -> int:
    """Return the tokens of the longest sequence that the encoder is given at once, 0 without any."""
    several = getattr(FORMS[form], "SEQUENCE_LENGTHS", None)
    if several is not None:
        return max(chain.from_iterable(encoded.columns[several]), default=0)
    return max(map(len, encoded.columns["input_ids"]), default=0)

"""What a task does is its form's business: one module of functions per task shape.

Every form has `encode` (examples to token ids) and `describe` (what scoring needs of an example). The
forms that train have `Head`, `gold_tensors` and `loss`, and `decode` unless their loss is the score. A
form whose rows hold several token sequences says how, by `sequences` and `split_logits`; elsewhere a row
is one sequence. One whose examples are not all scored says which are, by `scored`; one whose loss cannot
be summed over parts of a batch says so, by `WHOLE_BATCH`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from xtransfer.forms import bitext, choice, classification, mlm, retrieval, span, tagging

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

"""What a task does is its form's business: one module of functions per task shape.

Every form has `encode` (examples to token ids) and `describe` (what scoring needs of an example). The
forms that train have `Head`, `gold_tensors` and `loss`, and `decode` unless their loss is the score. A form whose rows hold several
token sequences says how, by `sequences` and `split_logits`; elsewhere a row is one sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from xtransfer.forms import bitext, choice, classification, mlm, span, tagging

FORMS: Mapping[str, ModuleType] = {
    "classification": classification,
    "choice": choice,
    "tagging": tagging,
    "span": span,
    "bitext": bitext,
    "mlm": mlm,
}

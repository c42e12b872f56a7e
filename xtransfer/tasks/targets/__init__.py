"""The target tasks of XTREME and XTREME-R.

Epochs, batch sizes and lengths of the stages are those of jiant's X-STILTs scripts and, for XTREME-R's
own tasks, of its scripts. Files default to the layout in which XTREME prepares them, but Tatoeba to
LASER's: XTREME sorts the English side, so that its two files are no longer parallel.

classification    comparing or choosing sentences: XNLI, PAWS-X, XCOPA
tagging           labelling words: UD-POS, PAN-X
qa                finding the answer in a text: XQuAD, MLQA, TyDi QA
retrieval         finding a sentence, a passage or an entity: Tatoeba, BUCC 2018, LAReQA, Mewsli-X
"""

from __future__ import annotations

from xtransfer.tasks.targets.classification import PAWSX, XCOPA, XNLI
from xtransfer.tasks.targets.qa import MLQA, TYDIQA, XQUAD
from xtransfer.tasks.targets.retrieval import BUCC2018, LAREQA, MEWSLIX, TATOEBA
from xtransfer.tasks.targets.tagging import PANX, UDPOS

TARGETS = (
    XNLI,
    XQUAD,
    UDPOS,
    TATOEBA,
    PAWSX,
    PANX,
    MLQA,
    TYDIQA,
    XCOPA,
    BUCC2018,
    LAREQA,
    MEWSLIX,
)
"""In the order in which they are listed."""

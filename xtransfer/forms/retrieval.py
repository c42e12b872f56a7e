"""Retrieval by a bi-encoder: queries and candidates become unit vectors, and the nearest answer.

After XTREME-R's training scripts (google-research/xtreme, third_party/bert.py, run_retrieval_qa.py):
one encoder for both, dense and tanh on the first token, cosine times a learnt scale, cross-entropy
with the other candidates of the batch as the wrong ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.data.examples import RankingExample
from xtransfer.forms.encoding import Encoded, Rows, encode_texts, ints
from xtransfer.retrieval.neighbours import nearest

JsonDict = dict[str, Any]

SEQUENCE_LENGTHS = "lengths"
"""Column with the tokens of the query and of the candidate of a row."""
WHOLE_BATCH = True
"""The loss compares every query of a batch with every candidate, so a batch cannot be divided."""
FOUND = 20
"""Candidates that are named for each query: as many as XTREME-R's measures look at."""
MAX_QUERY = 96
"""Longest query in tokens; XTREME-R's --max_query_length for LAReQA. Mewsli-X has 64 for both."""
SCALE = 100.0
"""What cosines are multiplied by before training."""


def encode(
    examples: Sequence[RankingExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise queries, and candidates with their context; a row holds either or both, joined.

    `lengths` says how long each of them is.
    """
    queries = [example for example in examples if example.query is not None]
    candidates = [example for example in examples if example.candidate is not None]
    contexts = [example.context for example in candidates]
    asked, cut_queries = encode_texts(
        tokenizer,
        [example.query or "" for example in queries],
        None,
        max_length=min(MAX_QUERY, max_length),
    )
    offered, cut_candidates = encode_texts(
        tokenizer,
        [example.candidate or "" for example in candidates],
        contexts if any(contexts) else None,
        max_length=max_length,
    )
    next_query, next_candidate = _rows(asked), _rows(offered)
    parts = [
        [
            *([next(next_query)] if example.query is not None else []),
            *([next(next_candidate)] if example.candidate is not None else []),
        ]
        for example in examples
    ]
    columns: dict[str, list[Any]] = {
        "input_ids": [list(chain.from_iterable(ids for ids, _ in row)) for row in parts],
        SEQUENCE_LENGTHS: [[len(ids) for ids, _ in row] for row in parts],
        "example": list(range(len(examples))),
        "weight": [1] * len(examples),
    }
    if "token_type_ids" in asked or "token_type_ids" in offered:
        columns["token_type_ids"] = [
            list(chain.from_iterable(types for _, types in row)) for row in parts
        ]
    counts = {"queries cut": cut_queries, "candidates cut": cut_candidates}
    return Encoded(columns=columns, counts=counts)


def describe(example: RankingExample) -> JsonDict:
    """Return what ranking and scoring need of an example."""
    out: JsonDict = {"id": example.id, "match": list(example.match)}
    if example.query is not None:
        out["asks"] = True
    if example.candidate is not None:
        out["candidate"] = example.candidate_id
    return out


def scored(examples: Sequence[JsonDict]) -> list[JsonDict]:
    """Return the queries among the examples, in order, with their gold candidates as `gold`.

    Query and candidate belong together where they share an entry of `match`. A query without any
    has no label (None); one whose label no candidate has, an empty list.
    """
    answers: dict[str, dict[str, None]] = {}
    for example in examples:
        for name in example["match"] if "candidate" in example else ():
            answers.setdefault(name, {})[example["candidate"]] = None
    return [
        {
            "id": example["id"],
            "gold": list(dict.fromkeys(chain.from_iterable(answers.get(n, ()) for n in names)))
            if (names := example["match"])
            else None,
        }
        for example in examples
        if example.get("asks")
    ]


class Head(nn.Module):
    """Dense and tanh on the first token, at unit length, times the root of the learnt scale.

    So the inner product of two outputs is XTREME-R's logit: cosine times scale.
    """

    first_token = True
    """Says that no other state is read."""

    def __init__(self, hidden: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(hidden, hidden)
        self.scale = nn.Parameter(torch.tensor([SCALE]))

    def forward(self, states: Tensor) -> Tensor:
        """Map states [sequences, length, hidden] to vectors [sequences, hidden]."""
        pooled = torch.tanh(self.project(states[:, 0])).float()
        return functional.normalize(pooled, dim=-1) * self.scale.float().sqrt()


def gold_tensors(rows: Rows, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return nothing: of a batch of pairs, row i's candidate is the answer to its query."""
    return {}


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the summed cross-entropy of each query over the candidates of the batch.

    Vectors are [2 x pairs, hidden], queries and candidates in turn.
    """
    scores = logits[0::2].float() @ logits[1::2].float().T
    right = torch.arange(len(scores), device=scores.device)
    return functional.cross_entropy(scores, right, reduction="sum")


def decode(
    logits: Sequence[Tensor],
    rows: Rows,
    examples: Sequence[JsonDict],
    labels: Sequence[str],
) -> list[list[str]]:
    """Return for each query the ids of the best candidates of all rows, the best first.

    logits[i] is [1 or 2, hidden]; a candidate that is in several rows counts once.
    """
    queries: list[Tensor] = []
    candidates: dict[str, Tensor] = {}
    for vectors, owner in zip(logits, ints(rows["example"], range(len(logits))), strict=True):
        example = examples[int(owner)]
        if example.get("asks"):
            queries.append(vectors[0])
        if "candidate" in example:
            candidates.setdefault(example["candidate"], vectors[-1])
    if not queries or not candidates:
        return [[] for _ in queries]
    return rank(torch.stack(queries), torch.stack(list(candidates.values())), list(candidates))


def rank(
    queries: Tensor, candidates: Tensor, names: Sequence[str], *, device: str = "cpu"
) -> list[list[str]]:
    """Return the names of the nearest candidates of each query, the best first.

    Vectors are [queries, hidden] and [candidates, hidden].
    """
    _, found = nearest(queries, candidates, FOUND, device=device)
    return [[names[int(at)] for at in row] for row in found]


def _rows(columns: dict[str, list[Any]]) -> Any:
    """Yield the ids and token types of each text; types are 0 where the tokenizer has none."""
    types = columns.get("token_type_ids") or [[0] * len(ids) for ids in columns["input_ids"]]
    return zip(columns["input_ids"], types, strict=True)

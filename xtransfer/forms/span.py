"""Extractive question answering: the first and last token of the answer in a paragraph.

Two things are not as in BERT's run_squad, nor in what derives from it (XTREME, jiant). Spans of all windows compete:
there one begins only in the window in which its first token has most context around it ("max context"). And the
softmax of training is over the paragraph's tokens and <s>: there it is over all positions, padding too.
"""

from __future__ import annotations

import itertools
import unicodedata
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.data.examples import SpanExample
from xtransfer.forms.encoding import Encoded, Rows, ints, lists
from xtransfer.tasks.task import NO_ANSWER

JsonDict = dict[str, Any]

MAX_QUESTION = 64
"""Longest question in tokens (BERT's run_squad); longer ones are cut and counted."""
MAX_ANSWER = 30
"""Longest predicted answer in tokens (BERT's run_squad)."""
_AT_ONCE = 64
"""Examples whose windows a tokenizer makes at once, in a form that takes some 100 bytes a token."""


def encode(
    examples: Sequence[SpanExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise (question, context) into windows of `max_length` that begin `stride` tokens apart.

    So `doc_stride` is meant in BERT's run_squad, jiant and XTREME; 0: side by side. Steps are shorter
    where an answer of 30 tokens would else be whole in no window.

    Each window is a row. `start` and `end` are token positions of the first answer, 0 (the <s> token)
    where the window does not hold all of it. `context` is [first, one past last] token of the
    paragraph, `offsets` the flattened character span of each of those tokens.
    """
    columns: dict[str, list[Any]] = {
        name: []
        for name in ("input_ids", "example", "weight", "start", "end", "context", "offsets")
    }
    counts = {"contexts windowed": 0, "questions cut": 0}
    if not examples:
        return Encoded(columns=columns, counts=counts)
    # No question takes more than half of a short input: a window must hold some of the context.
    longest = min(MAX_QUESTION, (max_length - 4) // 2)
    questions, counts["questions cut"] = _cut(
        [example.question for example in examples], tokenizer, longest
    )
    windows = _windows(questions, examples, tokenizer, max_length, stride)
    if any(any(window.types) for window in windows):
        columns["token_type_ids"] = [window.types for window in windows]
    number = np.bincount([window.owner for window in windows], minlength=len(examples))
    counts["contexts windowed"] = int((number > 1).sum())
    found = {owner for owner, example in enumerate(examples) if not example.answers}
    for window in windows:
        start, end = _locate(examples[window.owner], window.offsets, window.first)
        if end > 0:
            found.add(window.owner)
        columns["input_ids"].append(window.ids)
        columns["example"].append(window.owner)
        columns["weight"].append(1)
        columns["start"].append(start)
        columns["end"].append(end)
        columns["context"].append([window.first, window.first + len(window.offsets) // 2])
        columns["offsets"].append(window.offsets)
    counts["answers whole in no window"] = len(examples) - len(found)
    return Encoded(columns=columns, counts=counts)


@dataclass(frozen=True, slots=True)
class _Window:
    """A question and a part of its context, of which a large data set has hundreds of thousands."""

    owner: int
    """Number of the example."""
    ids: array[int]
    types: array[int]
    """Token types; empty where the tokenizer has none."""
    first: int
    """Position of the context's first token; 0 where there is none."""
    offsets: array[int]
    """First and one past last character of each token of the context, one after the other."""


def _windows(
    questions: Sequence[str],
    examples: Sequence[SpanExample],
    tokenizer: Any,
    max_length: int,
    stride: int,
) -> list[_Window]:
    """Return the windows of all examples, in their order."""
    lengths = [len(ids) for ids in tokenizer(questions, add_special_tokens=False)["input_ids"]]
    special = tokenizer.num_special_tokens_to_add(pair=True)
    windows: list[_Window] = []
    for length, owners in _batches(lengths):
        # The tokenizer is told how far windows overlap, which depends on the question's length.
        room = max_length - special - length
        encoded = tokenizer(
            [questions[owner] for owner in owners],
            [examples[owner].context for owner in owners],
            truncation="only_second",
            max_length=max_length,
            stride=room - _step(stride, room),
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        types = encoded.get("token_type_ids")
        places = encoded["overflow_to_sample_mapping"]
        for row, place in enumerate(places):
            inside = [at for at, side in enumerate(encoded.sequence_ids(row)) if side == 1]
            first, last = (inside[0], inside[-1] + 1) if inside else (0, 0)
            offsets = encoded["offset_mapping"][row][first:last]
            if place not in places[row + 1 : row + 2]:  # the last window of its example
                offsets = [*offsets, (len(examples[owners[place]].context),) * 2]
            marked = _with_marks(offsets, examples[owners[place]].context)[: last - first]
            windows.append(
                _Window(
                    owner=owners[place],
                    ids=array("i", encoded["input_ids"][row]),
                    types=array("i", () if types is None else types[row]),
                    first=first,
                    offsets=array("i", itertools.chain.from_iterable(marked)),
                )
            )
    return sorted(windows, key=lambda window: window.owner)  # stable: windows stay in order


def _batches(lengths: Sequence[int]) -> Iterator[tuple[int, list[int]]]:
    """Yield lengths of questions with the numbers of examples that have them, so many as are tokenised at once."""
    for length in sorted(set(lengths)):
        owners = [owner for owner, each in enumerate(lengths) if each == length]
        for first in range(0, len(owners), _AT_ONCE):
            yield length, owners[first : first + _AT_ONCE]


def _with_marks(offsets: list[tuple[int, int]], context: str) -> list[tuple[int, int]]:
    """Return the offsets of tokens, each but the last with what goes on its last character before the next.

    A tokenizer that composes characters leaves the rest of decomposed ones in no token.
    """
    if context.isascii():
        return offsets
    found: list[tuple[int, int]] = []
    for (left, right), (limit, _) in itertools.pairwise(offsets):
        end = right
        while end < limit and _goes_on(context[end]):
            end += 1
        found.append((left, end))
    return [*found, *offsets[-1:]]


def _goes_on(letter: str) -> bool:
    """Say whether a letter is part of the character before it: a combining mark, or Hangul in parts (jamo)."""
    if unicodedata.category(letter).startswith("M"):
        return True
    return "\u1160" <= letter <= "\u11ff" or "\ud7b0" <= letter <= "\ud7ff"  # vowels and finals


def _step(stride: int, room: int) -> int:
    """Return how many tokens of a context lie between the beginnings of two windows that hold `room`."""
    if stride == 0:
        return room
    return min(stride, max(room - MAX_ANSWER, room // 2, 1))


class Head(nn.Module):
    """One linear layer that scores every position as start and as end."""

    def __init__(self, hidden: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(hidden, 2)

    def forward(self, states: Tensor) -> Tensor:
        """Map states [batch, length, hidden] to start and end logits [batch, length, 2]."""
        return self.project(states)


def gold_tensors(rows: Rows, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return `start`, `end` [batch] and `context` [batch, 2], all token positions."""
    return {
        "start": torch.from_numpy(ints(rows["start"], chosen)),
        "end": torch.from_numpy(ints(rows["end"], chosen)),
        "context": torch.from_numpy(np.stack(lists(rows["context"], chosen)).astype(np.int64)),
    }


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the cross-entropy of start and end, halved, summed over the batch.

    Positions outside the paragraph other than <s> (the null answer) are not candidates.
    """
    positions = torch.arange(logits.shape[1], device=logits.device)[None]
    context = batch["context"]
    allowed = (positions >= context[:, :1]) & (positions < context[:, 1:]) | (positions == 0)
    scores = logits.float().masked_fill(~allowed[..., None], float("-inf"))
    sides = [
        functional.cross_entropy(scores[..., side], batch[name], reduction="sum")
        for side, name in enumerate(("start", "end"))
    ]
    return 0.5 * torch.stack(sides).sum()


def decode(
    logits: Sequence[Tensor],
    rows: Rows,
    examples: Sequence[JsonDict],
    labels: Sequence[str],
) -> list[str] | list[JsonDict]:
    """Return the text of the best span over all windows of each example; logits[i] is [length, 2].

    A span's score is the sum of its two logits. The null answer is not a candidate: SQuAD v1.1, XQuAD,
    MLQA and TyDiQA GoldP have an answer to every question. With the label `NO_ANSWER` (SQuAD v2.0) a
    prediction is `{"text": ..., "null_odds": ...}`: the best span all the same, and by how much the
    null answer, the sum of the two logits at <s>, beats it. Of several windows the lowest null score
    counts, the one of the window that is least sure to hold no answer (BERT's run_squad).
    """
    best = [(-np.inf, "")] * len(examples)
    null = [np.inf] * len(examples)
    owners = rows["example"]
    for row, scores in enumerate(logits):
        owner = int(owners[row])
        null[owner] = min(null[owner], float(scores[0].float().sum()))
        first, last = (int(edge) for edge in lists(rows["context"], [row])[0])
        if first == last:
            continue
        offsets = lists(rows["offsets"], [row])[0].reshape(-1, 2)
        inside = scores[first:last].float().numpy()
        score, start, end = best_span(inside[:, 0], inside[:, 1])
        if score > best[owner][0]:
            context = examples[owner]["context"]
            best[owner] = (score, context[int(offsets[start, 0]) : int(offsets[end, 1])].strip())
    if NO_ANSWER not in labels:
        return [text for _, text in best]
    # A context without tokens has no span: its text is empty whatever the odds are.
    return [
        {"text": text, "null_odds": nothing - something if np.isfinite(something) else 0.0}
        for (something, text), nothing in zip(best, null, strict=True)
    ]


def best_span(start: Any, end: Any) -> tuple[float, int, int]:
    """Return score, first and last position of the best span of at most 30 tokens.

    `start` and `end` are logits, each [length]; time and memory are length x 30.
    """
    width = min(MAX_ANSWER, len(start))
    padded = np.concatenate([end, np.full(width - 1, -np.inf, dtype=end.dtype)])
    sums = start[:, None] + np.lib.stride_tricks.sliding_window_view(padded, width)
    at = int(sums.argmax())
    return float(sums.flat[at]), at // width, at // width + at % width


def describe(example: SpanExample) -> JsonDict:
    """Return what decoding and scoring need of an example."""
    return {
        "id": example.id,
        "gold": [text for text, _ in example.answers],
        "context": example.context,
    }


def _cut(texts: list[str], tokenizer: Any, longest: int) -> tuple[list[str], int]:
    """Return the texts, those over `longest` tokens cut at a token's edge, and how many were."""
    encoded = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
    edges = [
        offsets[longest - 1][1] if len(offsets) > longest else len(text)
        for text, offsets in zip(texts, encoded["offset_mapping"], strict=True)
    ]
    cut = sum(len(offsets) > longest for offsets in encoded["offset_mapping"])
    return [text[:edge] for text, edge in zip(texts, edges, strict=True)], cut


def _locate(example: SpanExample, offsets: Sequence[int], first: int) -> tuple[int, int]:
    """Return the token positions of the first answer in a window, (0, 0) where it is not all there."""
    if not example.answers or not offsets:
        return 0, 0
    text, begin = example.answers[0]
    stop = begin + len(text)
    starts = [position for position, right in enumerate(offsets[1::2]) if right > begin]
    ends = [position for position, left in enumerate(offsets[::2]) if left < stop]
    if not starts or not ends or offsets[0] > begin or offsets[-1] < stop:
        return 0, 0
    return first + starts[0], first + ends[-1]

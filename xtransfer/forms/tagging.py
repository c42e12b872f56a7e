"""Tagging: one label a word, read off the word's first subword."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from xtransfer.data.examples import TaggingExample
from xtransfer.forms.encoding import IGNORED, Encoded, Rows, lists, pad, special_tokens

JsonDict = dict[str, Any]


def encode(
    examples: Sequence[TaggingExample],
    tokenizer: Any,
    *,
    labels: Sequence[str],
    max_length: int,
    stride: int,
) -> Encoded:
    """Tokenise sentences word by word; a sentence over `max_length` tokens becomes several rows.

    Words are tokenised as they stand in a text, with spaces between them. Rows split between words, so
    every word keeps its label. A word that the tokenizer drops is given the unknown token; a word longer
    than a whole row keeps the first subwords, as many as fit beside the special tokens. A tag that is none
    of `labels` takes no part in the loss; scores count it as it stands.
    """
    prefix, suffix = special_tokens(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    index = {label: position for position, label in enumerate(labels)}
    columns: dict[str, list[Any]] = {
        name: [] for name in ("input_ids", "labels", "words", "example", "weight")
    }
    counts = {"sentences split": 0, "words cut": 0, "words with an unknown tag": 0}
    for number, (example, words) in enumerate(
        zip(examples, _subwords(examples, tokenizer), strict=True)
    ):
        tags = example.tags or (None,) * len(words)
        pieces = list(_pieces(words, room))
        counts["sentences split"] += len(pieces) > 1
        for first, last in pieces:
            ids = list(prefix)
            targets = [IGNORED] * len(prefix)
            starts: list[int] = []
            for word, tag in zip(words[first:last], tags[first:last], strict=True):
                counts["words cut"] += len(word) > room
                starts.append(len(ids))
                ids += word[:room]
                label = IGNORED if tag is None else index.get(tag, IGNORED)
                counts["words with an unknown tag"] += tag is not None and label == IGNORED
                targets += [label, *[IGNORED] * (len(word[:room]) - 1)]
            columns["input_ids"].append(ids + suffix)
            columns["labels"].append(targets + [IGNORED] * len(suffix))
            columns["words"].append(starts)
            columns["example"].append(number)
            columns["weight"].append(max(1, sum(target != IGNORED for target in targets)))
    return Encoded(columns=columns, counts=counts)


TOKEN_GOLD = {"labels": IGNORED}


class Head(nn.Module):
    """Dropout and one linear layer on every position."""

    def __init__(self, hidden: int, labels: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(hidden, labels)

    def forward(self, states: Tensor) -> Tensor:
        """Map states [batch, length, hidden] to logits [batch, length, labels]."""
        return self.project(self.dropout(states))


def gold_tensors(rows: Rows, chosen: Sequence[int]) -> dict[str, Tensor]:
    """Return `labels` [batch, length], -100 where a position is not a word's first subword."""
    return {"labels": torch.from_numpy(pad(lists(rows["labels"], chosen), IGNORED))}


def loss(logits: Tensor, batch: dict[str, Tensor]) -> Tensor:
    """Return the cross-entropy summed over the words of the batch."""
    return functional.cross_entropy(
        logits.float().flatten(0, 1),
        batch["labels"].flatten(),
        ignore_index=IGNORED,
        reduction="sum",
    )


def decode(
    logits: Sequence[Tensor], rows: Rows, examples: Sequence[JsonDict], labels: Sequence[str]
) -> list[list[str]]:
    """Return one tag a word for each example, joining split sentences; logits[i] is [length, n]."""
    tags: list[list[str]] = [[] for _ in examples]
    owner = rows["example"]
    for row, scores in enumerate(logits):
        best = scores.argmax(-1)
        for position in lists(rows["words"], [row])[0]:
            tags[int(owner[row])].append(labels[int(best[int(position)])])
    return tags


def describe(example: TaggingExample) -> JsonDict:
    """Return what scoring needs of an example."""
    return {"id": example.id, "gold": None if example.tags is None else list(example.tags)}


def _subwords(examples: Sequence[TaggingExample], tokenizer: Any) -> Iterator[list[list[int]]]:
    """Yield each sentence as one list of subword ids a word, never empty."""
    if not examples:
        return
    # Tokenizers that have the space before a word in its first token (byte-level BPE such as RoBERTa's, Gemma's)
    # take words that are given one by one for parts of a single word.
    space = " " if _joins_words(tokenizer) else ""
    encoded = tokenizer(
        [
            [space * (at > 0) + word for at, word in enumerate(example.tokens)]
            for example in examples
        ],
        is_split_into_words=True,
        add_special_tokens=False,
    )
    for number, example in enumerate(examples):
        words: list[list[int]] = [[] for _ in example.tokens]
        ids = encoded["input_ids"][number]
        for token, word in zip(ids, encoded.word_ids(number), strict=True):
            if word is not None:
                words[word].append(token)
        yield [word or [tokenizer.unk_token_id] for word in words]


def _joins_words(tokenizer: Any) -> bool:
    """Tell whether words given one by one become the tokens that they have in a text only with spaces before."""
    plain = tokenizer("a b", add_special_tokens=False)["input_ids"]
    bare, spaced = (
        tokenizer(words, is_split_into_words=True, add_special_tokens=False)["input_ids"]
        for words in (["a", "b"], ["a", " b"])
    )
    return bare != plain and spaced == plain


def _pieces(words: Sequence[Sequence[int]], room: int) -> Iterator[tuple[int, int]]:
    """Yield (first word, one past the last) of each row, filling rows as far as they go."""
    first = used = 0
    for position, word in enumerate(words):
        size = min(len(word), room)
        if used + size > room:
            yield first, position
            first, used = position, 0
        used += size
    yield first, len(words)

"""Which rows form which batch: a pure function of (row lengths, batch size, seed, epoch).

Nothing here depends on the number of workers, so a resumed or resized run sees the same batches.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

PADDED = ((64, 4), (128, 8))
"""Inputs of up to so many tokens are padded to a multiple of so many ..."""
PADDED_BEYOND = 32
"""... and longer ones of these. Libraries build and keep kernels for each length that they meet: there are 16 up to 64
tokens, 24 up to 128, 36 up to 512, for 4 to 7 % more tokens (MNLI, tagging, SQuAD) than the longest rows have."""

POOL = 50
"""Batches' worth of shuffled rows that are sorted by length together (as Trainer's group_by_length
does), so that rows of a batch are of like length and little is padded."""
PREDICTION_TOKENS = {"cpu": 1024, "cuda": 32_768}
"""Tokens, padding included, in one prediction batch of one worker, by kind of device. On a CPU larger
batches fall out of the cache: half the speed at 8,192."""


def epoch_batches(
    lengths: npt.NDArray[np.int64], *, batch_size: int, seed: int, epoch: int
) -> list[Indices]:
    """Return the batches of one epoch, each an array of row numbers; the last may be smaller.

    Every row appears exactly once. Rows are shuffled, sorted by length within pools of 50 batches,
    cut into batches, and the batches are shuffled.
    """
    random = np.random.default_rng([seed, epoch])
    order = random.permutation(len(lengths))
    pool = POOL * batch_size
    batches: list[Indices] = []
    for start in range(0, len(order), pool):
        chunk = order[start : start + pool]
        chunk = chunk[np.argsort(-lengths[chunk], kind="stable")]
        batches += [chunk[at : at + batch_size] for at in range(0, len(chunk), batch_size)]
    return [batches[at] for at in random.permutation(len(batches))]


def padded_length(tokens: int, longest: int | None) -> int:
    """Return how many tokens the rows of a batch are padded to.

    Args:
        tokens: of its longest row.
        longest: that the encoder has positions for, which padding keeps within; None: no bound.
    """
    multiple = next((each for most, each in PADDED if tokens <= most), PADDED_BEYOND)
    wanted = -(-tokens // multiple) * multiple
    return wanted if longest is None else max(tokens, min(wanted, longest))


def steps_per_epoch(rows: int, batch_size: int) -> int:
    """Return the number of optimizer steps in one epoch."""
    return -(-rows // batch_size)


def split_batch(batch: Indices, *, shards: int, micro_batch: int | None) -> list[list[Indices]]:
    """Return the micro-batches of each shard of a global batch.

    Shards take rows in turn, so lengths are balanced. Each has the same number of micro-batches, since
    one may be a collective operation of the workers; some may be empty.
    """
    share = -(-len(batch) // shards)
    pieces = -(-share // (micro_batch or share))
    return [np.array_split(batch[shard::shards], pieces) for shard in range(shards)]


def own_shards(
    batch: Indices, *, rank: int, world_size: int, shards: int, micro_batch: int | None
) -> dict[int, list[Indices]]:
    """Return a worker's shards of a global batch, each as micro-batches: as many as any worker has.

    Args:
        batch: row numbers.
        rank: of the worker.
        world_size: number of workers.
        shards: that the batch is cut into; at least one for each worker.
        micro_batch: most rows at once; None: a whole shard.
    """
    shards = max(shards, world_size)
    parts = split_batch(batch, shards=shards, micro_batch=micro_batch)
    empty = [batch[:0]] * len(parts[0])
    own = range(rank, -(-shards // world_size) * world_size, world_size)
    return {shard: parts[shard] if shard < shards else empty for shard in own}


def prediction_batches(lengths: npt.NDArray[np.int64], *, tokens: int) -> list[Indices]:
    """Return batches that cover every row once, longest first, each of at most `tokens` with padding.

    A row longer than `tokens` is a batch by itself.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[Indices] = []
    start = 0
    while start < len(order):
        width = padded_length(max(1, int(lengths[order[start]])), None)
        size = max(1, tokens // width)
        batches.append(order[start : start + size])
        start += size
    return batches

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.train.batching import (
    POOL,
    epoch_batches,
    padded_length,
    prediction_batches,
    split_batch,
    steps_per_epoch,
)

LENGTHS = st.lists(st.integers(1, 50), min_size=1, max_size=300).map(np.array)


@given(LENGTHS, st.integers(1, 20), st.integers(0, 3), st.integers(0, 3))
def test_an_epoch_has_every_row_once(
    lengths: np.ndarray, batch_size: int, seed: int, epoch: int
) -> None:
    batches = epoch_batches(lengths, batch_size=batch_size, seed=seed, epoch=epoch)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    assert len(batches) == steps_per_epoch(len(lengths), batch_size)
    assert sorted(map(len, batches), reverse=True)[:-1] == [batch_size] * (len(batches) - 1)


def test_batches_follow_from_seed_and_epoch_alone() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 500)

    def order(seed: int, epoch: int) -> list[int]:
        batches = epoch_batches(lengths, batch_size=8, seed=seed, epoch=epoch)
        return np.concatenate(batches).tolist()

    assert order(1, 0) == order(1, 0)
    assert len({tuple(order(seed, epoch)) for seed in (1, 2) for epoch in (0, 1)}) == 4


def test_rows_of_a_batch_are_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(4, 60, 8 * POOL)
    batches = epoch_batches(lengths, batch_size=8, seed=1, epoch=0)
    spread = [int(np.ptp(lengths[batch])) for batch in batches]
    assert max(spread) <= 4


@given(st.integers(1, 70), st.integers(1, 8), st.none() | st.integers(1, 10), st.integers(0, 2**31))
def test_the_workers_share_a_batch_out_in_equally_many_parts(
    size: int, world_size: int, micro_batch: int | None, seed: int
) -> None:
    batch = np.random.default_rng(seed).permutation(size)
    shares = split_batch(batch, shards=world_size, micro_batch=micro_batch)
    assert len(shares) == world_size
    assert len({len(parts) for parts in shares}) == 1
    assert all(len(part) <= (micro_batch or size) for parts in shares for part in parts)
    rows = np.concatenate([part for parts in shares for part in parts])
    assert sorted(rows) == list(range(size))
    sizes = [sum(map(len, parts)) for parts in shares]
    assert max(sizes) - min(sizes) <= 1


@given(LENGTHS, st.integers(1, 400))
def test_prediction_batches_cover_every_row_within_the_budget(
    lengths: np.ndarray, tokens: int
) -> None:
    batches = prediction_batches(lengths, tokens=tokens)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        width = padded_length(int(lengths[batch].max()), None)
        assert len(batch) == 1 or len(batch) * width <= tokens


def test_batches_are_padded_to_few_lengths_that_are_not_much_longer() -> None:
    lengths = range(1, 513)
    padded = [padded_length(each, None) for each in lengths]
    assert len(set(padded[:64])) == 16
    assert len(set(padded[:128])) == 24
    assert len(set(padded)) == 36
    assert all(
        0 <= wide - each < max(4, each / 4) for each, wide in zip(lengths, padded, strict=True)
    )


@given(st.integers(1, 600), st.integers(1, 600))
def test_padding_keeps_within_the_positions_of_an_encoder(tokens: int, longest: int) -> None:
    found = padded_length(tokens, longest)
    assert tokens <= found <= max(tokens, longest)
    assert found <= padded_length(tokens, None)

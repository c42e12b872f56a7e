"""Batches without gradients: each row once, whatever memory there is and whoever has its batch."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from torch import Tensor

from xtransfer.train.batching import Indices
from xtransfer.train.context import Context
from xtransfer.train.lookahead import own_results, results

BATCHES = [np.arange(0, 8), np.arange(8, 16), np.arange(16, 21)]


class Memory:
    """Holds so many rows at once, and counts the rest."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.refused = 0

    def work(self, batch: Indices) -> Tensor:
        if len(batch) > self.rows:
            self.refused += 1
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.from_numpy(batch).double() ** 2


@pytest.mark.parametrize(("rows", "refused"), [(8, 0), (4, 1), (3, 2), (1, 3)])
def test_batches_are_cut_until_they_fit(
    rows: int, refused: int, caplog: pytest.LogCaptureFixture
) -> None:
    memory = Memory(rows)
    with caplog.at_level(logging.WARNING):
        found = list(results(BATCHES, memory.work, Context()))
    assert np.concatenate([batch for batch, _ in found]).tolist() == list(range(21))
    assert all(torch.equal(value, torch.from_numpy(batch) ** 2.0) for batch, value in found)
    assert memory.refused == refused  # later ones are cut before they are tried
    assert caplog.text.count("no memory for") == refused


def test_a_row_that_does_not_fit_alone_is_refused() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        list(results(BATCHES, Memory(0).work, Context()))


def test_workers_that_must_run_alike_cut_nothing() -> None:
    memory = Memory(4)
    with pytest.raises(torch.OutOfMemoryError):
        list(results(BATCHES, memory.work, Context(zero_stage=3, world_size=2)))
    assert memory.refused == 1


@pytest.mark.parametrize(("stage", "second"), [(0, [8]), (3, [8, 8])])
def test_under_zero_3_every_worker_works_as_often_as_the_others(
    stage: int, second: list[int]
) -> None:
    done: list[list[int]] = []
    rows: list[int] = []
    for rank in (0, 1):
        worked: list[int] = []

        def work(batch: Indices, worked: list[int] = worked) -> Tensor:
            worked.append(len(batch))
            return torch.from_numpy(batch)

        for batch, value in own_results(
            BATCHES, work, Context(rank=rank, world_size=2, zero_stage=stage)
        ):
            assert value.tolist() == batch.tolist()
            rows += batch.tolist()
        done.append(worked)
    assert sorted(rows) == list(range(21))
    assert done == [[8, 5], second]  # the last result of the second there is nobody's

"""Fixtures of training."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from xtransfer.steps.worker import ensure_process_group


@pytest.fixture(scope="session")
def process_group() -> Iterator[None]:
    """Make a process group of one. DeepSpeed keeps the first that it sees, so there is one for all tests."""
    ensure_process_group("cpu")
    yield
    torch.distributed.destroy_process_group()

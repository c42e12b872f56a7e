"""The tiny experiment, run once for all tests that look at what a run leaves."""

from __future__ import annotations

import pytest

from tests.integration.test_pipeline import CONFIG, xtransfer


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run the tiny experiment once into a folder store; return the store's URL. Change a copy only."""
    store = f"file://{tmp_path_factory.mktemp('finished')}"
    run = xtransfer("run", str(CONFIG), "--store", store)
    assert run.returncode == 0, run.stderr
    return store

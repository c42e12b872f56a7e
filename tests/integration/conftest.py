"""Runs of the tiny experiment, each made once for all tests that look at what it leaves."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import unused_prefix
from tests.integration.test_pipeline import CONFIG, xtransfer
from tests.s3_server import S3Server

PLANTED = {
    "HF_TOKEN": "hf_planted0token0of0the0hub",
    "HUGGING_FACE_HUB_TOKEN": "hf_planted0older0token",
    "WANDB_API_KEY": "planted0key0of0another0service",
    "RAY_AUTH_TOKEN": "planted0token0of0the0cluster",
}
"""Secrets in the environment of the run of which a step fails."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Run the tiny experiment once into a folder store; return the store's URL. Change a copy only."""
    store = f"file://{tmp_path_factory.mktemp('finished')}"
    run = xtransfer("run", str(CONFIG), "--store", store)
    assert run.returncode == 0, run.stderr
    return store


class Failed(NamedTuple):
    """A run of which one step failed, with planted secrets in its environment."""

    url: str
    """Of its store, in S3."""
    scratch: Path
    run: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def failed(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Failed:
    """Run the tiny experiment once, with a data set of which nothing is left to train on."""
    scratch = tmp_path_factory.mktemp("scratch")
    with pytest.MonkeyPatch.context() as patch:
        url = unused_prefix(s3, patch)
        run = xtransfer(
            "run", str(CONFIG), "--store", url, "--place", f"scratch={scratch}",
            "--set", "data.holdout.commonsenseqa=40",
            env=PLANTED,
        )  # fmt: skip
    return Failed(url, scratch, run)

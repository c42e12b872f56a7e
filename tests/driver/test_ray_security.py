"""What a private Ray, started as a run starts it, lets somebody without its token do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.processes import below
from tests.listening import Listener, listeners

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

# Ray keeps one cluster a process, and its settings in the environment: this one has its own.
HOLDER = """
import importlib, json, os, sys
for name in [name for name in os.environ if name.startswith("RAY_")]:
    del os.environ[name]
os.environ["RAY_raylet_start_wait_time_s"] = "240"  # a busy machine is no failure
from xtransfer.config.placement import Placement
from xtransfer.driver.ray_session import ray_session
with ray_session(Placement.model_validate({"ray": {"cpus": 1}})):
    import ray
    node = ray._private.worker._global_node
    # What Tune does with a run's callbacks.
    tune = importlib.import_module("ray.tune.tune")
    tune.air_usage.tag_callbacks([tune.Callback()])
    print(json.dumps({
        "session": node.get_session_dir_path(), "dashboard": node.webui_url,
        "gcs": node.gcs_address, "token": os.environ["RAY_AUTH_TOKEN"],
        "mode": os.environ["RAY_AUTH_MODE"], "pid": os.getpid(),
        "loaded": [name for name in ("mlflow", "torch") if name in sys.modules],
    }), flush=True)
    sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[dict[str, Any]]:
    """Yield what the driver of a private Ray knows of it."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        yield json.loads(driver.stdout.readline())
        driver.stdin.close()


@pytest.fixture(scope="module")
def open_ports(cluster: dict[str, Any]) -> list[Listener]:
    return listeners(pid=cluster["pid"])


def test_each_run_has_a_token_of_its_own(cluster: dict[str, Any]) -> None:
    assert cluster["mode"] == "token"
    assert len(cluster["token"]) == 32


def test_there_is_no_dashboard(cluster: dict[str, Any], open_ports: list[Listener]) -> None:
    assert not cluster["dashboard"]
    assert 8265 not in {each.port for each in open_ports}


def test_only_what_a_run_needs_is_started_and_loaded(cluster: dict[str, Any]) -> None:
    started = " ".join(process.title for process in below([cluster["pid"]]))
    assert "/raylet" in started
    assert "/dashboard/agent.py" in started
    assert cluster["loaded"] == []
    for unused in ("/dashboard/dashboard.py", "/log_monitor.py", "/autoscaler/_private/monitor.py"):
        assert unused not in started


def test_every_open_port_refuses_calls_or_only_counts(open_ports: list[Listener]) -> None:
    """GCS, raylet, object manager and workers speak gRPC on all interfaces; two more ports have metrics."""
    told = {each: _what_it_says(each) for each in open_ports if each.address != "127.0.0.1"}
    assert {"gcs_server", "raylet"} <= {each.program for each in told}
    assert set(told.values()) <= {"refused", "metrics"}, told


def _what_it_says(port: Listener) -> str:
    """Say what a port answers to somebody without a token: `refused`, `metrics`, or what it lets through."""
    import grpc

    host = "127.0.0.1" if port.address in ("::", "0.0.0.0") else port.address
    with grpc.insecure_channel(f"{host}:{port.port}") as channel:
        codes = {name: _call(channel, name) for name in CALLS}
    if all(code is grpc.StatusCode.UNAVAILABLE for code in codes.values()):
        return _http(f"{host}:{port.port}")
    let_in = {
        name: code
        for name, code in codes.items()
        if code not in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED)
    }
    known = any(code is grpc.StatusCode.UNAUTHENTICATED for code in codes.values())
    return "refused" if known and not let_in else str(codes)


CALLS = (
    "/ray.rpc.JobInfoGcsService/GetAllJobInfo",
    "/ray.rpc.InternalKVGcsService/InternalKVKeys",
    "/ray.rpc.NodeManagerService/GetNodeStats",
    "/ray.rpc.NodeManagerService/GetSystemConfig",
    "/ray.rpc.ObjectManagerService/Pull",
    "/ray.rpc.ObjectManagerService/Push",
    "/ray.rpc.CoreWorkerService/GetCoreWorkerStats",
    "/ray.rpc.ReporterService/GetTraceback",
    "/ray.rpc.ReporterService/CpuProfiling",
)


def _call(channel: Any, name: str) -> Any:
    import grpc

    try:
        channel.unary_unary(name)(b"", timeout=120)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def _http(place: str) -> str:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(f"http://{place}/anything", timeout=120) as got:
            return "metrics" if got.read(6) == b"# HELP" else "other"
    except HTTPError as error:
        return "refused" if error.code == 401 else str(error)


def test_nobody_joins_without_the_token(cluster: dict[str, Any]) -> None:
    code = f"import ray; ray.init(address={cluster['gcs']!r}, log_to_driver=False)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 1
    assert "Failed to connect" in done.stderr or "nauthenticated" in done.stderr

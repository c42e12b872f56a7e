"""The RayJob's entry point on a cluster that scales from no worker, loses a node, and scales back to none.

A head without CPUs runs on this machine, with Ray's own autoscaler and a provider whose nodes are raylets of this
machine. The entry point, the placement and the idle workers' time to live are the kind overlay's, the limits of its
worker group are what a node has; the store is a real S3 service. Everything asks for a token.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.faults.processes import Process, below, variables
from tests.faults.watch import Left, Watch, what_is_left
from tests.integration.test_pipeline import command
from tests.s3_server import S3Server, s3_server
from xtransfer.cluster.jobs import JobObjects, assemble, resolved_text, store_of
from xtransfer.cluster.render import render
from xtransfer.config.experiment import load_experiment
from xtransfer.plan import Plan
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.leases import attempts
from xtransfer.store import StoreOptions, open_store

CONFIG = Path(__file__).with_name("kills.yaml")
OVERLAY = Path(__file__).resolve().parents[2] / "k8s" / "overlays" / "kind"
MOUNTS = "/etc/xtransfer"
IDLE_S = 12.0
"""In the place of the overlay's five minutes."""
LIMIT_S = 600.0
STARTS_WITHIN_S = 120.0
PROVIDER = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
HEAD_ID = "f" * 51 + "00000"
"""Whom the provider takes for the head."""
EMPTY = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
    "cluster_synced_files",
)
"""Of a cluster's configuration: there is nothing to set up."""
HEAD, WORKER = "ray.head.default", "worker"
"""Types of node; the provider asks for the first name."""


@dataclass(kw_only=True)
class Scaled:
    """How it went."""

    steps: int
    seconds: float = 0.0
    status: str = ""
    nodes: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """(seconds since the submission, workers from then on)."""
    lost_at: float = 0.0
    """Seconds since the submission."""
    lost: str = ""
    """The trial that the lost node was at."""
    repeated: list[str] = field(default_factory=list[str])
    attempts: Counter[str] = field(default_factory=Counter[str])
    """Trials begun more than once -> how often again."""
    left: Left | None = None
    """What was found in the store."""

    @property
    def fine(self) -> bool:
        """Whether it scaled up, survived, did nothing twice, and scaled down."""
        counts = [count for _, count in self.nodes]
        scaled = counts[:1] == [0] and max(counts) == 2 and counts[-1] == 0
        replaced = any(at > self.lost_at and count == 2 for at, count in self.nodes)
        return self.status == "SUCCEEDED" and scaled and replaced and not self.repeated


def run_autoscaled(
    folder: Path, server: S3Server, *, config: Path, say: Callable[[str], None], version: int = 2
) -> Scaled:
    """Submit the experiment to an autoscaling cluster, kill a node under way, and wait for the end.

    Args:
        folder: with a short name, as Ray's sockets are in it.
        server: of the store; its keys and a token of Ray's are in the environment.
        config: the experiment.
        say: told what goes on.
        version: of Ray's autoscaler.
    """
    experiment = load_experiment(config)
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    text = resolved_text(experiment)
    objects = assemble(render(OVERLAY), experiment=experiment.name, plan_key=plan.key, text=text)
    found = Scaled(steps=len(plan.steps))
    entrypoint = mount(objects, folder / "etc", server)
    store = open_store(store_of(objects), options=StoreOptions(endpoint_url=server.endpoint))
    with _cluster(folder, objects, version=version) as cluster, Watch(store) as watch:
        counts = Counts(cluster, found, say)
        counts.look()
        submission = cluster.submit(entrypoint, f"{objects.name}-1")
        victim = _with_a_trial(plan, watch, counts)
        found.lost = plan.steps[victim].name
        cluster.lose_node(at=attempts(store, victim)[-1].pid)
        found.lost_at = counts.now()
        say(f"{found.lost_at:5.0f} s  killed the node at {found.lost}")
        counts.until(lambda: cluster.status(submission) in ("SUCCEEDED", "FAILED", "STOPPED"))
        found.status, found.seconds = cluster.status(submission), counts.now()
        say(f"{found.seconds:5.0f} s  the job {found.status.lower()}")
        if found.status != "SUCCEEDED":
            say(cluster.log(submission))
        counts.until(lambda: counts.last == 0)
        found.repeated = watch.repeated()
        tries = {key: len(attempts(store, key)) for key in watch.begun}
        found.attempts = Counter({key: count - 1 for key, count in tries.items() if count > 1})
        found.left = what_is_left(store)
    return found


def scale_and_compare(*, say: Callable[[str], None], version: int = 2) -> tuple[Scaled, bool]:
    """Run CONFIG so, and undisturbed; return how it went, and whether both left the same."""
    with tempfile.TemporaryDirectory(prefix="xt-") as name:
        folder = Path(name)
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": _TOKEN}
        with s3_server(folder / "s3") as server, variables({**server.environment, **token}):
            found = run_autoscaled(folder, server, config=CONFIG, say=say, version=version)
        url = f"file://{folder}/undisturbed"
        done = subprocess.run(
            command("run", str(CONFIG), "--store", url, "--place", "train.engine=torch"),
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return found, found.left == what_is_left(open_store(url))


def scaled_table(found: Scaled, *, same: bool) -> str:
    """Return how it went as text."""
    counts = ", ".join(f"{count} from {at:.0f} s" for at, count in found.nodes)
    again = sum(found.attempts.values())
    where = f"node killed at {found.lost_at:.0f} s during {found.lost}"
    return "\n".join(
        [
            f"{found.steps} steps, job {found.status.lower()} after {found.seconds:.0f} s",
            f"workers: {counts}",
            f"{where}; {again} attempts again, {len(found.repeated)} steps repeated",
            f"report, files and results as an undisturbed run's: {'yes' if same else 'NO'}",
        ]
    )


class Counts:
    """How many workers there are, as the head says, noted whenever it changes."""

    def __init__(self, cluster: Cluster, found: Scaled, say: Callable[[str], None]) -> None:
        self.cluster, self.found, self.say = cluster, found, say
        self.began = time.monotonic()
        self.last = -1

    def now(self) -> float:
        """Return the seconds since the submission."""
        return time.monotonic() - self.began

    def look(self) -> None:
        """Ask, and note a change."""
        count = self.cluster.workers()
        if count != self.last:
            self.last = count
            self.found.nodes.append((self.now(), count))
            self.say(f"{self.now():5.0f} s  {count} workers")

    def until(self, happened: Callable[[], bool]) -> None:
        """Look until something has happened.

        Raises:
            TimeoutError: it has not.
        """
        deadline = time.monotonic() + LIMIT_S
        while not happened():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {LIMIT_S:.0f} s; workers: {self.found.nodes}")
            self.look()
            time.sleep(0.5)
        self.look()


class Cluster:
    """A head with its autoscaler, and what it has started."""

    def __init__(self, process: subprocess.Popen[bytes], address: str, dashboard: str) -> None:
        from ray._raylet import GcsClient  # pyright: ignore[reportAttributeAccessIssue]
        from ray.job_submission import JobSubmissionClient

        self.process = process
        self.seen: dict[tuple[int, str], Process] = {}
        self.gcs: Any = self._patiently(lambda: GcsClient(address=address))
        self.jobs: Any = self._patiently(lambda: JobSubmissionClient(dashboard))

    def submit(self, entrypoint: str, submission: str) -> str:
        """Submit the job through the Jobs API, which takes none while the head's agent is starting."""
        return self._patiently(
            lambda: self.jobs.submit_job(entrypoint=entrypoint, submission_id=submission)
        )

    def _patiently(self, call: Callable[[], Any]) -> Any:
        from ray.exceptions import RayError

        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                return call()
            except (OSError, RuntimeError, RayError):
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise
                time.sleep(0.5)

    def status(self, submission: str) -> str:
        """Return a job's status."""
        return str(self.jobs.get_job_status(submission).value)

    def log(self, submission: str) -> str:
        """Return the end of what a job's driver said."""
        return str(self.jobs.get_job_logs(submission))[-3000:]

    def workers(self) -> int:
        """Return the number of living nodes besides the head."""
        self.everything()
        nodes = self._patiently(lambda: self.gcs.get_all_node_info().values())
        alive = [node for node in nodes if node.state == 0]
        return len([node for node in alive if not node.is_head_node])

    def lose_node(self, *, at: int) -> None:
        """Kill -9 the raylet that a process belongs to, and all of that raylet's processes."""
        for process in self.everything():
            if "raylet/raylet " not in process.title or not process.alive:
                continue
            own = below([process.pid])
            if any(each.pid == at for each in own):
                for each in own:
                    each.kill()
                return
        raise RuntimeError(f"process {at} is on no node")

    def everything(self) -> list[Process]:
        """Return all processes that it has been seen to have."""
        now = below([self.process.pid])
        self.seen |= {(process.pid, process.started): process for process in now}
        return list(self.seen.values())

    def end(self) -> None:
        """End all of it."""
        self.everything()
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for process in self.seen.values():
            process.kill()


@contextmanager
def _cluster(folder: Path, objects: JobObjects, *, version: int) -> Iterator[Cluster]:
    """Run a head with an autoscaler; the nodes that it starts are raylets of this machine."""
    port, dashboard = _free_port(), _free_port()
    spec = objects.job["spec"]["rayClusterSpec"]
    (group,) = spec["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    host = _own_address()
    config = {
        "cluster_name": "fake_multinode",
        "max_workers": group["maxReplicas"],
        "idle_timeout_minutes": IDLE_S / 60,
        "provider": {
            "type": "external",  # under its own type Ray asks for a file that its wheel lacks
            "module": PROVIDER,
            "gcs_address": f"{host}:{port}",
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            HEAD: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            WORKER: {
                "resources": {"CPU": int(limits["cpu"]), "object_store_memory": 80_000_000},
                "node_config": {},
                "min_workers": group["minReplicas"],
                "max_workers": group["maxReplicas"],
            },
        },
        "head_node_type": HEAD,
        "file_mounts": {},
        **{name: [] for name in EMPTY},
    }
    file = folder / "autoscaling.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    environment = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": str(int(version == 2)),
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    with variables(environment), (folder / "head.log").open("wb") as log:
        options = {
            "autoscaling-config": file,
            "num-cpus": spec["headGroupSpec"]["rayStartParams"]["num-cpus"],
            "object-store-memory": 80_000_000,
            "port": port,
            "dashboard-port": dashboard,
            "dashboard-agent-listen-port": 0,
            "node-ip-address": host,
            "temp-dir": folder / "ray",
        }
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("ray")),
                *("start", "--head", "--block"),
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        cluster = None
        try:
            cluster = Cluster(process, f"{host}:{port}", f"http://127.0.0.1:{dashboard}")
            yield cluster
        finally:
            if cluster is not None:
                cluster.end()
            else:
                for found in below([process.pid]):
                    found.kill()


def mount(objects: JobObjects, folder: Path, server: S3Server) -> str:
    """Lay the job's ConfigMaps where its entry point finds them; return the entry point.

    Its paths are below this folder instead of MOUNTS, and the S3 service is the one given.
    """
    spec = objects.job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    bodies = {body["metadata"]["name"]: body["data"] for body in (objects.config, *objects.shared)}
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["containers"][0]["volumeMounts"]}
    for volume in spec["volumes"]:
        if "configMap" in volume:
            place = folder / Path(mounts[volume["name"]]).relative_to(MOUNTS)
            place.mkdir(parents=True)
            for name, text in bodies[volume["configMap"]["name"]].items():
                (place / name).write_text(text, encoding="utf-8")
    entrypoint = " ".join(objects.job["spec"]["entrypoint"].split()).replace(MOUNTS, str(folder))
    scratch = folder.parent / "scratch"
    return f"{entrypoint} --place s3.endpoint_url={server.endpoint} --place scratch={scratch}"


def _with_a_trial(plan: Plan, watch: Watch, counts: Counts) -> str:
    """Wait until there are two workers and a trial runs; return the trial's key."""
    trials = {key for key, step in plan.steps.items() if step.kind == "train"}
    running: list[str] = []

    def there() -> bool:
        for key in watch.begun & trials:
            last = attempts(watch.store, key)[-1]
            if last.state == "working" and counts.last == 2:
                running.append(key)
        return bool(running)

    counts.until(there)
    return running[0]


def _own_address() -> str:
    from ray.util import get_node_ip_address

    return str(get_node_ip_address())


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


_TOKEN = secrets.token_hex(16)
"""Of every cluster: Ray reads it once in the life of a process."""

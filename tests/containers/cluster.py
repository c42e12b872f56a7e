"""A Ray cluster of containers: a head and workers from the pods of a rendered RayJob, and its submitter.

One pod is one container here; podman's bridge is the pods' network, and its gateway is where the host, and
with it the S3 service, is reached.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.containers import pods
from xtransfer.cluster.manifests import Body, at

PREFIX = "xtc-"
"""How the names of our containers begin."""
CGROUP = Path("/sys/fs/cgroup")
WAITING_MEMORY = "256Mi"
"""Limit of the operator's init container."""


@dataclass
class Pod:
    """A container that was started in a pod's place."""

    name: str
    role: str
    command: str
    limit: int
    """Bytes."""
    around: pods.Around
    peak: int = 0
    """Most bytes in use, as far as they were asked for."""
    killed_for_memory: bool = False
    status: int | None = None
    """Exit status, None while it runs."""

    def look(self) -> bool:
        """Note memory and state; return whether it runs."""
        if self.status is not None:
            return False
        state = self._inspect()["State"]
        self.peak = max(self.peak, _peak(int(state["Pid"])))
        if state["Running"]:
            return True
        self.status, self.killed_for_memory = int(state["ExitCode"]), bool(state["OOMKilled"])
        return False

    def wait(self, limit_s: float) -> int:
        """Wait until it has ended; return its exit status.

        Raises:
            TimeoutError: it has not.
        """
        deadline = time.monotonic() + limit_s
        while self.look():
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self.name} has not ended within {limit_s:.0f} s:\n{self.log()}"
                )
            time.sleep(0.5)
        assert self.status is not None
        return self.status

    def kill(self) -> None:
        """Send SIGKILL to all of it, as the loss of its node would."""
        _podman(self.around, "kill", "--signal", "KILL", self.name)
        self.wait(30)

    def stop(self) -> int:
        """Run its preStop command, then end it as a kubelet does; return the command's status."""
        done = subprocess.run(
            [*pods.podman(self.around), "exec", self.name, "/opt/xtransfer/prestop", "90"],
            capture_output=True,
            check=False,
        )
        _podman(self.around, "stop", "--time", "30", self.name)
        self.look()
        return done.returncode

    def log(self, lines: int = 40) -> str:
        """Return its last lines."""
        return _podman(self.around, "logs", "--tail", str(lines), self.name)

    def address(self) -> str:
        """Return its address in the network."""
        networks = self._inspect()["NetworkSettings"]["Networks"]
        return str(networks[self.around.network]["IPAddress"])

    def _inspect(self) -> Body:
        return json.loads(_podman(self.around, "inspect", self.name))[0]


@dataclass
class Cluster:
    """The containers of one RayJob."""

    job: Body
    around: pods.Around
    pods: list[Pod] = field(default_factory=list[Pod])

    @property
    def spec(self) -> Body:
        return self.job["spec"]["rayClusterSpec"]

    def start_head(self) -> Pod:
        """Start the head's pod; the name of its service leads to it from then on."""
        group = self.spec["headGroupSpec"]
        env = {"RAY_ADDRESS": f"127.0.0.1:{pods.GCS_PORT}", "RAY_USAGE_STATS_KUBERAY_IN_USE": "1"}
        head = self._start("head", group["template"], pods.start_command(group, head=True), env)
        hosts = {**self.around.hosts, pods.HEAD_SERVICE: head.address()}
        self.around = pods.Around(**{**vars(self.around), "hosts": hosts})
        return head

    def start_worker(self) -> Pod:
        """Wait for the head as the operator's init container does, then start a worker's pod."""
        (group,) = self.spec["workerGroupSpecs"]
        address = f"{pods.HEAD_SERVICE}:{pods.GCS_PORT}"
        env = {"RAY_ADDRESS": address, "FQ_RAY_IP": pods.HEAD_SERVICE, "RAY_IP": "xt-head-svc"}
        waiting = self._start(
            "wait-gcs-ready", group["template"], pods.wait_command(), env, WAITING_MEMORY
        )
        if waiting.wait(180):
            raise RuntimeError(
                f"the wait for the head ended with {waiting.status}:\n{waiting.log()}"
            )
        return self._start("worker", group["template"], pods.start_command(group, head=False), env)

    def keep(self, workers: list[Pod], count: int) -> None:
        """See that so many workers run, as the operator does: one that has ended is replaced."""
        workers[:] = [pod for pod in workers if pod.look()]
        while len(workers) < count:
            workers.append(self.start_worker())

    def submit(self, submission: str) -> Pod:
        """Start the submitter's pod."""
        env = {"RAY_DASHBOARD_ADDRESS": pods.DASHBOARD, "RAY_JOB_SUBMISSION_ID": submission}
        command = pods.submit_command(self.job, submission)
        return self._start("submitter", self.job["spec"]["submitterPodTemplate"], command, env)

    def look(self) -> None:
        """Note memory and state of all."""
        for pod in self.pods:
            pod.look()

    def remove(self) -> None:
        """Remove all containers; what they said is left in the folder."""
        logs = self.around.folder / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        for pod in self.pods:
            with (logs / f"{pod.name}.log").open("wb") as file:
                line = [*pods.podman(self.around), "logs", pod.name]
                subprocess.run(line, stdout=file, stderr=file, check=False)
            subprocess.run(
                [*pods.podman(self.around), "rm", "--force", "--time", "0", pod.name],
                capture_output=True,
                check=False,
            )

    def _start(
        self,
        role: str,
        template: Body,
        command: list[str],
        env: Mapping[str, str],
        memory: str | None = None,
    ) -> Pod:
        name = f"{PREFIX}{role}-{len(self.pods)}"
        line = pods.container(
            template, name=name, command=command, around=self.around, env=env, memory=memory
        )
        limit = int(line[line.index("--memory") + 1].removesuffix("b"))
        pod = Pod(name=name, role=role, command=command[-1], limit=limit, around=self.around)
        self.pods.append(pod)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"podman does not start {name}: {done.stderr.strip()}")
        return pod


def secret_names(job: Body) -> set[str]:
    """Return the secrets that the job's pods take their environment from."""
    templates = [job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]]
    templates += [group["template"] for group in job["spec"]["rayClusterSpec"]["workerGroupSpecs"]]
    sources = [s for t in templates for s in at(t, "spec", "containers", 0, "envFrom") or ()]
    return {source["secretRef"]["name"] for source in sources}


def _podman(around: pods.Around, *command: str) -> str:
    done = subprocess.run(
        [*pods.podman(around), *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"podman {' '.join(command)}: {done.stdout.strip()}")
    return done.stdout


def _peak(pid: int) -> int:
    """Return the most memory that a process's control group has had in use, 0 where it cannot be told."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        _, controllers, path = line.split(":", 2)
        v1 = CGROUP / "memory" / path.lstrip("/") / "memory.max_usage_in_bytes"
        v2 = CGROUP / path.lstrip("/") / "memory.peak"
        file = v1 if controllers == "memory" else v2 if not controllers else None
        if file is not None and file.is_file():
            return int(file.read_text())
    return 0

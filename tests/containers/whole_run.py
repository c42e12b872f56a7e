"""An experiment under the kind overlay's RayJob, in containers, with the loss of a worker on the way."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.containers.cluster import Cluster, Pod, secret_names
from tests.containers.pods import Around
from tests.faults.processes import variables
from tests.faults.watch import Left, Watch, attempts_by_state, what_is_left
from tests.integration.test_pipeline import command
from tests.s3_server import Weed
from xtransfer.cluster.jobs import JobObjects, assemble, resolved_text, store_of
from xtransfer.cluster.render import render
from xtransfer.config.experiment import Experiment, load_experiment
from xtransfer.config.placement import Placement
from xtransfer.documents import parse_yaml
from xtransfer.planner.fingerprints import Fingerprints
from xtransfer.planner.planner import build_plan
from xtransfer.records.leases import attempts
from xtransfer.records.record import key_in
from xtransfer.store import StoreOptions, open_store

CHECKOUT = Path(__file__).resolve().parents[2]
OVERLAY = CHECKOUT / "k8s" / "overlays" / "kind"
CONFIG = CHECKOUT / "tests" / "faults" / "kills.yaml"
LONGER = ("intermediate.overrides.all.epochs=40", "target.overrides.all.epochs=40")
"""So that a trial of CONFIG is not over before the order to kill its worker has been carried out."""
NETWORK = "xtransfer-test"
S3_HOST, S3_PORT = "s3.s3.svc", 8333
"""Where the kind overlay expects the S3 service."""
WORKERS = 2
LOOK_EVERY_S = 4.0
"""Seconds between two looks at the containers, which cost more than a look into the store."""
LIMIT_S = 1500.0

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Outcome:
    """How it went."""

    steps: int = 0
    seconds: float = 0.0
    lost: list[str] = field(default_factory=list[str])
    """What was lost when."""
    again: bool = False
    """Whether exactly the trials that a lost worker was at were begun again."""
    status: int | None = None
    """Exit status of the submitter."""
    attempts: Counter[str] = field(default_factory=Counter[str])
    repeated: list[str] = field(default_factory=list[str])
    same_report: bool = False
    same_files: bool = False
    same_results: bool = False
    stopped: dict[str, int] = field(default_factory=dict[str, int])
    """Pod -> status of its preStop command, when all was done."""
    pods: list[Pod] = field(default_factory=list[Pod])

    @property
    def fine(self) -> bool:
        """Whether the report is the laptop's, nothing was done twice, and no pod ended badly."""
        same = self.same_report and self.same_files and self.same_results
        ended = self.status == 0 and not any(pod.killed_for_memory for pod in self.pods)
        return (
            same and ended and self.again and not self.repeated and not any(self.stopped.values())
        )


def run_in_containers(
    folder: Path, *, config: Path, sets: Sequence[str], image: str, kills: int, say: Say
) -> Outcome:
    """Run an experiment by the RayJob's entry point, kill workers on the way, and compare.

    Args:
        folder: for volumes, the S3 service's files and the laptop's store.
        config: the experiment.
        sets: what is other in it, as `--set` takes it.
        image: instead of the overlay's.
        kills: workers that are lost, one after the other, each while a trial is on it.
        say: told what goes on.
    """
    experiment = load_experiment(config, sets)
    plan = build_plan(experiment, Fingerprints(experiment, lenient=True))
    objects = _objects(experiment, plan.key, image)
    outcome, struck = Outcome(steps=len(plan.steps)), Counter[str]()
    trials = {key for key, step in plan.steps.items() if step.kind == "train"}
    expected = _on_this_machine(config, sets, folder, objects, say)
    for name in ("s3", "pods"):
        shutil.rmtree(folder / name, ignore_errors=True)
    began = time.monotonic()
    with _cluster(objects, folder) as (cluster, weed):
        outcome.pods = cluster.pods
        cluster.start_head()
        weed.start()  # its address is there when the first container is
        workers: list[Pod] = []
        cluster.keep(workers, WORKERS)
        say(f"{time.monotonic() - began:.0f} s: a head and two workers are there")
        options = StoreOptions(endpoint_url=weed.server.endpoint)
        store = open_store(store_of(objects), options=options)
        with Watch(store) as watch:
            submitter = cluster.submit(f"{objects.name}-1")
            for number in range(kills):
                steps = (number + 1) * outcome.steps // (kills + 2)
                lost, key = _a_worker_at_a_trial(
                    trials, cluster, workers, watch, submitter, steps=steps
                )
                lost.kill()
                struck[key] += 1
                text = (
                    f"{lost.name} (SIGKILL) during {plan.steps[key].name}, with {len(watch.records)} "
                    f"of {outcome.steps} steps done"
                )
                outcome.lost.append(text)
                say(f"{time.monotonic() - began:.0f} s: lost {text}")
            while submitter.look():
                cluster.look()
                cluster.keep(workers, WORKERS)
                if time.monotonic() - began > LIMIT_S:
                    raise TimeoutError(f"not done within {LIMIT_S:.0f} s:\n{submitter.log()}")
                time.sleep(0.5)
        outcome.status, outcome.seconds = submitter.status, time.monotonic() - began
        say(f"{outcome.seconds:.0f} s: the submitter ended with {outcome.status}")
        if outcome.status:
            say(submitter.log())
        tries = {key: len(attempts(store, key)) for key in watch.begun}
        outcome.again = {k: n - 1 for k, n in tries.items() if n > 1} == struck
        outcome.repeated, outcome.attempts = watch.repeated(), attempts_by_state(store)
        _compare(outcome, expected, what_is_left(store))
        outcome.stopped = {pod.name: pod.stop() for pod in [*workers, cluster.pods[0]]}
    return outcome


def table(outcome: Outcome) -> str:
    """Return the outcome as Markdown."""
    lines = [
        "| pod | exit status | memory limit, MiB | most in use, file cache included, MiB |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {pod.name} | {pod.status} | {pod.limit >> 20} | {pod.peak >> 20 or '-'} |"
        for pod in outcome.pods
    ]
    said = {
        "steps": outcome.steps,
        "lost on the way": "; ".join(outcome.lost) or "nothing",
        "attempts at steps": ", ".join(f"{n} {s}" for s, n in sorted(outcome.attempts.items())),
        "begun again: exactly the trials that were lost": outcome.again,
        "steps done again that had a record": len(outcome.repeated),
        "report.md, scores.csv, table.csv as on the laptop, byte for byte": outcome.same_report,
        "weights, predictions and prepared data as on the laptop (SHA-256)": outcome.same_files,
        "recorded results as on the laptop": outcome.same_results,
        "status of preStop at the end": outcome.stopped,
        "seconds, start of the cluster included": f"{outcome.seconds:.0f}",
    }
    lines += ["", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in said.items()]
    return "\n".join(lines)


def _objects(experiment: Experiment, key: str, image: str) -> JobObjects:
    text = resolved_text(experiment)
    return assemble(
        render(OVERLAY), experiment=experiment.name, plan_key=key, text=text, image=image
    )


def _on_this_machine(
    config: Path, sets: Sequence[str], folder: Path, objects: JobObjects, say: Say
) -> Left:
    """Run the experiment as on a laptop, with the engine of the overlay's placement."""
    (placement,) = objects.shared
    text = str(placement["data"]["placement.yaml"])
    engine = Placement.model_validate(parse_yaml(text, ""), strict=False).train.engine
    url, began = f"file://{folder}/laptop", time.monotonic()
    given = [part for each in sets for part in ("--set", each)]
    done = subprocess.run(
        command("run", str(config), *given, "--store", url, "--place", f"train.engine={engine}"),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"the laptop's run failed: {done.stderr}")
    say(f"the laptop's run took {time.monotonic() - began:.0f} s")
    return what_is_left(open_store(url))


@contextmanager
def _cluster(objects: JobObjects, folder: Path) -> Iterator[tuple[Cluster, Weed]]:
    with _network() as gateway:
        weed = Weed(folder / "s3", address=gateway, port=S3_PORT)
        keys = {
            "AWS_ACCESS_KEY_ID": weed.server.access_key,
            "AWS_SECRET_ACCESS_KEY": weed.server.secret_key,
        }
        configs = (objects.config, *objects.shared)
        around = Around(
            network=NETWORK,
            folder=folder / "pods",
            token=secrets.token_hex(16),
            secrets=dict.fromkeys(secret_names(objects.job), keys),
            configs={body["metadata"]["name"]: body["data"] for body in configs},
            hosts={S3_HOST: gateway},
        )
        cluster = Cluster(objects.job, around)
        try:
            with variables(keys):  # for what looks into the store here
                yield cluster, weed
        finally:
            cluster.remove()
            weed.stop()


@contextmanager
def _network() -> Iterator[str]:
    """Make a network of podman's; yield the address of this machine in it."""
    subprocess.run(["podman", "network", "create", NETWORK], check=True, stdout=subprocess.DEVNULL)
    try:
        shown = subprocess.check_output(["podman", "network", "inspect", NETWORK])
        yield str(json.loads(shown)[0]["subnets"][0]["gateway"])
    finally:
        subprocess.run(["podman", "network", "rm", NETWORK], check=False, capture_output=True)


def _a_worker_at_a_trial(
    trials: Collection[str],
    cluster: Cluster,
    workers: list[Pod],
    watch: Watch,
    submitter: Pod,
    *,
    steps: int,
) -> tuple[Pod, str]:
    """Wait until so many steps are done; return a worker that holds a trial then, and the trial's key.

    Raises:
        RuntimeError: the job has ended before.
    """
    began = looked = time.monotonic()
    while True:
        if time.monotonic() - looked > LOOK_EVERY_S:
            looked = time.monotonic()
            if not submitter.look():
                raise RuntimeError(f"the job ended before a worker was killed:\n{submitter.log()}")
            if looked - began > LIMIT_S:
                raise TimeoutError(f"no trial after {steps} steps:\n{submitter.log()}")
            cluster.look()
            cluster.keep(workers, WORKERS)
        done = {key_in(name) for name in watch.records}
        for key in watch.begun.intersection(trials) - done if len(done) >= steps else ():
            last = attempts(watch.store, key)[-1]
            for pod in workers:
                if last.state == "working" and last.host == pod.name:
                    return pod, key
        time.sleep(0.1)


def _compare(outcome: Outcome, expected: Left, found: Left) -> None:
    outcome.same_report = found.report == expected.report and "report.md" in found.report
    outcome.same_files = found.files == expected.files
    outcome.same_results = found.results == expected.results

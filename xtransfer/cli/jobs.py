"""Commands for jobs that are on Kubernetes already: logs, wait, cancel, and `k8s status`.

Exit status: 0 success; 1 the job or the command failed; 2 a mistake in what was given; 4 the job still
goes on when `wait` gives up; 5 no such job.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import AsJson, Context, Namespace, Sets, make_plan, refuse_idle
from xtransfer.cli.output import harmless, print_json, print_table, tell
from xtransfer.errors import ConfigError, XtransferError

if TYPE_CHECKING:
    from xtransfer.cluster.api import Api
    from xtransfer.cluster.manifests import Body
    from xtransfer.cluster.states import JobState

STILL_GOING = 4
POD = "submitter"
"""Whose log is shown where nothing else is asked for."""

Job = Annotated[
    str,
    typer.Argument(
        help="A job's name, or the experiment's YAML file with the --set of its submit.",
        show_default=False,
    ),
]


def logs(
    job: Job,
    sets: Sets = None,
    pod: Annotated[
        str,
        typer.Option(
            "--pod",
            help="submitter (it relays the driver's output), head, worker, or a pod's name.",
        ),
    ] = POD,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends, and end as it does.")
    ] = False,
    tail: Annotated[int | None, typer.Option("--tail", help="Only the last lines.", min=1)] = None,
    store: Annotated[
        str | None,
        typer.Option("--store", help="Show what is kept in this store; the cluster may be gone."),
    ] = None,
    step: Annotated[
        str | None, typer.Option("--step", help="With --store: every attempt at this step, by key.")
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Show the log of a job's driver, a pod, or a step.

    With --store, shows the logs that drivers and steps left in the store. This needs no cluster and
    works for a run on any machine; name the run by its experiment's file.

    Example: xtransfer logs configs/quickstart.yaml --store file://runs/demo --step 3fa1c07b5d2e

    Example: xtransfer logs configs/paper.yaml -n xtransfer --tail 50
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.connection import connect
    from xtransfer.cluster.states import state_of

    if step is not None and store is None:
        raise ConfigError("--step", "needs --store", "Steps log into the store.")
    if store is not None:
        elsewhere = {
            "--follow": follow,
            "--pod": pod != POD,
            "--context": context is not None,
            "--namespace": namespace is not None,
        }
        refuse_idle(elsewhere, "no use beside --store, which shows what is kept there")
        if step is not None:
            refuse_idle(
                {"--set": bool(sets)}, "no use beside --step, which names a step by its key"
            )
        _print_kept(store, step or _job_name(job, sets).rpartition("-")[2], tail)
        return
    if follow and pod == POD:
        why = "no use beside --follow, which shows a driver's log from its beginning"
        refuse_idle({"--tail": tail is not None}, why)
    name = _job_name(job, sets)
    api = connect(context, namespace)
    found = client.job_named(api, name)
    if not follow:
        chosen = _pod_of(api, found, pod)
        for _, line in api.logs(chosen["metadata"]["name"], client.container_of(chosen), tail=tail):
            print(line)
        return
    # A role's pod may come yet, unless the job has ended.
    if pod not in client.ROLES or state_of(found).outcome != "going":
        _pod_of(api, found, pod)
    end_as(client.follow(api, name, say=print, tell=tell, pod=pod, tail=tail))


def wait(
    job: Job,
    sets: Sets = None,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds; default: no limit.", min=0)
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Wait until a job ends.

    Status 0: it succeeded; 1: it failed; 4: it still goes on; 5: no such job.

    Example: xtransfer wait configs/paper.yaml -n xtransfer --timeout 3600
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.connection import connect

    name = _job_name(job, sets)
    api = connect(context, namespace)
    last: JobState | None = None
    for state in client.states(api, name, limit_s=timeout, tell=tell):
        if last is None or last.words != state.words:
            tell(f"{name}: {state.words}")
        last = state
    assert last is not None
    if last.outcome == "going":
        raise typer.Exit(STILL_GOING)
    end_as(last)


def cancel(
    job: Job, sets: Sets = None, context: Context = None, namespace: Namespace = None
) -> None:
    """Delete a job and its cluster. Records and checkpoints stay: a submit goes on from them.

    Example: xtransfer cancel configs/paper.yaml -n xtransfer
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.connection import connect

    name = _job_name(job, sets)
    api = connect(context, namespace)
    if not client.cancel(api, name):
        raise client.no_job(api, name)
    print(f"{name}: cancelled")


def status(
    job: Annotated[
        str | None,
        typer.Argument(
            help="A job's name, or the experiment's YAML file with the --set of its submit; default: all."
        ),
    ] = None,
    sets: Sets = None,
    context: Context = None,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs and what keeps them from running.

    What they have computed is in `xtransfer status`.

    Example: xtransfer k8s status -n xtransfer
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.connection import connect
    from xtransfer.cluster.states import state_of, trouble_of

    if job is None:
        refuse_idle({"--set": bool(sets)}, "no use without an experiment's file")
    name = None if job is None else _job_name(job, sets)
    api = connect(context, namespace)
    bodies = client.jobs(api) if name is None else [client.job_named(api, name)]
    rows: list[tuple[JobState, list[Body], list[str]]] = []
    for body in bodies:
        state = state_of(body)
        pods = client.pods_of(api, state.name)
        trouble = trouble_of(state, pods) if state.outcome == "going" else []
        rows.append((state, pods, trouble))
    if as_json:
        print_json([{**vars(s), "pods": len(p), "trouble": t} for s, p, t in rows])
        return
    if not rows:
        tell(f"namespace {api.namespace}: no jobs. Those of another one: -n NAMESPACE")
        return
    print_table(
        ["job", "outcome", "cluster", "pods", "state"],
        [[s.name, s.outcome, s.cluster or "-", str(len(p)), s.words] for s, p, _ in rows],
    )
    for state, _, trouble in rows:
        for line in (*trouble, *([state.advice] if state.advice else [])):
            print(f"{state.name}: {line}")


def end_as(state: JobState) -> None:
    """End the command as the job ended."""
    if state.outcome == "succeeded":
        tell(f"{state.name}: succeeded")
        return
    raise JobFailed(state.name, state.words, state.advice)


class JobFailed(XtransferError):
    """A job that was followed has failed."""


def _pod_of(api: Api, found: Body, asked: str) -> Body:
    """Return the pod of a job that is asked for by its role or name.

    Raises:
        XtransferError: there is none.
    """
    from xtransfer.cluster import client

    name = found["metadata"]["name"]
    pods = client.pods_of(api, name)
    if not pods:
        raise _no_pods(api, found)
    chosen = client.chosen(pods, asked)
    if chosen is None:
        names = ", ".join(each["metadata"]["name"] for each in pods)
        raise ConfigError(f"--pod {asked}", f"{name} has no such pod", f"Its pods: {names}.")
    return chosen


def _no_pods(api: Api, found: Body) -> XtransferError:
    """Return the error to raise where a job has no pod whose log could be shown, yet or any more."""
    from xtransfer.cluster.adoption import store_of_job
    from xtransfer.cluster.states import state_of

    state = state_of(found)
    if state.outcome == "going":
        next_ = f"Its state: {state.words}. More: xtransfer k8s status {state.name}"
        return XtransferError(state.name, "has no pods now", next_)
    store = store_of_job(api, found) or "URL"
    next_ = f"What was said is in the store: xtransfer logs {state.name} --store {store}"
    return XtransferError(state.name, "has ended, and its pods are gone", next_)


def _print_kept(url: str, key: str, tail: int | None) -> None:
    """Print the logs in a store of a plan's drivers or of a step's attempts."""
    from xtransfer.errors import NotFound
    from xtransfer.records.logs import kept_logs
    from xtransfer.store import open_store

    found = kept_logs(open_store(url), key)
    if not found:
        raise NotFound(
            url, f"no log of '{key}'", "A key has 12 hex digits: of a plan, or of a step."
        )
    for name, text in found.items():
        tell(name)
        lines = text.splitlines()
        print("\n".join(map(harmless, lines if tail is None else lines[-tail:])))


def _job_name(job: str, sets: list[str] | None) -> str:
    """Return the name of a job that is named itself, or by its experiment and what `submit` set in it."""
    if not job.endswith((".yaml", ".yml")):
        refuse_idle({"--set": bool(sets)}, "no use beside a job's name, which says its plan")
        return job
    from xtransfer.cluster.jobs import job_name
    from xtransfer.config.experiment import load_experiment

    experiment = load_experiment(Path(job), sets or ())
    return job_name(experiment.name, make_plan(experiment, Path(job), lenient=True)[0].key)

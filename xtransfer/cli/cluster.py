"""Commands for Kubernetes: submit, logs, wait, cancel, and `k8s check`, `preflight`, `setup`, `status`.

Exit status: 0 success; 1 the job or the command failed; 2 a mistake in what was given, a broken rule
included; 4 the job still goes on when `wait` gives up; 5 no such job.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import AsJson, Config, Sets, make_plan
from xtransfer.cli.output import print_json, print_table
from xtransfer.errors import ConfigError, UserError, XtransferError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xtransfer.cluster.jobs import JobObjects
    from xtransfer.cluster.manifests import Body, Manifest
    from xtransfer.cluster.policy import Finding
    from xtransfer.cluster.states import JobState

STILL_GOING = 4

Context = Annotated[
    str | None, typer.Option("--context", help="Of your kubeconfig; default: the current one.")
]
Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="Default: the overlay's, else the context's."),
]
Job = Annotated[
    str, typer.Argument(help="A job's name, or the experiment's YAML file.", show_default=False)
]

commands = typer.Typer(
    name="k8s",
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Manifests and jobs on Kubernetes.",
)


@commands.callback()
def _group() -> None:
    pass


def submit(
    config: Config,
    overlay: Annotated[
        Path, typer.Option("--overlay", help="A kustomize overlay, or rendered manifests.")
    ],
    sets: Sets = None,
    image: Annotated[
        str | None, typer.Option("--image", help="Runs in all pods instead of the overlay's.")
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let rules and server check; keep nothing.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the driver's log until the job ends.")
    ] = False,
) -> None:
    """Run an experiment as a RayJob. The same plan is the same job: it is adopted, not started twice.

    A job that failed is replaced by a new one, which does what has no record.

    Example: xtransfer submit configs/paper.yaml --overlay k8s/overlays/eks-spot --follow
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect
    from xtransfer.cluster.jobs import store_of, with_namespace

    objects = _objects(config, sets, overlay, image)
    if namespace:
        objects = with_namespace(objects, namespace)
    api = connect(context, namespace or objects.namespace or None)
    done = client.submit(api, objects, dry_run=dry_run)
    if dry_run:
        there = f"; it is there already: {done.state.words}" if done.state else ""
        print(f"{objects.name}: the server takes it (dry run){there}")
        return
    words = {
        "created": "submitted",
        "adopted": "is there already",
        "replaced": "had failed, submitted anew",
    }[done.done]
    state = done.state
    _tell(f"{objects.name}: {words}; namespace {api.namespace}, store {store_of(objects) or '?'}")
    print(objects.name)
    if follow:
        _end(client.follow(api, objects.name, say=print, tell=_tell))
    elif state is not None and done.done == "adopted":
        _tell(f"{objects.name}: {state.words}")


def logs(
    job: Job,
    pod: Annotated[
        str,
        typer.Option(
            "--pod",
            help="submitter (it relays the driver's output), head, worker, or a pod's name.",
        ),
    ] = "submitter",
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job ends.")
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
    """Show the log of a job's driver, or of one of its pods; with --store, what drivers and steps left.

    Example: xtransfer logs configs/paper.yaml -n xtransfer --tail 50
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect

    if step is not None and store is None:
        raise ConfigError("--step", "needs --store", "Steps log into the store.")
    if store is not None:
        _print_kept(store, step or _job_name(job).rpartition("-")[2], tail)
        return
    api = connect(context, namespace)
    name = _job_name(job)
    client.job_named(api, name)
    if follow and pod == "submitter":
        _end(client.follow(api, name, say=print, tell=_tell))
        return
    pods = client.pods_of(api, name)
    if pod in client.ROLES:
        role, chosen = pod, client.newest(pods, pod)
    else:
        chosen = next((each for each in pods if each["metadata"]["name"] == pod), None)
        role = chosen["metadata"]["labels"].get("xtransfer/role", "") if chosen else ""
    if chosen is None:
        names = ", ".join(each["metadata"]["name"] for each in pods) or "none"
        raise ConfigError(f"--pod {pod}", f"{name} has no such pod", f"Its pods: {names}.")
    lines = api.logs(
        chosen["metadata"]["name"], client.container_of(role), tail=tail, follow=follow
    )
    for _, line in lines:
        print(line)


def wait(
    job: Job,
    timeout: Annotated[
        float | None, typer.Option("--timeout", help="Seconds; default: no limit.", min=0)
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
) -> None:
    """Wait until a job ends. Status 0: it succeeded; 1: it failed; 4: it still goes on; 5: no such job.

    Example: xtransfer wait configs/paper.yaml -n xtransfer --timeout 3600
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect

    api = connect(context, namespace)
    name = _job_name(job)
    last: JobState | None = None
    for state in client.states(api, name, limit_s=timeout, tell=_tell):
        if last is None or last.words != state.words:
            _tell(f"{name}: {state.words}")
        last = state
    assert last is not None
    if last.outcome == "going":
        raise typer.Exit(STILL_GOING)
    _end(last)


def cancel(job: Job, context: Context = None, namespace: Namespace = None) -> None:
    """Delete a job and its cluster. Records and checkpoints stay: a submit goes on from them.

    Example: xtransfer cancel configs/paper.yaml -n xtransfer
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect

    api = connect(context, namespace)
    name = _job_name(job)
    if not client.cancel(api, name):
        raise client.JobNotFound(
            f"namespace {api.namespace}", f"no RayJob '{name}'", "See: xtransfer k8s status"
        )
    print(f"{name}: cancelled")


@commands.command()
def check(
    manifests: Annotated[
        Path, typer.Argument(help="An overlay, a folder of YAML files, or one file.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check manifests by the rules of the operator, Pod Security and Kueue that no schema shows.

    Example: xtransfer k8s check k8s/overlays/gpu
    """
    from xtransfer.cluster.policy import RULES, check, errors_of
    from xtransfer.cluster.render import render

    objects = render(manifests)
    found = check(objects)
    errors = len(errors_of(found))
    if as_json:
        print_json([vars(finding) for finding in found])
    else:
        for finding in found:
            print(f"{finding.level:<8} {finding}")
        print(
            f"{len(objects)} objects, {len(RULES)} rules: {errors} error, {len(found) - errors} warning"
        )
    if errors or (strict and found):
        raise typer.Exit(2)


@commands.command()
def preflight(
    overlay: Annotated[Path, typer.Argument(help="A kustomize overlay, or rendered manifests.")],
) -> None:
    """Apply the rules of `check`, and ask from here whether registry and store have what a job needs.

    Status 2: a rule is broken, or the image or the bucket is not there. What does not answer is unknown: the
    cluster may reach it all the same.

    Example: xtransfer k8s preflight k8s/overlays/gpu
    """
    from xtransfer.cluster.preflight import preflight as ask
    from xtransfer.cluster.render import render

    manifests = render(overlay)
    _refuse_errors(overlay, manifests)
    answers = ask(manifests)
    print_table(["about", "found", "what"], [[a.about, a.found, a.text] for a in answers])
    if any(answer.found == "absent" for answer in answers):
        raise typer.Exit(2)


@commands.command()
def setup(
    overlay: Annotated[Path, typer.Argument(help="A kustomize overlay, or rendered manifests.")],
    context: Context = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let rules and server check; keep nothing.")
    ] = False,
) -> None:
    """Apply what has to be there before the first job: namespace, accounts, roles, policies, volumes.

    Needs an administrator's rights; `submit` does not. Done again, it changes what has changed.

    Example: xtransfer k8s setup k8s/overlays/gpu --dry-run
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect
    from xtransfer.cluster.jobs import surroundings
    from xtransfer.cluster.render import render

    manifests = render(overlay)
    _refuse_errors(overlay, manifests)
    spaces = [manifest.name for manifest in manifests if manifest.kind == "Namespace"]
    api = connect(context, spaces[0] if len(spaces) == 1 else None)
    for label in client.set_up(api, surroundings(manifests), dry_run=dry_run):
        print(f"{label} {'taken (dry run)' if dry_run else 'applied'}")


@commands.command()
def status(
    job: Annotated[
        str | None,
        typer.Argument(help="A job's name, or the experiment's YAML file; default: all."),
    ] = None,
    context: Context = None,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Show jobs and what keeps them from running. What is computed is in `xtransfer status`.

    Example: xtransfer k8s status -n xtransfer
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.api import connect
    from xtransfer.cluster.states import state_of, trouble_of

    api = connect(context, namespace)
    bodies = client.jobs(api) if job is None else [client.job_named(api, _job_name(job))]
    rows: list[tuple[JobState, list[Body], list[str]]] = []
    for body in bodies:
        state = state_of(body)
        pods = client.pods_of(api, state.name)
        trouble = trouble_of(state, pods) if state.outcome == "going" else []
        rows.append((state, pods, trouble))
    if as_json:
        print_json([{**vars(s), "pods": len(p), "trouble": t} for s, p, t in rows])
        return
    print_table(
        ["job", "outcome", "cluster", "pods", "state"],
        [[s.name, s.outcome, s.cluster or "-", str(len(p)), s.words] for s, p, _ in rows],
    )
    for state, _, trouble in rows:
        for line in (*trouble, *([state.advice] if state.advice else [])):
            print(f"{state.name}: {line}")


def _print_kept(url: str, key: str, tail: int | None) -> None:
    """Print the logs in a store of a plan's drivers or of a step's attempts."""
    from xtransfer.errors import NotFound
    from xtransfer.logs import kept_logs
    from xtransfer.store import open_store

    found = kept_logs(open_store(url), key)
    if not found:
        raise NotFound(
            url, f"no log of '{key}'", "A key has 12 hex digits: of a plan, or of a step."
        )
    for name, text in found.items():
        _tell(name)
        lines = text.splitlines()
        print("\n".join(lines if tail is None else lines[-tail:]))


def _objects(config: Path, sets: list[str] | None, overlay: Path, image: str | None) -> JobObjects:
    """Return the objects of a job that keeps every rule."""
    from xtransfer.cluster.jobs import assemble, resolved_text
    from xtransfer.cluster.render import render
    from xtransfer.config import load_experiment

    experiment = load_experiment(config, sets or ())
    made, missing = make_plan(experiment, lenient=True)
    if missing:
        _tell(f"{len(missing)} inputs are not on this machine; the cluster must have them.")
    if experiment.data.synthetic is None and not Path(experiment.data.root).is_absolute():
        _tell(
            f"data.root '{experiment.data.root}' is relative, so pods look below /opt/xtransfer. "
            "Their data volume is at /data: --set data.root=/data"
        )
    manifests = render(overlay)
    objects = assemble(
        manifests,
        experiment=experiment.name,
        plan_key=made.key,
        text=resolved_text(experiment),
        image=image,
    )
    _refuse_errors(overlay, objects.manifests(manifests))
    return objects


def _refuse_errors(overlay: Path, manifests: Sequence[Manifest]) -> None:
    from xtransfer.cluster.policy import check, errors_of

    found = errors_of(check(manifests))
    if found:
        raise BrokenRules(str(overlay), found)


class BrokenRules(UserError):
    """Manifests that the cluster would take and that would not work."""

    def __init__(self, where: str, found: Sequence[Finding]) -> None:
        count = "1 rule is" if len(found) == 1 else f"{len(found)} rules are"
        lines = "".join(f"\n  {finding}" for finding in found)
        super().__init__(where, f"nothing was sent, for {count} broken:{lines}")


def _job_name(job: str) -> str:
    """Return the name of a job that is named itself, or by its experiment."""
    if not job.endswith((".yaml", ".yml")):
        return job
    from xtransfer.cluster.jobs import job_name
    from xtransfer.config import load_experiment

    experiment = load_experiment(Path(job))
    return job_name(experiment.name, make_plan(experiment, lenient=True)[0].key)


def _end(state: JobState) -> None:
    """End the command as the job ended."""
    if state.outcome == "succeeded":
        _tell(f"{state.name}: succeeded")
        return
    raise JobFailed(state.name, state.words, state.advice)


class JobFailed(XtransferError):
    """A job that was followed has failed."""


def _tell(text: str) -> None:
    print(f"xtransfer: {text}", file=sys.stderr)

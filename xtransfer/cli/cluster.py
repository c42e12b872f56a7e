"""Commands that send something to Kubernetes: submit, and `k8s check`, `preflight`, `setup`.

Exit status: 0 success; 1 the job that is followed or the command failed; 2 a mistake in what was given, a
broken rule included.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.jobs import end_as
from xtransfer.cli.options import AsJson, Config, Context, Namespace, Sets, make_plan, refuse_idle
from xtransfer.cli.output import print_json, print_table, tell
from xtransfer.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from xtransfer.cluster.jobs import JobObjects
    from xtransfer.cluster.manifests import Manifest
    from xtransfer.cluster.policy import Finding
    from xtransfer.config.experiment import Experiment
    from xtransfer.plan import Plan

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
    again: Annotated[
        bool,
        typer.Option("--again", help="Replace a job that succeeded; records are not done again."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Let rules and server check; keep nothing.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Show the driver's log until the job ends.")
    ] = False,
) -> None:
    """Run an experiment as a RayJob on Kubernetes.

    The same plan is the same job: it is adopted, not started twice. A job that failed, or succeeded
    with another store, placement or image, is replaced by a new one, which does what has no record.

    Example: xtransfer submit configs/paper.yaml --overlay k8s/overlays/eks-spot --follow
    """
    from xtransfer.cluster import client, submission
    from xtransfer.cluster.connection import connect
    from xtransfer.cluster.jobs import with_namespace

    if dry_run:
        refuse_idle({"--follow": follow}, "no use beside --dry-run, which starts nothing")
    objects, provisional = _objects(config, sets, overlay, image)
    if namespace:
        objects = with_namespace(objects, namespace)
    api = connect(context, namespace or objects.namespace or None)
    # Its name may be that of a job which read other data: none is taken for the one that is asked for.
    done = submission.submit(api, objects, again=again or provisional, dry_run=dry_run)
    for difference in done.differs:
        tell(f"{objects.name}: of the job that was there: {difference}")
    if dry_run:
        there = f"; it is there already: {done.state.words}" if done.state else ""
        print(f"{objects.name}: the server takes it (dry run){there}")
        return
    words = {"created": "submitted", "adopted": "is there already"}.get(done.done, "")
    if done.before is not None:
        ended = {"failed": "had failed", "succeeded": "had succeeded", "going": "was being removed"}
        words = f"{ended[done.before.outcome]}, submitted anew"
    state = done.state
    tell(f"{objects.name}: {words}; namespace {api.namespace}, store {done.store or '?'}")
    if done.done == "adopted" and done.differs:
        tell("It runs on as it is. To have it otherwise: xtransfer cancel, then submit again.")
    print(objects.name)
    if follow:
        end_as(client.follow(api, objects.name, say=print, tell=tell))
    elif state is not None and done.done == "adopted":
        tell(f"{objects.name}: {state.words}")


@commands.command()
def check(
    manifests: Annotated[
        Path, typer.Argument(help="An overlay, a folder of YAML files, or one file.")
    ],
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings too.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check manifests by rules that no schema shows.

    The rules are those of the KubeRay operator, Pod Security and Kueue. Nothing is sent.

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
    """Check manifests, whether image and bucket are there, and whether the service has conditional writes.

    The rules are those of `check`; registry and store are asked from this machine. Status 2: a rule
    is broken, or the image or the bucket is not there, or the service overwrites what it should only
    create. A registry or store that does not answer, or refuses test writes from this machine, counts
    as unknown: the cluster may still reach it.

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
    """Apply what has to be there before the first job.

    Creates the namespace, accounts, roles, policies and volumes. Needs an administrator's rights;
    `submit` does not. Running it again updates only what differs.

    Example: xtransfer k8s setup k8s/overlays/gpu --dry-run
    """
    from xtransfer.cluster import client
    from xtransfer.cluster.connection import connect
    from xtransfer.cluster.jobs import surroundings
    from xtransfer.cluster.render import render

    manifests = render(overlay)
    _refuse_errors(overlay, manifests)
    if not dry_run:
        _refuse_placeholders(overlay, [each for each in manifests if each.kind != "RayJob"])
    spaces = [manifest.name for manifest in manifests if manifest.kind == "Namespace"]
    api = connect(context, spaces[0] if len(spaces) == 1 else None)
    for label in client.set_up(api, surroundings(manifests), dry_run=dry_run):
        done = "taken (dry run)" if dry_run else "applied"
        print(label if label.endswith(client.NOT_TRIED) else f"{label} {done}")


def _objects(
    config: Path, sets: list[str] | None, overlay: Path, image: str | None
) -> tuple[JobObjects, bool]:
    """Return the objects of a job that keeps every rule, and whether its name is provisional.

    The name is provisional where inputs are not on this machine, because the plan's key is made of
    their digests.
    """
    from xtransfer.cluster.jobs import assemble, resolved_text
    from xtransfer.cluster.render import render
    from xtransfer.config.experiment import load_experiment

    experiment = load_experiment(config, sets or ())
    manifests = render(overlay)
    made, missing = make_plan(experiment, config, lenient=True)
    if missing:
        inputs = "1 input is" if len(missing) == 1 else f"{len(missing)} inputs are"
        tell(
            f"{inputs} not on this machine; the cluster must have them. The key in the job's name is "
            "provisional: the plan has its own once they are read, and a job that succeeded is run again, "
            "which does what has no record."
        )
    _tell_relative(experiment)
    objects = assemble(
        manifests,
        experiment=experiment.name,
        plan_key=made.key,
        text=resolved_text(experiment),
        image=image,
    )
    sent = objects.manifests(manifests)
    _refuse_errors(overlay, sent)
    _refuse_placeholders(overlay, sent)
    _tell_idle(experiment, made, sent)
    return objects, bool(missing)


def _tell_idle(experiment: Experiment, made: Plan, sent: Sequence[Manifest]) -> None:
    """Tell of settings that do nothing, of the experiment and of the placement that the job mounts."""
    from xtransfer.cluster.placements import placement_of
    from xtransfer.planner.idle import idle_places, idle_settings

    job = next(manifest for manifest in sent if manifest.kind == "RayJob")
    placement = placement_of(sent, job)
    places = [] if placement is None else idle_places(experiment, placement)
    for line in (*idle_settings(experiment, made), *places):
        tell(line)


def _tell_relative(experiment: Experiment) -> None:
    """Tell of folders that pods will look for where they have none."""
    data, encoder = experiment.data, experiment.encoder
    if data.synthetic is None and not Path(data.root).is_absolute():
        tell(
            f"data.root '{data.root}' is relative, so pods look below {_pods_look(data.root)}. "
            "Their data volume is at /data: --set data.root=/data"
        )
    if encoder.name and not encoder.revision and not Path(encoder.name).is_absolute():
        tell(
            f"encoder.name '{encoder.name}' is a relative folder, so pods look below {_pods_look(encoder.name)}. "
            "Put it on a volume of theirs, --set encoder.name=/data/FOLDER, or pin a hub repository by encoder.revision."
        )


def _pods_look(path: str) -> str:
    return "their own home" if path.startswith("~") else "/opt/xtransfer"


def _refuse_errors(overlay: Path, manifests: Sequence[Manifest]) -> None:
    from xtransfer.cluster.policy import check, errors_of

    found = errors_of(check(manifests))
    if found:
        raise BrokenRules(str(overlay), found)


def _refuse_placeholders(overlay: Path, manifests: Sequence[Manifest]) -> None:
    from xtransfer.cluster.preflight import placeholders

    if found := placeholders(manifests):
        lines = "".join(f"\n  {name}: {text}" for name, text in found.items())
        raise UserError(str(overlay), f"nothing was sent, for it is not filled in yet:{lines}")


class BrokenRules(UserError):
    """Manifests that the cluster would take and that would not work."""

    def __init__(self, where: str, found: Sequence[Finding]) -> None:
        count = "1 rule is" if len(found) == 1 else f"{len(found)} rules are"
        lines = "".join(f"\n  {finding}" for finding in found)
        super().__init__(where, f"nothing was sent, for {count} broken:{lines}")

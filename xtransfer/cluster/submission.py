"""Submit a RayJob: make it, adopt the one that is there, or put it in the place of one that has ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from xtransfer.cluster.adoption import differences, mounts, store_of_job
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError, Conflict
from xtransfer.cluster.jobs import PLAN_LABEL, JobObjects, owned, store_of
from xtransfer.cluster.manifests import Body, at
from xtransfer.cluster.states import JobState, state_of
from xtransfer.errors import ConfigError, XtransferError

GONE_S = 300.0
"""Seconds that a deleted job may take to go: the operator takes its cluster down first."""

NO_DRY_RUN = "does not support dry run"
"""Said of an admission webhook that may have side effects: what it thinks of a job is not known before."""

Done = Literal["created", "adopted", "replaced", "checked"]
"""checked: a dry run."""


@dataclass(frozen=True, kw_only=True)
class Submitted:
    """How a submission went."""

    done: Done
    state: JobState | None
    """None after a dry run of a job that is not there yet."""
    store: str
    """URL of the store that the job works with."""
    before: JobState | None = None
    """How the job that was replaced had ended."""
    differs: Sequence[str] = ()
    """What the job that was there has, or had, otherwise than what was to be sent, in words."""


def submit(
    api: Api, objects: JobObjects, *, again: bool = False, dry_run: bool = False
) -> Submitted:
    """Make sure that a plan's job is there, and there once.

    A job of that name that runs is adopted as it is, and so is one that has succeeded with the same store,
    placement and image. Others are replaced: the same plan on a new cluster, which does what has no record.

    Args:
        api: of the cluster.
        objects: of the job.
        again: replace a job that has succeeded in any case.
        dry_run: have the server check everything, and keep nothing.

    Raises:
        ConfigError: a job of that name is not of this plan.
        XtransferError: the job to be replaced does not go, or what belongs to the new one cannot be made.
    """
    found = api.get("RayJob", objects.name)
    if found is None:
        return _dry_run(api, objects) if dry_run else _create(api, objects)
    _check_plan(found, objects)
    differs = differences(found, objects)
    if dry_run:
        return _dry_run(api, objects, found, differs)
    if not _is_spent(found, succeeded=again or bool(differs)):
        return _adopt(api, objects, found)
    _remove(api, found)
    return _create(api, objects, before=found, differs=differs)


def _create(
    api: Api, objects: JobObjects, *, before: Body | None = None, differs: Sequence[str] = ()
) -> Submitted:
    """Make a job, in the place of `before`, from which it `differs`; somebody else's is adopted if it was first."""
    _try(api, objects.job)
    for body in (objects.config, *objects.shared):
        api.apply(body)
    try:
        job = api.create(objects.job)
    except Conflict:
        found = _existing(api, objects.name)
        _check_plan(found, objects)
        return _adopt(api, objects, found)
    _give(api, objects, job)
    return Submitted(
        done="created" if before is None else "replaced",
        state=state_of(job),
        store=store_of(objects),
        before=None if before is None else state_of(before),
        differs=differs,
    )


def _try(api: Api, job: Body) -> None:
    """Have the server check a job before anything of it is there: refused later, it would leave its ConfigMaps.

    Who submits may not delete those, and without the job they have no owner to go with.
    """
    try:
        api.apply(job, dry_run=True)
    except Conflict:
        return  # somebody else's is there by now
    except ApiError as error:
        if NO_DRY_RUN not in error.what:
            raise


def _adopt(api: Api, objects: JobObjects, found: Body) -> Submitted:
    """Take a job of this plan as it is, and complete what belongs to it: whoever made it may have been stopped."""
    differs = differences(found, objects)
    if not differs:
        # Not the experiment: applied without its owner, it would lose the one that it has.
        for body in objects.shared:
            api.apply(body)
    _give(api, objects, found, config=mounts(found, objects.config))
    return Submitted(
        done="adopted",
        state=state_of(found),
        store=store_of_job(api, found) if differs else store_of(objects),
        differs=differs,
    )


def _dry_run(
    api: Api, objects: JobObjects, found: Body | None = None, differs: Sequence[str] = ()
) -> Submitted:
    """Let the server check everything, and keep nothing."""
    for body in (objects.config, *objects.shared):
        api.apply(body, dry_run=True)
    if found is None:
        api.create(objects.job, dry_run=True)
    if objects.budget is not None:
        api.apply(objects.budget, dry_run=True)
    return Submitted(
        done="checked",
        state=None if found is None else state_of(found),
        store=store_of(objects),
        differs=differs,
    )


def _give(api: Api, objects: JobObjects, job: Body, *, config: bool = True) -> None:
    """Have a job's budget, and its experiment if `config` says that it is that of `objects`, go when it goes.

    Raises:
        ApiError: saying that the job itself is there.
    """
    try:
        if config:
            api.apply(owned(objects.config, job))
        if objects.budget is not None:
            api.apply(owned(objects.budget, job))
    except ApiError as error:
        raise ApiError(
            objects.name,
            f"is there and goes on, without all that belongs to it: {error.what}",
            f"{error.next} Submitting it again completes it; xtransfer cancel ends it.".strip(),
            error.status,
        ) from error


def _is_spent(body: Body, *, succeeded: bool) -> bool:
    """Return whether a job is to be replaced; one that has succeeded only if so asked."""
    ends = ("failed", "succeeded") if succeeded else ("failed",)
    return bool(at(body, "metadata", "deletionTimestamp")) or state_of(body).outcome in ends


def _remove(api: Api, body: Body) -> None:
    """Delete this very job and wait until it is gone."""
    name, uid = body["metadata"]["name"], body["metadata"]["uid"]
    try:
        api.delete("RayJob", name, uid=uid)
    except Conflict:
        return  # somebody else was faster, and theirs is adopted
    waited = 0.0
    while True:
        found = api.get("RayJob", name)
        if found is None or found["metadata"]["uid"] != uid:
            return
        if waited >= GONE_S:
            raise XtransferError(
                name,
                f"was deleted {waited:.0f} s ago and is still there",
                "Is the operator running? Its finalizer lets the job go.",
            )
        api.pause(2.0)
        waited += 2.0


def _existing(api: Api, name: str) -> Body:
    found = api.get("RayJob", name)
    if found is None:
        raise XtransferError(name, "was there and is gone again", "Submit it again.")
    return found


def _check_plan(body: Body, objects: JobObjects) -> None:
    """Refuse a job of the same name that is not of this plan."""
    key = at(objects.job, "metadata", "labels", PLAN_LABEL)
    if at(body, "metadata", "labels", PLAN_LABEL) != key:
        raise ConfigError(
            objects.name,
            f"a RayJob of that name is there, and its label {PLAN_LABEL} is not {key}",
            "It was not submitted by this program: rename or remove it.",
        )

"""Follow, wait for and cancel RayJobs, and set up what they need (`submission.py`: how one is submitted)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from xtransfer.cluster.api import STAMP, Api
from xtransfer.cluster.api_errors import ApiError, Gone, may_be_starting, no_namespace, passes
from xtransfer.cluster.jobs import JOB_LABEL, PLAN_LABEL
from xtransfer.cluster.kinds import path_of_body
from xtransfer.cluster.manifests import Body, at
from xtransfer.cluster.states import JobState, state_of
from xtransfer.errors import XtransferError

WATCH_S = 20
"""Seconds of one watch; logs are looked at in between."""
PATIENCE_S = 900.0
"""Seconds without any answer after which following ends. The job itself runs on."""
STARTING_S = 60.0
"""Seconds for which refusals of one whom it has answered before are taken for those of a server that starts."""
NOT_TRIED = "(not tried: no namespace yet)"
"""Said of what a dry run cannot try."""
ROLES = ("submitter", "head", "worker")
DRIVER = "submitter"
"""The role whose log has the driver's output."""

Tell = Callable[[str], None]
Instant = tuple[datetime, str]
"""A second in UTC, and nine digits of what is after it."""


def set_up(api: Api, bodies: Sequence[Body], *, dry_run: bool = False) -> Iterator[str]:
    """Apply what has to be there before the first job, and yield what each is called.

    Raises:
        ConfigError: an object of a kind that is not applied here; nothing was sent.
    """
    for body in bodies:
        path_of_body(body, api.namespace, named=True)
    for body in bodies:
        label = f"{body['kind']}/{body['metadata']['name']}"
        try:
            api.apply(body, dry_run=dry_run)
        except ApiError as error:
            # A dry run makes no namespace, so what would lie in it cannot be tried.
            if not (dry_run and no_namespace(error)):
                raise
            yield f"{label} {NOT_TRIED}"
            continue
        yield label


def job_named(api: Api, name: str) -> Body:
    """Return a RayJob.

    Raises:
        XtransferError: there is none of that name.
    """
    found = api.get("RayJob", name)
    if found is None:
        raise no_job(api, name)
    return found


class JobNotFound(XtransferError):
    """No job of that name in the namespace."""

    exit_status = 5


def no_job(api: Api, name: str) -> JobNotFound:
    """Return the error to raise where there is no job of that name."""
    next_ = "See: xtransfer k8s status. A job that was submitted with --set is found by its file with the same."
    return JobNotFound(f"namespace {api.namespace}", f"no RayJob '{name}'", next_)


def jobs(api: Api) -> list[Body]:
    """Return the RayJobs that this program submitted, the oldest first."""
    found = api.list("RayJob", labels=PLAN_LABEL)
    return sorted(found, key=lambda body: str(at(body, "metadata", "creationTimestamp")))


def pods_of(api: Api, name: str) -> list[Body]:
    """Return the pods of a job, the newest first."""
    found = api.list("Pod", labels=f"{JOB_LABEL}={name}")
    return sorted(
        found, key=lambda pod: str(at(pod, "metadata", "creationTimestamp")), reverse=True
    )


def states(
    api: Api,
    name: str,
    *,
    limit_s: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    tell: Tell = lambda text: None,
) -> Iterator[JobState]:
    """Yield a job's state now, whenever it changes, and every WATCH_S; the last one is an outcome.

    Dropped connections, a server that restarts and changes that it no longer has are got over: the job
    is read anew. Ends early when `limit_s` is over, with the last state that was read.

    Raises:
        JobNotFound: the job is not there, or has been deleted.
        ApiError: no answer for PATIENCE_S, or none at all within `limit_s`.
    """
    began = heard = clock()
    state: JobState | None = None
    refused: float | None = None
    while True:
        try:
            body, version = _job_in_list(api, name)
            heard = clock()
            state = state_of(body)
            yield state
            for newer in _changes(api, name, state, version, _left(limit_s, began, clock)):
                heard, refused, state = clock(), None, newer
                yield state
                if state.outcome != "going":
                    return
            # Not before: who may list and not watch is refused at every turn.
            silent, refused = False, None
        except Gone:
            silent, refused = False, None
        except ApiError as error:
            over = limit_s is not None and clock() - began >= limit_s
            starting = state is not None and may_be_starting(error)
            refused = (clock() if refused is None else refused) if starting else None
            since, patience = (heard, PATIENCE_S) if refused is None else (refused, STARTING_S)
            lost = not (starting or passes(error)) or clock() - since > patience
            if lost or (over and state is None):
                raise
            if not over:
                said = f"{error.what}, perhaps since the server starts." if starting else error
                tell(f"{said} The job runs on; trying again.")
            silent = True
        if state is not None and state.outcome != "going":
            return
        if limit_s is not None and clock() - began >= limit_s:
            return
        # A server that ends every watch at once is not asked without a break either.
        api.pause(min(5.0, WATCH_S) if silent else 0.2)


def follow(
    api: Api, name: str, *, say: Tell, tell: Tell, pod: str = DRIVER, tail: int | None = None
) -> JobState:
    """Say a job's log and tell its states until it ends, over all its clusters; return how it ended.

    Args:
        api: of the cluster.
        name: of the job.
        say: a line of the log.
        tell: a state of the job.
        pod: whose log it is: a role, or a pod's name.
        tail: begin with so many of the lines that are there; None: with the first.
    """
    last: JobState | None = None
    reader = LogReader(api, name, pod=pod, tail=tail)
    for state in states(api, name, tell=tell):
        if last is None or (state.words, state.cluster) != (last.words, last.cluster):
            cluster = f" on {state.cluster}" if state.cluster else ""
            tell(f"{name}{cluster}: {state.words}")
        for line in reader.fresh():
            say(line)
        last = state
    assert last is not None
    return last


class LogReader:
    """Reads what is new in the log of a job's pod: that of the driver, which the newest submitter relays, or another."""

    def __init__(self, api: Api, name: str, *, pod: str = DRIVER, tail: int | None = None) -> None:
        self.api = api
        self.name = name
        self.asked = pod
        self.tail = tail
        self.pod = ""
        self.last: Instant | None = None
        """Of the last line that was read."""
        self.heard = False
        """Whether a log was ever read: who may not is told so before that."""

    def fresh(self) -> Iterator[str]:
        """Yield the lines since the last call; none while no pod has a log."""
        try:
            pod = chosen(pods_of(self.api, self.name), self.asked, read=self.pod)
            if pod is None:
                return
            if pod["metadata"]["name"] != self.pod:
                self.pod, self.last = pod["metadata"]["name"], None
            # The server's `since` knows whole seconds: the first lines may be known already.
            since = f"{self.last[0]:%Y-%m-%dT%H:%M:%SZ}" if self.last else ""
            tail = None if self.heard else self.tail
            lines = self.api.logs(self.pod, container_of(pod), since=since, tail=tail)
            for stamp, line in lines:
                self.heard = True
                instant = _instant(stamp)
                if instant is not None and (self.last is None or instant > self.last):
                    self.last = instant
                    yield line
        except ApiError as error:
            # The container may not have started yet, or the line has dropped: next time. Whoever has lost the
            # right to the log has lost that to the job, too, or else goes on without lines.
            waits = error.status in (400, 404) or (self.heard and may_be_starting(error))
            if not waits and not passes(error):
                raise


def chosen(pods: Sequence[Body], asked: str, *, read: str = "") -> Body | None:
    """Return the pod that is asked for by its name, or the newest of a role.

    Args:
        pods: of a job, the newest first.
        asked: a role, or a name.
        read: name of the pod that was read so far. While it is there it remains the worker: of these there are
            several, and others come. Of the other roles an older pod is one that was lost.
    """
    if asked not in ROLES:
        return next((pod for pod in pods if pod["metadata"]["name"] == asked), None)
    of_role = [p for p in pods if at(p, "metadata", "labels", "xtransfer/role") == asked]
    if asked == "worker":
        of_role.sort(key=lambda pod: pod["metadata"]["name"] != read)
    return next(iter(of_role), None)


def container_of(pod: Body) -> str:
    """Return the name of a pod's main container."""
    role = at(pod, "metadata", "labels", "xtransfer/role")
    return {"head": "ray-head", "worker": "ray-worker"}.get(str(role), "ray-job-submitter")


def cancel(api: Api, name: str) -> bool:
    """Delete a job with its cluster; return whether there was one. Its records stay in the store."""
    found = api.get("RayJob", name)
    return found is not None and api.delete("RayJob", name, uid=found["metadata"]["uid"])


def _job_in_list(api: Api, name: str) -> tuple[Body, str]:
    """Return a RayJob, and the version of the server's objects from which a watch may go on.

    Not the job's own version: where nothing has changed it for long, that is older than all that the server
    remembers, from its restart on for good, and each watch would end at once (410).
    """
    found, version = api.named("RayJob", name)
    if found is None:
        raise no_job(api, name)
    return found, version


def _instant(stamp: str) -> Instant | None:
    """Return what a line's time stamp says, in whatever time zone its node is; None without one."""
    parts = STAMP.fullmatch(stamp)
    if parts is None:
        return None
    second = datetime.fromisoformat(parts["second"] + parts["zone"]).astimezone(UTC)
    return second, (parts["fraction"] or "").ljust(9, "0")


def _changes(
    api: Api, name: str, state: JobState, version: str, seconds: int
) -> Iterator[JobState]:
    """Yield the state at each change after `version`, for some seconds or until the line drops."""
    if state.outcome != "going" or seconds <= 0:
        return
    for event, changed in api.watch("RayJob", name, version=version, seconds=seconds):
        if event == "DELETED":
            raise JobNotFound(f"namespace {api.namespace}", f"'{name}' has been deleted")
        if event != "BOOKMARK":
            yield state_of(changed)


def _left(limit_s: float | None, began: float, clock: Callable[[], float]) -> int:
    if limit_s is None:
        return WATCH_S
    return max(0, min(WATCH_S, round(limit_s - (clock() - began))))

"""A job is followed to its end, waited for, cancelled and listed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.cluster.conftest import NAME
from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import ApiError
from xtransfer.cluster.client import JobNotFound, cancel, follow, states
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.manifests import at
from xtransfer.cluster.submission import submit


class Story:
    """Events that happen one after the other, each when the client waits or has heard of the last."""

    def __init__(self, server: FakeApi, *events: Callable[[], object]) -> None:
        self.server = server
        self.events = list(events)
        self.told: list[str] = []
        self.said: list[str] = []

    def next(self, text: str = "") -> None:
        self.told.append(text)
        if self.events:
            self.events.pop(0)()

    def follow(self, api: Api) -> str:
        return follow(api, NAME, say=self.said.append, tell=self.next).outcome


def succeed(server: FakeApi) -> Callable[[], object]:
    return lambda: server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")


def lose(server: FakeApi) -> Callable[[], object]:
    return lambda: server.set_status(
        NAME, jobDeploymentStatus="Retrying", jobStatus="FAILED", failed=1, reason="AppFailed"
    )


def test_following_goes_over_a_new_cluster_to_the_end(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)

    def first() -> None:
        server.log(f"{server.start(NAME)}-submitter", "one", "two")

    def second() -> None:
        server.log(f"{server.start(NAME)}-submitter", "two recorded", "three")

    story = Story(server, first, lose(server), second, succeed(server))
    assert story.follow(api) == "succeeded"
    assert story.said == ["one", "two", "two recorded", "three"]
    clusters = [text.split(" on ")[1].split(":")[0] for text in story.told if "runs" in text]
    assert len(set(clusters)) == 2
    assert any("lost its cluster" in text for text in story.told)
    assert len(server.sent("POST", "rayjobs")) == 1


def test_following_survives_cut_watches(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    server.watch_drops_after = 0
    story = Story(
        server,
        lambda: server.set_status(NAME, jobDeploymentStatus="Initializing"),
        *[lambda: None] * 2,
        succeed(server),
    )
    assert story.follow(api) == "succeeded"
    watches = [r for r in server.requests if r.query.get("watch")]
    assert len(watches) > 1
    assert any("The job runs on" in text for text in story.told)


def test_following_survives_a_history_that_is_gone(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    rounds = iter([server.forget, server.forget, succeed(server)])
    api.pause = lambda seconds: None

    def fault(request: object) -> None:
        # Between the read of the job and its watch.
        if getattr(request, "query", {}).get("watch"):
            next(rounds, lambda: None)()

    server.faults.append(fault)  # type: ignore[arg-type]
    assert Story(server).follow(api) == "succeeded"
    assert len([r for r in server.requests if r.query.get("watch")]) >= 3


def test_following_survives_a_server_that_restarts(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.fail(8, Answer(code=503), method="GET", plural="rayjobs")
    story = Story(server, lambda: None, succeed(server))
    assert story.follow(api) == "succeeded"


def test_lines_are_said_once(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    cluster = server.start(NAME)
    server.log(f"{cluster}-submitter", "a", "b")
    reader = client.LogReader(api, NAME)
    assert list(reader.fresh()) == ["a", "b"]
    assert list(reader.fresh()) == []
    server.log(f"{cluster}-submitter", "c")
    assert list(reader.fresh()) == ["c"]


def test_a_log_that_has_not_begun_is_no_failure(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    assert list(client.LogReader(api, NAME).fresh()) == []
    server.start(NAME)
    assert list(client.LogReader(api, NAME).fresh()) == []


def test_following_a_job_that_is_deleted_says_so(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    with pytest.raises(JobNotFound) as caught:
        Story(server, lambda: cancel(api, NAME)).follow(api)
    assert caught.value.exit_status == 5


def test_following_gives_up_without_any_answer(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    now = [0.0]
    api.pause = lambda seconds: now.__setitem__(0, now[0] + 100)
    server.fail(10**6, Answer(code=503), method="GET")
    with pytest.raises(ApiError, match="too busy"):
        list(states(api, NAME, clock=lambda: now[0]))
    assert now[0] > client.PATIENCE_S


def test_waiting_ends_with_its_limit(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    server.start(NAME)
    last = list(states(api, NAME, limit_s=0.2))[-1]
    assert last.outcome == "going"


# --- the end -------------------------------------------------------------------------------------


def test_cancelling_takes_all_of_the_job_along(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    assert cancel(api, NAME)
    assert server.all("rayjobs") == server.all("poddisruptionbudgets") == []
    assert [at(body, "data", "experiment.yaml") for body in server.all("configmaps")] == [None]
    assert not cancel(api, NAME)


def test_jobs_are_listed_by_their_label(server: FakeApi, api: Api, objects: JobObjects) -> None:
    submit(api, objects)
    stranger = {**objects.job, "metadata": {"name": "other"}}
    api.create(stranger)
    assert [body["metadata"]["name"] for body in client.jobs(api)] == [NAME]
    assert len(server.all("rayjobs")) == 2

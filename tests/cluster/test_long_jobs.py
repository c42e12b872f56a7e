"""Following and waiting for a job over days: old versions, silent servers, nodes in other time zones."""

from __future__ import annotations

import pytest

from tests.cluster.fake_api import Answer, FakeApi
from xtransfer.cluster import client
from xtransfer.cluster.api import Api
from xtransfer.cluster.api_errors import NOT_SERVED, ApiError
from xtransfer.cluster.client import JobNotFound, states
from xtransfer.cluster.jobs import JobObjects
from xtransfer.cluster.submission import submit

NAME = "xt-small-0123456789ab"


def test_a_job_that_nothing_has_changed_since_the_server_restarted_is_watched(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.start(NAME)
    server.forget()
    seen = list(states(api, NAME, limit_s=2))
    assert {state.outcome for state in seen} == {"going"}
    assert any(r.query.get("watch") for r in server.requests)
    assert server.expired == 0


def test_a_watch_that_is_too_old_is_begun_anew_after_a_break(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.start(NAME)
    watches, breaks = [0], []

    def end() -> None:
        server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")

    def fault(request: object) -> None:
        watches[0] += bool(getattr(request, "query", {}).get("watch"))
        if watches[0] <= 3:
            server.forget()
        if watches[0] == 20:
            end()

    def pause(seconds: float) -> None:
        breaks.append(seconds)
        if len(breaks) == 4:
            end()

    server.faults.append(fault)  # type: ignore[arg-type]
    api.pause = pause
    assert list(states(api, NAME))[-1].outcome == "succeeded"
    assert server.expired == 3
    assert min(breaks) > 0


def test_a_job_that_is_not_there_is_said_so(server: FakeApi, api: Api) -> None:
    assert server.all("rayjobs") == []
    with pytest.raises(JobNotFound, match=f"no RayJob '{NAME}'"):
        list(states(api, NAME))


@pytest.mark.parametrize("heard", [True, False])
def test_waiting_ends_with_its_limit_though_the_server_is_silent(
    server: FakeApi, api: Api, objects: JobObjects, heard: bool
) -> None:
    submit(api, objects)
    server.start(NAME)
    now = [0.0]
    api.pause = lambda seconds: now.__setitem__(0, now[0] + seconds)
    limited = states(api, NAME, limit_s=60, clock=lambda: now[0])
    if heard:
        assert next(limited).outcome == "going"
    server.fail(10**6, Answer(code=503), method="GET")
    if heard:
        assert list(limited) == []
    else:
        with pytest.raises(ApiError, match="too busy"):
            list(limited)
    assert 60 <= now[0] < client.PATIENCE_S / 2


@pytest.mark.parametrize("zone", ["Z", "+02:00", "-05:30"])
def test_lines_are_said_once_wherever_the_node_is(
    server: FakeApi, api: Api, objects: JobObjects, zone: str
) -> None:
    submit(api, objects)
    pod = f"{server.start(NAME)}-submitter"
    reader = client.LogReader(api, NAME)
    server.logs[pod] = [
        f"2026-01-01T12:00:00.5{zone} a",
        f"2026-01-01T12:00:00.500000001{zone} b",
    ]
    assert list(reader.fresh()) == ["a", "b"]
    server.logs[pod].append(f"2026-01-01T12:00:00.51{zone} c")
    assert list(reader.fresh()) == ["c"]


def test_a_node_that_has_lost_the_log_does_not_end_reading(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    pod = f"{server.start(NAME)}-submitter"
    lost = "unable to retrieve container logs for containerd://0123"
    reader = client.LogReader(api, NAME)
    server.logs[pod] = [lost]
    assert list(api.logs(pod, "ray-job-submitter")) == [("", lost)]
    assert list(reader.fresh()) == []
    server.logs[pod] = ["2026-01-01T12:00:00.000000001Z a"]
    assert list(reader.fresh()) == ["a"]


def test_a_worker_is_read_while_it_is_there_though_others_come(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    reader = client.LogReader(api, NAME, pod="worker")
    assert list(reader.fresh()) == []
    labels = {"xtransfer/job": NAME, "xtransfer/role": "worker"}
    for name in ("one", "two"):
        server.add_pod(name, labels)
        server.log(name, f"{name} begins")
        assert list(reader.fresh()) == (["one begins"] if name == "one" else [])
    server.log("one", "one ends")
    assert list(reader.fresh()) == ["one ends"]
    server.drop_pod("one")
    assert list(reader.fresh()) == ["two begins"]


STARTING = [
    Answer(code=401, message="Unauthorized"),
    Answer(
        code=403,
        message='rayjobs.ray.io is forbidden: User "me" cannot list resource "rayjobs" in API group "ray.io" '
        'in the namespace "xtransfer": RBAC: role.rbac.authorization.k8s.io "xtransfer-submitter" not found',
    ),
    Answer(code=404, message=NOT_SERVED),
]
"""What a server says that has not read its tokens, roles and custom kinds yet."""


@pytest.mark.parametrize("answer", STARTING, ids=lambda answer: str(answer.code))
def test_a_server_that_starts_and_does_not_know_one_yet_is_got_over(
    server: FakeApi, api: Api, objects: JobObjects, answer: Answer
) -> None:
    submit(api, objects)
    pod = f"{server.start(NAME)}-submitter"
    server.log(pod, "a")
    now, said, told = [0.0], list[str](), list[str]()

    def restart(seconds: float) -> None:
        now[0] += seconds
        if len(said) == 1:
            server.log(pod, "b")
            server.fail(3, answer, method="GET")
            server.fail(1, answer, method="GET", plural="pods")
            said.append("-")
        elif any("perhaps since the server starts" in text for text in told):
            server.set_status(NAME, jobDeploymentStatus="Complete", jobStatus="SUCCEEDED")

    api.pause = restart
    assert client.follow(api, NAME, say=said.append, tell=told.append).outcome == "succeeded"
    assert said[:2] == ["a", "-"]
    assert sum("perhaps since the server starts" in text for text in told) >= 3


@pytest.mark.parametrize("answer", STARTING, ids=lambda answer: str(answer.code))
def test_a_refusal_that_lasts_ends_following(
    server: FakeApi, api: Api, objects: JobObjects, answer: Answer
) -> None:
    submit(api, objects)
    server.start(NAME)
    now = [0.0]
    api.pause = lambda seconds: now.__setitem__(0, now[0] + seconds)
    followed = states(api, NAME, clock=lambda: now[0])
    assert next(followed).outcome == "going"
    now[0] += 10 * client.STARTING_S  # of silence before it, which is not what is counted
    server.fail(10**6, answer, method="GET")
    with pytest.raises(ApiError) as caught:
        list(followed)
    assert caught.value.status == answer.code
    spent = now[0] - 10 * client.STARTING_S
    assert client.STARTING_S < spent < 2 * client.STARTING_S
    # Whom the server has never answered is told at once.
    before = now[0]
    with pytest.raises(ApiError):
        list(states(api, NAME, clock=lambda: now[0]))
    assert now[0] == before


def test_who_may_list_and_not_watch_is_told_so_after_a_while(
    server: FakeApi, api: Api, objects: JobObjects
) -> None:
    submit(api, objects)
    server.start(NAME)
    said = 'User "me" cannot watch resource "rayjobs" in API group "ray.io"'
    server.faults.append(
        lambda request: Answer(code=403, message=said) if "watch" in request.query else None
    )
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds
        assert now[0] < 3 * client.STARTING_S

    api.pause = pause
    with pytest.raises(ApiError, match=r"cannot watch.*Bind yourself to the role"):
        list(states(api, NAME, clock=lambda: now[0]))
    assert now[0] > client.STARTING_S

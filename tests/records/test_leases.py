"""A step has one holder at a time, whoever claims it and whenever."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from annotated_types import Le

from xtransfer.config.placement import Placement
from xtransfer.errors import StepBusy
from xtransfer.machine import this_machine
from xtransfer.records import leases
from xtransfer.records.leases import Lease, attempts, claim, holder, holding
from xtransfer.store import Store

KEY = "0123456789ab"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every holder one of another machine, whose processes cannot be looked up."""
    monkeypatch.setattr(leases, "this_machine", lambda: "")


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b"{}", b"[" * 100_000, b'{"expires": "x"}', b"\xff"],
)
def test_a_damaged_attempt_holds_nothing_and_its_epoch_is_taken(store: Store, data: bytes) -> None:
    store.write(f"leases/{KEY}/000004.json", data)
    assert holder(store, KEY) is None
    assert claim(store, KEY, seconds=60).attempt.epoch == 5


@pytest.mark.parametrize(("field", "value"), [("expires", "soon"), ("epoch", 9), ("key", "x")])
def test_an_attempt_that_says_something_else_holds_nothing(
    store: Store, field: str, value: object
) -> None:
    lease = claim(store, KEY, seconds=60)
    said = {**json.loads(store.read(lease.attempt.name)), field: value}
    store.write(lease.attempt.name, json.dumps(said).encode())
    assert holder(store, KEY) is None
    assert claim(store, KEY, seconds=60).attempt.epoch == 2


def states(store: Store) -> list[str]:
    return [attempt.state for attempt in attempts(store, KEY)]


def test_one_of_many_claimants_gets_it(store: Store) -> None:
    def attempt(_: int) -> Lease | None:
        try:
            return claim(store, KEY, seconds=60)
        except StepBusy:
            return None

    with ThreadPoolExecutor(8) as pool:
        won = [lease for lease in pool.map(attempt, range(8)) if lease]
    assert len(won) == 1
    assert [each.token for each in attempts(store, KEY)] == [won[0].attempt.token]


def test_a_live_lease_keeps_others_out_until_it_expires(store: Store, clock: Clock) -> None:
    first = claim(store, KEY, seconds=60, clock=clock)
    clock.now += 60
    with pytest.raises(StepBusy, match=f"step {KEY}: process .* is at work on it, for 60 s now"):
        claim(store, KEY, seconds=60, clock=clock)
    first.renew()
    clock.now += 60
    assert holder(store, KEY, clock=clock) == first.attempt
    clock.now += 1
    assert holder(store, KEY, clock=clock) is None
    second = claim(store, KEY, seconds=60, clock=clock)
    assert second.attempt.epoch == 2


def test_who_was_overtaken_neither_commits_nor_renews_nor_ends(store: Store, clock: Clock) -> None:
    first = claim(store, KEY, seconds=60, clock=clock)
    first.check()
    clock.now += 61
    second = claim(store, KEY, seconds=60, clock=clock)
    before = store.read(first.attempt.name)
    with pytest.raises(StepBusy, match="attempt 1 was silent too long"):
        first.check()
    first.renew()
    first.end()
    assert store.read(first.attempt.name) == before
    second.check()
    assert holder(store, KEY, clock=clock) == second.attempt


def test_a_copy_of_a_lease_in_another_process_knows_whether_it_was_overtaken(
    store: Store, clock: Clock
) -> None:
    first = claim(store, KEY, seconds=60, clock=clock)
    check = pickle.loads(pickle.dumps(first.check))
    check()
    clock.now += 61
    claim(store, KEY, seconds=60, clock=clock)
    with pytest.raises(StepBusy, match="attempt 1 was silent too long"):
        check()


def test_an_ended_lease_is_free_and_says_how_it_ended(store: Store, clock: Clock) -> None:
    with holding(store, KEY, seconds=60, clock=clock) as lease:
        assert holder(store, KEY, clock=clock) is not None
        lease.outcome = "done"
    assert holder(store, KEY, clock=clock) is None
    with pytest.raises(ValueError, match="no"), holding(store, KEY, seconds=60, clock=clock):
        raise ValueError("no")
    assert states(store) == ["done", "failed"]


def test_a_heartbeat_renews(store: Store) -> None:
    import time

    with holding(store, KEY, seconds=0.3) as lease:
        first = lease.attempt.expires
        deadline = time.monotonic() + 60
        while lease.attempt.expires == first and time.monotonic() < deadline:
            time.sleep(0.02)
    assert lease.attempt.expires > first


def test_a_dead_process_of_this_machine_is_followed_at_once(store: Store) -> None:
    if not this_machine():
        pytest.skip("this system does not tell processes apart")
    lease = claim(store, KEY, seconds=3600)
    assert holder(store, KEY) is not None
    gone = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    for changes in ({"pid": int(gone.stdout)}, {"process_start": "0"}):
        attempt = replace(lease.attempt, **changes)
        store.write(attempt.name, leases._text(attempt))
        assert holder(store, KEY) is None
    # The same numbers mean nothing on another machine.
    attempt = replace(attempt, machine="another")
    store.write(attempt.name, leases._text(attempt))
    assert holder(store, KEY) == attempt


def test_a_process_that_proc_hides_is_not_taken_for_dead(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `hidepid` /proc has no process of another user; a signal to it is refused, not lost."""
    if not this_machine():
        pytest.skip("this system does not tell processes apart")
    lease = claim(store, KEY, seconds=3600)
    hidden = replace(lease.attempt, pid=2**22 + 1)  # no process of this machine
    store.write(hidden.name, leases._text(hidden))
    assert holder(store, KEY) is None

    def refused(pid: int, signal: int) -> None:
        raise PermissionError(pid, signal)

    monkeypatch.setattr(os, "kill", refused)
    assert holder(store, KEY) == hidden
    own = replace(lease.attempt, process_start="0")  # visible, and another process
    store.write(own.name, leases._text(own))
    assert holder(store, KEY) is None


@pytest.mark.usefixtures("elsewhere")
def test_without_knowledge_of_processes_only_time_tells(store: Store, clock: Clock) -> None:
    lease = claim(store, KEY, seconds=60, clock=clock)
    attempt = replace(lease.attempt, pid=2**22 + 1, process_start="0")
    store.write(attempt.name, leases._text(attempt))
    assert holder(store, KEY, clock=clock) == attempt


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"epoch": 1}'])
def test_a_holder_whose_lease_was_damaged_holds_on_and_writes_it_anew(
    store: Store, data: bytes
) -> None:
    lease = claim(store, KEY, seconds=60)
    store.write(lease.attempt.name, data)
    lease.check()
    lease.renew()
    assert not lease.lost
    assert holder(store, KEY) == lease.attempt
    store.write(lease.attempt.name, data)
    lease.outcome = "done"
    lease.end()
    assert states(store) == ["done"]


def test_a_holder_whose_lease_is_gone_or_another_s_gives_up(store: Store) -> None:
    for name in ("gone", "other"):
        lease = claim(store, KEY, seconds=60)
        store.delete(lease.attempt.name)
        if name == "other":  # somebody took the same epoch after the log was cleared
            assert claim(store, KEY, seconds=60).attempt.epoch == lease.attempt.epoch
        with pytest.raises(StepBusy):
            lease.check()


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"epoch": 1}'])
def test_a_damaged_lease_holds_nothing(store: Store, data: bytes) -> None:
    lease = claim(store, KEY, seconds=60)
    store.write(lease.attempt.name, data)
    assert holder(store, KEY) is None
    assert claim(store, KEY, seconds=60).attempt.epoch == 2
    with pytest.raises(StepBusy):
        lease.check()


def test_an_expiry_that_no_lease_can_have_holds_nothing(store: Store, clock: Clock) -> None:
    lease = claim(store, KEY, seconds=60, clock=clock)
    attempt = replace(lease.attempt, expires=9e9)
    store.write(attempt.name, leases._text(attempt))
    assert holder(store, KEY, clock=clock) is None


def test_the_longest_lease_of_a_placement_keeps_out_who_is_behind_in_time(
    store: Store, clock: Clock
) -> None:
    longest = next(
        each.le for each in Placement.model_fields["lease_s"].metadata if isinstance(each, Le)
    )
    lease = claim(store, KEY, seconds=longest, clock=clock)
    clock.now -= longest - 1
    assert holder(store, KEY, clock=clock) == lease.attempt
    with pytest.raises(StepBusy):
        claim(store, KEY, seconds=60, clock=clock)


def test_other_objects_beside_leases_are_passed_over(store: Store) -> None:
    lease = claim(store, KEY, seconds=60)
    store.write(f"leases/{KEY}/notes.txt", b"not one of ours")
    assert attempts(store, KEY) == [lease.attempt]


def test_a_step_that_was_begun_often_costs_no_more_requests(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    before = type(store).read
    monkeypatch.setattr(type(store), "read", lambda s, name: read.append(name) or before(s, name))
    counts: list[int] = []
    for _ in range(5):
        read.clear()
        lease = claim(store, KEY, seconds=60, clock=clock)
        lease.renew()
        lease.check()
        assert holder(store, KEY, clock=clock) == lease.attempt
        lease.end()
        counts.append(len(read))
    assert counts == [4, 5, 5, 5, 5]  # the first finds nothing before it
    assert len(attempts(store, KEY)) == 5

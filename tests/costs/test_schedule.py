from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtransfer.costs.schedule import Capacity, Job, critical_path, lower_bound, simulate


def job(key: str, seconds: float, *parents: str, gpus: float = 1.0, cpus: float = 0.0) -> Job:
    return Job(key=key, parents=parents, seconds=seconds, gpus=gpus, cpus=cpus)


#  a(3) ── c(2) ── e(1)
#  b(1) ── d(5) ──┘
DIAMOND = (job("a", 3), job("b", 1), job("c", 2, "a"), job("d", 5, "b"), job("e", 1, "c", "d"))


def test_the_critical_path_is_the_longest_chain() -> None:
    assert critical_path(DIAMOND) == (7, ["b", "d", "e"])
    assert critical_path([]) == (0, [])
    # A prune step stands behind the trials that wait for it.
    assert critical_path(DIAMOND[::-1]) == (7, ["b", "d", "e"])


@pytest.mark.parametrize(
    ("gpus", "makespan", "bound"),
    [
        (1, 12, 12),  # one after the other
        (2, 7, 7),  # a and b; d beside a and c; e
        (9, 7, 7),
    ],
)
def test_a_run_on_so_many_gpus(gpus: int, makespan: float, bound: float) -> None:
    capacity = Capacity(gpus=gpus)
    found = simulate(DIAMOND, capacity)
    assert found is not None
    assert (found.makespan, lower_bound(DIAMOND, capacity)) == (makespan, bound)


def test_steps_start_in_the_order_of_the_plan() -> None:
    found = simulate(DIAMOND, Capacity(gpus=2))
    assert found is not None
    assert found.starts == {"a": 0, "b": 0, "d": 1, "c": 3, "e": 6}


def test_a_small_step_goes_before_a_large_one_that_has_no_room() -> None:
    jobs = (job("a", 4), job("big", 1, gpus=2), job("small", 1))
    found = simulate(jobs, Capacity(gpus=2))
    assert found is not None
    assert found.starts == {"a": 0, "small": 0, "big": 4}


def test_at_most_so_many_steps_at_once_and_choices_are_none() -> None:
    jobs = (
        job("a", 1),
        job("b", 1),
        Job(key="choice", parents=("a",), seconds=0, counted=False),
        job("c", 1, "choice"),
    )
    found = simulate(jobs, Capacity(steps=1))
    assert found is not None
    assert found.starts == {"a": 0, "b": 1, "choice": 1, "c": 2}
    assert lower_bound(jobs, Capacity(steps=1)) == 3


def test_cpus_are_a_limit_too() -> None:
    jobs = tuple(job(str(n), 1, gpus=0, cpus=2) for n in range(4))
    found = simulate(jobs, Capacity(cpus=4))
    assert found is not None
    assert found.makespan == lower_bound(jobs, Capacity(cpus=4)) == 2


def test_a_step_that_never_finds_room() -> None:
    assert simulate((job("a", 1, gpus=8),), Capacity(gpus=4)) is None


@st.composite
def plans(draw: st.DrawFn) -> list[Job]:
    count = draw(st.integers(1, 12))
    return [
        job(
            str(number),
            draw(st.integers(0, 5)),
            *(str(each) for each in range(number) if draw(st.booleans())),
            gpus=draw(st.sampled_from([0.0, 0.5, 1.0, 2.0])),
        )
        for number in range(count)
    ]


@given(plans(), st.integers(2, 5))
def test_no_run_breaks_the_rules_or_beats_the_bound(jobs: Sequence[Job], gpus: int) -> None:
    found = simulate(jobs, Capacity(gpus=gpus))
    assert found is not None
    ends = {each.key: found.starts[each.key] + each.seconds for each in jobs}
    for each in jobs:
        assert all(found.starts[each.key] >= ends[parent] for parent in each.parents)
    for now in found.starts.values():
        there = [each for each in jobs if found.starts[each.key] <= now < ends[each.key]]
        assert sum(each.gpus for each in there) <= gpus
    assert found.makespan == max(ends.values())
    bound = lower_bound(jobs, Capacity(gpus=gpus))
    # Graham 1969 for one resource whose steps may take several: at most three times the bound.
    assert bound <= found.makespan <= 3 * bound

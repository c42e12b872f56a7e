from __future__ import annotations

from xtransfer.driver.outages import LONGEST_PAUSE_S, STORE_PAUSE_S, Outages


def test_a_step_waits_twice_as_long_each_time_up_to_a_bound() -> None:
    outages = Outages(retries=2000)
    waits = [outages.missed("k", 0.0) for _ in range(2000)]
    assert waits[:3] == [STORE_PAUSE_S, 2 * STORE_PAUSE_S, 4 * STORE_PAUSE_S]
    assert set(waits[6:]) == {LONGEST_PAUSE_S}
    assert outages.missed("k", 0.0) is None


def test_a_step_that_got_an_answer_waits_from_the_start() -> None:
    outages = Outages(retries=2)
    outages.missed("k", 0.0)
    outages.missed("k", 0.0)
    outages.answered("k")
    assert outages.missed("k", 0.0) == STORE_PAUSE_S

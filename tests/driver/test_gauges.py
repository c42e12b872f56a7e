from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from xtransfer.config.placement import Placement, TrainResources
from xtransfer.driver.board import STATES
from xtransfer.driver.gauges import GAP, GPU_SECONDS, LAST_PROGRESS, STEPS, MeasuredBoard
from xtransfer.plan import Plan, Step


class Told:
    """A board that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[Any, ...]] = []

    def changed(self, key: str, state: str, text: str) -> None:
        self.lines.append((key, state, text))

    def told(self, key: str, facts: Mapping[str, Any]) -> None:
        self.lines.append((key, dict(facts)))


class Run:
    """One plan of a training step and three others, its gauges, and a clock that the test turns."""

    def __init__(self) -> None:
        steps = [
            Step(kind="train", name="a", spec={}, phase="target"),
            Step(kind="evaluate", name="b", spec={}, phase="evaluation"),
            Step(kind="prepare", name="c", spec={}, phase="data"),
            Step(kind="pretrain", name="d", spec={}, phase="encoder"),
        ]
        plan = Plan(experiment="e", steps={step.key: step for step in steps}, cells=(), tasks={})
        self.train, self.evaluate, self.prepare, self.pretrain = (step.key for step in steps)
        self.gauges: dict[tuple[str, str], float] = {}
        self.now = 1000.0
        self.inner = Told()
        self.board = MeasuredBoard(
            self.inner,
            plan,
            Placement(train=TrainResources(gpus=1, workers=4)),
            recorded=[self.prepare],
            publish=self._publish,
            clock=lambda: self.now,
        )

    def _publish(self, name: str, value: float, labels: Mapping[str, str]) -> None:
        self.gauges[name, next(iter(labels.values()), "")] = value

    def begin(self) -> None:
        """Have the trial's workers begin, which they tell."""
        self.board.changed(self.train, "running", "")
        self.board.told(self.train, {"finished": 0, "error": ""})

    def at(self, seconds: float, step: int, stage: str = "1") -> None:
        self.now = 1000.0 + seconds
        self.board.told(self.train, {"step": step, "stage": stage})

    def spent(self) -> tuple[float, float]:
        return self.gauges[GPU_SECONDS, "used"], self.gauges[GPU_SECONDS, "lost"]


@pytest.fixture
def run() -> Run:
    return Run()


def test_steps_are_counted_by_state(run: Run) -> None:
    assert run.gauges[STEPS, "waiting"] == 3
    assert run.gauges[STEPS, "recorded"] == 1
    run.board.changed(run.train, "running", "")
    assert (run.gauges[STEPS, "waiting"], run.gauges[STEPS, "running"]) == (2, 1)
    run.board.changed(run.train, "failed", "why")
    run.board.changed(run.evaluate, "blocked", "why")
    assert (run.gauges[STEPS, "failed"], run.gauges[STEPS, "blocked"]) == (1, 1)
    assert run.gauges[STEPS, "running"] == 0
    assert run.inner.lines[1] == (run.train, "failed", "why")


def test_a_step_that_ends_well_has_used_its_gpus_and_lost_nothing(run: Run) -> None:
    run.begin()
    run.at(50, 10)
    run.at(100, 20)
    run.board.changed(run.train, "done", "")
    assert run.spent() == (400, 0)
    assert run.gauges[LAST_PROGRESS, ""] == 1100


def test_pretraining_holds_no_gpu_whatever_a_trial_has(run: Run) -> None:
    run.board.changed(run.pretrain, "running", "")
    run.now += 10
    run.board.changed(run.pretrain, "done", "")
    assert run.spent() == (0, 0)


def test_a_step_that_goes_back_has_lost_the_time_since_it_was_there(run: Run) -> None:
    run.begin()
    run.at(10, 10)
    run.at(20, 20)
    run.at(30, 30)
    run.at(100, 21)  # a new process, from the checkpoint at step 20
    assert run.spent()[1] == 4 * (100 - 30)
    run.at(110, 31)
    run.at(120, 41)
    assert run.spent()[1] == 4 * (100 - 30)


def test_a_new_stage_is_no_step_back(run: Run) -> None:
    run.begin()
    run.at(10, 10)
    run.at(20, 1, stage="2")
    assert run.spent()[1] == 0


def test_a_failed_attempt_has_lost_all(run: Run) -> None:
    run.begin()
    run.now += 10
    run.board.changed(run.train, "failed", "out of memory")
    assert run.spent() == (40, 40)


def test_a_trial_whose_workers_are_waited_for_takes_no_gpu(run: Run) -> None:
    run.board.changed(run.train, "running", "")
    run.now += 1000
    run.board.changed(run.train, "waiting", "no worker had room")
    assert run.spent() == (0, 0)
    run.board.changed(run.train, "running", "")
    run.now += 1000
    run.board.told(run.train, {"finished": 0, "error": ""})
    run.now += 10
    run.board.changed(run.train, "done", "")
    assert run.spent() == (40, 0)
    run.board.told(run.train, {"finished": 1, "error": ""})  # too late: it has ended
    run.board.changed(run.evaluate, "running", "")
    run.now += 5
    run.board.changed(run.evaluate, "done", "")
    assert run.board.began == {}


def test_what_ended_is_forgotten_and_what_runs_for_long_is_remembered_in_part(run: Run) -> None:
    day = 86_400
    run.begin()
    for second in range(1, day):
        run.at(second, 7 * second)
    assert len(run.board.reached[run.train]) < 2_000
    run.at(day, 7 * day - 7)  # where it has just been
    assert run.spent()[1] == 4
    run.at(day + 10, 7 * day // 2)  # halfway: it was there half a day ago
    assert run.spent()[1] == pytest.approx(4 * (day / 2 + 11), rel=GAP)
    run.board.changed(run.train, "done", "")
    assert run.board.reached == {}
    assert run.board.stages == {}


def test_a_step_that_is_begun_again_is_counted_once(run: Run) -> None:
    for state in ("running", "running", "waiting", "running", "done"):
        run.board.changed(run.train, state, "")
        assert sum(run.gauges[STEPS, each] for each in STATES) == 4
    assert (run.gauges[STEPS, "done"], run.gauges[STEPS, "running"]) == (1, 0)

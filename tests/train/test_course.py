"""Where a trial stands: which weights it keeps, and what it goes on from."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from xtransfer.train.course import Course

LAST_TWO = {"count": 2, "which": "last"}


def weights_at(step: int) -> Callable[[], dict[str, Tensor]]:
    return lambda: {"w": torch.full((3,), float(step))}


def refused() -> dict[str, Tensor]:
    raise AssertionError("weights that are not kept were copied")


def noted(course: Course, scores: dict[int, float]) -> list[bool]:
    better: list[bool] = []
    for step, score in scores.items():
        course.state.step = step
        better.append(course.note(score, weights_at(step)))
    return better


def test_the_first_of_equal_scores_is_the_best() -> None:
    course = Course(None)
    assert noted(course, {2: 50.0, 4: 60.0, 6: 60.0, 8: 55.0}) == [True, True, False, False]
    assert (course.state.best_step, course.state.best_score) == (4, 60.0)
    assert course.state.evaluations_since_best == 2
    assert course.best["w"].tolist() == [4.0] * 3


def test_weights_that_are_not_kept_are_not_copied() -> None:
    course = Course(None)
    noted(course, {2: 50.0})
    assert not course.note(40.0, refused)


@pytest.mark.parametrize("best_is_a_snapshot", [True, False])
def test_a_checkpoint_holds_the_best_weights_once_and_is_taken_up(best_is_a_snapshot: bool) -> None:
    course = Course(LAST_TWO)
    noted(course, {2: 50.0, 4: 40.0} if best_is_a_snapshot else {2: 50.0, 4: 40.0, 6: 45.0})
    course.state.skipped_steps = [1]
    checkpoint = course.checkpoint({"weights/w": torch.zeros(3)})
    assert ("best/w" in checkpoint.tensors) is not best_is_a_snapshot
    assert "weights/w" in checkpoint.tensors

    again = Course(LAST_TWO)
    again.take_up(checkpoint)
    assert again.state == course.state
    assert again.state.steps_taken == again.state.step - 1
    assert again.best["w"].tolist() == [2.0] * 3
    assert again.snapshots.scores == course.snapshots.scores
    taken = {tensor.data_ptr() for tensor in checkpoint.tensors.values()}
    kept = (again.best, *again.snapshots.weights.values())
    assert not taken & {weights["w"].data_ptr() for weights in kept}

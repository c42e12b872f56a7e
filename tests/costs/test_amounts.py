from __future__ import annotations

from pathlib import Path

import pytest

from tests.costs.timed import SMALL, by_key, counted, of_kind, plan_of
from xtransfer.costs.amounts import amount_of, data_sizes, evaluations
from xtransfer.plan import Plan, Step
from xtransfer.tasks import TASKS


def size_of(folder: Path, text: str, name: str) -> int | None:
    plan = plan_of(folder, text)
    step = next(step for step in of_kind(plan, "prepare") if step.name == name)
    found = data_sizes(plan, {}).get(step.key)
    return None if found is None else found.examples


def trial(plan: Plan, name: str) -> Step:
    return of_kind(plan, "train", name)[0]


@pytest.mark.parametrize(
    ("data", "name", "examples"),
    [
        ("", "mnli-train", 392_702),
        ("", "xnli-test", 5010),
        ("", "pawsx-test", 2000),
        ("data: {limits: {train: 100, test: 9000}}", "mnli-train", 100),
        ("data: {limits: {train: 100, test: 9000}}", "xnli-test", 5010),
        ("data: {holdout: {mnli: 500}}", "mnli-train", 392_202),
        ("data: {holdout: {mnli: 500}}", "mnli-dev", 500),
        # Files of one's own have no published size, but what is drawn of them has.
        ("data: {files: {mnli: {train: [mine.jsonl]}}}", "mnli-train", None),
        (
            "data: {files: {mnli: {train: [mine.jsonl]}}, limits: {train: 70}}",
            "mnli-train",
            70,
        ),
        ("data: {hub: true}", "mnli-train", 392_702),
        ("data: {synthetic: {seed: 1}}", "mnli-train", None),
    ],
)
def test_what_is_expected_before_anything_is_read(
    tmp_path: Path, data: str, name: str, examples: int | None
) -> None:
    assert size_of(tmp_path, f"{SMALL}{data}\n", name) == examples


def test_a_sample_spread_over_languages(tmp_path: Path) -> None:
    arm = "[{name: wide, task: pawsx-like, languages: [en, de], spread: 300}]"
    own = "tasks: [{name: pawsx-like, like: pawsx, as_intermediate: {epochs: 1, batch_size: 8, max_length: 64}}]\n"
    text = SMALL.replace("[mnli]", arm) + own
    assert size_of(tmp_path, text, "pawsx-like-train") == 300


def test_a_task_like_another_does_not_have_its_size(tmp_path: Path) -> None:
    own = "tasks: [{name: mine, like: mnli, source: {files: {train: [a], dev: [b]}}}]\n"
    assert size_of(tmp_path, SMALL.replace("[mnli]", "[mine]") + own, "mine-train") is None


def test_what_was_counted_wins(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    step = of_kind(plan, "prepare", "mnli-train")[0]
    found = data_sizes(plan, by_key(counted(step, 77, tokens=999)))[step.key]
    assert (found.examples, found.tokens, found.counted) == (77, 999, True)


def test_the_rows_of_a_trial(tmp_path: Path) -> None:
    text = SMALL.replace("eval_every: null", "eval_every: 10")
    plan = plan_of(tmp_path, text)
    sizes = data_sizes(plan, by_key(*(counted(s, 250) for s in of_kind(plan, "prepare"))))
    found = amount_of(trial(plan, "pawsx-lr"), sizes)
    assert found is not None
    # 5 epochs of 8 batches of up to 32: scored after steps 10, 20, 30 and 40.
    assert (found.rows, found.dev_rows) == (5 * 250, 4 * 250)
    assert (found.tokens, found.dev_tokens) == (5 * 30_000, 4 * 30_000)


def test_the_rows_of_a_mixture_are_its_steps(tmp_path: Path) -> None:
    both = "[{name: both, tasks: [mnli, qqp], sampling: uniform}]"
    plan = plan_of(tmp_path, SMALL.replace("tasks: [mnli]", f"tasks: {both}"))
    rows = {"mnli-train": 240, "qqp-train": 480}
    data = [counted(s, rows.get(s.name, 24)) for s in of_kind(plan, "prepare")]
    found = amount_of(trial(plan, "mnli+qqp"), data_sizes(plan, by_key(*data)))
    assert found is not None
    # 3 epochs of (240 + 480) / 24 steps; half of them of each.
    assert found.rows == 3 * 30 * 24
    assert found.tokens == pytest.approx(3 * 30 * 24 * (30_000 / 240 + 30_000 / 480) / 2)


def test_a_trial_whose_data_are_unknown_is_unknown(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f"{SMALL}data: {{synthetic: {{seed: 1}}}}\n")
    assert amount_of(trial(plan, "mnli-lr"), data_sizes(plan, {})) is None


@pytest.mark.parametrize(("steps", "every", "times"), [(40, 10, 4), (41, 10, 5), (9, None, 1)])
def test_dev_evaluations(steps: int, every: int | None, times: int) -> None:
    assert evaluations(steps, every) == times


@pytest.mark.parametrize("name", sorted(name for name, task in TASKS.items() if task.size))
def test_published_sizes_are_of_splits_and_languages_that_there_are(name: str) -> None:
    task = TASKS[name]
    assert task.size
    assert task.size.source
    known = {"*", task.train_language, *task.languages, *task.more_languages}
    for split, sizes in task.size.examples.items():
        assert split in task.source.files
        assert set(sizes) <= known
        assert all(size > 0 for size in sizes.values())

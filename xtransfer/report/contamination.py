"""Which scores are on data that chose their models: a plan tells by the identity of what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from xtransfer.data.hub import BUILDERS
from xtransfer.doctor.known import why_known
from xtransfer.identity import canonical_json
from xtransfer.plan import Cell, Plan, Step
from xtransfer.tasks import TASKS
from xtransfer.tasks.languages import is_language, put_language
from xtransfer.tasks.task import LABELS


def selected_on_test(plan: Plan, cells: Iterable[Cell] | None = None) -> dict[str, tuple[str, ...]]:
    """Return target -> languages whose test data chose one of the trials that its zero-shot models come from.

    Or chose the threshold of mined pairs, where BUCC's dev sets stand in for its test sets. TyDiQA has one labelled
    split, so its dev set in English is its test set in English. Only targets with any are there. Of artificial languages nothing is told: each split is drawn by itself.

    Args:
        plan: of the experiment.
        cells: the scores that are asked for; None: all of the plan.
    """
    zero_shot = (cell for cell in _asked(plan, cells) if not cell.few_shot)
    return _tested_by(plan, zero_shot, _dev_sets)


def trained_on_test(plan: Plan, cells: Iterable[Cell] | None = None) -> dict[str, tuple[str, ...]]:
    """Return target -> languages whose test data its models were trained on, by few-shot stages too.

    Arguments are those of `selected_on_test`.
    """
    return _tested_by(plan, _asked(plan, cells), _training_sets)


def zero_shot_trained_on_test(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return the same of zero-shot scores alone, which no few-shot stage touches."""
    return trained_on_test(plan, [cell for cell in plan.cells if not cell.few_shot])


def few_shot_trained_on_test(
    plan: Plan, cells: Iterable[Cell] | None = None
) -> dict[str, tuple[str, ...]]:
    """Return the same of few-shot scores, where the zero-shot scores of that target and language are clean.

    So it is where a dev set stands in for a test set without published labels, as that of PAN-X, since few-shot
    examples are drawn from dev sets unless the experiment says otherwise.
    """
    before = zero_shot_trained_on_test(plan)
    found = trained_on_test(plan, [cell for cell in _asked(plan, cells) if cell.few_shot])
    return _without(found, before)


def known_overlaps(plan: Plan, cells: Iterable[Cell] | None = None) -> dict[str, tuple[str, ...]]:
    """Return target -> why the data that chose its zero-shot models are known to overlap its test data.

    As published: of files of one's own nothing is known, nor of dev sets held out of a training file. What
    `selected_on_test` finds is the same data, and not here. Arguments are those of `selected_on_test`.
    """
    found: dict[str, dict[str, None]] = {}
    for cell in _asked(plan, cells):
        scored = plan.steps[cell.key]
        if cell.few_shot or not _published(plan.steps[scored.inputs["test"]]):
            continue
        for step in (plan.steps[key] for key in _dev_sets(plan, scored)):
            why = why_known(f"{step.spec['task']} dev", f"{cell.target} test")
            if why and step.spec["task"] != cell.target and _published(step):
                text = f"selected on {step.spec['task']} dev: {why}"
                found.setdefault(cell.target, {})[text] = None
    return {target: tuple(sorted(texts)) for target, texts in found.items()}


def contamination_text(target: str, languages: Sequence[str], *, how: str = "selected") -> str:
    """Return what a reader must know of such scores; `how` the models met the test data: selected, trained, few-shot."""
    if how == "few-shot":
        return (
            f"few-shot models of {target} were trained on its test data in {' '.join(languages)}. That "
            "contaminates their scores there, and no zero-shot scores."
        )
    what = "models or thresholds" if how == "selected" else "models"
    return (
        f"{what} of {target} were {how} on its test data in {' '.join(languages)}. Scores and gains there, and the "
        "means that hold them, are contaminated; those of the other languages are not."
    )


ORACLE = "oracle: zero-shot transfer has no dev sets in the target languages to select on, so these are no zero-shot scores"
"""What a reader must know of scores whose models the rule `target_dev` chose."""


def is_oracle(selected_on: str) -> bool:
    """Say whether the rule `target_dev` chose any of the models that a cell's `selected_on` tells of."""
    return any(part.startswith("oracle: ") for part in selected_on.split(", then "))


def selection_notes(plan: Plan, cell: Cell) -> Iterator[str]:
    """Yield what chose the model of a score, and how that, or its training, met the test data."""
    if cell.selected_on != "none":
        yield f"selected on: {cell.selected_on}"
    if is_oracle(cell.selected_on):
        yield ORACLE
    few_shot = few_shot_trained_on_test(plan, [cell])
    for how, found in (
        ("selected", selected_on_test(plan, [cell])),
        ("trained", _without(trained_on_test(plan, [cell]), few_shot)),
        ("few-shot", few_shot),
    ):
        met = "selected" if how == "selected" else "trained"
        for target, languages in found.items():
            yield f"{met} on test data: {contamination_text(target, languages, how=how)}"
    for whys in known_overlaps(plan, [cell]).values():
        yield from whys


def _asked(plan: Plan, cells: Iterable[Cell] | None) -> Iterable[Cell]:
    return plan.cells if cells is None else cells


def _without(
    found: Mapping[str, Sequence[str]], others: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, ...]]:
    """Return target -> its languages that `others` does not have; only targets with any."""
    left = {
        target: tuple(name for name in languages if name not in others.get(target, ()))
        for target, languages in found.items()
    }
    return {target: languages for target, languages in left.items() if languages}


def _published(step: Step) -> bool:
    """Say whether a prepared data set is of its built-in task's own files, or of the hub's."""
    task, split = TASKS.get(step.spec["task"]), step.spec["split"]
    artificial = any("synthetic" in each for each in step.spec["data"].values())
    if task is None or artificial or split == "train":
        return False
    files = list(task.source.files.get(split, ()))
    return bool(step.where["hub"]) or step.where["files"] == files


def _tested_by(
    plan: Plan, cells: Iterable[Cell], read: Callable[[Plan, Step], Iterator[str]]
) -> dict[str, tuple[str, ...]]:
    """Return target -> languages whose test set is among the data that `read` names of a score's models."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        scored = plan.steps[cell.key]
        tested = plan.steps[scored.inputs["test"]]
        seen: dict[str, list[_Choice]] = {}
        for key in read(plan, scored):
            for other in plan.steps[key].spec["data"]:
                for content, choice in _parts(plan.steps[key], other):
                    seen.setdefault(content, []).append(choice)
        for language in scored.spec["languages"]:
            if any(
                _meet(choice, other)
                for content, choice in _parts(tested, language)
                for other in seen.get(content, ())
            ):
                found.setdefault(cell.target, {})[language] = None
    return {target: tuple(sorted(languages)) for target, languages in found.items()}


def _dev_sets(plan: Plan, scored: Step) -> Iterator[str]:
    """Yield the keys of the data that a score's trials were stopped or selected on, or that its threshold was."""
    if "dev" in scored.inputs:
        yield scored.inputs["dev"]
    for step in _ancestors(plan, scored):
        if step.kind == "train":
            yield from (key for role, key in step.inputs.items() if role.startswith("dev "))
        if step.kind == "evaluate":
            yield step.inputs["test"]  # by the oracle


def _training_sets(plan: Plan, scored: Step) -> Iterator[str]:
    """Yield the keys of the data that trials which a score descends from were trained on."""
    for step in _ancestors(plan, scored):
        if step.kind == "train":
            yield from (key for role, key in step.inputs.items() if role.startswith("train "))


def _ancestors(plan: Plan, scored: Step) -> Iterator[Step]:
    waiting, known = [scored], set[str]()
    while waiting:
        at = waiting.pop()
        if at is not scored:
            yield at
        parents = [key for key in at.inputs.values() if key in plan.steps and key not in known]
        known.update(parents)
        waiting += [plan.steps[key] for key in parents]


_Choice = Mapping[str, tuple[str, bool]]
"""Column by which rows are chosen -> its text, and whether that is the whole text or how it begins."""


def _parts(step: Step, language: str) -> Iterator[tuple[str, _Choice]]:
    """Yield, of each file or place that a data set is read from, what identifies its content, and which rows are taken.

    A file is known by its content alone, whatever it is called. A copy of a repository has the files of every split
    and configuration, so that these belong to what is read.
    """
    identity: Any = step.spec["data"][language]
    hub: list[dict[str, Any]] = list(step.where.get("hub", ()))
    choice, inside = _choice(step.spec["source"].get("rows", {}), language), ""
    for item in cast("list[Any]", identity) if isinstance(identity, list) else ():
        if str(item.get("file", "")).endswith(LABELS):
            continue  # translations of one text have the same
        if "sha256" in item:
            yield f"{item['sha256']} {inside}", choice
            continue
        place = {name: value for name, value in item.items() if name != "rows"}
        about = hub.pop(0) if hub else dict[str, Any]()
        choice = _choice(about.get("rows", {}), language)
        inside = "" if about.get("path") in BUILDERS else canonical_json(place)
        if "path" in item or not about:
            yield inside, choice


def _choice(rows: Mapping[str, str], language: str) -> _Choice:
    return {
        column: (put_language(template, language), is_language(template))
        for column, template in rows.items()
    }


def _meet(one: _Choice, other: _Choice) -> bool:
    """Tell whether a row may be of both choices: it is not where they want other texts in one column."""
    return all(
        text == other[column][0]
        or (text.startswith(other[column][0]) and not other[column][1])
        or (other[column][0].startswith(text) and not whole)
        for column, (text, whole) in one.items()
        if column in other
    )

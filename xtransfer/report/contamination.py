"""Which scores are on data that chose their models: a plan tells by the identity of what it reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xtransfer.plan import Plan, Step


def selected_on_test(plan: Plan) -> dict[str, tuple[str, ...]]:
    """Return target -> languages whose test data chose one of the trials that its zero-shot models come from.

    TyDiQA has one labelled split, so its dev set in English is its test set in English. Only targets with any
    are there. Of artificial languages nothing is told: each split is drawn by itself.
    """
    found: dict[str, dict[str, None]] = {}
    for cell in plan.cells:
        if cell.few_shot:
            continue
        scored = plan.steps[cell.key]
        tested = plan.steps[scored.inputs["test"]]
        seen = [
            file
            for key in _dev_sets(plan, scored)
            for identity in plan.steps[key].spec["data"].values()
            for file in _files(identity)
        ]
        for language in scored.spec["languages"]:
            if any(file in seen for file in _files(tested.spec["data"][language])):
                found.setdefault(cell.target, {})[language] = None
    return {target: tuple(sorted(languages)) for target, languages in found.items()}


def contamination_text(target: str, languages: Sequence[str]) -> str:
    """Return what a reader must know of such scores."""
    return (
        f"models of {target} were selected on its test data in {' '.join(languages)}. Scores and gains there, and the "
        "means that hold them, are contaminated; those of the other languages are not."
    )


def _dev_sets(plan: Plan, scored: Step) -> Iterator[str]:
    """Yield the keys of the data that trials which a score descends from were stopped or selected on."""
    waiting, known = [scored], set[str]()
    while waiting:
        at = waiting.pop()
        if at.kind == "train":
            yield from (key for role, key in at.inputs.items() if role.startswith("dev "))
        if at.kind == "evaluate" and at is not scored:
            yield at.inputs["test"]  # by the oracle
        parents = [key for key in at.inputs.values() if key in plan.steps and key not in known]
        known.update(parents)
        waiting += [plan.steps[key] for key in parents]


def _files(identity: object) -> list[object]:
    """Return what identifies each file of a data set."""
    return list(identity) if isinstance(identity, list) else []  # pyright: ignore[reportUnknownArgumentType]

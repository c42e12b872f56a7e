"""The steps of a plan that estimate pairs and prune them, and the gates that stand before the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from xtransfer.plan import Gate, Step
from xtransfer.planner.lessons import Lesson
from xtransfer.pruning.settings import Pruning


@dataclass(kw_only=True)
class _Pair:
    estimate: str
    touched: Collection[str]


class PruningSteps:
    """Adds estimate and prune steps to a plan while its targets are planned.

    Args:
        settings: None: nothing is pruned.
        add: adds a step, unless it is there, and returns its key.
        sources: form of each arm's task; empty for several tasks at once.
    """

    def __init__(
        self, settings: Pruning | None, add: Callable[[Step], str], *, sources: Sequence[str]
    ) -> None:
        self.settings = settings
        self.add = add
        self.sources = sources
        self.pairs: dict[tuple[str, str], _Pair] = {}
        self.free: set[str] = set()

    def concerns(self, form: str, source: str) -> bool:
        """Say whether a target whose training set has this form may be dropped after this arm's task."""
        return (
            self.settings is not None
            and self.settings.drops(form, self.sources)
            and self.settings.compares(form, source)
        )

    def estimate(
        self, lesson: Lesson, *, model: str, data: str, after: str, where: Mapping[str, Any]
    ) -> str:
        """Plan the estimate of one pair.

        Args:
            lesson: the target's last stage.
            model: key of the selection of the intermediate task.
            data: key of the target's prepared training data.
            after: name of what the model was trained on.
            where: the encoder is.
        """
        assert self.settings is not None
        (part,) = lesson.parts
        return self.add(
            Step(
                kind="estimate",
                name=f"{part.task.name}-after-{after}",
                spec={
                    "task": part.task.name,
                    "form": part.task.form,
                    "languages": list(part.languages),
                    **self.settings.identity(),
                },
                inputs={"model": model, "data": data},
                where={"encoder": dict(where)},
                phase="target",
                sweep=f"{part.task.name} after {after}",
            )
        )

    def pair(self, target: str, arm: str, estimate: str | None, touched: Collection[str]) -> None:
        """Take note of the steps of a pair; without an estimate it is trained in any case."""
        if estimate is None:
            self.free |= set(touched)
        else:
            self.pairs[target, arm] = _Pair(estimate=estimate, touched=touched)

    def gates(self, steps: Mapping[str, Step]) -> tuple[Gate, ...]:
        """Plan the prune step of each target, and return what stands before the steps of its pairs.

        Args:
            steps: of the plan, parents before children. Those that hang on a pair's steps go with it.
        """
        found: list[Gate] = []
        for target in dict.fromkeys(target for target, _ in self.pairs):
            arms = {arm: pair for (name, arm), pair in self.pairs.items() if name == target}
            prune = self._prune([steps[pair.estimate] for pair in arms.values()])
            found += [
                Gate(
                    target=target,
                    intermediate=arm,
                    estimate=pair.estimate,
                    prune=prune,
                    steps=_with_dependents(
                        [key for key in pair.touched if key not in self.free], steps
                    ),
                )
                for arm, pair in arms.items()
            ]
        return tuple(found)

    def _prune(self, estimates: list[Step]) -> str:
        """Plan the prune step of a target; it is named after the training task, which other targets may share."""
        assert self.settings is not None
        keys = list(dict.fromkeys(step.key for step in estimates))
        return self.add(
            Step(
                kind="prune",
                name=str(estimates[0].spec["task"]),
                spec={"keep": self.settings.kept_of(len(estimates))},
                inputs={f"estimate-{index:03d}": key for index, key in enumerate(keys)},
                phase="target",
            )
        )


def _with_dependents(keys: Collection[str], steps: Mapping[str, Step]) -> tuple[str, ...]:
    """Return the keys, and those of the steps that need any of them."""
    found = dict.fromkeys(keys)
    for key, step in steps.items():
        if any(parent in found for parent in step.inputs.values()):
            found[key] = None
    return tuple(found)

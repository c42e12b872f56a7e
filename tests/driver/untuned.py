"""A driver without Tune: a plan, and what works it off."""

from __future__ import annotations

from typing import Any

from tests.prints import FakePrints
from xtransfer.config.experiment import Experiment
from xtransfer.driver.search import (
    PlanSearcher,
)
from xtransfer.errors import InputLost, StepError
from xtransfer.plan import Plan, Step
from xtransfer.planner.planner import build_plan
from xtransfer.settings import read_settings

OVERRIDES = (
    "name=small",
    "encoder=encoder",
    "intermediate={tasks: [mnli, squad_v1], seeds: [1, 2], learning_rates: [1e-5, 2e-5]}",
    "target={tasks: [xnli, tatoeba], languages: {xnli: [en], tatoeba: [de]}}",
)


def made_plan() -> Plan:
    """Return the plan of a small study."""
    return build_plan(read_settings(Experiment, None, OVERRIDES, "test"), FakePrints())


class Driver:
    """Works a plan off as Tune would, without Tune."""

    def __init__(
        self, plan: Plan, *, done: tuple[str, ...] = (), broken: str = "", **more: Any
    ) -> None:
        self.plan = plan
        self.events: list[tuple[str, str, str]] = []
        self.inline: list[str] = []
        self.broken = broken
        self.lost = ""
        self.trials = 0
        self.searcher = PlanSearcher(
            plan,
            done=done,
            work_inline=self.select,
            changed=lambda *event: self.events.append(event),
            **more,
        )

    def select(self, step: Step) -> None:
        assert step.kind == "select"
        if self.lost:
            raise InputLost(self.lost, "altered")
        if step.name == self.broken:
            raise StepError(step.folder, "cannot choose")
        self.inline.append(step.key)

    def start(self) -> tuple[str, str] | str | None:
        """Return (trial, key) of the next step, or what else the searcher says."""
        self.trials += 1
        found: Any = self.searcher.suggest(f"t{self.trials}")
        return (f"t{self.trials}", found["key"]) if isinstance(found, dict) else found

    def start_all(self) -> list[tuple[str, str]]:
        started: list[tuple[str, str]] = []
        while isinstance(found := self.start(), tuple):
            started.append(found)
        return started

    def run(self) -> list[str]:
        """Run everything that can run, in waves; return the keys in order."""
        order: list[str] = []
        while wave := self.start_all():
            for trial, key in wave:
                name = self.plan.steps[key].name
                text = "cannot run" if name == self.broken else ""
                self.searcher.on_trial_complete(trial, {"error": text, "finished": not text})
                order.append(key)
        return order


def keys(plan: Plan, kind: str, name: str = "") -> list[str]:
    return [k for k, s in plan.steps.items() if s.kind == kind and s.name.startswith(name)]


def descendants(plan: Plan, key: str) -> set[str]:
    found: set[str] = set()
    for child, step in plan.steps.items():
        if {key, *found} & set(step.inputs.values()):
            found.add(child)
    return found

"""The learning rate of a trial that Optuna's TPE suggests, from what earlier trials of its sweep scored.

Every step of a plan is known before anything runs, and a suggestion is not: it follows from results. So a
trial's key hashes how its learning rate will be found, which is as good as the number: the search's settings
and seed, the trial's place in the sweep, and the keys of the earlier trials, which are its parents. They are
the only ones that it knows of, whoever else has finished by then, so the same plan suggests the same on any
machine, in any order, and after any crash. The price is that the trials wait for each other: `parallel` says
how many of them may run at once, and so how many of the latest results a trial does without.

The first trials of a sweep know nothing. They are drawn as a random search draws them, when the plan is made.
With `incomplete: allow`, which is hashed too, a trial does without earlier ones that have failed.

The suggestion is asked of Ray Tune's OptunaSearch once, and written down before the trial begins:

    suggestions/{key of the trial}.json

A trial that is started again takes what is there, even if another version of Optuna is installed by then.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from xtransfer.errors import ConfigError, NotFound
from xtransfer.plan import EARLIER, Step, alternatives
from xtransfer.records.layout import SUGGESTIONS
from xtransfer.records.notes import note_text, parse_note
from xtransfer.records.results import learning_rate_of
from xtransfer.sweeps.settings import rounded

if TYPE_CHECKING:
    from xtransfer.process.workbench import Workbench
    from xtransfer.store import Store


class Suggestion(BaseModel):
    """A learning rate, and what it was suggested from."""

    # What a newer version adds is left out, and the suggestion holds.
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    learning_rate: float = Field(gt=0, lt=1)
    earlier: list[tuple[str, float, float]]
    """(key, learning rate, score) of each trial that was known, in their order, on which it depends."""
    optuna: str
    """Version."""


def suggestion_of(step: Step, bench: Workbench) -> Suggestion | None:
    """Return the suggested learning rate of a trial; None for one whose specification names it.

    Raises:
        ConfigError: when Optuna is not installed.
        InputLost: when an earlier trial's record is gone or damaged.
    """
    if step.spec["learning_rate"] is not None:
        return None
    found = _read(bench.store, step.key)
    if found is not None:
        return found
    earlier: list[tuple[str, float, float]] = []
    spared = set[str]().union(*alternatives(step))
    for role, key in sorted(step.inputs.items()):
        if role.startswith(EARLIER) and (key not in spared or bench.is_recorded(key)):
            record = bench.record(key)
            earlier.append((key, learning_rate_of(record), record.result["score"]))
    known = [(rate, score) for _, rate, score in earlier]
    made = Suggestion(
        learning_rate=suggest(step.spec["tpe"], step.spec["seed"], known),
        earlier=earlier,
        optuna=version("optuna"),
    )
    data = note_text(_name(step.key), made.model_dump())
    if bench.store.create(_name(step.key), data):
        return made
    other = _read(bench.store, step.key)
    if other is None:  # it is there, and of no use
        bench.store.write(_name(step.key), data)
    return other or made


def suggest(
    tpe: Mapping[str, Any], trial_seed: int, earlier: Sequence[tuple[float, float]]
) -> float:
    """Return the learning rate that OptunaSearch suggests after others, to three digits.

    Args:
        tpe: `low`, `high`, `seed` of the search and `number` of the trial in its sweep.
        trial_seed: seed of the trial, whose trials are a search of their own.
        earlier: (learning rate, score) of the trials that are known, in their order.
    """
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "search.kind", "tpe needs Optuna", "Install it: pip install 'xtransfer[search]'"
        ) from None
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    words = [tpe["seed"], trial_seed, tpe["number"]]
    seed = int(np.random.SeedSequence(words).generate_state(1)[0])
    space = optuna.distributions.FloatDistribution(tpe["low"], tpe["high"], log=True)
    searcher = OptunaSearch(
        space={"learning_rate": space},
        metric="score",
        mode="max",
        # What is drawn without knowledge was drawn when the plan was made.
        sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=1),
    )
    for rate, score in earlier:
        searcher.add_evaluated_point({"learning_rate": rate}, score)
    found = searcher.suggest("next")
    assert found is not None
    return min(max(rounded(found["learning_rate"]), tpe["low"]), tpe["high"])


def _read(store: Store, key: str) -> Suggestion | None:
    try:
        value = parse_note(store.read(_name(key)), _name(key))
        return Suggestion.model_validate_json(json.dumps(value))
    except NotFound:
        return None
    except ValueError:  # damaged: the same is suggested again
        return None


def _name(key: str) -> str:
    return f"{SUGGESTIONS}/{key}.json"

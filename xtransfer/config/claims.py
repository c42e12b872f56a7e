"""Claims about an experiment's results, as data: what is compared with what, and what would hold.

    claims:
      - name: C1
        says: SQuAD v1.1 gives a large average gain
        holds: {gain: {after: squad_v1}, greater_than: 0}

A figure is a `gain` (over the baseline, or `over` another arm), a `score`, or the `best_gain` of several
arms; it is the mean over targets of the mean over languages. `holds` compares figures, asks which arm is
`best`, counts arms, or joins several with `all` and `any`. What is true of them is for
`xtransfer.report.verdicts` to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, Field, field_validator, model_validator

from xtransfer.errors import ConfigError
from xtransfer.settings import (
    Settings,
    check_languages,
    check_name,
    distinct,
    expanded,
    read_settings,
    read_yaml,
)
from xtransfer.tasks import get_task
from xtransfer.tasks.task import Task

COMPARISONS = ("greater_than", "at_least", "less_than", "at_most")
Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
"""One or more, each once: of nothing there is no mean, and what is there twice would count twice."""
Languages = (
    Literal["all", "low_resource", "zero_shot"] | Annotated[Names, AfterValidator(check_languages)]
)
"""`zero_shot`: all in which neither the target nor any arm that is compared was trained; `low_resource`:
those of them that `typology.low_resource` of the experiment says."""


class Except(Settings):
    """All targets but some."""

    but: Names


class Group(Settings):
    """The targets of a benchmark group."""

    group: Literal["classification", "tagging", "qa", "retrieval"]


Targets = Literal["all"] | Except | Group | Names


class Scores(Settings):
    """Which scores: the mean over targets of the mean over languages, after one arm."""

    after: str
    targets: Targets = "all"
    languages: Languages = "all"


class Gain(Scores):
    """A difference of two such means."""

    over: str = "baseline"


class BestGain(Settings):
    """The mean over targets of the gain of each target's best arm, chosen by its test score."""

    among: Literal["all"] | Names = "all"
    targets: Targets = "all"
    languages: Languages = "all"


class Quantity(Settings):
    """One figure: exactly one of the fields."""

    gain: Gain | None = None
    score: Scores | None = None
    best_gain: BestGain | None = None

    @model_validator(mode="after")
    def _one(self) -> Quantity:
        _exactly_one(self, ("gain", "score", "best_gain"))
        return self


class EachArm(Settings):
    """A question asked of several arms, each by itself."""

    among: Literal["all"] | Names = "all"
    targets: Targets = "all"
    languages: Languages = "all"
    over: str = "baseline"


class Best(Scores):
    """An arm that is to have the highest mean of all."""

    among: Literal["all"] | Names = "all"
    """Arms that it is compared with; the baseline is always one of them."""


class Predicate(Settings):
    """What is to hold: exactly one of the fields up to `any`, with its comparison where it is a number."""

    gain: Gain | None = None
    score: Scores | None = None
    best_gain: BestGain | None = None
    best: Best | None = None
    arms_that_gain: EachArm | None = None
    """Compared as a number: how many arms gain more than `by`."""
    all: tuple[Predicate, ...] | None = None
    any: tuple[Predicate, ...] | None = None
    by: float = 0.0
    """Points that an arm of `arms_that_gain` must gain more than."""
    greater_than: float | Quantity | None = None
    at_least: float | Quantity | None = None
    less_than: float | Quantity | None = None
    at_most: float | Quantity | None = None

    @field_validator("by", *COMPARISONS, mode="before")
    @classmethod
    def _whole_numbers(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @model_validator(mode="after")
    def _consistent(self) -> Predicate:
        kind = _exactly_one(
            self, ("gain", "score", "best_gain", "best", "arms_that_gain", "all", "any")
        )
        given = [name for name in COMPARISONS if getattr(self, name) is not None]
        wanted = 0 if kind in ("best", "all", "any") else 1
        if len(given) != wanted:
            how = "takes no comparison" if not wanted else f"needs one of {', '.join(COMPARISONS)}"
            raise ValueError(f"`{kind}` {how}")
        if kind == "arms_that_gain" and isinstance(getattr(self, given[0]), Quantity):
            raise ValueError("`arms_that_gain` is compared with a number of arms")
        if kind != "arms_that_gain" and self.by:
            raise ValueError(f"`by` is for `arms_that_gain`, and does nothing to `{kind}`")
        if kind in ("all", "any") and not getattr(self, kind):
            raise ValueError(f"`{kind}` needs at least one entry")
        return self


class Claim(Settings):
    """One claim."""

    name: str
    says: str
    """In words, for the reader."""
    holds: Predicate
    source: str = ""
    """Who says so."""
    published: str = ""
    """The numbers that go with it there; for the reader, never compared."""
    note: str = ""
    """What a reader must know of how it is put here."""
    decided_by: Literal["interval", "value"] = "interval"
    """interval: a comparison holds only if the whole interval is on its side. value: the number alone
    decides, whatever its uncertainty."""
    confidence: float = Field(default=0.95, gt=0, lt=1)

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        check_name(value.lower())
        return value


class ClaimsFile(Settings):
    """A file of claims."""

    claims: tuple[Claim, ...] = Field(min_length=1)

    @field_validator("claims")
    @classmethod
    def _other_names(cls, value: tuple[Claim, ...]) -> tuple[Claim, ...]:
        distinct(tuple(claim.name for claim in value))
        return value


def load_claims(path: Path, book: Mapping[str, Task]) -> tuple[Claim, ...]:
    """Read a file of claims and check it.

    Args:
        path: of the YAML file.
        book: every task that may be a target.

    Raises:
        ConfigError: naming the file, the path in it and the remedy.
    """
    claims = read_settings(ClaimsFile, path, (), str(path)).claims
    check_claims(claims, book, str(path))
    return claims


def complete_claims(raw: dict[str, Any], path: Path) -> None:
    """Put the claims of the files that an experiment's `claims` names into it, in place.

    Raises:
        ConfigError: for a file that cannot be read or is malformed.
    """
    entries = raw.get("claims")
    if not isinstance(entries, list):
        return
    written: list[Any] = []
    for entry in cast("list[Any]", entries):
        if not isinstance(entry, str):
            written.append(entry)
            continue
        file = path.parent / expanded(entry)
        read_settings(ClaimsFile, file, (), str(file))  # its errors name the file itself
        written += read_yaml(file)["claims"]
    raw["claims"] = written


def check_claims(claims: tuple[Claim, ...], book: Mapping[str, Task], where: str) -> None:
    """Check that every target of a claim is a task, and no two claims have one name.

    Arms are not checked: a claim may be about arms that this experiment does not have, and is then
    not decidable.

    Raises:
        ConfigError: naming the place.
    """
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        place = f"{where}: claims[{index}]"
        if claim.name in seen:
            what = f"'{claim.name}' is there twice"
            raise ConfigError(f"{place}.name", what, "Name one of them otherwise.")
        seen.add(claim.name)
        for part in parts_of(claim.holds):
            for name in _targets_of(part):
                get_task(name, f"{place}.holds ({claim.name})", book)
            if isinstance(part, Gain) and part.after == part.over:
                raise ConfigError(
                    f"{place}.holds ({claim.name})",
                    f"is about the gain of '{part.after}' over itself",
                    "Name another arm in `over`, or leave it out for the baseline.",
                )


def arms_of(claim: Claim) -> Iterator[str]:
    """Yield every arm that a claim names, the baseline too."""
    for part in parts_of(claim.holds):
        if isinstance(part, Scores):
            yield part.after
        if isinstance(part, Gain | EachArm):
            yield part.over
        if isinstance(part, BestGain | EachArm | Best) and part.among != "all":
            yield from part.among


def parts_of(predicate: Predicate) -> Iterator[Scores | BestGain | EachArm]:
    """Yield all that a predicate and those inside it say of arms and targets."""
    for each in (*(predicate.all or ()), *(predicate.any or ())):
        yield from parts_of(each)
    parts: list[Scores | BestGain | EachArm | None] = [
        predicate.gain,
        predicate.score,
        predicate.best_gain,
        predicate.best,
        predicate.arms_that_gain,
    ]
    for name in COMPARISONS:
        other = getattr(predicate, name)
        if isinstance(other, Quantity):
            parts += [other.gain, other.score, other.best_gain]
    yield from (part for part in parts if part is not None)


def _targets_of(part: Scores | BestGain | EachArm) -> tuple[str, ...]:
    if isinstance(part.targets, Except):
        return part.targets.but
    return part.targets if isinstance(part.targets, tuple) else ()


def _exactly_one(settings: Settings, names: tuple[str, ...]) -> str:
    given = [name for name in names if getattr(settings, name) is not None]
    if len(given) != 1:
        found = f"not {' and '.join(given)}" if given else "not none"
        raise ValueError(f"needs exactly one of {', '.join(names)}, {found}")
    return given[0]

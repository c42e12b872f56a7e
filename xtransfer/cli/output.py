"""What commands print: plans, resolved settings, tables and JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Container, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from xtransfer.errors import LONGEST_LINE, shown

if TYPE_CHECKING:
    from xtransfer.config.experiment import Experiment
    from xtransfer.config.placement import Placement
    from xtransfer.costs.estimate import Estimate
    from xtransfer.plan import Plan, Step
    from xtransfer.records.failures import Failure


def print_plan(made: Plan, done: set[str], missing: list[str], url: str, *, key: str) -> None:
    """Print steps by kind, and how many of them are recorded; `key` is that of the whole plan."""
    print(f"experiment {made.experiment}, plan {key}, store {url}")
    rows: list[list[str]] = []
    for label, count in made.counts().items():
        recorded = sum(
            key in done
            for key, step in made.steps.items()
            if label in (step.kind, f"{step.kind} ({step.phase})")
        )
        rows.append([label, str(count), str(recorded)])
    rows.append(["all", str(len(made.steps)), str(len(done))])
    print_table(["steps", "planned", "recorded"], rows)
    if missing:
        print(f"missing inputs: {len(missing)}, the first: {missing[0]}")
        if len(missing) > 1:
            print("`xtransfer run` starts nothing while there are any, and names each.")


def print_estimate(found: Estimate, made: Plan) -> None:
    """Print what is left of a plan: hours by phase, what they rest on, time, money and quota."""
    from xtransfer.costs import words

    if found.total.steps:
        print()
        print_table(["left", "steps", "GPU-hours", "CPU-hours", "unknown"], words.phase_rows(found))
        print()
        head = ["hours of", "steps", "hours", "basis", "figure", "number of examples"]
        print_table(head, words.figure_rows(found))
        for line in (*words.figure_lines(found), *words.unknown_lines(found, made)):
            print(line)
        print()
    for line in words.summary_lines(found):
        print(line)


def print_resolved(experiment: Experiment, placement: Placement) -> None:
    """Print the settings as they are after defaults and overrides, as YAML."""
    import yaml

    for title, section in (("experiment", experiment), ("placement", placement)):
        print(f"# {title}")
        print(yaml.safe_dump(json.loads(section.model_dump_json()), sort_keys=False).rstrip())
        print()


def failure_lines(failures: Iterable[Failure], *, most: int = 10) -> Iterator[str]:
    """Yield what there is to say of failed steps: cause, tries, log, what waits for them, and how to do without.

    Args:
        failures: of one plan.
        most: steps that are named of those that wait for one step.
    """
    failures = list(failures)
    for failure in failures:
        tries = "once" if failure.tries == 1 else f"{failure.tries} times"
        yield f"failed {failure.step.folder}: {shown(failure.error, most=LONGEST_LINE)}"
        yield f"  tried {tries}; log: {failure.log or 'none'}"
        for step in failure.blocked[:most]:
            yield f"  blocked {step.folder}"
        if len(failure.blocked) > most:
            yield f"  and {len(failure.blocked) - most} more are blocked"
    lost = {step.key for failure in failures for step in (failure.step, *failure.blocked)}
    waiting = [step for failure in failures for step in failure.blocked if _could_do(step, lost)]
    for phase in dict.fromkeys(step.phase for step in waiting):
        yield f"To select among the other trials: --set {phase}.incomplete=allow"


def _could_do(step: Step, lost: Container[str]) -> bool:
    """Say whether a step is a selection that refuses what is left of its sweep once `lost` is out of it."""
    if step.kind != "select" or step.spec.get("incomplete") == "allow":
        return False
    trials = [key for role, key in step.inputs.items() if role.startswith("trial-")]
    return any(key in lost for key in trials) and any(key not in lost for key in trials)


def tell(text: str) -> None:
    """Print to stderr what a command does or finds, beside its result."""
    print(f"xtransfer: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a value as JSON, in its own script."""
    print(json.dumps(value, indent=1, ensure_ascii=False))


def print_table(head: list[str], rows: list[list[str]]) -> None:
    """Print aligned columns, two spaces apart, so that cut and awk can read them too."""
    table = [head, *([harmless(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(line.rstrip())


def print_section(title: str, values: dict[str, Any]) -> None:
    """Print a titled list of names and values; nothing when there are none."""
    if not values:
        return
    print(f"\n{title}:")
    for name, value in values.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        print(f"  {harmless(name)}: {harmless(text)}")


def harmless(text: str) -> str:
    """Return what a store holds as a line that cannot control the terminal."""
    return shown(text, most=len(text))

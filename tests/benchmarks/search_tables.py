"""The figures of search.py as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def markdown(found: Mapping[str, Any]) -> str:
    """Return the figures as tables."""
    about = (
        f"Made by `python -m tests.benchmarks.search` on artificial languages: {found['trials']} trials in "
        f"{found['sweeps']} sweeps of {found['rates']} learning rates, {found['training_steps_s']:.0f} s of "
        f"trials, on {found['cpus']} CPUs that may have had other work: shares of time compare, seconds do "
        "not. The figures show that the searches do what they say, on a tiny model; they say nothing about "
        "real tasks."
    )
    regret = (
        "Regret: points that the whole grid's choice scores above the search's choice. Both choose on dev, so "
        "test regret can be negative, and is that of target sweeps alone. Time is measured time of trials; "
        "that of starting one is not counted as saved."
    )
    orders = (
        f"ASHA: over {found['orders']} orders in which each sweep's trials start, two at a time. Random: "
        "over all choices of half of the learning rates."
    )
    pruning = (
        "xnli trains on mnli, and tags is the training set of udpos: an estimate that did not find these would "
        "be worth nothing. So the same is shown without them. Choices are among intermediate tasks, since the "
        "baseline is never pruned. The last column is against the one that is best on test, which nobody "
        "knows beforehand. Where dev scores tie, as those of udpos do at 100, the first task is chosen."
    )
    return "\n".join(
        [
            "# Search beyond the grid, replayed on a finished one",
            "",
            about,
            "",
            regret,
            "",
            "## Fewer or shorter trials",
            "",
            orders,
            "",
            *_table(
                ["search", "stopped", "time saved", "another choice", "dev regret", "test regret"],
                [_search_row(row) for row in found["searches"]],
            ),
            "",
            "Regrets: mean (worst).",
            "",
            "## Pruning by LogME",
            "",
            pruning,
            "",
            *_table(
                [
                    "arms",
                    "kept",
                    "target",
                    "which",
                    "saved",
                    "dev regret",
                    "test regret",
                    "of the best",
                ],
                [row for each in found["pruning"] for row in _pruning_rows(each)],
            ),
            "",
            "Saved: percent of the target phase, the estimates deducted.",
            "",
            *_table(
                [
                    "target",
                    "Kendall's tau of LogME with the test score, 5 arms",
                    "without its own data",
                ],
                [
                    [target, str(each["kendall_tau"]), str(each["kendall_tau_without_own"])]
                    for target, each in found["estimates"].items()
                ],
            ),
            "",
        ]
    )


def _search_row(row: Mapping[str, Any]) -> list[str]:
    regrets = [
        f"{row[name]['mean']} ({row[name]['worst']})" for name in ("dev_regret", "test_regret")
    ]
    stopped = "" if row["stopped_percent"] is None else f"{row['stopped_percent']} %"
    saved = f"{row['saved_percent']} % ({row['saved_s']} s)"
    return [row["search"], stopped, saved, f"{row['other_choice_percent']} %", *regrets]


def _pruning_rows(row: Mapping[str, Any]) -> list[list[str]]:
    return [
        [
            "without own data" if row["without_own"] else "all",
            f"{row['keep']} of {row['arms']}",
            target,
            ", ".join(each["kept"]),
            f"{row['saved_percent_of_target_phase']} %",
            *(str(each[name]) for name in ("dev_regret", "test_regret", "oracle_test_regret")),
        ]
        for target, each in row["targets"].items()
    ]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]

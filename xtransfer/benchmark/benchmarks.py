"""XTREME and XTREME-R as they are scored: tasks by group, and the languages of each.

Source: the tables of google-research/xtreme, evaluate.py at da430dd06cc7344ceb2e7cb030219656ebf0606a.
Task names and language codes are the same there as here, and so is the order, in which means are
summed. `LAREQA` is the exception: evaluate.py lists no language for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xtransfer.errors import ConfigError
from xtransfer.tasks import TASKS


@dataclass(frozen=True, kw_only=True, slots=True)
class Benchmark:
    """What is scored together, and how the overall score is made."""

    name: str
    title: str
    groups: Mapping[str, tuple[str, ...]]
    """Group -> its tasks."""
    languages: Mapping[str, tuple[str, ...]]
    """Task -> languages that its score is the mean over."""
    overall: str
    """How the overall score is defined, for whoever reads it."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """Every task, in the order of the official table."""
        return tuple(self.languages)


def get_benchmark(name: str) -> Benchmark:
    """Return the benchmark of that name.

    Raises:
        ConfigError: for an unknown name.
    """
    if name in BENCHMARKS:
        return BENCHMARKS[name]
    raise ConfigError("--benchmark", f"no benchmark '{name}'", f"It is {' or '.join(BENCHMARKS)}.")


def benchmarks_of(task: str) -> list[str]:
    """Return the names of the benchmarks that a task of this name is part of."""
    return [name for name, each in BENCHMARKS.items() if task in each.languages]


_TAGGING = ("udpos", "panx")
_QA = ("xquad", "mlqa", "tydiqa")

XTREME = Benchmark(
    name="xtreme",
    title="XTREME",
    groups={
        "classification": ("pawsx", "xnli"),
        "tagging": _TAGGING,
        "qa": _QA,
        "retrieval": ("bucc2018", "tatoeba"),
    },
    languages={
        task: TASKS[task].languages
        for task in (
            *("pawsx", "xnli", "panx", "udpos", "bucc2018", "tatoeba"),
            *_QA,
        )
    },
    overall="the unweighted mean over the 9 tasks, as the official evaluate.py has it",
)

XTREME_R = Benchmark(
    name="xtreme-r",
    title="XTREME-R",
    groups={
        "classification": ("xnli", "xcopa"),
        "tagging": _TAGGING,
        "qa": _QA,
        "retrieval": ("tatoeba", "mewslix", "lareqa"),
    },
    languages={
        task: (*TASKS[task].languages, *TASKS[task].more_languages)
        for task in (
            *("xnli", "panx", "udpos", "tatoeba", "xcopa", "lareqa", "mewslix"),
            *_QA,
        )
    },
    overall=(
        "the unweighted mean over the 10 tasks, LAReQA (mAP@20, 11 languages) and Mewsli-X (MRR@20) "
        "among them. This is xtransfer's definition: the official evaluate.py cannot produce one, as "
        "it lists no language for LAReQA and has no main score for Mewsli-X"
    ),
)

BENCHMARKS: Mapping[str, Benchmark] = {each.name: each for each in (XTREME, XTREME_R)}

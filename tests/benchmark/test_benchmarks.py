from __future__ import annotations

import pytest

from xtransfer.benchmark.benchmarks import BENCHMARKS, XTREME, XTREME_R, get_benchmark
from xtransfer.benchmark.formats import file_name
from xtransfer.errors import ConfigError
from xtransfer.tasks import TASKS

# google-research/xtreme, evaluate.py at da430dd06cc7344ceb2e7cb030219656ebf0606a: number of languages,
# the last of them and the ending of the file, in the order of its tables.
XTREME_TABLE = {
    "pawsx": (7, "zh", "tsv"),
    "xnli": (15, "zh", "tsv"),
    "panx": (40, "hu", "tsv"),
    "udpos": (33, "zh", "tsv"),
    "bucc2018": (4, "zh", "tsv"),
    "tatoeba": (36, "hu", "tsv"),
    "xquad": (11, "hi", "json"),
    "mlqa": (7, "zh", "json"),
    "tydiqa": (9, "te", "json"),
}
XTREME_R_TABLE = {
    "xnli": (15, "zh", "tsv"),
    "panx": (48, "ro", "tsv"),
    "udpos": (38, "ro", "tsv"),
    "tatoeba": (41, "ro", "tsv"),
    "xcopa": (11, "zh", "jsonl"),
    "lareqa": (11, "zh", "json"),
    "mewslix": (11, "uk", "json"),
    "xquad": (12, "ro", "json"),
    "mlqa": (7, "zh", "json"),
    "tydiqa": (9, "te", "json"),
}


@pytest.mark.parametrize(
    ("benchmark", "table"), [(XTREME, XTREME_TABLE), (XTREME_R, XTREME_R_TABLE)]
)
def test_tasks_languages_and_files_are_the_official_ones(benchmark, table) -> None:
    found = {
        name: (len(codes), codes[-1], file_name(TASKS[name], "de").partition(".")[2])
        for name, codes in benchmark.languages.items()
    }
    assert found == table
    assert list(found) == list(table)
    assert file_name(TASKS["xnli"], "de") == "xnli/test-de.tsv"
    grouped = [task for tasks in benchmark.groups.values() for task in tasks]
    assert sorted(grouped) == sorted(table)


def test_an_unknown_benchmark_is_refused() -> None:
    assert get_benchmark("xtreme-r") is BENCHMARKS["xtreme-r"]
    with pytest.raises(ConfigError, match=r"no benchmark 'xtremer'. It is xtreme or xtreme-r\."):
        get_benchmark("xtremer")

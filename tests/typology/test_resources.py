from __future__ import annotations

from xtransfer.tasks.languages import LANGUAGES
from xtransfer.typology.resources import CC100, low_resource, resource


def test_every_language_of_the_benchmarks_has_a_size() -> None:
    assert set(CC100) == set(LANGUAGES)
    assert resource("en") == 300.8
    assert resource("qa") is None


def test_low_resource_is_by_size_or_by_name() -> None:
    codes = ("en", "sw", "te", "wo", "qa")
    assert low_resource(codes, 2.0) == ("sw", "wo")
    assert low_resource(codes, 5.0) == ("sw", "te", "wo")
    assert low_resource(codes, ("en", "qa", "zh")) == ("en", "qa")

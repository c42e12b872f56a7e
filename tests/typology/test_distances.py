from __future__ import annotations

import csv
import importlib.util
from itertools import combinations, permutations
from pathlib import Path

import pytest

from xtransfer.tasks.languages import LANGUAGES
from xtransfer.typology import distances
from xtransfer.typology.distances import KINDS, distance, distance_from


def test_every_pair_of_the_benchmarks_languages_is_in_the_table() -> None:
    for one, other in combinations(LANGUAGES, 2):
        for kind in KINDS:
            found = distance(kind, one, other)
            # URIEL has no family of Basque and Quechua on record.
            if kind == "genetic" and {one, other} & {"eu", "qu"}:
                assert found is None
            else:
                assert found is not None, (kind, one, other)
                assert 0 <= found <= 1
            assert found == distance(kind, other, one)
        assert distance("syntactic", one, one) == 0


def test_they_are_distances_of_languages_as_one_knows_them() -> None:
    near, far = (
        [("de", "nl"), ("hi", "ur"), ("es", "pt"), ("et", "fi")],
        [("en", "zh"), ("ja", "yo")],
    )
    for kind in ("syntactic", "genetic", "geographic", "featural"):
        for one, other in near:
            for two in far:
                assert (distance(kind, one, other) or 0) < (distance(kind, *two) or 0)
    assert distance("genetic", "en", "sw") == 1
    # Great-circle distance of the places that URIEL gives English and Japanese: some 9,300 km.
    assert distance("geographic", "en", "ja") == pytest.approx(9300 / 20015, abs=0.02)


def test_the_triangle_holds_for_places() -> None:
    for a, b, c in permutations(("af", "en", "ja", "qu"), 3):
        ab, bc, ac = (distance("geographic", *pair) or 0 for pair in ((a, b), (b, c), (a, c)))
        assert ac <= ab + bc + 1e-3


def test_of_several_sources_it_is_the_nearest_or_the_mean() -> None:
    en, sw = distance("syntactic", "en", "de"), distance("syntactic", "sw", "de")
    assert en is not None
    assert sw is not None
    assert distance_from("syntactic", ["en", "sw"], "de", how="nearest") == min(en, sw)
    assert distance_from("syntactic", ["en", "sw"], "de", how="mean") == pytest.approx(
        (en + sw) / 2
    )


@pytest.mark.parametrize("sources", [[], ["qa"], ["en", "qa"]])
def test_without_a_value_there_is_none(sources: list[str]) -> None:
    assert distance_from("syntactic", sources, "de", how="nearest") is None
    assert distance("syntactic", "en", "qa") is None


def test_the_table_says_where_it_is_from_and_under_which_licence() -> None:
    text = Path(distances.__file__).with_name("uriel.csv").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in text
    assert "lang2vec 1.1.2" in text


def test_the_table_is_what_the_published_vectors_give(shared_data: Path) -> None:
    """Against scipy's cosine, from the vectors of the package itself."""
    np = pytest.importorskip("numpy")
    cosine = pytest.importorskip("scipy.spatial.distance").cosine
    path = shared_data / "lang2vec" / "feature_predictions.npz"
    if not path.is_file():
        pytest.skip("no vectors of lang2vec among the shared data")
    found = np.load(path)
    rows = {str(name): at for at, name in enumerate(found["langs"])}
    chosen = [str(name).startswith("S_") for name in found["feats"]]
    vectors = found["data"][:, chosen, 0]
    for one, other in (("en", "sw"), ("tr", "zh"), ("de", "et"), ("fa", "wo")):
        names = [distances.MACRO.get(code, LANGUAGES[code].iso3) for code in (one, other)]
        wanted = cosine(*(vectors[rows[name]] for name in names))
        assert distance("syntactic", one, other) == pytest.approx(wanted, abs=1e-4)


def test_the_script_that_made_it_is_there() -> None:
    assert importlib.util.find_spec("xtransfer.typology.derive") is not None
    path = Path(distances.__file__).with_name("uriel.csv")
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(line for line in file if not line.startswith("#")))
    assert rows[0] == ["one", "other", *KINDS]
    assert len(rows) - 1 == len(LANGUAGES) * (len(LANGUAGES) - 1) // 2

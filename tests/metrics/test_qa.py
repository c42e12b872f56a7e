from __future__ import annotations

import pytest

from xtransfer.metrics.qa import mlqa, normalise, normalise_english, squad


def test_english_normalisation() -> None:
    assert normalise_english("  The  Cat's, A-Team (an THE) hat! ") == "cats ateam hat"
    # Only ASCII punctuation goes, in all languages, and articles only as whole words.
    assert normalise_english("«Thé» — theatre") == "«thé» — theatre"


@pytest.mark.parametrize(
    ("answers", "prediction", "em", "f1"),
    [
        (["the Eiffel Tower"], "Eiffel tower!", 100, 100),
        # precision 1/2, recall 1/1
        (["Paris"], "Paris France", 0, 200 / 3),
        # Words are counted as often as both have them: 2 of 3 found, 2 of 2 wanted.
        (["new new"], "new new york", 0, 80),
        # The best of several answers counts, for each of the two scores.
        (["1889", "in the year 1889"], "year 1889", 0, 80),
        (["blue"], "red", 0, 0),
        # evaluate-v1.1.py: both empty once normalised is an exact match without a common word.
        (["The"], "a", 100, 0),
        # Without acceptable answers, only an empty prediction is right (v2.0).
        ([], "", 100, 100),
        ([], "the", 100, 100),
        ([], "blue", 0, 0),
    ],
)
def test_squad_cases_worked_by_hand(
    answers: list[str], prediction: str, em: float, f1: float
) -> None:
    found = squad([answers], [prediction])
    assert found == pytest.approx({"em": em, "f1": f1, "qa": (em + f1) / 2})


def test_squad_is_a_mean_over_questions() -> None:
    found = squad([["Paris"], ["Rome"]], ["Paris", "Milan"])
    assert found == {"em": 50.0, "f1": 50.0, "qa": 50.0}


@pytest.mark.parametrize(
    ("language", "text", "normal"),
    [
        ("en", "The «Cat» — an-hat", "cat anhat"),
        ("es", "¿La casa de los Reyes?", "casa de reyes"),
        ("de", "Der Turm, dem Haus", "turm haus"),
        ("vi", "cái nhà của tôi", "nhà tôi"),
        ("hi", "भारत।", "भारत"),
        ("zh", "1889年，巴黎 tower", "1889 年 巴 黎 tower"),
        ("ar", "البيت", "بيت"),
    ],
)
def test_normalisation_by_language(language: str, text: str, normal: str) -> None:
    assert normalise(text, language=language) == normal


def test_mlqa_scores_chinese_by_character() -> None:
    # 2 of 3 characters found, 2 of 2 wanted.
    assert mlqa([["巴黎"]], ["巴黎市"], language="zh") == pytest.approx(
        {"em": 0.0, "f1": 80.0, "mlqa": 40.0}
    )
    assert squad([["巴黎"]], ["巴黎市"])["f1"] == 0.0


def test_mlqa_knows_seven_languages() -> None:
    with pytest.raises(ValueError, match="no rules for language 'fr'"):
        mlqa([["a"]], ["a"], language="fr")

"""How much text of a language XLM-R was pretrained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

SOURCE = (
    "CC-100 in GiB, Conneau et al. 2020, appendix A, by way of a transcription on GitHub "
    "(mayhewsw/multilingual-data-stats); unverified against the paper itself"
)

CC100: Mapping[str, float] = {
    "af": 1.3, "ar": 28.0, "az": 6.5, "bg": 57.5, "bn": 8.4, "de": 66.6, "el": 46.9, "en": 300.8,
    "es": 53.3, "et": 6.1, "eu": 2.0, "fa": 111.6, "fi": 54.3, "fr": 56.8, "gu": 1.9, "he": 31.6,
    "hi": 20.2, "ht": 0.0, "hu": 58.4, "id": 148.3, "it": 30.2, "ja": 69.3, "jv": 0.2, "ka": 9.1,
    "kk": 6.4, "ko": 54.2, "lt": 13.7, "ml": 7.6, "mr": 2.8, "ms": 8.5, "my": 1.6, "nl": 29.3,
    "pa": 0.8, "pl": 44.6, "pt": 49.1, "qu": 0.0, "ro": 61.4, "ru": 278.0, "sw": 1.6, "ta": 12.2,
    "te": 4.7, "th": 71.7, "tl": 3.1, "tr": 20.9, "uk": 84.6, "ur": 5.7, "vi": 137.3, "wo": 0.0,
    "yo": 0.0, "zh": 46.9,
}  # fmt: skip
"""Two-letter code -> GiB. 0: not among XLM-R's languages. Burmese and Chinese have two rows each there;
these are their larger ones. Written with romanised text left out."""


def resource(language: str) -> float | None:
    """Return the GiB of a language in CC-100, 0 where it has none; None for an unknown language."""
    return CC100.get(language)


def low_resource(languages: Sequence[str], rule: float | Sequence[str]) -> tuple[str, ...]:
    """Return those of the languages that count as low-resource.

    Args:
        languages: two-letter codes.
        rule: those with fewer GiB than this in CC-100, or the languages by name.
    """
    if not isinstance(rule, int | float):
        return tuple(code for code in languages if code in rule)
    found = ((code, resource(code)) for code in languages)
    return tuple(code for code, size in found if size is not None and size < rule)

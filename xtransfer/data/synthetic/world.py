"""A world: its languages, its sizes, and who can speak in it."""

from __future__ import annotations

from dataclasses import dataclass

from xtransfer.data.synthetic.language import Language, Speaker, make_lexicons
from xtransfer.data.synthetic.lexicon import concepts
from xtransfer.data.synthetic.meaning import Mind

LANGUAGES = (
    Language(code="en"),
    Language(code="qa"),
    Language(code="qb", adjective="after"),
    Language(code="qc", order="VSO", adjective="after"),
    Language(code="qd", order="SOV", adjective="after", adposition="after"),
)
"""English and four private codes, at word-order distances 0, 0.2, 0.4 and 0.6 from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Number of examples per split (and per language, for test sets and text)."""

    text: int = 3000
    """Lines of monolingual text per language."""
    parallel: int = 3000
    """Sentence pairs per language other than English."""
    pair_train: int = 2000
    pair_dev: int = 300
    pair_test: int = 300
    span_train: int = 1500
    span_dev: int = 150
    span_test: int = 150
    tagging_train: int = 500
    tagging_dev: int = 100
    tagging_test: int = 150
    choice_train: int = 1000
    choice_dev: int = 200
    bitext: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything that determines the files of one artificial world."""

    seed: int = 0
    languages: tuple[Language, ...] = LANGUAGES
    """The first must be `en`, the language of every training set."""
    sizes: Sizes = Sizes()

    def mind(self) -> Mind:
        """Return a fresh source of clauses, with nothing reserved."""
        return Mind(concepts=concepts(), seed=self.seed)

    def speakers(self) -> dict[str, Speaker]:
        """Return code -> speaker, in the order of the languages."""
        meanings = concepts()
        lexicons = make_lexicons(self.languages, meanings, self.seed)
        return {
            language.code: Speaker(
                language=language, lexicon=lexicons[language.code], concepts=meanings
            )
            for language in self.languages
        }

"""The concepts of the artificial world, each with the words that the English-like language has."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Concept:
    """One meaning: what its words are tagged as and which other meanings it is related to."""

    name: str
    upos: str
    kind: str
    """What clauses choose by: a category of nouns, a class of verbs, or a class of small words."""
    words: tuple[str, ...]
    """English words for it; more than one are synonyms."""
    opposite: str | None = None
    """Name of the antonym (adjectives)."""


CATEGORIES = ("person", "beast", "dish", "tool", "place")
"""Categories of nouns; each is also a noun of its own, the hypernym of its members."""

ANIMATE = ("person", "beast")

VERB_FRAMES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "meet": (ANIMATE, ANIMATE),
    "consume": (ANIMATE, ("dish",)),
    "handle": (("person",), ("tool",)),
    "act": (ANIMATE, ()),
}
"""Class of verbs -> categories of its subjects and of its objects (none: intransitive)."""

_NOUNS = {
    "person": "woman/lady man girl boy/lad doctor/physician farmer king soldier",
    "beast": "dog/hound cat horse/steed bird cow fox/vixen wolf mouse",
    "dish": "bread/loaf soup/broth apple cheese rice cake/tart egg honey",
    "tool": "hammer/mallet knife/blade rope/cord key lamp bucket/pail axe needle",
    "place": "house/home forest/wood market river/stream school garden/yard tower road/street",
}
_HYPERNYMS = {
    "person": "person/human",
    "beast": "beast/creature",
    "dish": "dish/meal",
    "tool": "tool/device",
    "place": "place/site",
}
_VERBS = {
    "meet": "sees/spots follows/trails helps/aids hears finds/locates chases fears/dreads greets",
    "consume": "eats/devours smells tastes/samples wants hides",
    "handle": "uses/employs fixes/repairs sells breaks/smashes buys",
    "act": "sleeps/dozes runs/sprints waits sings rests",
}
_ANTONYMS = "big/large small/little old/aged young happy/glad sad fast/quick slow strong weak"
_NAMES = "Anna Boris Clara David Elena Felix Greta Hugo Irina Jonas"
_SMALL_WORDS = {
    "DET article": "the",
    "DET indefinite": "a",
    "PART negation": "never",
    "AUX copula": "is",
    "PRON ask-subject": "who",
    "PRON ask-object": "what",
    "ADV ask-place": "where",
    "ADV entailment": "indeed",
    "CCONJ contradiction": "but",
    "ADV neutral": "also",
    "ADP relation": "in/inside near/beside behind under/below",
}


def concepts() -> dict[str, Concept]:
    """Return every concept by name, in a fixed order; a name is the first English word."""
    rows: list[Concept] = []
    for category, text in _HYPERNYMS.items():
        rows.append(_concept(text, "NOUN", "hypernym"))
        rows += [_concept(word, "NOUN", category) for word in _NOUNS[category].split()]
    for kind, text in _VERBS.items():
        rows += [_concept(word, "VERB", kind) for word in text.split()]
    adjectives = _ANTONYMS.split()
    for first, second in zip(adjectives[::2], adjectives[1::2], strict=True):
        for word, other in ((first, second), (second, first)):
            rows.append(_concept(word, "ADJ", "quality", opposite=other.split("/")[0]))
    rows += [_concept(name, "PROPN", "name") for name in _NAMES.split()]
    for key, text in _SMALL_WORDS.items():
        upos, kind = key.split()
        rows += [_concept(word, upos, kind) for word in text.split()]
    return {row.name: row for row in rows}


def _concept(text: str, upos: str, kind: str, opposite: str | None = None) -> Concept:
    words = tuple(text.split("/"))
    return Concept(name=words[0], upos=upos, kind=kind, words=words, opposite=opposite)

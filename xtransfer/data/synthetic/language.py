"""Artificial languages: typological features, made-up words, and clauses put into words."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from xtransfer.data.synthetic.lexicon import Concept
from xtransfer.data.synthetic.meaning import Clause, Phrase

Place = Literal["before", "after"]
Token = tuple[str, str]
"""A word and its universal part-of-speech tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Language:
    """Word order and kinship of one language; its words follow from these and the world's seed."""

    code: str
    order: Literal["SVO", "SOV", "VSO", "VOS", "OVS", "OSV"] = "SVO"
    adjective: Place = "before"
    """Where an adjective stands, seen from its noun."""
    adposition: Place = "before"
    """Where an adposition stands, seen from its noun phrase."""
    negation: Place = "before"
    """Where the negation stands, seen from the verb."""
    shared: float = 0.3
    """Share of concepts whose words are those of the English-like language (loanwords)."""

    @property
    def features(self) -> tuple[bool, ...]:
        """Five binary word-order features, as WALS 82A, 83A, 85A, 87A and 143A distinguish them."""
        return (
            self.order.index("S") < self.order.index("V"),
            self.order.index("O") < self.order.index("V"),
            self.adjective == "before",
            self.adposition == "before",
            self.negation == "before",
        )


def typological_distance(a: Language, b: Language) -> float:
    """Return the fraction of word-order features in which two languages differ, in [0, 1]."""
    pairs = list(zip(a.features, b.features, strict=True))
    return sum(x != y for x, y in pairs) / len(pairs)


Lexicon = dict[str, tuple[str, ...]]
"""Concept -> its words in one language."""


def make_lexicons(
    languages: tuple[Language, ...], concepts: dict[str, Concept], seed: int
) -> dict[str, Lexicon]:
    """Return code -> lexicon. Names are the same everywhere; other words are loans or made up.

    No made-up word occurs twice in the world, so languages share exactly their loanwords.
    """
    taken = {word for concept in concepts.values() for word in concept.words}
    lexicons: dict[str, Lexicon] = {}
    for language in languages:
        if language.code == "en":
            lexicons["en"] = {name: concept.words for name, concept in concepts.items()}
            continue
        random = Random(f"{seed}/lexicon/{language.code}")
        onsets = random.sample("b c d f g h j k l m n p r s t v w z".split(), 10)
        vowels = random.sample("a e i o u ai ou ea ia".split(), 5)
        codas = ["", *random.sample("n r s l m t k".split(), 3)]
        lexicon: Lexicon = {}
        for name, concept in concepts.items():
            small = concept.upos not in ("NOUN", "VERB", "ADJ", "PROPN")
            if concept.upos == "PROPN" or (random.random() < language.shared and not small):
                lexicon[name] = concept.words
                continue
            words: list[str] = []
            while len(words) < len(concept.words):
                syllables = random.choice((1, 2)) if small else random.choice((2, 2, 3))
                word = "".join(
                    random.choice(onsets) + random.choice(vowels) for _ in range(syllables)
                )
                word += random.choice(codas)
                if word not in taken:
                    taken.add(word)
                    words.append(word)
            lexicon[name] = tuple(words)
        lexicons[language.code] = lexicon
    return lexicons


@dataclass(frozen=True, slots=True, kw_only=True)
class Speaker:
    """Puts clauses into the words of one language."""

    language: Language
    lexicon: Lexicon
    concepts: dict[str, Concept]

    def tokens(self, clause: Clause, random: Random, *, marker: str | None = None) -> list[Token]:
        """Return the words and tags of a clause; `random` chooses between synonyms.

        `marker` is a discourse marker (a concept) to begin with.
        """
        opening = [self._word(marker, random)] if marker else []
        spans = self._constituents(clause, random)
        words = [token for _, tokens in spans for token in tokens]
        return [*opening, *words, ("?" if clause.asked else ".", "PUNCT")]

    def sentence(self, clause: Clause, random: Random, *, marker: str | None = None) -> str:
        """Return a clause as text."""
        return join(self.tokens(clause, random, marker=marker))

    def phrase(self, phrase: Phrase, random: Random, *, article: str = "the") -> list[Token]:
        """Return the words and tags of a noun phrase."""
        noun = self._word(phrase.noun, random)
        if noun[1] == "PROPN":
            return [noun]
        tokens = [noun]
        if phrase.adjective:
            adjective = self._word(phrase.adjective, random)
            tokens = [adjective, noun] if self.language.adjective == "before" else [noun, adjective]
        return [self._word(article, random), *tokens]

    def answer(self, clause: Clause, role: str, random: Random) -> tuple[str, str, int]:
        """Return a clause as text, and the text and first character of its subject or object.

        `role` is "subject", "object" or "place" (the noun phrase without its adposition).
        """
        before: list[Token] = []
        found: list[Token] = []
        all_tokens: list[Token] = []
        for name, tokens in self._constituents(clause, random):
            if name == role:
                before, found = list(all_tokens), tokens
                if role == "place":
                    first = self.language.adposition == "before"
                    found = tokens[1:] if first else tokens[:-1]
                    before += tokens[:1] if first else []
            all_tokens += tokens
        text = join([*all_tokens, (".", "PUNCT")])
        start = len(join(before)) + 1 if before else 0
        return text, join(found), start

    def _constituents(self, clause: Clause, random: Random) -> list[tuple[str, list[Token]]]:
        """Return (role, tokens) in the order of the language."""
        asked = clause.asked
        verb = [self._word(clause.verb, random)]
        if clause.negated:
            negation = self._word("never", random)
            before = self.language.negation == "before"
            verb = [negation, *verb] if before else [*verb, negation]
        subject = self.phrase(clause.subject, random)
        parts = {
            "S": ("subject", [self._word("who", random)] if asked == "subject" else subject),
            "V": ("verb", verb),
        }
        if asked == "object":
            parts["O"] = ("object", [self._word("what", random)])
        elif clause.object:
            article = "a" if clause.verb == "is" else "the"
            parts["O"] = ("object", self.phrase(clause.object, random, article=article))
        order = [parts[letter] for letter in self.language.order if letter in parts]
        place = self._place(clause, random)
        if place:
            # Verb-final languages keep everything before the verb; the others end with the place.
            verb_final = self.language.order.endswith("V")
            order.insert(len(order) - 1 if verb_final else len(order), ("place", place))
        return order

    def _place(self, clause: Clause, random: Random) -> list[Token]:
        if clause.asked == "place":
            return [self._word("where", random)]
        if not clause.place:
            return []
        relation = self._word(clause.relation or "in", random)
        place = self.phrase(clause.place, random)
        if self.language.adposition == "before":
            return [relation, *place]
        return [*place, relation]

    def _word(self, concept: str, random: Random) -> Token:
        return random.choice(self.lexicon[concept]), self.concepts[concept].upos


def join(tokens: list[Token]) -> str:
    """Return tokens as text: spaces between words, none before punctuation."""
    return "".join(
        word if index == 0 or tag == "PUNCT" else f" {word}"
        for index, (word, tag) in enumerate(tokens)
    )

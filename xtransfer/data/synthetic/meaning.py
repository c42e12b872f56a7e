"""What can be said in the artificial world: clauses, facts, and how clauses follow from each other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Literal

from xtransfer.data.synthetic.lexicon import CATEGORIES, VERB_FRAMES, Concept

Role = Literal["subject", "object", "place"]
Label = Literal["entailment", "neutral", "contradiction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Phrase:
    """A noun or name, perhaps with an adjective."""

    noun: str
    adjective: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """Who does what to whom and where. Questions ask for the part named by `asked`."""

    subject: Phrase
    verb: str
    object: Phrase | None = None
    relation: str | None = None
    """Adposition between the clause and its place."""
    place: Phrase | None = None
    negated: bool = False
    asked: Role | None = None


@dataclass(slots=True, kw_only=True)
class Mind:
    """Draws clauses that fit the verbs' frames and the facts of the world.

    A clause reserved by a test set is never drawn again, so nothing that trains can contain it.
    """

    concepts: dict[str, Concept]
    seed: int
    homes: dict[str, str] = field(init=False)
    """Noun -> the place where such things usually are."""
    reserved: set[Clause] = field(default_factory=set[Clause])
    _kinds: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._kinds = {}
        for name, concept in self.concepts.items():
            self._kinds.setdefault(concept.kind, []).append(name)
        random = Random(f"{self.seed}/homes")
        nouns = [n for c in CATEGORIES if c != "place" for n in self._kinds[c]]
        self.homes = {noun: random.choice(self._kinds["place"]) for noun in nouns}

    def members(self, kind: str) -> list[str]:
        """Return the names of the concepts of one kind."""
        return self._kinds[kind]

    def category(self, noun: str) -> str | None:
        """Return the hypernym of a noun; a name is a person's, a hypernym has none."""
        kind = self.concepts[noun].kind
        return "person" if kind == "name" else kind if kind in CATEGORIES else None

    def clause(
        self,
        random: Random,
        *,
        frame: str | None = None,
        place: float = 0.3,
        negated: float = 0.2,
    ) -> Clause:
        """Draw a clause that no test set has reserved."""
        while True:
            clause = self._draw(random, frame=frame, place=place, negated=negated)
            if clause not in self.reserved:
                return clause

    def phrase(self, random: Random, categories: tuple[str, ...]) -> Phrase:
        """Draw a noun phrase of one of the categories; persons may be called by name."""
        category = random.choice(categories)
        if category == "person" and random.random() < 0.4:
            return Phrase(noun=random.choice(self._kinds["name"]))
        adjective = random.choice(self._kinds["quality"]) if random.random() < 0.3 else None
        return Phrase(noun=random.choice(self._kinds[category]), adjective=adjective)

    def fact(self, random: Random) -> Clause:
        """Draw what is always so: what something is, or where it usually is."""
        noun = random.choice(list(self.homes))
        category = self.category(noun)
        if category and random.random() < 0.3:
            return Clause(subject=Phrase(noun=noun), verb="is", object=Phrase(noun=category))
        adjective = random.choice(self._kinds["quality"]) if random.random() < 0.5 else None
        return Clause(
            subject=Phrase(noun=noun, adjective=adjective),
            verb="is",
            relation="in",
            place=Phrase(noun=self.homes[noun]),
        )

    def marker(self, label: Label) -> str:
        """Return the discourse marker between clauses that stand to each other as `label` says."""
        return self._kinds[label][0]

    def pair(self, random: Random, label: Label) -> tuple[Clause, Clause]:
        """Draw a premise and a hypothesis that stands to it as `label` says, neither reserved."""
        rules = {
            "entailment": self._entailed,
            "neutral": self._neutral,
            "contradiction": self._contradicted,
        }
        while True:
            premise = self.clause(random)
            hypothesis = rules[label](random, premise)
            if hypothesis not in self.reserved:
                return premise, hypothesis

    def _draw(
        self,
        random: Random,
        *,
        frame: str | None,
        place: float,
        negated: float,
    ) -> Clause:
        frame = frame or random.choice(("meet", "meet", "consume", "handle", "act"))
        subjects, objects = VERB_FRAMES[frame]
        subject = self.phrase(random, subjects)
        object_ = self.phrase(random, objects) if objects else None
        while object_ and object_.noun == subject.noun:
            object_ = self.phrase(random, objects)
        where = relation = None
        if not objects or random.random() < place:
            home = self.homes.get(subject.noun)
            usual = home is not None and random.random() < 0.6
            where = Phrase(noun=home if usual and home else random.choice(self._kinds["place"]))
            relation = "in" if usual else random.choice(self._kinds["relation"])
        return Clause(
            subject=subject,
            verb=random.choice(self._kinds[frame]),
            object=object_,
            relation=relation,
            place=where,
            negated=random.random() < negated,
        )

    def _entailed(self, random: Random, premise: Clause) -> Clause:
        """Say the same, or say less: drop a modifier or the place, or name only the category."""
        if premise.negated:
            return premise  # what is denied in general does not follow from one denied case
        clause = premise
        if clause.place and clause.object and random.random() < 0.5:
            clause = replace(clause, place=None, relation=None)
        subject, object_ = clause.subject, clause.object
        if random.random() < 0.5:
            subject = self._general(random, subject)
        if object_ and random.random() < 0.5:
            object_ = self._general(random, object_)
        return replace(clause, subject=subject, object=object_)

    def _general(self, random: Random, phrase: Phrase) -> Phrase:
        category = self.category(phrase.noun)
        if phrase.adjective and (category is None or random.random() < 0.5):
            return Phrase(noun=phrase.noun)
        return replace(phrase, noun=category) if category else phrase

    def _neutral(self, random: Random, premise: Clause) -> Clause:
        """Say more, or speak of another actor or action, affirmed or denied: nothing follows."""
        if not premise.negated and random.random() < 0.3:
            longer = self._detailed(random, premise)
            if longer != premise:
                return longer
        clause = self._shortened(random, premise)
        if random.random() < 0.4:  # so that a negation alone gives no label away
            clause = replace(clause, negated=not clause.negated)
        subject, object_ = clause.subject, clause.object
        part = random.choice(("subject", "verb", "object") if object_ else ("subject", "verb"))
        if part == "verb":
            return replace(clause, verb=self._other(random, clause.verb))
        if part == "object" and object_:
            noun = self._other(random, object_.noun, subject.noun)
            return replace(clause, object=replace(object_, noun=noun))
        noun = self._other(random, subject.noun, object_ and object_.noun)
        return replace(clause, subject=replace(subject, noun=noun))

    def _shortened(self, random: Random, clause: Clause) -> Clause:
        """Leave out details half of the time, so that no label has a length of its own."""
        if clause.place and clause.object and random.random() < 0.5:
            clause = replace(clause, place=None, relation=None)
        if clause.object and clause.object.adjective and random.random() < 0.5:
            clause = replace(clause, object=Phrase(noun=clause.object.noun))
        return clause

    def _detailed(self, random: Random, clause: Clause) -> Clause:
        """Add a place, or a quality of the object, where there is none."""
        object_ = clause.object
        if not clause.place and random.random() < 0.5:
            place = Phrase(noun=random.choice(self._kinds["place"]))
            return replace(clause, relation=random.choice(self._kinds["relation"]), place=place)
        if object_ and not object_.adjective and self.concepts[object_.noun].upos == "NOUN":
            adjective = random.choice(self._kinds["quality"])
            return replace(clause, object=replace(object_, adjective=adjective))
        return clause

    def _other(self, random: Random, concept: str, unwanted: str | None = None) -> str:
        """Return another concept of the same kind."""
        others = self._kinds[self.concepts[concept].kind]
        return random.choice([name for name in others if name not in (concept, unwanted)])

    def _contradicted(self, random: Random, premise: Clause) -> Clause:
        """Deny it, turn a quality into its opposite, or let the two actors change roles."""
        if premise.negated:
            return replace(premise, negated=False)
        clause = self._shortened(random, premise)
        choices = ["deny"]
        if clause.subject.adjective:
            choices.append("opposite")
        if self.concepts[clause.verb].kind == "meet":
            choices.append("swap")
        choice = random.choice(choices)
        if choice == "swap" and clause.object:
            return replace(clause, subject=clause.object, object=clause.subject)
        if choice == "opposite" and clause.subject.adjective:
            opposite = self.concepts[clause.subject.adjective].opposite
            return replace(clause, subject=replace(clause.subject, adjective=opposite))
        return replace(clause, negated=True)

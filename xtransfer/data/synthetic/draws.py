"""What the data sets are made of: clauses, pairs, scenes and questions drawn from a mind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import cast

from xtransfer.data.synthetic.language import Speaker, join
from xtransfer.data.synthetic.lexicon import CATEGORIES
from xtransfer.data.synthetic.meaning import Clause, Label, Mind, Phrase, Role

LABELS: tuple[Label, ...] = ("entailment", "neutral", "contradiction")

Pair = tuple[Clause, Clause, Label]
"""Premise, hypothesis, and how the second stands to the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A paragraph and a question on it that has one answer."""

    clauses: tuple[Clause, ...]
    asked: Clause
    """The clause of the paragraph that the question is about."""
    role: Role
    """The part of it that is asked for."""

    @property
    def question(self) -> Clause:
        """The question as a clause."""
        return replace(self.asked, asked=self.role)

    @property
    def answer(self) -> Phrase:
        """The phrase that is asked for."""
        parts = {
            "subject": self.asked.subject,
            "object": self.asked.object,
            "place": self.asked.place,
        }
        return cast(Phrase, parts[self.role])


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question on common knowledge with five options."""

    clause: Clause
    options: tuple[str, ...]
    """Nouns."""
    answer: str


def draw_clauses(mind: Mind, random: Random, count: int, *, reserve: bool) -> list[Clause]:
    """Draw clauses; `reserve` keeps later draws from them."""
    found: list[Clause] = []
    for _ in range(count):
        found.append(mind.clause(random))
        if reserve:
            mind.reserved.add(found[-1])
    return found


def draw_neighbours(mind: Mind, random: Random, count: int, *, reserve: bool) -> list[Clause]:
    """Draw clauses of which every two neighbours (2i, 2i + 1) differ in one respect.

    They are what to translate: only who attends to each word tells such neighbours apart.
    """
    found: list[Clause] = []
    while len(found) < count:
        pair = mind.pair(random, random.choice(LABELS[1:]))
        found += pair
        if reserve:
            mind.reserved.update(pair)
    return found[:count]


def draw_pairs(mind: Mind, random: Random, count: int, *, reserve: bool) -> list[Pair]:
    """Draw pairs with equally many of each label, in random order."""
    found: list[Pair] = []
    for index in range(count):
        label = LABELS[index % len(LABELS)]
        premise, hypothesis = mind.pair(random, label)
        found.append((premise, hypothesis, label))
        if reserve:
            mind.reserved.update((premise, hypothesis))
    random.shuffle(found)
    return found


def draw_scenes(mind: Mind, random: Random, count: int, *, reserve: bool) -> list[Scene]:
    """Draw scenes of two clauses."""
    found: list[Scene] = []
    for _ in range(count):
        found.append(draw_scene(mind, random, length=2))
        if reserve:
            mind.reserved.update(found[-1].clauses)
    return found


def draw_scene(mind: Mind, random: Random, *, length: int) -> Scene:
    """Draw clauses of which no two share an actor, and a question that one of them answers.

    Half of the scenes have a second clause with the verb that the question is about.
    """
    frame = random.choice(("meet", "meet", "consume", "handle"))
    asked = mind.clause(random, frame=frame, place=0.3, negated=0.0)
    roles: list[Role] = ["subject", "object", "place"] if asked.place else ["subject", "object"]
    same_verb = random.random() < 0.5
    clauses, actors = [asked], set(_actors(asked))
    while len(clauses) < length:
        other = mind.clause(random, frame=frame, place=0.3, negated=0.0)
        if same_verb and len(clauses) == 1:
            other = replace(other, verb=asked.verb)
        if actors.isdisjoint(_actors(other)) and other not in mind.reserved:
            clauses.append(other)
            actors.update(_actors(other))
    random.shuffle(clauses)
    return Scene(clauses=tuple(clauses), asked=asked, role=random.choice(roles))


def draw_questions(
    mind: Mind, random: Random, count: int, *, unwanted: set[Clause]
) -> list[Question]:
    """Draw questions that are not among the unwanted."""
    found: list[Question] = []
    while len(found) < count:
        question = draw_question(mind, random)
        if question.clause not in unwanted:
            found.append(question)
    return found


def draw_question(mind: Mind, random: Random) -> Question:
    """Draw a question: where something usually is, or what fits the verb."""
    if random.random() < 0.5:
        noun = random.choice(list(mind.homes))
        home = mind.homes[noun]
        adjective = random.choice([None, *mind.members("quality")])
        clause = Clause(
            subject=Phrase(noun=noun, adjective=adjective), verb="is", relation="in", asked="place"
        )
        others = [place for place in mind.members("place") if place != home]
        options = [home, *random.sample(others, 4)]
        answer = home
    else:
        frame, category = random.choice((("consume", "dish"), ("handle", "tool")))
        clause = replace(mind.clause(random, frame=frame), object=None, asked="object")
        options = [random.choice(mind.members(name)) for name in CATEGORIES]
        answer = options[CATEGORIES.index(category)]
    random.shuffle(options)
    return Question(clause=clause, options=tuple(options), answer=answer)


def draw_paragraph(mind: Mind, speaker: Speaker, random: Random) -> str:
    """Draw a line of text: a fact, a remark with its sequel, or a question with its answer.

    A sequel begins with a marker of how it follows, as sentences of real text often do: that is
    where a language model meets inference (Nie et al. 2019, DisSent).
    """
    kind = random.choices(("fact", "sequel", "dialogue"), (1, 5, 4))[0]
    if kind == "fact":
        return speaker.sentence(mind.fact(random), random)
    if kind == "sequel":
        label = random.choice(LABELS)
        first, second = mind.pair(random, label)
        sequel = speaker.sentence(second, random, marker=mind.marker(label))
        return f"{speaker.sentence(first, random)} {sequel}"
    scene = draw_scene(mind, random, length=2)
    sentences = [speaker.sentence(clause, random) for clause in (*scene.clauses, scene.question)]
    answer = join([*speaker.phrase(scene.answer, random), (".", "PUNCT")])
    return " ".join([*sentences, answer])


def _actors(clause: Clause) -> list[str]:
    return [phrase.noun for phrase in (clause.subject, clause.object) if phrase]

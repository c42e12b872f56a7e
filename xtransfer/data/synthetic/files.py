"""The data sets of an artificial world, in the formats in which the real ones are published."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, cast

from xtransfer.data.synthetic.language import Speaker, join
from xtransfer.data.synthetic.lexicon import CATEGORIES
from xtransfer.data.synthetic.meaning import Clause, Label, Mind, Phrase, Role
from xtransfer.data.synthetic.world import World

Scene = tuple[list[Clause], Clause, Role]
"""Clauses of a paragraph, the one that is asked about, and the part asked for."""

LABELS: tuple[Label, ...] = ("entailment", "neutral", "contradiction")


def write_world(world: World, root: Path) -> None:
    """Write every data set of `world` below `root`, the same bytes for the same world.

    Test sets come first and reserve their clauses, so no training set and no text contains them.
    Layout: `mnli/ xnli/ squad/ xquad/ udpos/ commonsenseqa/ tatoeba/` as published, and
    `text/{lang}.txt` (one short paragraph a line) and `text/{lang}-en.tsv` (translation pairs).
    """
    writer = _Writer(world=world, root=root)
    writer.write_tests()
    writer.write_dev_and_train()
    writer.write_text()


@dataclass(slots=True, kw_only=True)
class _Writer:
    world: World
    root: Path
    mind: Mind = field(init=False)
    speakers: dict[str, Speaker] = field(init=False)

    def __post_init__(self) -> None:
        self.mind = self.world.mind()
        self.speakers = self.world.speakers()

    def random(self, *names: str) -> Random:
        """Return a generator of its own for each file, so that files do not depend on each other."""
        return Random("/".join([str(self.world.seed), *names]))

    def write_tests(self) -> None:
        sizes = self.world.sizes
        pairs = self.pairs(self.random("xnli"), sizes.pair_test, reserve=True)
        paragraphs = self.paragraphs(self.random("xquad"), sizes.span_test, reserve=True)
        tagged = self.clauses(self.random("udpos"), sizes.tagging_test, reserve=True)
        bitext = self.clauses(self.random("tatoeba"), sizes.bitext, reserve=True)
        for code in self.speakers:
            rows = self.pair_rows(code, "test", pairs)
            self.tsv(f"xnli/test-{code}.tsv", rows)
            self.json(f"xquad/xquad.{code}.json", self.squad(code, "test", paragraphs))
            self.tags(f"udpos/test-{code}.tsv", code, tagged)
            if code != "en":
                for side in (code, "en"):
                    name = f"tatoeba/tatoeba.{code}-eng.{'eng' if side == 'en' else side}"
                    self.lines(name, self.sentences(side, f"tatoeba-{code}", bitext))

    def write_dev_and_train(self) -> None:
        sizes = self.world.sizes
        pairs = self.pairs(self.random("xnli-dev"), sizes.pair_dev, reserve=True)
        for code in self.speakers:
            self.tsv(f"xnli/dev-{code}.tsv", self.pair_rows(code, "dev", pairs))
        for split, size in (("dev_matched", sizes.pair_dev), ("train", sizes.pair_train)):
            pairs = self.pairs(self.random("mnli", split), size, reserve=split != "train")
            keys = ("sentence1", "sentence2", "gold_label")
            rows = [dict(zip(keys, row, strict=True)) for row in self.pair_rows("en", split, pairs)]
            self.jsonl(f"mnli/multinli_1.0_{split}.jsonl", rows)
        for split, size in (("dev", sizes.span_dev), ("train", sizes.span_train)):
            paragraphs = self.paragraphs(self.random("squad", split), size, reserve=split == "dev")
            self.json(f"squad/{split}-v1.1.json", self.squad("en", split, paragraphs))
        for split, size in (("dev", sizes.tagging_dev), ("train", sizes.tagging_train)):
            clauses = self.clauses(self.random("udpos", split), size, reserve=split == "dev")
            self.tags(f"udpos/{split}-en.tsv", "en", clauses)
        asked: set[Clause] = set()
        for split, size in (("dev", sizes.choice_dev), ("train", sizes.choice_train)):
            rows = self.choices(self.random("commonsenseqa", split), split, size, asked)
            self.jsonl(f"commonsenseqa/{split}_rand_split.jsonl", rows)

    def write_text(self) -> None:
        sizes = self.world.sizes
        for code, speaker in self.speakers.items():
            random = self.random("text", code)
            self.lines(
                f"text/{code}.txt",
                (self.paragraph(speaker, random) for _ in range(sizes.text)),
            )
            if code == "en":
                continue
            random = self.random("parallel", code)
            english = self.speakers["en"]
            rows: list[tuple[str, ...]] = []
            for _ in range(sizes.parallel // 2):
                # Neighbours that differ in one respect make an alignment attend to each word.
                for clause in self.mind.pair(random, random.choice(LABELS[1:])):
                    sides = (speaker, english)
                    rows.append(tuple(side.sentence(clause, random) for side in sides))
            self.tsv(f"text/{code}-en.tsv", rows)

    def paragraph(self, speaker: Speaker, random: Random) -> str:
        """Return a fact, a remark with its sequel, or a question with its answer.

        A sequel begins with a marker of how it follows, as sentences of real text often do: that is
        where a language model meets inference (Nie et al. 2019, DisSent).
        """
        kind = random.choices(("fact", "sequel", "dialogue"), (1, 5, 4))[0]
        if kind == "fact":
            return speaker.sentence(self.mind.fact(random), random)
        if kind == "sequel":
            label = random.choice(LABELS)
            first, second = self.mind.pair(random, label)
            marker = self.mind.marker(label)
            sequel = speaker.sentence(second, random, marker=marker)
            return f"{speaker.sentence(first, random)} {sequel}"
        clauses, asked, role = self.scene(random, length=2)
        lines = [speaker.sentence(clause, random) for clause in clauses]
        lines.append(speaker.sentence(replace(asked, asked=role), random))
        phrase = {"subject": asked.subject, "object": asked.object, "place": asked.place}[role]
        if phrase:
            lines.append(join([*speaker.phrase(phrase, random), (".", "PUNCT")]))
        return " ".join(lines)

    def clauses(self, random: Random, count: int, *, reserve: bool) -> list[Clause]:
        found: list[Clause] = []
        for _ in range(count):
            found.append(self.mind.clause(random))
            if reserve:
                self.mind.reserved.add(found[-1])
        return found

    def pairs(
        self, random: Random, count: int, *, reserve: bool
    ) -> list[tuple[Clause, Clause, Label]]:
        found: list[tuple[Clause, Clause, Label]] = []
        for index in range(count):
            label = LABELS[index % len(LABELS)]
            premise, hypothesis = self.mind.pair(random, label)
            found.append((premise, hypothesis, label))
            if reserve:
                self.mind.reserved.update((premise, hypothesis))
        random.shuffle(found)
        return found

    def pair_rows(
        self, code: str, split: str, pairs: Iterable[tuple[Clause, Clause, Label]]
    ) -> list[tuple[str, str, str]]:
        random, speaker = self.random("words", "pair", split, code), self.speakers[code]
        return [
            (speaker.sentence(premise, random), speaker.sentence(hypothesis, random), label)
            for premise, hypothesis, label in pairs
        ]

    def paragraphs(self, random: Random, count: int, *, reserve: bool) -> list[Scene]:
        found: list[Scene] = []
        for _ in range(count):
            found.append(self.scene(random, length=3))
            if reserve:
                self.mind.reserved.update(found[-1][0])
        return found

    def scene(self, random: Random, *, length: int) -> Scene:
        """Draw clauses of which no two share an actor, and a question that one of them answers.

        Half of the scenes have a second clause with the verb that the question is about.
        """
        frame = random.choice(("meet", "meet", "consume", "handle"))
        asked = self.mind.clause(random, frame=frame, place=0.3, negated=0.0)
        roles: list[Role] = ["subject", "object"] + (["place"] if asked.place else [])
        same_verb = random.random() < 0.5
        clauses, nouns = [asked], set(_actors(asked))
        while len(clauses) < length:
            other = self.mind.clause(random, frame=frame, place=0.3, negated=0.0)
            if same_verb and len(clauses) == 1:
                other = replace(other, verb=asked.verb)
            if nouns.isdisjoint(_actors(other)) and other not in self.mind.reserved:
                clauses.append(other)
                nouns.update(_actors(other))
        random.shuffle(clauses)
        return clauses, asked, random.choice(roles)

    def squad(self, code: str, split: str, paragraphs: Iterable[Scene]) -> dict[str, Any]:
        random, speaker = self.random("words", "span", split, code), self.speakers[code]
        rows: list[dict[str, Any]] = []
        for index, (clauses, asked, role) in enumerate(paragraphs):
            context, answer = "", {}
            for clause in clauses:
                text, words, start = speaker.answer(clause, role, random)
                if clause is asked:
                    gap = 1 if context else 0
                    answer = {"text": words, "answer_start": len(context) + gap + start}
                context = f"{context} {text}" if context else text
            question = speaker.sentence(replace(asked, asked=role), random)
            qa = {"id": f"{split}-{index}", "question": question, "answers": [answer]}
            rows.append({"context": context, "qas": [qa]})
        return {"version": "1.1", "data": [{"title": "World", "paragraphs": rows}]}

    def choices(
        self, random: Random, split: str, count: int, asked: set[Clause]
    ) -> list[dict[str, Any]]:
        """Return questions on facts; a question asked in one split is not asked in another."""
        speaker, rows = self.speakers["en"], list[dict[str, Any]]()
        while len(rows) < count:
            fact, options, answer = self.question(random)
            if split == "dev":
                asked.add(fact)
            elif fact in asked:
                continue
            random.shuffle(options)
            texts = [speaker.phrase(Phrase(noun=option), random)[-1][0] for option in options]
            letters = "ABCDE"
            rows.append(
                {
                    "answerKey": letters[options.index(answer)],
                    "id": f"{split}-{len(rows)}",
                    "question": {
                        "question_concept": fact.subject.noun,
                        "choices": [
                            {"label": letter, "text": text}
                            for letter, text in zip(letters, texts, strict=True)
                        ],
                        "stem": speaker.sentence(fact, random),
                    },
                }
            )
        return rows

    def question(self, random: Random) -> tuple[Clause, list[str], str]:
        """Return a question on a fact, five options and the right one."""
        adjective = random.choice([None, *self.mind.members("quality")])
        if random.random() < 0.5:
            noun = random.choice(list(self.mind.homes))
            home = self.mind.homes[noun]
            others = [place for place in self.mind.members("place") if place != home]
            subject = Phrase(noun=noun, adjective=adjective)
            fact = Clause(subject=subject, verb="is", relation="in", asked="place")
            return fact, [home, *random.sample(others, 4)], home
        frame = random.choice(("consume", "handle"))
        clause = replace(
            self.mind.clause(random, frame=frame, place=0.3), asked=cast(Role, "object")
        )
        options = [random.choice(self.mind.members(category)) for category in CATEGORIES]
        answer = options[CATEGORIES.index("dish" if frame == "consume" else "tool")]
        return clause, options, answer

    def sentences(self, code: str, name: str, clauses: Iterable[Clause]) -> list[str]:
        random, speaker = self.random("words", name, code), self.speakers[code]
        return [speaker.sentence(clause, random) for clause in clauses]

    def tags(self, name: str, code: str, clauses: Iterable[Clause]) -> None:
        random, speaker = self.random("words", name), self.speakers[code]
        lines: list[str] = []
        for clause in clauses:
            lines += [f"{word}\t{tag}" for word, tag in speaker.tokens(clause, random)] + [""]
        self.lines(name, lines)

    def lines(self, name: str, lines: Iterable[str]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8", newline="\n")

    def tsv(self, name: str, rows: Iterable[tuple[str, ...]]) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)

    def json(self, name: str, value: Any) -> None:
        self.lines(name, [json.dumps(value, ensure_ascii=False)])

    def jsonl(self, name: str, rows: Iterable[Any]) -> None:
        self.lines(name, (json.dumps(row, ensure_ascii=False) for row in rows))


def _actors(clause: Clause) -> list[str]:
    return [phrase.noun for phrase in (clause.subject, clause.object) if phrase]

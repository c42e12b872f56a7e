"""The data sets of an artificial world, in the formats in which the real ones are published."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from xtransfer.data.synthetic.draws import (
    Pair,
    Question,
    Scene,
    draw_clauses,
    draw_neighbours,
    draw_pairs,
    draw_paragraph,
    draw_questions,
    draw_scenes,
)
from xtransfer.data.synthetic.language import Speaker
from xtransfer.data.synthetic.meaning import Clause, Mind, Phrase
from xtransfer.data.synthetic.world import World

_SENTENCE = re.compile(r"[^\s.?][^.?]*[.?]")

RandomFor = Callable[[str], Random]
"""Name -> a generator of its own, so that the content of a file does not depend on other files."""


def write_world(world: World, root: Path) -> None:
    """Write every data set of `world` below `root`, the same bytes for the same world.

    Test sets come first, then development sets, and reserve their clauses: nothing that trains
    states one of them, in whatever words. (Questions ask for a part of a clause and may recur.)
    Layout: `mnli/ xnli/ squad/ xquad/ lareqa/ udpos/ commonsenseqa/ tatoeba/ bucc2018/` as published, and
    `text/{lang}.txt` (one short paragraph a line) and `text/{lang}-en.tsv` (translation pairs).
    """
    mind, speakers = world.mind(), world.speakers()

    def random(name: str) -> Random:
        return Random(f"{world.seed}/{name}")

    _write_tests(world, mind, speakers, random, root)
    _write_dev_and_train(world, mind, speakers, random, root)
    _write_text(world, mind, speakers, random, root)


def _write_tests(
    world: World, mind: Mind, speakers: dict[str, Speaker], random: RandomFor, root: Path
) -> None:
    sizes = world.sizes
    pairs = draw_pairs(mind, random("xnli/test"), sizes.pair_test, reserve=True)
    scenes = draw_scenes(mind, random("xquad"), sizes.span_test, reserve=True)
    tagged = draw_clauses(mind, random("udpos/test"), sizes.tagging_test, reserve=True)
    bitext = draw_neighbours(mind, random("tatoeba"), sizes.bitext, reserve=True)
    for code, speaker in speakers.items():
        words = random(f"words/{code}")
        _write_tsv(root / f"xnli/test-{code}.tsv", _pair_rows(speaker, pairs, words))
        paragraphs = _squad(speaker, "test", scenes, words)
        _write_json(root / f"xquad/xquad.{code}.json", paragraphs)
        _write_json(root / f"lareqa/xquad-r/{code}.json", _with_breaks(paragraphs))
        _write_tags(root / f"udpos/test-{code}.tsv", speaker, tagged, words)
        if code != "en":
            stem = f"tatoeba/tatoeba.{code}-eng"
            for side, translator in ((code, speaker), ("eng", speakers["en"])):
                sentences = [translator.sentence(clause, words) for clause in bitext]
                _write_lines(root / f"{stem}.{side}", sentences)
            # Drawn apart and reserving nothing: no other file depends on these.
            draws = random(f"bucc/{code}")
            dev = draw_neighbours(mind, draws, sizes.bitext, reserve=False)
            for split, clauses in (("dev", dev), ("test", bitext)):
                stem = root / f"bucc2018/{code}-en.{split}"
                _write_mining(stem, (speaker, speakers["en"]), clauses, draws)


def _write_dev_and_train(
    world: World, mind: Mind, speakers: dict[str, Speaker], random: RandomFor, root: Path
) -> None:
    sizes, english = world.sizes, speakers["en"]
    pairs = draw_pairs(mind, random("xnli/dev"), sizes.pair_dev, reserve=True)
    for code, speaker in speakers.items():
        rows = _pair_rows(speaker, pairs, random(f"words/dev/{code}"))
        _write_tsv(root / f"xnli/dev-{code}.tsv", rows)
    for split, size in (("dev_matched", sizes.pair_dev), ("train", sizes.pair_train)):
        draws = random(f"mnli/{split}")
        pairs = draw_pairs(mind, draws, size, reserve=split != "train")
        keys = ("sentence1", "sentence2", "gold_label")
        rows = _pair_rows(english, pairs, draws)
        _write_json(
            root / f"mnli/multinli_1.0_{split}.jsonl",
            *(dict(zip(keys, row, strict=True)) for row in rows),
        )
    for split, size in (("dev", sizes.span_dev), ("train", sizes.span_train)):
        draws = random(f"squad/{split}")
        scenes = draw_scenes(mind, draws, size, reserve=split == "dev")
        # SQuAD itself has no sentence breaks; but these sentences begin with no capital to go by.
        paragraphs = _with_breaks(_squad(english, split, scenes, draws))
        _write_json(root / f"squad/{split}-v1.1.json", paragraphs)
    for split, size in (("dev", sizes.tagging_dev), ("train", sizes.tagging_train)):
        draws = random(f"udpos/{split}")
        clauses = draw_clauses(mind, draws, size, reserve=split == "dev")
        _write_tags(root / f"udpos/{split}-en.tsv", english, clauses, draws)
    asked: set[Clause] = set()
    for split, size in (("dev", sizes.choice_dev), ("train", sizes.choice_train)):
        draws = random(f"commonsenseqa/{split}")
        questions = draw_questions(mind, draws, size, unwanted=asked)
        asked.update(question.clause for question in questions)
        rows = [
            _choice_row(english, f"{split}-{index}", question, draws)
            for index, question in enumerate(questions)
        ]
        _write_json(root / f"commonsenseqa/{split}_rand_split.jsonl", *rows)


def _write_text(
    world: World, mind: Mind, speakers: dict[str, Speaker], random: RandomFor, root: Path
) -> None:
    for code, speaker in speakers.items():
        draws = random(f"text/{code}")
        paragraphs = [draw_paragraph(mind, speaker, draws) for _ in range(world.sizes.text)]
        _write_lines(root / f"text/{code}.txt", paragraphs)
        if code == "en":
            continue
        draws = random(f"parallel/{code}")
        clauses = draw_neighbours(mind, draws, world.sizes.parallel, reserve=False)
        sides = (speaker, speakers["en"])
        rows = [tuple(side.sentence(clause, draws) for side in sides) for clause in clauses]
        _write_tsv(root / f"text/{code}-en.tsv", rows)


def _pair_rows(speaker: Speaker, pairs: Iterable[Pair], words: Random) -> list[tuple[str, ...]]:
    return [
        (speaker.sentence(premise, words), speaker.sentence(hypothesis, words), label)
        for premise, hypothesis, label in pairs
    ]


def _squad(speaker: Speaker, name: str, scenes: Iterable[Scene], words: Random) -> dict[str, Any]:
    """Return scenes as SQuAD v1.1 has paragraphs, one question each."""
    paragraphs: list[dict[str, Any]] = []
    for index, scene in enumerate(scenes):
        context, answer = "", {}
        for clause in scene.clauses:
            text, found, start = speaker.answer(clause, scene.role, words)
            context = f"{context} {text}" if context else text
            if clause is scene.asked:
                first = len(context) - len(text) + start
                answer = {"text": found, "answer_start": first}
        question = speaker.sentence(scene.question, words)
        qa = {"id": f"{name}-{index}", "question": question, "answers": [answer]}
        paragraphs.append({"context": context, "qas": [qa]})
    return {"version": "1.1", "data": [{"title": "World", "paragraphs": paragraphs}]}


def _with_breaks(document: dict[str, Any]) -> dict[str, Any]:
    """Return paragraphs with the places of their sentences, as XQuAD-R has them."""
    paragraphs = [
        {**paragraph, "sentence_breaks": [match.span() for match in _SENTENCE.finditer(text)]}
        for article in document["data"]
        for paragraph in article["paragraphs"]
        for text in [paragraph["context"]]
    ]
    return {**document, "data": [{"title": "World", "paragraphs": paragraphs}]}


def _write_mining(
    stem: Path, sides: tuple[Speaker, Speaker], clauses: Sequence[Clause], words: Random
) -> None:
    """Write a comparable corpus as BUCC has it: each side lacks a third of the clauses."""
    third = len(clauses) // 3
    ids: list[dict[Clause, str]] = []
    for speaker, part in zip(
        sides, (clauses[third:], clauses[: len(clauses) - third]), strict=True
    ):
        code, said = speaker.language.code, list(part)
        words.shuffle(said)
        ids.append({clause: f"{code}-{number:06d}" for number, clause in enumerate(said)})
        lines = [f"{name}\t{speaker.sentence(clause, words)}" for clause, name in ids[-1].items()]
        _write_lines(stem.with_name(f"{stem.name}.{code}"), lines)
    both = [clause for clause in ids[0] if clause in ids[1]]
    _write_lines(
        stem.with_name(f"{stem.name}.gold"),
        [f"{ids[0][clause]}\t{ids[1][clause]}" for clause in both],
    )


def _choice_row(speaker: Speaker, id_: str, question: Question, words: Random) -> dict[str, Any]:
    letters = "ABCDE"
    nouns = [speaker.phrase(Phrase(noun=option), words)[-1][0] for option in question.options]
    choices = [{"label": letter, "text": noun} for letter, noun in zip(letters, nouns, strict=True)]
    return {
        "answerKey": letters[question.options.index(question.answer)],
        "id": id_,
        "question": {
            "question_concept": question.clause.subject.noun,
            "choices": choices,
            "stem": speaker.sentence(question.clause, words),
        },
    }


def _write_tags(path: Path, speaker: Speaker, clauses: Iterable[Clause], words: Random) -> None:
    lines: list[str] = []
    for clause in clauses:
        lines += [f"{word}\t{tag}" for word, tag in speaker.tokens(clause, words)] + [""]
    _write_lines(path, lines)


def _write_tsv(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


def _write_json(path: Path, *values: Any) -> None:
    _write_lines(path, (json.dumps(value, ensure_ascii=False) for value in values))


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(f"{line}\n" for line in lines)
    path.write_text(text, encoding="utf-8", newline="\n")

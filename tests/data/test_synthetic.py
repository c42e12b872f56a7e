from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from xtransfer.data.synthetic import LANGUAGES, Language, Sizes, World, typological_distance
from xtransfer.data.synthetic import write_world as write
from xtransfer.data.synthetic.draws import LABELS
from xtransfer.data.synthetic.language import Speaker
from xtransfer.data.synthetic.lexicon import VERB_FRAMES, concepts
from xtransfer.data.synthetic.meaning import Clause, Phrase
from xtransfer.tasks.targets.tagging import UPOS

SIZES = Sizes(
    text=300,
    parallel=300,
    pair_train=300,
    pair_dev=60,
    pair_test=60,
    span_train=100,
    span_dev=30,
    span_test=40,
    tagging_train=100,
    tagging_dev=30,
    tagging_test=40,
    choice_train=100,
    choice_dev=40,
    bitext=60,
)
CODES = [language.code for language in LANGUAGES]
FOREIGN = [code for code in CODES if code != "en"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write(World(sizes=SIZES), folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def read_tsv(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file, delimiter="\t"))


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in read_lines(path)]


def read_squad(path: Path) -> list[dict[str, Any]]:
    value = json.loads(path.read_text(encoding="utf-8"))
    return [paragraph for article in value["data"] for paragraph in article["paragraphs"]]


def read_tagged(path: Path) -> list[list[list[str]]]:
    sentences = path.read_text(encoding="utf-8").strip("\n").split("\n\n")
    return [[line.split("\t") for line in sentence.split("\n")] for sentence in sentences]


def sentences_of(text: str) -> list[str]:
    return [f"{part}." for part in text.rstrip(".").split(". ")]


def as_text(tagged: list[list[str]]) -> str:
    return " ".join(word for word, _ in tagged[:-1]) + tagged[-1][0]


def test_same_seed_writes_the_same_bytes_and_another_seed_others(
    root: Path, tmp_path: Path
) -> None:
    write(World(sizes=SIZES), tmp_path / "again")
    write(World(seed=1, sizes=SIZES), tmp_path / "other")
    first, other = digests(root), digests(tmp_path / "other")
    assert digests(tmp_path / "again") == first
    assert other.keys() == first.keys()
    assert all(other[name] != first[name] for name in first)


def test_every_published_file_is_there(root: Path) -> None:
    expected = {"mnli/multinli_1.0_train.jsonl", "mnli/multinli_1.0_dev_matched.jsonl"}
    expected |= {"squad/train-v1.1.json", "squad/dev-v1.1.json"}
    expected |= {"udpos/train-en.tsv", "udpos/dev-en.tsv"}
    expected |= {f"commonsenseqa/{split}_rand_split.jsonl" for split in ("train", "dev")}
    for code in CODES:
        expected.add(f"lareqa/xquad-r/{code}.json")
        expected |= {f"xnli/dev-{code}.tsv", f"xnli/test-{code}.tsv", f"text/{code}.txt"}
        expected |= {f"xquad/xquad.{code}.json", f"udpos/test-{code}.tsv"}
    for code in FOREIGN:
        expected |= {f"tatoeba/tatoeba.{code}-eng.{side}" for side in (code, "eng")}
        expected.add(f"text/{code}-en.tsv")
        expected |= {
            f"bucc2018/{code}-en.{split}.{side}"
            for split in ("dev", "test")
            for side in (code, "en", "gold")
        }
    assert digests(root).keys() == expected


def test_pairs_have_balanced_labels_that_agree_across_languages(root: Path) -> None:
    english = [row[2] for row in read_tsv(root / "xnli/test-en.tsv")]
    assert {label: english.count(label) for label in LABELS} == dict.fromkeys(LABELS, 20)
    for code in FOREIGN:
        rows = read_tsv(root / f"xnli/test-{code}.tsv")
        assert [row[2] for row in rows] == english
        assert all(len(row) == 3 for row in rows)
    train = read_jsonl(root / "mnli/multinli_1.0_train.jsonl")
    assert {row["gold_label"] for row in train} == set(LABELS)
    assert all(row.keys() == {"sentence1", "sentence2", "gold_label"} for row in train)


@pytest.mark.parametrize("code", CODES)
def test_answers_stand_where_their_offsets_say_and_only_there(root: Path, code: str) -> None:
    paragraphs = read_squad(root / f"xquad/xquad.{code}.json")
    assert len(paragraphs) == SIZES.span_test
    for paragraph in paragraphs:
        context, (question,) = paragraph["context"], paragraph["qas"]
        (answer,) = question["answers"]
        start, text = answer["answer_start"], answer["text"]
        assert context[start : start + len(text)] == text
        assert question["question"].endswith("?")
        assert text not in question["question"]


@pytest.mark.parametrize("code", CODES)
def test_tags_are_universal_parts_of_speech(root: Path, code: str) -> None:
    sentences = read_tagged(root / f"udpos/test-{code}.tsv")
    assert len(sentences) == SIZES.tagging_test
    tags = {tag for sentence in sentences for _, tag in sentence}
    assert {"NOUN", "VERB", "ADJ", "DET", "PROPN", "PUNCT"} <= tags <= set(UPOS)


def test_questions_have_five_options_of_which_the_key_is_one(root: Path) -> None:
    rows = read_jsonl(root / "commonsenseqa/dev_rand_split.jsonl")
    assert {row["answerKey"] for row in rows} == set("ABCDE")
    for row in rows:
        options = row["question"]["choices"]
        assert [option["label"] for option in options] == list("ABCDE")
        assert len({option["text"] for option in options}) == 5


def test_tatoeba_sides_are_parallel_and_have_no_twins(root: Path) -> None:
    names = {name for name, concept in concepts().items() if concept.kind == "name"}
    for code in FOREIGN:
        foreign, english = (
            read_lines(root / f"tatoeba/tatoeba.{code}-eng.{side}") for side in (code, "eng")
        )
        assert len(foreign) == len(english) == SIZES.bitext
        assert len(set(foreign)) == len(foreign)
        assert len(set(english)) == len(english)
        for left, right in zip(foreign, english, strict=True):
            words = [set(side.rstrip(".").split()) & names for side in (left, right)]
            assert words[0] == words[1]


def test_paragraphs_say_where_their_sentences_are(root: Path) -> None:
    for name in ("squad/train-v1.1.json", "lareqa/xquad-r/qd.json"):
        for paragraph in read_squad(root / name):
            found = [paragraph["context"][a:b] for a, b in paragraph["sentence_breaks"]]
            assert found == [f"{sentence}." for sentence in paragraph["context"][:-1].split(". ")]


def test_some_sentences_of_a_comparable_corpus_are_translations(root: Path) -> None:
    for code in FOREIGN:
        for split in ("dev", "test"):
            stem = f"bucc2018/{code}-en.{split}"
            gold = [line.split("\t") for line in read_lines(root / f"{stem}.gold")]
            sides = [
                dict(line.split("\t") for line in read_lines(root / f"{stem}.{side}"))
                for side in (code, "en")
            ]
            assert 0 < len(gold) < min(map(len, sides))
            assert all(one in sides[0] and other in sides[1] for one, other in gold)
            names = {name for name, concept in concepts().items() if concept.kind == "name"}
            for one, other in gold:
                words = [
                    set(s.rstrip(".").split()) & names for s in (sides[0][one], sides[1][other])
                ]
                assert words[0] == words[1]


@pytest.mark.parametrize("code", CODES)
def test_nothing_that_trains_contains_a_test_or_development_sentence(root: Path, code: str) -> None:
    held: set[str] = set()
    for split in ("dev", "test"):
        held.update(s for row in read_tsv(root / f"xnli/{split}-{code}.tsv") for s in row[:2])
    for paragraph in read_squad(root / f"xquad/xquad.{code}.json"):
        held.update(sentences_of(paragraph["context"]))
    held.update(as_text(s) for s in read_tagged(root / f"udpos/test-{code}.tsv"))
    if code != "en":
        held.update(read_lines(root / f"tatoeba/tatoeba.{code}-eng.{code}"))

    trained = [s for line in read_lines(root / f"text/{code}.txt") for s in sentences_of(line)]
    if code == "en":
        for other in FOREIGN:
            held.update(read_lines(root / f"tatoeba/tatoeba.{other}-eng.eng"))
            trained += [row[1] for row in read_tsv(root / f"text/{other}-en.tsv")]
        for row in read_jsonl(root / "mnli/multinli_1.0_dev_matched.jsonl"):
            held.update((row["sentence1"], row["sentence2"]))
        for row in read_jsonl(root / "mnli/multinli_1.0_train.jsonl"):
            trained += [row["sentence1"], row["sentence2"]]
        for paragraph in read_squad(root / "squad/train-v1.1.json"):
            trained += sentences_of(paragraph["context"])
        trained += [as_text(s) for s in read_tagged(root / "udpos/train-en.tsv")]
    else:
        trained += [row[0] for row in read_tsv(root / f"text/{code}-en.tsv")]
    assert len(held) > 100
    assert held.isdisjoint(trained)


def test_no_question_of_the_development_set_is_asked_in_training(root: Path) -> None:
    stems = [
        {row["question"]["stem"] for row in read_jsonl(root / f"commonsenseqa/{split}.jsonl")}
        for split in ("dev_rand_split", "train_rand_split")
    ]
    assert stems[0].isdisjoint(stems[1])


def test_distances_of_the_default_languages() -> None:
    english = LANGUAGES[0]
    distances = [typological_distance(english, other) for other in LANGUAGES]
    assert distances == [0.0, 0.0, 0.2, 0.4, 0.6]


def test_distance_counts_differing_features_both_ways() -> None:
    mirror = Language(
        code="qz", order="OVS", adjective="after", adposition="after", negation="after"
    )
    assert typological_distance(LANGUAGES[0], mirror) == 1.0
    assert typological_distance(mirror, LANGUAGES[0]) == 1.0


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        (Language(code="en"), "the big dog never sees Anna in the house."),
        (
            Language(code="qa", order="VSO", adjective="after", negation="after"),
            "sees never the dog big Anna in the house.",
        ),
        (
            Language(code="qb", order="SOV", adposition="after"),
            "the big dog Anna the house in never sees.",
        ),
    ],
)
def test_languages_order_the_same_clause_in_their_own_way(
    language: Language, expected: str
) -> None:
    words = {name: (concept.words[0],) for name, concept in concepts().items()}
    speaker = Speaker(language=language, lexicon=words, concepts=concepts())
    clause = Clause(
        subject=Phrase(noun="dog", adjective="big"),
        verb="sees",
        object=Phrase(noun="Anna"),
        relation="in",
        place=Phrase(noun="house"),
        negated=True,
    )
    assert speaker.sentence(clause, Random(0)) == expected


def test_languages_share_exactly_names_and_loanwords() -> None:
    shared = Language(code="qa", shared=0.5)
    alien = Language(code="qb", shared=0.0)
    speakers = World(languages=(Language(code="en"), shared, alien)).speakers()
    english = {word for words in speakers["en"].lexicon.values() for word in words}
    names = {name for name, concept in concepts().items() if concept.upos == "PROPN"}
    loans = {w for words in speakers["qa"].lexicon.values() for w in words} & english
    assert {w for words in speakers["qb"].lexicon.values() for w in words} & english == names
    assert 0.3 < len(loans - names) / len(english - names) < 0.7


@pytest.mark.parametrize("label", LABELS)
def test_hypotheses_stand_to_their_premises_as_labelled(label: str) -> None:
    mind, random = World().mind(), Random(0)
    for _ in range(300):
        premise, hypothesis = mind.pair(random, label)
        flipped = premise.negated != hypothesis.negated
        if label == "neutral":
            assert hypothesis != premise
            told = (premise.subject, premise.verb, premise.object, premise.place)
            said = (hypothesis.subject, hypothesis.verb, hypothesis.object, hypothesis.place)
            assert said != told
        else:
            assert hypothesis.verb == premise.verb
            assert hypothesis.place in (premise.place, None)
        if label == "entailment":
            assert not flipped
        if label == "contradiction" and not flipped:
            assert premise.subject != hypothesis.subject


def test_length_of_a_hypothesis_says_little_about_its_label() -> None:
    world, random = World(), Random(0)
    mind, english = world.mind(), world.speakers()["en"]
    counts: dict[str, Counter[int]] = {}
    right = 0
    for label in LABELS:
        growth = Counter[int]()
        for _ in range(600):
            premise, hypothesis = mind.pair(random, label)
            before, after = (len(english.tokens(c, random)) for c in (premise, hypothesis))
            growth[after - before] += 1
        counts[label] = growth
    for difference in {d for growth in counts.values() for d in growth}:
        right += max(growth[difference] for growth in counts.values())
    # A rule that knows only the difference of the lengths is right this often; chance is 1/3.
    assert right / (600 * len(LABELS)) < 0.6


def test_reserved_clauses_are_never_drawn_again() -> None:
    mind = World().mind()
    first = mind.clause(Random(0))
    assert mind.clause(Random(0)) == first
    mind.reserved.add(first)
    assert mind.clause(Random(0)) != first


def test_verbs_take_subjects_and_objects_of_their_frames() -> None:
    mind, random = World().mind(), Random(0)
    for _ in range(300):
        clause = mind.clause(random)
        subjects, objects = VERB_FRAMES[concepts()[clause.verb].kind]
        assert mind.category(clause.subject.noun) in subjects
        assert (clause.object is None) == (not objects)
        if clause.object:
            assert mind.category(clause.object.noun) in objects

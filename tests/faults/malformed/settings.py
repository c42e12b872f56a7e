"""Malformed experiments and placements: wrong in one place of the YAML, or in the bytes of the file."""

from __future__ import annotations

import copy
import string
from pathlib import Path
from random import Random
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.faults.malformed.oracle import Case

EXPERIMENT = f"""
name: base
encoder: {{name: org/model, revision: {"a" * 40}, notes: [a note]}}
data:
  root: data
  files: {{xnli: {{test: ["xnli/test-{{lang}}.tsv"]}}}}
  revisions: {{facebook/xnli: {"b" * 40}}}
  holdout: {{squad_v1: 5}}
  limits: {{seed: 1, train: 100, tasks: {{mnli: {{dev: 10}}}}}}
tasks:
  - name: reviews
    form: classification
    metric: accuracy
    labels: [bad, good]
    source:
      format: tsv
      files: {{train: [r/train.tsv], dev: [r/dev.tsv]}}
      columns: {{text_a: "0", label: "1"}}
    as_intermediate: {{epochs: 2, batch_size: 8, max_length: 32}}
  - {{name: other, like: mnli, source: {{files: {{train: [o.jsonl], dev: [p.jsonl]}}}}}}
  - name: places
    form: tagging
    metric: span_f1
    labels: [O, B-LOC, I-LOC]
    languages: [en, sw]
    source: {{format: conll, files: {{train: ["p-{{lang}}.tsv"], dev: ["p-{{lang}}.tsv"]}}}}
    stages: [{{epochs: 2, batch_size: 8, max_length: 32}}]
intermediate:
  tasks:
    - mnli
    - reviews
    - {{name: multi, tasks: [mnli, squad_v1], sampling: {{kind: temperature, temperature: 2.0}}}}
    - {{name: mlm, task: mnli, text: {{languages: [en, sw], files: ["t/{{lang}}.txt"], mask: 0.2}}}}
    - {{name: wide, task: mnli, languages: [en, sw], dev_languages: [en], spread: true,
       source: {{files: {{train: ["m-{{lang}}.jsonl"]}}}}}}
  seeds: [1, 2]
  learning_rates: [1e-5, 2e-5]
  overrides: {{all: {{epochs: 1}}, mnli: {{batch_size: 8, max_length: 64}}, multi: {{stride: 4}}}}
  select_per_seed: false
target:
  tasks: [xnli, places, tatoeba]
  seeds: [1]
  learning_rates: [1e-5]
  languages: {{xnli: [en, sw], tatoeba: [de]}}
  few_shot: {{xnli: {{examples: [10, 20], languages: [sw], split: dev, epochs: 2, batch_size: 4,
                     learning_rate: 1e-5}}}}
  overrides: {{xnli: {{epochs: 1}}}}
training: {{warmup: 0.1, weight_decay: 0.01, adam_epsilon: 1e-8, adam_betas: [0.9, 0.999], clip: 1.0,
           dropout: 0.1, precision: fp32, eval_every: 100, patience: 3}}
retrieval: {{layer: 1, pooling: mean, layers: [0, 1], scoring: {{tatoeba: csls}}, neighbours: 4}}
notes: [another]
"""
PLACEMENT = """
store: file://store
ray: {address: local, cpus: 2, gpus: 0}
train: {cpus: 1.0, gpus: 0.0, workers: 1, engine: torch, zero_stage: 0, micro_batch: 8,
        resume_every_s: 60.0, resume_kept: 2, compact_vocabulary: true}
prepare: {cpus: 1.0}
evaluate: {cpus: 1.0}
concurrent: 2
lease_s: 60.0
retries: 2
s3: {endpoint_url: "http://localhost:1", region: x, attempts: 8, base_pause_s: 0.1, longest_pause_s: 20.0,
     give_up_after_s: 300.0, connect_timeout_s: 10.0, read_timeout_s: 60.0, part_mib: 16, parallel_parts: 4}
scratch: scratch
scratch_gb: 8.0
"""
JUNK: Any = {"junk": [{}]}
"""No field of any section takes this."""

REQUIRED = (
    *("name", "encoder", "target", "target.tasks", "tasks.0.name", "tasks.0.form"),
    *("tasks.0.metric", "tasks.0.source", "tasks.0.source.format", "tasks.0.labels"),
    *("tasks.0.as_intermediate", "tasks.0.as_intermediate.epochs", "tasks.2.stages.0.batch_size"),
    *("tasks.2.stages.0.max_length", "target.few_shot.xnli.examples"),
    *("target.few_shot.xnli.languages", "intermediate.tasks.3.text.languages"),
)
BAD_NAMES = ("", " ", "A", "1a", "a/b", "../a", "a b", "é", "a" * 31, "a\0", "a\n", "-a", "name!")
NUMBERS = {
    "positive": (0, -1, -(10**30), 1.5, "1", True, None, [], "1e3", "inf"),
    "share": (-0.1, 1.0, 1e400, "0.5", "x", [], "nan"),
    "above zero": (0.0, -1.0, float("-inf"), float("inf"), float("nan"), "x", []),
    "rate": (0.0, -1e-5, 1.0, 2, 1e400, float("nan"), "1", None),
}
OUT_OF_RANGE: dict[str, tuple[Any, ...]] = {
    "name": BAD_NAMES,
    "encoder.revision": (5, [], {"a": 1}),
    "data.hub": (["nothing"], [1], "x", ["xnli"]),
    "data.revisions.facebook/xnli": ("main", "", "b" * 41, 7),
    "data.holdout.squad_v1": (0, -5, 1.5, "x", [], True),
    "data.limits.train": (0, -1, 1.5, "x"),
    "data.limits.tasks.mnli.dev": (1.5, "x", [1]),
    "data.limits.seed": (1.5, "x", None),
    "tasks.0.name": (*BAD_NAMES, "mnli", "places"),
    "tasks.0.form": ("x", "", 1, "bitext "),
    "tasks.0.metric": ("x", "", "span_f1", 3),
    "tasks.0.labels": ([], [1, 2], "ab", {"a": 1}),
    "tasks.0.source.format": ("x", "xls", "", None),
    "tasks.1.like": ("nothing", "", "mnlii", [], {"a": 1}),
    "tasks.1.source": ("x", 5, [1], {"files": 1}),
    "tasks.1.name": ([], {}, None, 5),
    "tasks.1": ("absent.yaml", "../absent.yaml", 5, None, [], "."),
    "tasks.2.labels_from_data": (True, "yes"),
    "intermediate.tasks.0": ("mnlii", "xnli", "baseline", "", 1, None, [], {}, {"name": "x"}),
    "intermediate.tasks.2.tasks": ([], ["mnli", "mnli"], ["x"], "mnli", [[]]),
    "intermediate.tasks.2.sampling": ("x", {"kind": "x"}, {"temperature": 0.0}, {"cap": 0}, 5),
    "intermediate.tasks.3.text.exponent": (-0.1, 1.1, "x"),
    "intermediate.tasks.3.text.probability": NUMBERS["share"],
    "intermediate.tasks.3.text.weight": NUMBERS["above zero"],
    "intermediate.tasks.3.text.holdout": NUMBERS["positive"],
    "intermediate.tasks.3.text.files": (1, "x", [1]),
    "intermediate.tasks.4.spread": (-1, 1.5, "x", []),
    "intermediate.tasks.4.languages": (["en"], [], "en", [1]),
    "intermediate.tasks.4.source": ({"x": 1}, {"format": "x"}, {"files": {"train": 1}}, 5, []),
    "intermediate.seeds": ([], [1, 1], [-1], [1.5], ["1"], 1, [None], [True]),
    "intermediate.overrides.mnli.epochs": NUMBERS["positive"][:6],
    "target.tasks": ([], ["xnlii"], ["mnli"], ["xnli", "xnli"], "xnli", [1], None),
    "target.seeds": ([], [-5], [2, 2], ["x"]),
    "target.learning_rates": ([0.0], [1.0], [-1e-5], [1e-5, 1e-5], ["x"], [float("nan")], 1e-5),
    "target.languages.xnli": ([], ["xx"], ["EN"], "en", [1], ["../en"]),
    "target.few_shot.xnli.examples": ([], [0], [-1], [1, 1], ["x"], 5),
    "target.few_shot.xnli.languages": ([], ["xx"], "sw"),
    "target.few_shot.xnli.split": ("test", "", 1),
    "target.few_shot.xnli.learning_rate": NUMBERS["rate"],
    "training.warmup": NUMBERS["share"],
    "training.weight_decay": (-0.1, float("inf"), float("nan"), "x"),
    "training.adam_epsilon": NUMBERS["above zero"],
    "training.adam_betas": ([0.9], [1.0, 0.9], [0.9, 1.5], [-0.1, 0.9], [0.9, 0.9, 0.9], 0.9, ["x"]),
    "training.clip": NUMBERS["above zero"],
    "training.dropout": (-0.1, 1.0, "x"),
    "training.precision": ("fp16", "", 16),
    "training.eval_every": (0, -1, 1.5, "x"),
    "training.patience": NUMBERS["positive"],
    "retrieval.layer": (-1, 1.5, "x", float("nan"), None),
    "retrieval.layers": ("some", [-1], [2.5], 1, ["x"]),
    "retrieval.scoring.tatoeba": ("x", "", 1),
    "retrieval.neighbours": NUMBERS["positive"],
    "notes": ("x", [1], {"a": 1}),
}  # fmt: skip
PLACES_OUT_OF_RANGE: dict[str, tuple[Any, ...]] = {
    "store": ("gs://x", "s3://", "s3://A", "file://", "", "s3://a/../b", "s3://u:p@b/x", 5, "s3://b?x"),
    "ray.cpus": NUMBERS["positive"][:5],
    "ray.gpus": (-1, 1.5, "x"),
    "train.cpus": NUMBERS["above zero"],
    "train.gpus": (-1.0, float("nan"), float("inf"), "x"),
    "train.workers": NUMBERS["positive"],
    "train.engine": ("x", "", 1),
    "train.zero_stage": (4, -1, "2", 1.5),
    "train.micro_batch": (0, -1, 1.5, "x"),
    "train.resume_every_s": NUMBERS["above zero"][:2],
    "train.resume_kept": NUMBERS["positive"],
    "concurrent": (0, -1, 1.5, "x"),
    "lease_s": (0.0, 0.5, 1e9, float("nan"), "x"),
    "retries": (-1, 1.5, "x"),
    "s3.attempts": (0, -1, 1.5, "x"),
    "s3.base_pause_s": (-1.0, float("nan"), float("inf"), "x"),
    "s3.give_up_after_s": NUMBERS["above zero"][:2],
    "s3.part_mib": (4, 0, -1, 5.5, "x"),
    "s3.parallel_parts": NUMBERS["positive"],
    "scratch": (5, [], {"a": 1}),
    "scratch_gb": (0, -1, float("inf"), "x"),
}  # fmt: skip

OVERRIDES = (
    *("", "=", "a", "a.b", ".=1", "a..b=1", "target.tasks[9]=x", "target.tasks[x]=1", "[0]=1"),
    *("target.tasks.x=1", "name.x=1", "training={", "training.clip=[1", "x=!!python/object:a"),
    *("training.clip=-1", "target.seeds=[1", "target=x", "target.tasks[0].x=1", "a b=1", "$.x=1"),
    *("training.clip=" + "9" * 5000, "target.tasks=" + "[" * 3000, "x" * 5000 + "=1", "name=\t"),
    *("training.clip=&a [*a]", "name=" + "x" * 5000, "target.tasks=['\ud800']", "name=*a", "é=1"),
)

COMMANDS = (
    ("plan", "FILE"),
    ("run", "FILE"),
    ("run", "FILE", "--dry-run"),
    ("status", "FILE", "--json"),
    ("report", "FILE", "--out", "out"),
    ("data", "check", "FILE"),
    ("submission", "FILE", "--out", "out"),
    ("store", "gc", "--plan", "FILE"),
)
"""All read the experiment before anything else."""

VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


def misfit(draw: Random, folder: Path, _: int) -> Case:
    """An experiment with one value that its place does not take, an unknown key, or a key too few."""
    raw = yaml.safe_load(EXPERIMENT)
    kind = draw.choice(("junk", "unknown", "absent", "range", "range", "range"))
    if kind == "range":
        place, value = _out_of_range(raw, OUT_OF_RANGE, draw)
        what = f"{place} is {value!r}"
    elif kind == "absent":
        place = draw.choice(REQUIRED)
        _remove(raw, place)
        what = f"no {place}"
    elif kind == "junk":
        place = draw.choice([each for each in _places(raw) if each])
        _set(raw, place, JUNK)
        what = f"junk at {place}"
    else:
        place = draw.choice([each for each in _places(raw) if isinstance(_at(raw, each), dict)])
        name = "".join(draw.choices(string.ascii_lowercase, k=7))
        _at(raw, place)[name] = 1
        what = f"unknown key at {place or 'the top'}"
    return _experiment_case(_dump(raw), what, place, draw, folder)


def any_value(draw: Random, folder: Path, _: int, value: Any) -> Case:
    """An experiment with any value at any place: it may be sound, so nothing of it is run."""
    raw = yaml.safe_load(EXPERIMENT)
    place = draw.choice([each for each in _places(raw) if each])
    _set(raw, place, value)
    (folder / "base.yaml").write_text(_dump(raw), encoding="utf-8")
    return Case(
        what=f"{place} is {value!r}",
        arguments=("plan", "base.yaml", "--store", "store"),
        places=("base.yaml",),
        certain=False,
    )


def misplaced(draw: Random, folder: Path, _: int) -> Case:
    """A placement with one value that its place does not take."""
    raw = yaml.safe_load(PLACEMENT)
    if draw.random() < 0.5:
        place, value = _out_of_range(raw, PLACES_OUT_OF_RANGE, draw)
        what = f"{place} is {value!r}"
    else:
        place = draw.choice([each for each in _places(raw) if each])
        _set(raw, place, JUNK)
        what = f"junk at {place}"
    (folder / "base.yaml").write_text(EXPERIMENT, encoding="utf-8")
    (folder / "place.yaml").write_text(_dump(raw), encoding="utf-8")
    command = draw.choice((("plan", "base.yaml"), ("store", "verify"), ("explain", "abc")))
    # A store's URL is judged where it is opened, by its own name.
    where = ("store",) if place == "store" else ("place.yaml", place.split(".", maxsplit=1)[0])
    return Case(what=what, arguments=(*command, "--placement", "place.yaml"), places=where)


def overridden(draw: Random, folder: Path, _: int) -> Case:
    """A sound experiment with a `--set` or `--place` that is none, or that breaks it."""
    (folder / "base.yaml").write_text(EXPERIMENT, encoding="utf-8")
    text = draw.choice(OVERRIDES)
    option = draw.choice(("--set", "--set", "--place"))
    if option == "--place" and text.startswith("name"):
        option = "--set"
    return Case(
        what=f"{option} {text[:40]!r}",
        arguments=(draw.choice(("plan", "status")), "base.yaml", "--store", "store", option, text),
        places=(),
    )


def broken_bytes(draw: Random, folder: Path, _: int) -> Case:
    """An experiment or placement whose file is no YAML mapping, or hardly one."""
    text = (PLACEMENT if draw.random() < 0.3 else EXPERIMENT).encode()
    name, damage = draw.choice(list(_BYTES.items()))
    path = folder / "base.yaml"
    data = damage(text, draw)
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)
    certain = name not in ("cut", "flipped", "spliced")
    command = draw.choice(COMMANDS) if certain else ("plan", "FILE", "--store", "store")
    return Case(
        what=f"an experiment's file, {name}",
        arguments=tuple(each.replace("FILE", "base.yaml") for each in command),
        places=("base.yaml",),
        certain=certain,
    )


def _cut(data: bytes, draw: Random) -> bytes:
    return data[: draw.randrange(len(data))]


def _flip(data: bytes, draw: Random) -> bytes:
    found = bytearray(data)
    for _ in range(draw.randrange(1, 4)):
        found[draw.randrange(len(found))] ^= 1 << draw.randrange(8)
    return bytes(found)


def _splice(data: bytes, draw: Random) -> bytes:
    at = draw.randrange(len(data))
    what = (
        b"\0",
        b"\xff",
        b"\t",
        b"\n",
        b"}",
        b"[",
        b": ",
        b"&a *a",
        b"!!python/name:os.system ",
        b"---\n",
    )
    return data[:at] + draw.choice(what) + data[at:]  # fmt: skip


LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]\n" for at in range(1, 9)
)
_BYTES: dict[str, Any] = {
    "cut": _cut,
    "flipped": _flip,
    "spliced": _splice,
    "a folder": lambda data, draw: None,
    "empty": lambda data, draw: b"",
    "a comment": lambda data, draw: b"# nothing\n",
    "a list": lambda data, draw: b"- name: x\n",
    "a word": lambda data, draw: b"name",
    "Latin-1": lambda data, draw: data + "notes: [é]\n".encode("latin-1"),
    "UTF-16": lambda data, draw: data.decode().encode("utf-16"),
    "NUL bytes": lambda data, draw: data + b"\0" * 10,
    "noise": lambda data, draw: b"\xff" + draw.randbytes(200),
    "a key twice": lambda data, draw: data + b"name: b\nname: c\n",
    "two documents": lambda data, draw: data + b"---\n" + data,
    "a billion laughs": lambda data, draw: LAUGHS.encode() + data,
    "itself inside": lambda data, draw: b"notes: &a [*a]\nname: x\n",
    "a key that is itself": lambda data, draw: b"&a {a: *a, b: *a}\n",
    "deep": lambda data, draw: b"name: " + b"[" * 5000,
    "deep and whole": lambda data, draw: b"name: " + b"[" * 400 + b"]" * 400,
    "an object": lambda data, draw: b"name: !!python/object/apply:os.system [touch harmed]\n",
    "a tag": lambda data, draw: b"!!binary x: 1\n",
    "a bad date": lambda data, draw: b"name: 2024-99-99\n" + data,
    "a huge number": lambda data, draw: b"name: " + b"9" * 5000 + b"\n",
    "a complex key": lambda data, draw: b"? [a, b]\n: c\n",
    "a long line": lambda data, draw: b"x" * 1_000_000,
    "JSON lines": lambda data, draw: b'{"name": "a"}\n{"name": "b"}\n',
}


def _experiment_case(
    text: str, what: str, place: str, draw: Random, folder: Path, *, certain: bool = True
) -> Case:
    (folder / "base.yaml").write_text(text, encoding="utf-8")
    command = draw.choice(COMMANDS)
    return Case(
        what=what,
        arguments=tuple(each.replace("FILE", "base.yaml") for each in command),
        places=("base.yaml", place.split(".", maxsplit=1)[0]),
        certain=certain,
    )


def _out_of_range(
    raw: dict[str, Any], known: dict[str, tuple[Any, ...]], draw: Random
) -> tuple[str, Any]:
    place = draw.choice(list(known))
    value = copy.deepcopy(draw.choice(known[place]))
    _set(raw, place, value)
    return place, value


def _places(raw: Any, prefix: str = "") -> list[str]:
    """Return the path of every node, "" for the whole."""
    found = [prefix.removeprefix(".")]
    items = (
        raw.items() if isinstance(raw, dict) else enumerate(raw if isinstance(raw, list) else ())
    )
    for key, value in items:
        if "." not in str(key):
            found += _places(value, f"{prefix}.{key}")
    return found  # fmt: skip


def _steps(place: str) -> list[str | int]:
    return [int(each) if each.isdigit() else each for each in place.split(".")] if place else []


def _at(raw: Any, place: str) -> Any:
    for step in _steps(place):
        raw = raw[step]
    return raw


def _set(raw: Any, place: str, value: Any) -> None:
    parent, _, _ = place.rpartition(".")
    _at(raw, parent)[_steps(place)[-1]] = value


def _remove(raw: Any, place: str) -> None:
    parent, _, _ = place.rpartition(".")
    del _at(raw, parent)[_steps(place)[-1]]


def _dump(raw: Any) -> str:
    # Written by PyYAML, infinity is `.inf`, which the project's YAML takes for text: spell it out.
    text = yaml.safe_dump(raw, sort_keys=False, allow_unicode=True)
    return text.replace(" .inf", " 1.0e+999").replace(" -.inf", " -1.0e+999")

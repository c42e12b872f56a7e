"""Malformed command lines: commands and options that are none, values that no option takes, names of nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

from hypothesis import strategies as st

from tests.faults.malformed.oracle import Case
from tests.faults.malformed.settings import EXPERIMENT
from tests.faults.malformed.stores import recorded

LONG = "x" * 5_000
ODD = (
    "",
    " ",
    "é",
    "\u202e",
    "a\nb",
    "../../etc/passwd",
    "/",
    "\ud800",
    LONG,
    "%s",
    "{}",
    "-",
    "~",
    "*",
)

# STORE, CONFIG and BUSY stand for a sound store, a sound experiment and a folder that is not empty.
LINES: tuple[tuple[str, str], ...] = (
    ("paln CONFIG", "paln"),
    ("store", "store"),
    ("store vrify --store STORE", "vrify"),
    ("k8s chek x", "chek"),
    ("data", "data"),
    ("plan", "config"),
    ("plan CONFIG CONFIG", "unexpected extra argument"),
    ("plan CONFIG --stor x", "--stor"),
    ("plan CONFIG --store", "--store"),
    ("plan CONFIG --store gs://x/y", "gs://"),
    ("plan CONFIG --store s3://", "s3://"),
    ("plan CONFIG --store s3://Bad_Bucket", "s3://"),
    ("plan CONFIG --store s3://user:secret@bucket/x", "s3://"),
    ("plan CONFIG --store s3://bucket/a/../b", "prefix"),
    ("plan CONFIG --store http://x", "http://"),
    ("plan CONFIG --store file://", "file://"),
    ("plan CONFIG --place s3.endpoint_url=ftp://x --store s3://bucket", "s3.endpoint_url"),
    ("plan CONFIG --place s3.endpoint_url=http://u:p@x --store s3://bucket", "s3.endpoint_url"),
    ("plan CONFIG --placement absent.yaml", "absent.yaml"),
    ("plan CONFIG --placement .", "."),
    ("plan CONFIG --set", "--set"),
    ("plan CONFIG --set x", "--set x"),
    ("plan CONFIG --place store=5", "store"),
    ("run CONFIG --only nothing", "--only nothing"),
    ("run CONFIG --only target:", "--only target:"),
    ("run CONFIG --only target:nothing", "nothing"),
    ("run CONFIG --only model:zzz", "zzz"),
    ("run CONFIG --only intermediate:xnli", "xnli"),
    ("run CONFIG --place ray.address=local", "data.root"),
    ("run absent.yaml", "absent.yaml"),
    ("run BUSY", "busy"),
    ("explain --store STORE", "key"),
    ("explain zzzz --store STORE", "zzzz"),
    ("explain 0 0 --store STORE", "unexpected extra argument"),
    ("explain 00000000000000000000000000 --store STORE", "000000"),
    ("export zzzz --out out --store STORE", "zzzz"),
    ("export TRAIN --out BUSY --store STORE", "busy"),
    ("export TRAIN --out CONFIG --store STORE", "base.yaml"),
    ("export TRAIN --out out --store STORE --encoder absent", "absent"),
    ("export PREPARE --out out --store STORE", "prepare"),
    ("export TRAIN --store STORE", "--out"),
    ("report CONFIG --out CONFIG --store STORE", "base.yaml"),
    ("report CONFIG --out CONFIG/inner --store STORE", "base.yaml"),
    ("report CONFIG --out /proc/none --store STORE", "/proc/none"),
    ("submission CONFIG --store STORE", "--out"),
    ("submission CONFIG --out BUSY --store STORE", "busy"),
    ("submission CONFIG --out out --labels out --store STORE", "out"),
    ("submission CONFIG --out out --labels out/in --store STORE", "out"),
    ("submission CONFIG --out out --after nothing --store STORE", "nothing"),
    ("submission CONFIG --out out --after xnlii=mnli --store STORE", "xnlii"),
    ("submission CONFIG --out out --seed x --store STORE", "--seed"),
    ("submission CONFIG --out out --seed 99999999999999999999999 --store STORE", "seed"),
    ("submission CONFIG --out CONFIG/inner --after best --store STORE", "small.yaml"),
    ("score --predictions BUSY --labels BUSY --benchmark nothing", "nothing"),
    ("score --predictions BUSY --labels BUSY --benchmark xtreme", "busy"),
    ("score --predictions absent --labels BUSY --benchmark xtreme", "absent"),
    ("score --predictions CONFIG --labels CONFIG --benchmark xtreme-r", "base.yaml"),
    ("score --labels BUSY --benchmark xtreme", "--predictions"),
    ("store gc --quarantine-days -1 --store STORE", "--quarantine-days"),
    ("store gc --quarantine-days nan --store STORE", "--quarantine-days"),
    ("store gc --quarantine-days x --store STORE", "--quarantine-days"),
    ("store gc --plan absent.yaml --store STORE", "absent.yaml"),
    ("store gc --plan CONFIG --store STORE", "mnli"),
    ("store verify --store CONFIG", "base.yaml"),
    ("store verify --store CONFIG/inner", "base.yaml"),
    ("data check absent.yaml", "absent.yaml"),
    ("data check CONFIG --set data.root=absent", "data.root"),
    ("data check CONFIG --set data.root=CONFIG", "data.root"),
    ("data check CONFIG --set data.root=. --set data.files.xnli.test=[../x-{lang}.tsv]", "../x"),
    ("data check CONFIG --set data.root=. --set data.files.xnli.test=[/etc/passwd]", "/etc/passwd"),
    ("data check CONFIG --set data.root=. --set target.languages.xnli=[../x]", "target.languages"),
    ("data check CONFIG --set tasks[0].languages=[../../x]", "tasks[0].languages"),
    (
        "data check CONFIG --set data.root=. --set tasks[0].source.files.train=[../../x]",
        "'../../x'",
    ),
    (
        "data check CONFIG --set data.root=. --set tasks[0].source.files.train=[/etc/hosts]",
        "/etc/hosts",
    ),
    ("plan CONFIG --set tasks=[../../../absent.yaml]", "absent.yaml"),
    ("k8s check absent", "absent"),
    ("k8s check BUSY", "busy"),
    ("k8s check CONFIG", "base.yaml"),
    ("submit CONFIG --overlay absent", "absent"),
    ("submit CONFIG --overlay CONFIG", "base.yaml"),
    ("submit CONFIG", "--overlay"),
    ("wait x --timeout -1", "--timeout"),
    ("wait x --timeout x", "--timeout"),
    ("logs x --tail 0", "--tail"),
    ("logs x --tail 1.5", "--tail"),
    ("cancel", "job"),
    ("tasks extra", "unexpected extra argument"),
    ("--nothing", "--nothing"),
)
FREE = (
    *(
        "plan ODD",
        "plan CONFIG --store ODD --nothing",
        "plan CONFIG --set ODD",
        "plan CONFIG --place ODD",
    ),
    *("run CONFIG --only ODD", "explain ODD --store STORE", "export ODD --out out --store STORE"),
    *("submission CONFIG --out out --after ODD --store STORE", "ODD", "store ODD", "k8s check ODD"),
    *(
        "score --predictions ODD --labels ODD --benchmark ODD",
        "data check ODD",
        "store gc --plan ODD",
    ),
    *("plan CONFIG --placement ODD", "export TRAIN --out out --encoder ODD --store STORE"),
)
TEXTS = st.text(st.characters(exclude_characters="\0"), max_size=12)


def by_hand(_: Random, folder: Path, number: int) -> Case:
    """The next of the lines above."""
    line, place = LINES[number % len(LINES)]
    return Case(what=line, arguments=_filled(line, folder, ""), places=(place,))


def odd_value(draw: Random, folder: Path, _: int, text: str | None = None) -> Case:
    """A command with something odd in the place of one value."""
    line = draw.choice(FREE)
    # What the library of the command line refuses, it repeats in full.
    values = ODD if "CONFIG" in line or "STORE" in line else [each for each in ODD if each != LONG]
    value = draw.choice(values) if text is None else text
    return Case(
        what=f"{line}, {value[:20]!r}",
        arguments=_filled(line, folder, value),
        places=(),
        certain=False,
    )


def _filled(line: str, folder: Path, odd: str) -> tuple[str, ...]:
    store = recorded(folder)
    (folder / "base.yaml").write_text(EXPERIMENT, encoding="utf-8")
    (folder / "busy").mkdir(exist_ok=True)
    (folder / "busy" / "file").write_text("x", encoding="utf-8")
    config = "small.yaml" if line.startswith("submission") else "base.yaml"

    def key(kind: str) -> str:
        return next(
            p.parent.name.rpartition("-")[2] for p in sorted(store.glob(f"{kind}/*/record.json"))
        )

    known = {"STORE": "store", "CONFIG": config, "BUSY": "busy", "ODD": odd}
    known |= {"TRAIN": key("train"), "PREPARE": key("prepare")}
    filled: list[str] = []
    for word in line.split(" "):
        head, slash, rest = word.partition("/")
        filled.append(known.get(head, head) + slash + rest if head.isupper() else word)
    return tuple(each.replace("=CONFIG", f"={config}") for each in filled)


def by_process(_: Random, folder: Path, number: int) -> Case:
    """A command of another process, as a shell starts it: bytes that are no text, no terminal's encoding."""
    line, value, place = PROCESSES[number % len(PROCESSES)]
    case = Case(what=f"{line}, {value!r}", arguments=_filled(line, folder, value), places=(place,))
    return replace(case, process=True)


PROCESSES = (
    ("plan ODD", "\udcff.yaml", "udcff.yaml"),
    ("plan CONFIG --store ODD", "\udcff", "udcff"),
    ("explain ODD --store STORE", "\udcff", "udcff"),
    ("explain ODD --store STORE", "é", "xe9"),
    ("plan CONFIG --set ODD", "é", "xe9"),
    ("data check ODD", "", "."),
    ("k8s check ODD", "\udcff", "udcff"),
    ("export TRAIN --out BUSY --store STORE", "", "busy"),
    ("ODD", "é", "No such command"),
)
"""Run with ASCII for an encoding, so that other characters are shown escaped."""

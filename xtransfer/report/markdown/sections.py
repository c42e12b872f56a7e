"""The parts of report.md that say how sure its numbers are, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable

from xtransfer.report.answer import Answer
from xtransfer.report.evidence import WITH
from xtransfer.report.markdown.grid import grid, plain
from xtransfer.report.numbers import MARK, NONE, exact, interval_text, p_text
from xtransfer.report.scores import OVERALL, GainCell
from xtransfer.report.typology import TypologyAnswer
from xtransfer.report.verdicts import ClaimResult


def statistics_section(answer: Answer) -> str:
    """Return gains with intervals, p-values and the power note; empty where nothing was resampled."""
    if not (answer.tested or answer.problems or answer.resamples_note):
        return ""
    settings = answer.settings
    percent = f"{100 * settings.confidence:g} %"
    text = ["## How sure the gains are", ""]
    if answer.tested:
        text += [
            (
                f"Points above the baseline. {percent}: percentile interval of {settings.bootstrap:,} "
                f"paired resamples of the test examples (seed {settings.seed}), with the error of a mean "
                "over few seeds added as Student's t, of a spread taken to be the same in all arms of a "
                "target; targets that are scored by the same models share it. Test examples that several "
                "languages share are drawn for all of them at once. "
                '"examples": there is one run on each side, so seeds are not in it. p: two-sided; Holm: '
                "corrected over the "
                f"targets of the arm, significant ({MARK}) at {1 - settings.confidence:g}. Arms are not "
                "corrected for. The seeds are those of the target phase: every run goes on from the one "
                "intermediate model that was selected, so how much another intermediate seed would "
                "change is in none of this."
            ),
            "",
            *grid(
                ["after", "target", "gain", percent, "with", "p", "Holm"],
                [_gain_row(gain) for gain in answer.gains],
                text={"after", "target", "with"},
            ),
        ]
    text += ["", f"**Caution:** {answer.resamples_note}"] if answer.resamples_note else []
    text += ["", *(f"- {plain(problem)}" for problem in answer.problems)] if answer.problems else []
    return "\n".join([*text, *_powers(answer)])


def _gain_row(gain: GainCell) -> list[str]:
    name = f"*{gain.target}*" if gain.target == OVERALL else gain.target
    return [
        gain.after,
        name,
        f"{exact(gain.value)}{MARK if gain.significant else ''}",
        interval_text(gain.low, gain.high),
        NONE if gain.low is None else WITH[gain.with_seeds],
        p_text(gain.p),
        p_text(gain.p_holm),
    ]


def _powers(answer: Answer) -> list[str]:
    if not answer.powers:
        return []
    gain, level = answer.powers[0].gain, 1 - answer.settings.confidence
    return [
        "",
        (
            f"Seeds on either side that see a gain of {gain:g} point{'' if gain == 1 else 's'} with power 0.8 at level {level:g} "
            "(t-test; spread over seeds alone):"
        ),
        "",
        *grid(
            ["target", "sd over seeds", "degrees of freedom", "seeds needed"],
            [
                [
                    note.target,
                    f"{note.sd:.2f}",
                    str(note.freedom),
                    "more than 10,000" if note.seeds is None else f"{note.seeds:,}",
                ]
                for note in answer.powers
            ],
            text={"target"},
        ),
    ]


def claims_section(answer: Answer) -> str:
    """Return every claim with its verdict and numbers; empty without claims."""
    if not answer.claims:
        return ""
    text = [
        "## Claims",
        "",
        (
            "Supported or refuted only where the whole interval is on one side, unless a claim says "
            "otherwise; else not decidable with these data. An interval of examples alone is of single "
            "runs: another seed may say otherwise. Where one of several comparisons is enough, such as any part of an "
            "`any`, the level is divided among them (Bonferroni); intervals are shown undivided. That of a best arm's "
            "gain allows for the arm having been chosen by the same scores."
        ),
        "",
        *grid(
            ["claim", "says", "verdict", "because"],
            [
                [each.name, plain(each.says), f"**{each.verdict}**", plain(each.reason)]
                for each in answer.claims
            ],
            text={"claim", "says", "verdict", "because"},
        ),
    ]
    for claim in answer.claims:
        text += ["", *_claim(claim)]
    return "\n".join(text)


def _claim(claim: ClaimResult) -> Iterable[str]:
    about = [
        f"Published: {claim.published}" if claim.published else "",
        f"Source: {claim.source}" if claim.source else "",
        "Decided by the value alone" if claim.decided_by == "value" else "",
        claim.note,
    ]
    yield f"### {claim.name}: {claim.verdict}"
    yield ""
    texts = (plain(part).rstrip(".") for part in (claim.says, *about) if part)
    yield " ".join(f"{text}." for text in texts)
    yield ""
    yield from grid(
        ["comparison", "value", claim.coverage, "with", "verdict"],
        [
            [
                each.text,
                exact(each.value),
                interval_text(each.low, each.high),
                NONE if each.with_seeds is None else WITH[each.with_seeds],
                each.verdict if each.value is not None else f"{each.verdict}: {each.reason}",
            ]
            for each in claim.comparisons
        ],
        text={"comparison", "with", "verdict"},
    )


def typology_section(answer: Answer) -> str:
    """Return gains by resources and distance; empty where no language is in the tables."""
    found = answer.typology
    if found is None or not found.groups:
        return ""
    percent = f"{100 * answer.settings.confidence:g} %"
    text = [
        "## Distance and resources",
        "",
        (
            f"Zero-shot gains: languages that the target or the arm was trained in are left out. "
            f"Low-resource: {found.rule}."
        ),
        "",
        *grid(
            ["after", "languages", "gain", percent, "targets", "which"],
            [
                [
                    each.after,
                    "low-resource" if each.low_resource else "others",
                    exact(each.value),
                    interval_text(each.low, each.high),
                    str(len(each.targets)),
                    " ".join(each.languages),
                ]
                for each in found.groups
            ],
            text={"after", "languages", "which"},
        ),
        "",
        *_regressions(found, percent),
    ]
    return "\n".join(text)


def _regressions(found: TypologyAnswer, percent: str) -> list[str]:
    rows: list[list[str]] = []
    for each in found.regressions:
        n = f"{each.rows} / {each.languages} / {each.cells}"
        rows += [
            [relation.predictor, exact(relation.value), interval_text(relation.low, relation.high),
             p_text(relation.p), n, f"{each.r2:.2f}"]
            for relation in each.relations
            if each.r2 is not None
        ]  # fmt: skip
        if each.why_not:
            rows.append([f"{each.kind} distance", NONE, each.why_not, NONE, n, NONE])
    sources = sorted({each.source for each in found.distances})
    return [
        (
            "Gains regressed on one kind of distance (0 to 1, from the nearest language trained in, or as "
            "configured) and on the text in CC-100, of which one unit is ten times as much (tenfold text), "
            "with a mean of its own for each pair of target and arm (cell). Standard "
            f"errors are by language ({percent}, Student's t): the languages, not the rows, are what there "
            "is many or few of. This is association, each line by itself, and corrected for nothing."
        ),
        "",
        *grid(
            ["predictor", "points per unit", percent, "p", "rows / languages / cells", "R2 within"],
            rows,
            text={"predictor"},
        ),
        "",
        *(f"- Left out: {text}" for text in found.left_out),
        *(f"- Source: {source}" for source in sources),
    ]


def caution_section(answer: Answer) -> str:
    """Return the warning that an oracle chose some of the models; empty where none did."""
    targets = sorted({cell.target for cell in answer.scores if cell.oracle})
    if not targets:
        return ""
    return (
        f"**Oracle:** the models of {', '.join(targets)} were selected on dev sets in the target "
        "languages, which zero-shot transfer does not have. Their scores are no zero-shot scores."
    )


def gain_mark(answer: Answer | None, target: str, after: str) -> str:
    """Return the mark of a significant gain, or nothing."""
    found = None if answer is None else answer.gain(target, after)
    return MARK if found is not None and found.significant else ""

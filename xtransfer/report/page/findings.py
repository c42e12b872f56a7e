"""The page's tables of what follows from the scores, where they come from, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence

from xtransfer.plan import BASELINE
from xtransfer.report.answer import Answer
from xtransfer.report.costs import Cost
from xtransfer.report.evidence import WITH
from xtransfer.report.numbers import NONE, exact, interval_text, number, p_text
from xtransfer.report.page.cells import Grid, Number, Row, cell
from xtransfer.report.published import PUBLISHED, PublishedRow
from xtransfer.report.scatter import Dot, kinds_of
from xtransfer.report.study import Choice, Study
from xtransfer.report.verdicts import ClaimResult


def claim_table(claim: ClaimResult, at: int) -> Grid:
    """Return the comparisons that a verdict rests on."""
    return Grid(
        name=f"claim-{at}",
        caption=f"Comparisons behind {claim.name}",
        head=("comparison", "value", claim.coverage, "with", "verdict"),
        text=frozenset({"with", "verdict"}),
        rows=tuple(
            Row(
                label=each.text,
                keys=each.keys,
                cells=(
                    cell(exact(each.value)),
                    cell(interval_text(each.low, each.high)),
                    NONE if each.with_seeds is None else WITH[each.with_seeds],
                    each.verdict if each.value is not None else f"{each.verdict}: {each.reason}",
                ),
            )
            for each in claim.comparisons
        ),
    )


def group_table(answer: Answer) -> Grid | None:
    """Return mean gains over languages with little text and with more."""
    found = answer.typology
    if found is None or not found.groups:
        return None
    percent = f"{100 * answer.settings.confidence:g} %"
    return Grid(
        name="groups",
        caption="Zero-shot gains by the size of a language's text",
        head=("after", "languages", "gain", percent, "targets", "which"),
        text=frozenset({"languages", "which"}),
        rows=tuple(
            Row(
                label=each.after,
                keys=each.keys,
                cells=(
                    "low-resource" if each.low_resource else "others",
                    cell(exact(each.value)),
                    cell(interval_text(each.low, each.high)),
                    cell(str(len(each.targets))),
                    " ".join(each.languages),
                ),
            )
            for each in found.groups
        ),
    )


def regression_table(answer: Answer) -> Grid | None:
    """Return the slopes of gains on distance and text."""
    found = answer.typology
    if found is None or not found.regressions:
        return None
    percent = f"{100 * answer.settings.confidence:g} %"
    rows: list[Row] = []
    for each in found.regressions:
        size = cell(f"{each.rows} / {each.languages} / {each.cells}")
        rows += [
            Row(
                label=relation.predictor,
                keys=relation.keys,
                cells=(
                    cell(exact(relation.value)),
                    cell(interval_text(relation.low, relation.high)),
                    cell(p_text(relation.p)),
                    size,
                    cell(NONE if each.r2 is None else f"{each.r2:.2f}"),
                    "",
                ),
            )
            for relation in each.relations
        ]
        if each.why_not:
            rows.append(
                Row(
                    label=f"{each.kind} distance",
                    keys=each.keys,
                    cells=(NONE, NONE, NONE, size, NONE, each.why_not),
                )
            )
    return Grid(
        name="regressions",
        caption="Gains regressed on distance and on the logarithm of text size",
        head=(
            "predictor", "points per unit", percent, "p", "rows / languages / cells", "R² within",
            "remark",
        ),
        text=frozenset({"remark"}),
        rows=tuple(rows),
    )  # fmt: skip


def dot_table(answer: Answer, dots: Sequence[Dot]) -> Grid | None:
    """Return the dots of the drawings of gain against distance, by arm and language."""
    if not dots:
        return None
    kinds = kinds_of(answer, dots)
    return Grid(
        name="dots",
        caption="Distance, text and mean zero-shot gain by language",
        head=("after", "language", "gain", "targets", "GiB in CC-100", *kinds),
        text=frozenset({"language"}),
        rows=tuple(
            Row(
                label=dot.after,
                keys=dot.keys,
                cells=(
                    dot.language,
                    cell(exact(dot.gain)),
                    cell(str(len(dot.targets))),
                    NONE if dot.gib is None else Number(text=f"{dot.gib:g}", source="CC-100"),
                    *(_distance(dot.distances.get(kind)) for kind in kinds),
                ),
            )
            for dot in dots
        ),
    )


def _distance(value: float | None) -> Number | str:
    return NONE if value is None else Number(text=f"{value:.2f}", source="URIEL")


def choice_tables(study: Study) -> list[Grid]:
    """Return, phase by phase, which trial of every sweep went on, by which rule and split."""
    return [
        Grid(
            name=f"choices-{phase}",
            caption=f"{phase} phase: the trial that went on",
            head=(
                "sweep", "model", "rule", "selected on", "candidates", "dev score", "learning rate", "seed",
                "all candidates",
            ),
            text=frozenset({"model", "rule", "selected on", "all candidates"}),
            rows=tuple(_choice_row(each) for each in study.choices if each.phase == phase),
        )
        for phase in dict.fromkeys(each.phase for each in study.choices)
    ]  # fmt: skip


def cost_table(study: Study) -> Grid | None:
    """Return what every phase took; None before anything is recorded."""
    if not study.costs:
        return None
    energy = any(cost.kwh is not None for cost in study.costs)
    return Grid(
        name="costs",
        caption="What the recorded steps took",
        head=(
            "phase", "steps", "hours", "CPU-hours", "GPU-hours", *(["kWh"] if energy else []),
            "lost attempts", "lost hours",
        ),
        rows=(
            *(_cost_row(cost.phase, [cost], energy=energy) for cost in study.costs),
            _cost_row("all", study.costs, energy=energy),
        ),
    )  # fmt: skip


def published_table(answer: Answer, study: Study) -> Grid | None:
    """Return published scores of the experiment's targets beside its own; None without any."""
    if study.artificial:
        return None
    own = set(answer.targets)
    rows = [row for row in PUBLISHED if row.target in own]
    if not rows:
        return None
    rows += [row for row in PUBLISHED if row.target == "average"]
    return Grid(
        name="published",
        caption="Published scores, for reference",
        head=("published", "target", "metric", "score", "baseline here", "best here", "source"),
        text=frozenset({"target", "metric", "source"}),
        rows=tuple(_published_row(row, answer, study) for row in rows),
    )


def _choice_row(choice: Choice) -> Row:
    chosen = choice.chosen
    candidates = [
        f"{each.learning_rate:g} seed {each.seed}: {_dev(each.score)}"
        + ("" if each.rung is None else f" (stopped at {each.rung} %)")
        for each in sorted(choice.candidates, key=lambda each: (each.learning_rate, each.seed))
    ]
    every = tuple(key for each in choice.candidates for key in each.keys)
    found = (NONE, NONE, NONE)
    if chosen is not None:
        found = (_dev(chosen.score), f"{chosen.learning_rate:g}", str(chosen.seed))
    return Row(
        label=choice.sweep,
        keys=choice.keys,
        cells=(
            choice.name,
            choice.rule.replace("_", " "),
            choice.split,
            cell(str(len(choice.candidates))),
            *(cell(text, chosen.keys if chosen else ()) for text in found),
            cell("; ".join(candidates) or NONE, every),
        ),
    )


def _dev(score: float | None) -> str:
    return NONE if score is None else f"{score:.2f}"


def hours(value: float) -> str:
    """Return hours with as many decimals as a short run needs."""
    return f"{value:,.1f}" if value >= 10 else f"{value:.3f}"


def _cost_row(label: str, costs: Sequence[Cost], *, energy: bool) -> Row:
    keys = tuple(key for cost in costs for key in cost.keys)
    most = "≤ " if any(cost.at_most for cost in costs) else ""
    texts = [
        f"{sum(cost.steps for cost in costs):,}",
        hours(sum(cost.wall_h for cost in costs)),
        most + hours(sum(cost.cpu_h for cost in costs)),
        most + hours(sum(cost.gpu_h for cost in costs)),
    ]
    if energy:
        texts.append(most + hours(sum(cost.kwh or 0.0 for cost in costs)))
    lost = [
        f"{sum(cost.lost_attempts for cost in costs):,}",
        hours(sum(cost.lost_h for cost in costs)),
    ]
    cells = [cell(text) for text in texts]
    cells += [Number(text=text, source="log of attempts in the store") for text in lost]
    return Row(label=label, kind="total" if label == "all" else "", keys=keys, cells=tuple(cells))


def _published_row(row: PublishedRow, answer: Answer, study: Study) -> Row:
    own = [each for each in answer.scores if each.target == row.target]
    base = next((each for each in own if each.after == BASELINE), None)
    others = [each for each in own if each.after != BASELINE]
    best = max(others, key=lambda each: each.mean, default=None)
    languages = ""
    if own:
        here, every = len(own[0].languages), study.all_languages.get(row.target, 0)
        languages = f"; here {own[0].metric}, {here} of {every} languages"
    return Row(
        label=f"published: {row.system}",
        cells=(
            row.target,
            row.metric,
            Number(text=number(row.value), source=row.source),
            NONE if base is None else cell(number(base.mean), base.keys),
            NONE if best is None else cell(number(best.mean), best.keys),
            row.source + languages,
        ),
    )

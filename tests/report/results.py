"""Results of evaluation made up without a run."""

from __future__ import annotations

from typing import Any

from xtransfer.plan import BASELINE
from xtransfer.report.results import Result


def result(
    target: str = "xnli",
    *,
    after: str = BASELINE,
    language: str = "en",
    value: float = 50.0,
    seed: int | None = 1,
    **others: Any,
) -> Result:
    """Return one result, an accuracy on 100 examples unless `others`, fields of `Result`, say otherwise."""
    fields: dict[str, Any] = {
        "metric": "accuracy",
        "metrics": {},
        "n": 100,
        "selected_on": "mnli dev en",
        "key": "0" * 12,
        "group": "classification",
    }
    return Result(
        target=target,
        intermediate=after,
        seed=seed,
        language=language,
        value=value,
        **{**fields, **others},
    )

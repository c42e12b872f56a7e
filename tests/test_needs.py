from __future__ import annotations

from pathlib import Path

import pytest

from tests.needs import STRICT, need, needed

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("name", "value", "outcome"),
    [
        ("CI", "true", pytest.fail.Exception),
        (STRICT, "true", pytest.fail.Exception),
        (STRICT, "", pytest.skip.Exception),
    ],
)
def test_what_is_missing_fails_in_continuous_integration_alone(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, outcome: type[BaseException]
) -> None:
    for each in ("CI", STRICT):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    need(True, "never said")
    with pytest.raises(outcome, match="no weed"):
        need(False, "no weed")
    with pytest.raises(outcome, match="no module no_such_module"):
        needed("no_such_module")
    assert needed("json").loads("1") == 1


def test_the_projects_own_run_skips_nothing_that_is_needed() -> None:
    assert f"export {STRICT}=true\n" in (CHECKOUT / ".ci" / "run").read_text(encoding="utf-8")

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from xtransfer.mistakes import explain


class But(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    but: Annotated[tuple[str, ...], Field(min_length=1)]


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    group: Literal["qa", "tagging"]

    @model_validator(mode="after")
    def _nothing(
        self,
    ) -> Group:  # with it, pydantic calls the kind "function-after[_nothing(), Group]"
        return self


class Root(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    about: Literal["all", "none"] | But | Group | tuple[str, ...] = "all"
    layers: Literal["all"] | tuple[int | float, ...] = "all"
    keep: int | float = 1
    limit: float | Group | None = None
    pair: tuple[Annotated[float, Field(lt=1)], Annotated[float, Field(lt=1)]] = (0.0, 0.0)
    many: Mapping[str, int | tuple[int, int]] = {}
    size: int = 1


def said(**values: Any) -> tuple[str, str, str]:
    with pytest.raises(ValidationError) as caught:
        Root.model_validate(values)
    return explain(Root, caught.value)


@pytest.mark.parametrize(
    ("values", "path", "what", "next_"),
    [
        (
            {"about": "al"},
            "about",
            "must be 'all', 'none', a mapping with `but`, a mapping with `group` or a list, not 'al'",
            "",
        ),
        # Of a kind that the value seems to be, what is wrong inside of it.
        ({"about": {"but": ()}}, "about.but", "needs 1 or more entries, not []", ""),
        ({"about": {"bat": ("a",)}}, "about.bat", "unknown key 'bat'", "Did you mean 'but'?"),
        (
            {"about": {"group": "q"}},
            "about.group",
            "input should be 'qa' or 'tagging', not 'q'",
            "",
        ),
        ({"about": (1,)}, "about[0]", "must be a text, not 1", "Put it in quotes."),
        ({"layers": 3}, "layers", "must be 'all' or a list, not 3", ""),
        ({"layers": (1, "top")}, "layers[1]", "must be a number, not 'top'", ""),
        ({"keep": True}, "keep", "must be a number, not true", ""),
        ({"limit": "x"}, "limit", "must be a number or a mapping with `group`, not 'x'", ""),
        ({"limit": {"grup": "qa"}}, "limit.grup", "unknown key 'grup'", "Did you mean 'group'?"),
        ({"pair": (0.1, 0.2, 0.3)}, "pair", "takes 2 entries at most, not [0.1, 0.2, 0.3]", ""),
        ({"pair": (0.1, 3.0)}, "pair[1]", "input should be less than 1, not 3.0", ""),
        ({"many": {"a": "b"}}, "many.a", "must be a whole number or a list, not 'b'", ""),
        ({"many": {"a": (1, "b")}}, "many.a[1]", "input should be a valid integer, not 'b'", ""),
        # Other mistakes are counted, and not the kinds that one value is none of.
        (
            {"keep": "x", "size": "y", "sise": 1},
            "keep",
            "must be a number, not 'x'",
            "(2 more errors after this one.)",
        ),
    ],
)
def test_a_value_that_may_be_of_several_kinds_is_told_in_one_sentence(
    values: dict[str, Any], path: str, what: str, next_: str
) -> None:
    found = said(**values)
    assert (found[0], found[1]) == (path, what)
    assert next_ in found[2]
    assert bool(next_) == bool(found[2])

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from xtransfer.documents import parse_yaml
from xtransfer.errors import ConfigError
from xtransfer.settings import read_settings, read_yaml


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    size: int = 1
    name: str = ""


class Root(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    leaf: Leaf = Leaf()
    kept: bool = True
    some: Annotated[tuple[str, ...], Field(min_length=1)] = ("a",)
    splits: Mapping[Literal["train", "dev"], int] = {}
    maybe: Leaf | None = None
    rates: tuple[float, ...] = ()
    leaves: Mapping[str, Leaf] = {}
    row: tuple[Leaf, ...] = ()
    free: Mapping[str, int | str | bool | float] = {}


def read(tmp_path: Path, text: str, *overrides: str) -> Root:
    path = tmp_path / "root.yaml"
    path.write_text(text, encoding="utf-8")
    return read_settings(Root, path, overrides, "root.yaml")


def refuse(tmp_path: Path, text: str, *overrides: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, *overrides)
    assert caught.value.exit_status == 2
    return caught.value


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rates: 0.5", "rates: must be a list, not 0.5. Write it in brackets: [0.5]."),
        ("some: sw", "some: must be a list, not 'sw'. Write it in brackets: ['sw']."),
        ("rates: '1,2'", "rates: must be a list, not '1,2'. Write it in brackets: [1,2]."),
        (
            "rates: {a: null}",
            "rates: must be a list, not {a: null}. Write it in brackets, or an entry a line.",
        ),
        ("some: []", "some: needs 1 or more entries, not []"),
        ("kept: yes", "kept: must be true or false, not 'yes'"),
        ("kept: [1, true]", "kept: must be true or false, not [1, true]"),
        ("leaf:", "leaf: must be a mapping of settings, not null"),
        ("maybe: true", "maybe: must be a mapping of settings, not true"),
        ("leaves: [a]", "leaves: must be a mapping of settings, not ['a']"),
        ("splits: {tran: 1}", "splits.tran: input should be 'train' or 'dev', not 'tran'"),
    ],
)
def test_errors_speak_of_yaml_and_not_of_python(tmp_path: Path, text: str, told: str) -> None:
    assert str(refuse(tmp_path, text)) == f"root.yaml: {told}"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-5", 1e-5),
        ("1E5", 1e5),
        ("-2.5e+3", -2500.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("12", 12),
        ("true", True),
        ("false", False),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("Off", "Off"),
        ("True", "True"),
        ("y", "y"),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("~", None),
    ],
)
def test_a_scalar_is_what_it_looks_like(text: str, value: Any) -> None:
    found = parse_yaml(text, "here")
    assert found == value
    assert type(found) is type(value)


@given(
    st.text(max_size=60)
    | st.text(st.sampled_from(list("ab:1-[]{}&*!|>%@`\"'#,?~<.\n \t")), max_size=60)
    | st.tuples(
        st.sampled_from("bool int float null str timestamp binary set omap pairs seq map".split()),
        st.text(st.sampled_from(list("ab01:-[]{}\"'., ")), max_size=8),
    ).map(lambda pair: f"a: !!{pair[0]} {pair[1]}")
)
def test_any_text_is_yaml_or_an_error_of_ours(text: str) -> None:
    error = None
    try:
        parse_yaml(text, "here")
    except ConfigError as caught:
        error = caught
    assert error is None or str(error).startswith("here")


@pytest.mark.parametrize("text", ["a: !!bool maybe", "a: !!int ''", "a: !!timestamp x", "[a]: 1"])
def test_a_value_that_its_tag_does_not_fit_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="not valid YAML"):
        parse_yaml(text, "here")


def test_a_repeated_key_is_an_error_with_its_line(tmp_path: Path) -> None:
    error = refuse(tmp_path, "leaf:\n  size: 1\n  size: 2\n")
    assert str(error).endswith("root.yaml:3: not valid YAML: key 'size' appears twice")


def test_a_broken_file_is_an_error_with_its_line(tmp_path: Path) -> None:
    assert refuse(tmp_path, "leaf: {}\nrates: [1\n").where.endswith("root.yaml:3")


@pytest.mark.parametrize("text", ["", "- a\n", "text", "null"])
def test_a_file_holds_a_mapping(tmp_path: Path, text: str) -> None:
    assert "must be a mapping" in refuse(tmp_path, text).what


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match="is a folder"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match=r"a\\x00b: is no name that a file can have"):
        read_yaml(tmp_path / "a\0b")
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(byte 9\)"):
        read_yaml(tmp_path / "latin.yaml")


@pytest.mark.parametrize("name", ["maybe", "encoder"])
def test_a_bare_value_of_a_section_is_one_of_its_settings_at_the_top_alone(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / "root.yaml"
    path.write_text(f"maybe: a\nleaves: {{{name}: a}}", encoding="utf-8")

    def override(text: str) -> Root:
        return read_settings(Root, path, (text, "leaves={}"), "root.yaml", bare={"maybe": "name"})

    assert override("maybe.size=2").maybe == Leaf(size=2, name="a")
    with pytest.raises(ConfigError, match="inside a value that is not a mapping"):
        override(f"leaves.{name}.size=2")


def test_a_byte_order_mark_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "bom.yaml"
    path.write_bytes("leaf: {size: 3}".encode("utf-8-sig"))
    assert read_yaml(path) == {"leaf": {"size": 3}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("leef: {}", "root.yaml: leef: unknown key 'leef'. Did you mean 'leaf'?"),
        ("leaf: {sise: 1}", "root.yaml: leaf.sise: unknown key 'sise'. Did you mean 'size'?"),
        ("maybe: {nam: a}", "root.yaml: maybe.nam: unknown key 'nam'. Did you mean 'name'?"),
        (
            "leaves: {one: {sizes: 1}}",
            "root.yaml: leaves.one.sizes: unknown key 'sizes'. Did you mean 'size'?",
        ),
        (
            "row: [{name: a}, {name: b, sise: 1}]",
            "root.yaml: row[1].sise: unknown key 'sise'. Did you mean 'size'?",
        ),
        (
            "row: {name: a}",
            (
                "root.yaml: row: must be a list, not {name: 'a'}. "
                "Write it in brackets, or an entry a line."
            ),
        ),
        (
            "leaf: {name: 3}",
            "root.yaml: leaf.name: must be a text, not 3. Put it in quotes.",
        ),
        (
            "leaf: {name: false}",
            "root.yaml: leaf.name: must be a text, not false. Put it in quotes.",
        ),
        ("leaf: {q: 1}", "root.yaml: leaf.q: unknown key 'q'. Known: name, size."),
        (
            "leaf: {size: '3'}",
            "root.yaml: leaf.size: input should be a valid integer, not '3'",
        ),
        ("leaf: {size: true}", "root.yaml: leaf.size: input should be a valid integer, not true"),
        (
            "rates: [0.1, fast]",
            "root.yaml: rates[1]: input should be a valid number, not 'fast'",
        ),
        (
            "rates: [a, b, c]",
            (
                "root.yaml: rates[0]: input should be a valid number, not 'a'. "
                "(2 more errors after this one.)"
            ),
        ),
    ],
)
def test_an_error_names_file_place_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    assert str(refuse(tmp_path, text)) == message


def test_a_long_wrong_value_is_shortened(tmp_path: Path) -> None:
    assert len(refuse(tmp_path, f"leaf: {{size: {'x' * 500}}}").what) < 120


def test_overrides_are_applied_in_order(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "rates: [0.1, 0.2]\nmaybe:\n",
        "leaf.size=5",
        "leaf.size=6",
        "rates[1]=1e-5",
        "maybe.name=no",
        "leaves.one.name=x=y",
        "free.on=true",
        "leaf.name=",
    )
    assert found.leaf.size == 6
    assert found.rates == (0.1, 1e-5)
    assert found.maybe == Leaf(name="no")
    assert found.leaves == {"one": Leaf(name="x=y")}
    assert found.free == {"on": True}
    assert found.leaf.name == ""


def test_an_override_may_set_a_whole_section(tmp_path: Path) -> None:
    assert read(tmp_path, "leaf: {name: a}", "leaf={size: 4}").leaf == Leaf(size=4)
    assert read(tmp_path, "leaf: {}", "rates=[1.0, 2.0]").rates == (1.0, 2.0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("leaf.size", "is not of the form a.b=value. Example: --set a.b=value"),
        ("=3", "is not of the form a.b=value"),
        ("leaf..size=3", "is not of the form a.b=value"),
        ("leaf.[x]=3", "is not of the form a.b=value"),
        ("rates[7]=3", "there is no entry [7] to set"),
        ("leaf[0]=3", "there is no entry [0] to set"),
        ("rates[0].x=3", "'x' would stand inside a value that is not a mapping"),
        ("leaf.size.x=3", "'x' would stand inside a value that is not a mapping"),
        ("leaf.name=[", "not valid YAML"),
    ],
)
def test_an_override_that_cannot_be_applied(tmp_path: Path, override: str, message: str) -> None:
    error = refuse(tmp_path, "leaf: {size: 1}\nrates: [0.1]\n", override)
    assert str(error).startswith(f"--set {override}")
    assert message in str(error)

from __future__ import annotations

import pytest

from xtransfer.documents import parse_documents, parse_yaml
from xtransfer.errors import ConfigError


def laughs(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{at}: &a{at} [{', '.join([f'*a{at - 1}'] * 10)}]" for at in range(1, levels)]
    return "\n".join(lines)


def test_an_alias_is_what_it_stands_for() -> None:
    assert parse_yaml("a: &a [1, 2]\nb: *a\nc: {d: *a}", "here") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": [1, 2]},
    }


@pytest.mark.parametrize(
    "text", [laughs(9), "a: &a [*a]", "&a {b: {c: *a}}", "- &a [1]\n- &b [*b]"]
)
def test_aliases_that_grow_without_bound_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"here:\d+: not valid YAML: its aliases repeat too much"):
        parse_yaml(text, "here")
    with pytest.raises(ConfigError, match="its aliases repeat too much"):
        list(parse_documents(text, "here"))


def test_a_document_that_is_too_deep_is_said_to_be() -> None:
    with pytest.raises(ConfigError, match="here: not valid YAML: it is nested too deep"):
        parse_yaml("[" * 5000, "here")


def test_settings_are_one_document_and_manifests_are_any_number() -> None:
    assert list(parse_documents("a: no\n---\nb: 1\n", "here")) == [{"a": False}, {"b": 1}]
    assert parse_yaml("# nothing", "here") is None
    with pytest.raises(ConfigError, match="holds several documents"):
        parse_yaml("a: 1\n---\nb: 1\n", "here")


@pytest.mark.parametrize(
    "text", ["a: 2024-99-99", "a: [1\n---\nb: 2", "a: !!python/name:os.system x"]
)
def test_a_fault_in_any_document_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match=r"here.*not valid YAML"):
        list(parse_documents(f"b: 1\n---\n{text}", "here"))

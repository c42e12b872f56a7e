"""YAML documents read safely: plain values only, no surprises of YAML 1.1, no growth without bound."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from xtransfer.errors import ConfigError

MOST_NODES = 1_000_000
"""Values in a YAML document, its aliases written out."""

# What PyYAML lets through when a value does not fit its tag, as in `!!bool maybe`.
_MISFITS = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class _StrictLoader(yaml.SafeLoader):
    """YAML without three traps: 1e-5 is a number, `no` is text, and 010 and 1:30 are text."""


# PyYAML implements YAML 1.1, where `1e-5` is text, `no` (Norwegian) False, `010` 8 and `1:30` 90.
_StrictLoader.yaml_implicit_resolvers = {
    first: [
        (tag, regexp) for tag, regexp in resolvers if not tag.endswith((":float", ":bool", ":int"))
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.\d*([eE][-+]?\d+)?|\.\d+([eE][-+]?\d+)?|\d+[eE][-+]?\d+)$"),
    list("-+.0123456789"),
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"[-+]?(0|[1-9][0-9]*)$"), list("-+0123456789")
)
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"(true|false)$"), list("tf")
)


def _unique_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(
                None, None, "a key must be text", key.start_mark
            )
        if key.value in seen:
            raise yaml.constructor.ConstructorError(
                None, None, f"key '{key.value}' appears twice", key.start_mark
            )
        seen.add(key.value)
    return loader.construct_mapping(node, deep=True)


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _unique_mapping)


def parse_yaml(text: str, where: str) -> Any:
    """Parse one YAML document safely; errors name `where` and the line."""
    found = list(parse_documents(text, where, loader=_StrictLoader))
    if len(found) > 1:
        raise ConfigError(where, "not valid YAML: it holds several documents", "Leave one of them.")
    return found[0] if found else None


def parse_documents(
    text: str, where: str, *, loader: type[yaml.SafeLoader] = yaml.SafeLoader
) -> Iterator[Any]:
    """Yield the documents of a YAML text, made by `loader`; raises as `parse_yaml` does."""
    try:
        reader = loader(text)
        while reader.check_node():
            node = reader.get_node()
            if node is not None:
                _check_aliases(node)
            yield reader.construct_document(node)
    except (yaml.YAMLError, *_MISFITS) as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        deep = isinstance(error, RecursionError)
        what = "it is nested too deep" if deep else "a value does not fit its tag"
        problem = getattr(error, "problem", None) or what
        raise ConfigError(f"{where}{line}", f"not valid YAML: {problem}") from None


def _check_aliases(document: yaml.Node) -> None:
    """Refuse a document that grows without bound where its aliases (`*a`) are written out."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_NODES  # until it is known: what holds itself has no end
            inner = node.value if isinstance(node, yaml.CollectionNode) else ()
            flat = (
                each for item in inner for each in (item if isinstance(item, tuple) else (item,))
            )
            sizes[id(node)] = 1 + sum(size(each) for each in flat)
        return sizes[id(node)]

    if size(document) >= MOST_NODES:
        raise yaml.MarkedYAMLError(
            problem="its aliases repeat too much", problem_mark=document.start_mark
        )

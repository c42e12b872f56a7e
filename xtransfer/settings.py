"""YAML files as checked settings: strict parsing, `--set` overrides, and errors that name the place."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from xtransfer.documents import parse_yaml
from xtransfer.errors import ConfigError, shown
from xtransfer.mistakes import explain

S = TypeVar("S", bound=BaseModel)


class Settings(BaseModel):
    """Base of every section: strict types, no unknown keys, finite numbers, immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def check_name(value: str) -> str:
    """Return a name that the store and Kubernetes take, or raise ValueError."""
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,29}", value):
        raise ValueError(
            "must be 1 to 30 of a-z, 0-9, '-' and '_', beginning with a letter "
            "(it becomes part of Kubernetes and store names)"
        )
    return value


def check_languages(value: tuple[str, ...]) -> tuple[str, ...]:
    """Return language codes that can be part of a file's name, each once, or raise ValueError."""
    for code in value:
        if not re.fullmatch(r"[A-Za-z0-9]{1,8}([-_][A-Za-z0-9]{1,8}){0,3}", code):
            raise ValueError(f"{code!r} is no language code (it becomes part of file names)")
    return distinct(value)


def distinct(value: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a tuple without repetitions, or raise ValueError."""
    if len(set(value)) != len(value):
        raise ValueError(f"has a repeated entry: {list(value)}")
    return value


def expanded(path: str) -> Path:
    """Return a path of a YAML file or an override as a shell has it: `~` is the home of whoever runs this.

    Where no home is known it stays as it is.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser() raises without a home


def read_settings(
    model: type[S],
    path: Path | None,
    overrides: Sequence[str],
    where: str,
    *,
    option: str = "--set",
    bare: Mapping[str, str] = MappingProxyType({}),
    complete: Callable[[dict[str, Any]], None] = lambda raw: None,
) -> S:
    """Read `path` (None: no file, all defaults), apply `a.b=c` overrides, and check the result.

    Args:
        model: what the settings are.
        path: of the file.
        overrides: as given on the command line.
        where: the file, in errors.
        option: the command-line option that the overrides come from, for their errors.
        bare: section that may be a bare value -> the setting in it that such a value is, for overrides into it.
        complete: may change the raw settings before they are checked.

    Raises:
        ConfigError: naming the file or the override, the path in it and the remedy.
    """
    raw = {} if path is None else read_yaml(path)
    for override in overrides:
        _apply(raw, override, option, bare)
    complete(raw)
    return check_settings(model, raw, where)


def refuse_foreign(
    raw: Mapping[str, Any], other: type[BaseModel], where: str, *, of: str, remedy: str
) -> None:
    """Refuse settings that stand in the file of another model, or are given by its option.

    Args:
        raw: settings that the model of this file does not have.
        other: the model that may have them.
        where: the file.
        of: what the other model is.
        remedy: where its settings are given.

    Raises:
        ConfigError: naming the first of them.
    """
    for name in raw:
        if name in other.model_fields:
            raise ConfigError(f"{where}: {name}", f"is a setting of the {of}", remedy)


def check_settings(model: type[S], raw: Mapping[str, Any], where: str) -> S:
    """Return settings that were read from YAML as what they are.

    Raises:
        ConfigError: naming `where` (if it is anything), the path in them and the remedy.
    """
    try:
        return model.model_validate(_listify(raw))
    except ValidationError as error:
        path, what, next_ = explain(model, error)
        raise ConfigError(": ".join(filter(None, (where, path))), what, next_) from None


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a mapping."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        next_ = "Check the path, and the folder that the command runs in."
        raise ConfigError(str(path), "no such file", next_) from None
    except IsADirectoryError:
        raise ConfigError(str(path), "is a folder", "Give the YAML file itself.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), f"not UTF-8 text (byte {error.start})") from None
    except ValueError:  # a null byte
        raise ConfigError(shown(str(path)), "is no name that a file can have") from None
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from None
    raw = parse_yaml(text, str(path))
    if not isinstance(raw, dict):
        raise ConfigError(
            str(path), "must be a mapping of settings", "See configs/quickstart.yaml."
        )
    return cast("dict[str, Any]", raw)


_STEP = re.compile(r"([A-Za-z0-9_-]+)|\[(\d+)\]")


def _apply(raw: dict[str, Any], override: str, option: str, bare: Mapping[str, str]) -> None:
    """Set one `a.b[0].c=value` in `raw`; the value is YAML."""
    path, equals, text = override.partition("=")
    where = f"{option} {shown(override)}"
    steps: list[str | int] = []
    for part in path.split("."):
        found = list(_STEP.finditer(part))
        if not part or "".join(match.group(0) for match in found) != part:
            raise ConfigError(where, "is not of the form a.b=value", f"Example: {option} a.b=value")
        steps += [int(match.group(2)) if match.group(2) else match.group(1) for match in found]
    if not equals:
        raise ConfigError(where, "is not of the form a.b=value", f"Example: {option} a.b=value")
    value = parse_yaml(text, where) if text else ""
    at: Any = raw
    for step in steps[:-1]:
        _check_place(at, step, where)
        if isinstance(step, str) and at.get(step) is None:
            at[step] = {}
        elif at is raw and isinstance(at[step], str) and (name := bare.get(str(step))):
            at[step] = {name: at[step]}
        at = at[step]
    _check_place(at, steps[-1], where)
    at[steps[-1]] = value


def _check_place(at: Any, step: str | int, where: str) -> None:
    """Refuse a step into `at` that is not there: an entry of no list, a key of no mapping."""
    if isinstance(step, str):
        if not isinstance(at, dict):
            raise ConfigError(where, f"'{step}' would stand inside a value that is not a mapping")
    elif not isinstance(at, list) or step >= len(cast("list[Any]", at)):
        raise ConfigError(where, f"there is no entry [{step}] to set")


def _listify(value: Any) -> Any:
    """Turn YAML lists into tuples: strict pydantic takes a tuple field from nothing else."""
    if isinstance(value, dict):
        return {name: _listify(item) for name, item in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list):
        return tuple(_listify(item) for item in cast("list[Any]", value))
    return value

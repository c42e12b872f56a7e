"""Finding the record of one step: by its key where its folder is not known, or has had another name."""

from __future__ import annotations

from xtransfer.errors import ConfigError, NotFound
from xtransfer.plan import Step
from xtransfer.records.record import Record, key_in, load_records, read_named, read_record
from xtransfer.store import Store


def record_of(store: Store, step: Step) -> Record | None:
    """Return the record of a step, also from the folder of a former name, or None.

    Raises:
        IntegrityError: when it is malformed or altered.
    """
    found = read_record(store, step.kind, step.name, step.key)
    if found is None:
        found = load_records(store, [step.kind], keys={step.key}).get(step.key)
    return found


def find(store: Store, key_prefix: str) -> Record:
    """Return the record of the one step whose key begins with `key_prefix`.

    Raises:
        NotFound: when there is none.
        ConfigError: when there are several.
    """
    names = {  # a step may have two: once, some were named after one of the targets that share them
        key: info.name
        for info in store.list("")
        if (key := key_in(info.name)) and key.startswith(key_prefix)
    }
    if len(names) > 1:
        shown = ", ".join(name.rpartition("/")[0] for name in list(names.values())[:5])
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        what = f"fits {len(names)} records: {shown}{more}"
        raise ConfigError(f"key '{key_prefix}'", what, "Give more digits.")
    record = read_named(store, next(iter(names.values()))) if names else None
    if record is None:
        what = f"no record has a key that begins with '{key_prefix}'"
        raise NotFound(store.url, what, "Keys have 12 hex digits; check the digits and the store.")
    return record

"""What is read of a store, noted."""

from __future__ import annotations

from typing import Any

import pytest

from xtransfer.store import Store


def note_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list to which every name is added that any store of this kind reads from now on."""
    names: list[str] = []
    whole = type(store).read

    def noted(store: Any, name: str) -> bytes:
        names.append(name)
        return whole(store, name)

    monkeypatch.setattr(type(store), "read", noted)
    return names

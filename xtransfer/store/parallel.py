"""Several calls of a store at once: with small objects, what takes time is the way there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

THREADS = 8
"""Calls in flight at once."""

T = TypeVar("T")
R = TypeVar("R")


def at_once(function: Callable[[T], R], items: Iterable[T], threads: int = THREADS) -> list[R]:
    """Call `function` on all items in a few threads; results are in order.

    Where calls fail, the error of the first item among them is raised once those in flight have ended; calls that had
    not begun when it was noticed, in the order of the items, are not made.
    """
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(function, items))

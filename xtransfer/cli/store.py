"""Commands on a store as a whole: `xtransfer store verify` and `xtransfer store gc`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xtransfer.cli.options import (
    AsJson,
    PlacementFile,
    PlaceSets,
    Sets,
    StoreUrl,
    make_plan,
    open_at,
    place_at,
    refuse_idle,
)
from xtransfer.cli.output import harmless, print_json, print_table

if TYPE_CHECKING:
    from xtransfer.store import Store

commands = typer.Typer(
    name="store", no_args_is_help=True, rich_markup_mode=None, help="Examine and clear a store."
)


@commands.callback()
def _group() -> None:
    pass


@commands.command()
def verify(
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    set_aside: Annotated[
        bool,
        typer.Option(
            "--set-aside",
            help="Move damaged steps to quarantine/, so that `run` does them again, and damaged plans, rulings and suggestions.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every record and object, and tell what is wrong.

    Reports objects that are missing, altered or named by no record, and records whose parents are
    gone. Exits with 1 when anything is wrong, or when there is nothing at all. Changes nothing, except
    with --set-aside.

    Example: xtransfer store verify --store s3://bucket/study
    """
    from xtransfer.errors import NotFound
    from xtransfer.records.audit import audit

    opened = open_at(place_at(placement, store, place))
    found = audit(opened)
    if not found.records and next(iter(opened.list("")), None) is None:
        # Most likely its URL is mistyped: that must not pass for a sound store.
        raise NotFound(opened.url, "holds nothing at all", "Check --store, or the placement's.")
    moved: dict[str, str] = {}
    if set_aside:
        moved = _set_aside(opened, found.damaged_steps) | _set_notes_aside(
            opened, found.damaged_notes
        )
    if as_json:
        print_json(
            {
                "store": opened.url,
                "records": found.records,
                "objects": found.objects,
                "bytes": found.size,
                "findings": [vars(finding) for finding in found.findings],
                "set_aside": moved,
            }
        )
    else:
        _say(found.records, found.objects, found.size, opened.url)
        for finding in found.findings:
            print(f"{finding.fault:<10} {harmless(f'{finding.object}: {finding.what}')}")
        for folder, where in moved.items():
            print(f"set aside  {folder}: now in {where}")
        counts = Counter(finding.fault for finding in found.findings)
        told = ", ".join(f"{count} {fault}" for fault, count in counts.items())
        print(f"wrong: {told}" if told else "nothing is wrong")
        if found.damaged_steps and not set_aside:
            print(
                "next: store verify --set-aside moves damaged steps away; a run of their plan does them again"
            )
        elif found.damaged_notes and not set_aside:
            print(
                "next: store verify --set-aside moves what is unreadable away; nothing is lost with it"
            )
    if found.findings:
        raise typer.Exit(1)


@commands.command()
def gc(
    placement: PlacementFile = None,
    store: StoreUrl = None,
    place: PlaceSets = None,
    plans: Annotated[
        list[Path] | None,
        typer.Option(
            "--plan",
            help="An experiment whose resume state is kept, that of all others goes; may be repeated.",
        ),
    ] = None,
    sets: Sets = None,
    quarantine_days: Annotated[
        float, typer.Option("--quarantine-days", min=0, help="Days to keep what was set aside.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go.")] = False,
    as_json: AsJson = False,
) -> None:
    """Remove what no record names.

    Removes left-over uploads, superseded resume state and old quarantine. Never removes an object
    that a record names, one of a step that somebody is at work on, or what `verify` calls no part of
    a store. If the run was started with --set, give the same --set here (it applies to every --plan),
    because it changes the steps.

    Example: xtransfer store gc --store s3://bucket/study --dry-run
    """
    from xtransfer.records.leftovers import UNFINISHED_S, garbage, remove

    if not plans:
        refuse_idle(
            {"--set": bool(sets)}, "no experiment is given", "Give it as --plan CONFIG, too."
        )
    opened = open_at(place_at(placement, store, place))
    wanted = None if not plans else _wanted(plans, sets, opened)
    found = garbage(opened, wanted=wanted, quarantine_days=quarantine_days)
    if not dry_run:
        removed = remove(opened, found)
        if len(removed) < len(found):
            kept = len(found) - len(removed)
            print(f"xtransfer: {kept} objects stay: their steps are at work again", file=sys.stderr)
        found = removed
    swept = opened.sweep(older_s=UNFINISHED_S, dry_run=dry_run)
    rows = [(each.object, each.size, each.why) for each in found]
    rows += [(each.name, each.size, "an upload that never ended") for each in swept]
    total = sum(size for _, size, _ in rows)
    if as_json:
        keys = ("object", "size", "why")
        print_json(
            {
                "store": opened.url,
                "removed": not dry_run,
                "objects": [dict(zip(keys, row, strict=True)) for row in rows],
                "bytes": total,
            }
        )
        return
    if rows:
        print_table(
            ["bytes", "object", "why"], [[str(size), name, why] for name, size, why in rows]
        )
    print(f"{'would remove' if dry_run else 'removed'} {len(rows)} objects, {total:,} bytes")


def _wanted(plans: list[Path], sets: list[str] | None, store: Store) -> set[str]:
    """Return the keys of all steps of these experiments, each with the settings that are changed."""
    from xtransfer.config.experiment import load_experiment

    keys: set[str] = set()
    for path in plans:
        made, _ = make_plan(load_experiment(path, sets or ()), path, lenient=False, store=store)
        keys |= set(made.steps)
    return keys


def _set_aside(store: Store, damaged: Iterable[str]) -> dict[str, str]:
    """Set the steps aside that are damaged and that nobody is at work on; return step -> place.

    Each is looked at again while it is held: reading a store takes hours, and somebody may have mended it.
    """
    from xtransfer.errors import StepBusy
    from xtransfer.records.leases import holding
    from xtransfer.records.quarantine import set_aside_if_damaged

    moved: dict[str, str] = {}
    for folder in damaged:
        try:
            with holding(store, folder.rpartition("-")[2], seconds=60) as lease:
                place = set_aside_if_damaged(store, folder)
                lease.outcome = "found"
            if place:
                moved[folder] = place
            else:
                print(f"xtransfer: {folder} was mended or moved meanwhile", file=sys.stderr)
        except StepBusy as error:
            print(f"xtransfer: {folder} is not set aside: {error}", file=sys.stderr)
    return moved


def _set_notes_aside(store: Store, damaged: Iterable[str]) -> dict[str, str]:
    """Set plans, rulings and suggestions aside that are damaged still; return object -> place."""
    from xtransfer.records.quarantine import set_aside_note_if_damaged

    moved = {name: set_aside_note_if_damaged(store, name) for name in damaged}
    return {name: place for name, place in moved.items() if place}


def _say(records: int, objects: int, size: int, url: str) -> None:
    print(f"{url}: {records} records, {objects} objects, {size:,} bytes read")

"""What shells complete: kinds, ids and events, where an application is named, or a ledger with its lifecycles.

A shell asks amid a line: nothing that goes wrong is told there, and what an application prints is kept from it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stateward.cli.desk import Desk
    from stateward.ledger.contract import Ledger

__all__ = ["complete_entities", "complete_events", "complete_kinds"]

ENTITIES_MAX = 1000
"""Entities that are looked through for an id."""


def complete_kinds(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The kinds of the application that begin like this."""
    return _completed(ctx, begun, lambda desk: sorted({each.kind for each in desk.engine.charts}))


def complete_entities(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """Ids of the kind that begin like this."""

    def ids(desk: Desk) -> Iterator[str]:
        found: Iterator[Any] = desk.each(desk.engine.list(desk.chart_of(ctx.params["kind"])))
        return (each.id for each in islice(found, ENTITIES_MAX))

    return _completed(ctx, begun, ids)


def complete_events(ctx: click.Context, _: click.Parameter, begun: str) -> list[str]:
    """The events that the entity could take now and that begin like this; if none does, those of its lifecycle."""

    def legal(desk: Desk) -> list[str]:
        chart = desk.chart_of(ctx.params["kind"])
        found: Any = desk.call(desk.engine.legal_events(chart, ctx.params["entity"]))
        return [each.name for each in found]

    return _completed(ctx, begun, legal) or _completed(
        ctx, begun, lambda desk: [*desk.chart_of(ctx.params["kind"]).events]
    )


def _completed(ctx: click.Context, begun: str, names: Callable[[Desk], Any]) -> list[str]:
    try:
        with _silence(), _opened(ctx) as desk:
            return [each for each in names(desk) if each.startswith(begun)]
    except (Exception, SystemExit):  # whatever it is: a shell waits for words, and a person for the shell
        return []


@contextmanager
def _opened(ctx: click.Context) -> Generator[Desk]:
    from stateward.cli.desk import open_desk

    targets = ctx.params.get("lifecycles") or ()

    def all_of(_: Ledger) -> list[Any]:
        from stateward.cli.targets import find_all_charts

        return find_all_charts(ctx, targets)

    app, ledger = ctx.params.get("app"), ctx.params.get("ledger")
    with open_desk(ctx, app, ledger if targets else None, all_of) as desk:
        yield desk


@contextmanager
def _silence() -> Generator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield

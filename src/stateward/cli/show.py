"""`stateward show`: an entity as it stands, what it waits for, what it could take now, and all that happened to it."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import Desk
from stateward.cli.entities import entity_of_kind, find_entity, lifecycle_options, open_lifecycles, version_of
from stateward.cli.output import output_option, write_object
from stateward.cli.showing import write_sight
from stateward.cli.sight import Sight, take_sight

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.ledger import Entity, Record
    from stateward.work import DeadLetter, Pause, PendingEffect, RunningTimer

__all__ = ["command"]


@click.command("show")
@entity_of_kind
@lifecycle_options
@click.option("--last", type=click.IntRange(min=0), metavar="COUNT", help="Only the last COUNT records of its history.")
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    entity: str,
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    last: int | None,
    output: str,
) -> None:
    r"""Show the entity of KIND with this ID: where it is and since when, and what holds it up.

    Told are its context, its SLA, the timers that run, effects that are not done yet with their attempts and errors,
    effects of it that were given up, and pauses that it is under; each event that its lifecycle knows, with whether it
    could take that now, and why not; and everything that happened to it, refused attempts included, with who did it.

    Of a ledger alone, without --lifecycle, all is told that needs no code: not its context, nor what it could take.

    \b
    Examples:
        stateward show Order A-17 --app shop.app:engine
        stateward show Order A-17 --ledger sqlite:///orders.db --last 20
        stateward show Order A-17 -o json | jq .held_up_by
    """
    with open_lifecycles(ctx, app, ledger, lifecycles, choose=version_of(kind, entity), is_bare_enough=True) as desk:
        sight = _look(desk, kind, entity, last)
    if output == "table":
        write_sight(sight)
    else:
        write_object(sight.as_data(), output)


def _look(desk: Desk, kind: str, entity: str, last: int | None) -> Sight:
    name = desk.kind_of(kind)
    chart, found = _found(desk, name, entity)
    engine = desk.engine
    records: deque[Record] = deque(maxlen=last)
    count, latest = 0, None
    for each in desk.each(engine.history(name, entity)):
        records.append(each)
        count += 1
        if latest is None or each.outcome == "applied":
            latest = each
    pending: list[PendingEffect] = desk.call(engine.pending(name, entity))
    pauses: list[Pause] = desk.call(engine.pauses())
    timers: list[RunningTimer] = list(desk.each(engine.timers(name, entity)))
    dead: list[DeadLetter] = list(desk.each(engine.dead(kind=name, entity=entity)))
    return take_sight(
        name, entity, chart, found, latest=latest, records=records, left_out=count - len(records), pending=pending,
        pauses=pauses, timers=timers, dead=dead,
    )  # fmt: skip


def _found(desk: Desk, kind: str, entity: str) -> tuple[Chart[Any] | None, Entity[Any] | None]:
    """The entity with its chart, where there is one; without, its records still tell what happened to it."""
    from stateward.errors import LedgerCorrupt, VersionUnknown

    if not desk.engine.charts:
        return None, None
    try:
        return find_entity(desk, kind, entity)
    except (VersionUnknown, LedgerCorrupt) as error:
        click.echo(f"Error: {error}", err=True)
        return None, None

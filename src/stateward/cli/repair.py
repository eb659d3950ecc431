"""`stateward repair`: an entity is forced into a configuration, and what that changes is shown before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from stateward.cli.desk import (
    Desk,
    actor_option,
    apply_option,
    desk_options,
    open_desk,
    reason_option,
    text,
    told_time,
)
from stateward.cli.entities import find_entity, find_state
from stateward.cli.output import on_one_line, output_option, write_rows
from stateward.cli.pause import needed

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.ledger import Applied, Entity
    from stateward.ledger.contract import Ledger
    from stateward.ledger.repairing import Forced
    from stateward.work import RunningTimer

__all__ = ["command"]

_TITLES = {"change": "change", "what": "what", "when": "when"}


@click.command("repair")
@click.argument("kind", type=text)
@click.argument("entity", type=text)
@click.argument("state", type=text)
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@desk_options
@reason_option
@actor_option
@apply_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    entity: str,
    state: str,
    targets: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    reason: str | None,
    actor: str | None,
    apply: bool,
    output: str,
) -> None:
    r"""Force the entity with the id ENTITY of a KIND into the configuration STATE, whatever its lifecycle says.

    STATE is the path of an atomic state, or several joined by | for regions. It is a record with its reason. No guard,
    action or entry runs and no effect is asked for; timers of states that are left are cancelled, and those of states
    that are entered are set. Without --apply, the entity as it is and what would change are shown.

    The lifecycles are those of the application, or with --ledger those of TARGETs: a package, a module, or
    package.module:Class.

    \b
    Examples:
        stateward repair Order A-17 paid --app shop.app:engine --reason "paid by cheque" --actor operator:ann
        stateward repair Order A-17 paid shop.orders --ledger sqlite:///orders.db --reason "..." --actor op:ann --apply
    """
    why, who = needed("--reason", reason), needed("--actor", actor)
    if targets and ctx.get_parameter_source("app") is ParameterSource.COMMANDLINE:
        message = "--app and TARGETs exclude each other: an application has its own lifecycles"
        raise click.UsageError(message)
    if not targets and ctx.get_parameter_source("ledger") is ParameterSource.COMMANDLINE:
        message = "a repair needs the lifecycle: name TARGETs beside --ledger, or --app instead"
        raise click.UsageError(message)
    if targets and ledger is None:
        message = "TARGETs need --ledger, which says where the entity is kept"
        raise click.UsageError(message)

    def choose(store: Ledger) -> list[Chart[Any]]:
        from stateward.cli.targets import find_all_charts

        return _chart_of(store, kind, entity, find_all_charts(ctx, targets))

    with open_desk(ctx, app, ledger if targets else None, choose) as desk:
        chart, found = find_entity(desk, kind, entity)
        lifecycle: Any = chart
        kind, state = chart.kind, find_state([chart], state)
        forced = _force(desk, found, state)
        timers = list(desk.each(desk.engine.timers(kind, entity)))
        applied: Applied[Any] | None = None
        if apply:
            applied = desk.call(desk.engine.repair(lifecycle, entity, state, reason=why, actor=who))
    if output == "table":
        _show(found, forced, timers, applied)
    else:
        write_rows([_row(found, forced, applied)], output, titles={})
    if applied is not None and applied.revision != found.revision + 1:
        click.echo(f"it had moved meanwhile, to revision {applied.revision - 1}: see its history", err=True)


def _chart_of(store: Ledger, kind: str, entity: str, charts: Sequence[Chart[Any]]) -> list[Chart[Any]]:
    """The chart of an entity's version alone: the ledger knows it, so that looking at the entity registers nothing."""
    from stateward.ledger.reading import fetch_entity

    by_version = {(each.kind, each.version): each for each in charts}
    if kind not in {each.kind for each in charts}:
        return list(charts[:0])
    found = store.run(fetch_entity(kind, entity, by_version))
    return [by_version[kind, found.version]]


def _force(desk: Desk, found: Entity[Any], state: str) -> Forced:
    from stateward.ledger.repairing import force

    [chart] = [each for each in desk.engine.charts if (each.kind, each.version) == (found.kind, found.version)]
    return force(chart, found.snapshot, state)


def _show(found: Entity[Any], forced: Forced, timers: Sequence[RunningTimer], applied: Applied[Any] | None) -> None:
    """The entity as it is, what changes, and whether it has."""
    click.echo(
        f"{found.kind} {on_one_line(found.id)} {'was' if applied else 'is'} in {found.state}, "
        f"at revision {found.revision} since {told_time(found.updated_at)}, on version {found.version}"
    )
    due = {each.name: each.due_at for each in timers}
    rows = [
        *({"change": "leaves", "what": each, "when": f"entered {told_time(found.entered.get(each))}"}
          for each in forced.left),
        *({"change": "enters", "what": each, "when": "-"} for each in forced.entered),
        *({"change": "cancels timer", "what": each, "when": f"due {told_time(due[each])}"}
          for each in forced.timers_cancelled if each in due),
        *({"change": "sets timer", "what": each.name, "when": f"due {each.delay} later"}
          for each in forced.timers_set),
    ]  # fmt: skip
    write_rows(rows, "table", titles=_TITLES)
    if not rows:
        click.echo("it is there already: no state is left or entered")
    if applied is None:
        click.echo("nothing is changed; --apply does it")
    else:
        click.echo(f"repaired: it is in {applied.state}, at revision {applied.revision}, by record {applied.record}")


def _row(found: Entity[Any], forced: Forced, applied: Applied[Any] | None) -> dict[str, Any]:
    return {
        "kind": found.kind,
        "entity": found.id,
        "version": found.version,
        "revision": found.revision,
        "state": found.state,
        "to": forced.snapshot.state,
        "left": forced.left,
        "entered": forced.entered,
        "timers_cancelled": forced.timers_cancelled,
        "timers_set": [{"name": each.name, "delay_s": each.delay.total_seconds()} for each in forced.timers_set],
        "is_applied": applied is not None,
        "record": None if applied is None else applied.record,
    }

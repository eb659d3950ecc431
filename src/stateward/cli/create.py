"""`stateward create`: an entity is started."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import actor_of, actor_option, chart_among, text
from stateward.cli.entities import entity_of_kind, key_option, lifecycle_options, open_lifecycles
from stateward.cli.output import output_option
from stateward.cli.payloads import read_value
from stateward.cli.sending import write_applied

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.ledger import Applied
    from stateward.ledger.contract import Ledger

__all__ = ["command"]


@click.command("create")
@entity_of_kind
@click.argument("context", metavar="[CONTEXT]...", nargs=-1, type=text)
@lifecycle_options
@click.option(
    "--version", type=click.IntRange(min=1), metavar="N", help="The version of the lifecycle; else the newest."
)
@key_option
@actor_option
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    kind: str,
    entity: str,
    context: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    version: int | None,
    key: str | None,
    actor: str | None,
    output: str,
) -> None:
    r"""Start an entity of KIND with this ID.

    Its first context follows as field=value words, read as the types of its fields; or as one JSON object, as @file
    with one, or as - for one on stdin. The exit code is 4 if there is one of this ID already.

    \b
    Examples:
        stateward create Order A-17 total=4200 --app shop.app:engine --actor customer:9
        stateward create Order A-17 '{"total": 4200}' --key cart-5
        stateward create Order A-17 @order.json --ledger sqlite:///orders.db --lifecycle shop.orders
    """
    who = actor_of(actor)

    def choose(_: Ledger, charts: Sequence[Chart[Any]]) -> Sequence[Chart[Any]]:
        return [chart_among(charts, kind, version)]

    with open_lifecycles(ctx, app, ledger, lifecycles, choose=choose) as desk:
        chart = desk.chart_of(kind, version)
        first = read_value(f"the context {chart.context_type.__name__}", chart.context_type, context)
        applied: Applied[Any] = desk.call(desk.engine.create(chart, entity, first, actor=who, key=key))
    write_applied(applied, "Started", None, output)

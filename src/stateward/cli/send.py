"""`stateward send`: an event goes to an entity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stateward.cli.desk import actor_of
from stateward.cli.entities import event_options, find_entity, open_lifecycles, read_event, version_of
from stateward.cli.sending import explain_refusal, told_refusal, write_applied, write_refusal

if TYPE_CHECKING:
    from stateward.ledger import Entity

__all__ = ["command", "send_event"]

REFUSED = 3


@click.command("send")
@event_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    r"""Send EVENT to the entity of KIND with this ID.

    What the event says follows as field=value words, read as the types of its fields; or as one JSON object, as @file
    with one, or as - for one on stdin. KIND and EVENT are wire names, in any case where that is not ambiguous.

    If it is refused, nothing changes but the record of the attempt; the exit code is 3, and why is told.

    \b
    Examples:
        stateward send Order A-17 Pay amount=4200 --app shop.app:engine --actor customer:9
        stateward send Order A-17 Pay '{"amount": 4200}' --key evt-1 --expect-revision 1
        jq .payment order.json | stateward send Order A-17 Pay - -o json
        stateward send Order A-17 Ship --ledger sqlite:///orders.db --lifecycle shop.orders
    """
    send_event(ctx, **given, is_value=False)


def send_event(
    ctx: click.Context,
    *,
    kind: str,
    entity: str,
    event: str,
    payload: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    lifecycles: tuple[str, ...],
    actor: str | None,
    key: str | None,
    expect_revision: int | None,
    output: str,
    is_value: bool,
) -> None:
    """Send it, and tell what came of it; a refusal ends the command unless it is a value."""
    from stateward.errors import Refusal

    who = actor_of(actor)
    with open_lifecycles(ctx, app, ledger, lifecycles, choose=version_of(kind, entity)) as desk:
        chart, found = find_entity(desk, kind, entity)
        sent = read_event(chart, event, payload)
        answer: Any = desk.call(
            desk.engine.attempt(chart, entity, sent, actor=who, key=key, expected_revision=expect_revision)
        )
        name = sent.trigger_label()
        if not isinstance(answer, Refusal):
            # Somebody else may have moved it between the look and the event.
            before = found.state if answer.revision == found.revision + 1 else None
            write_applied(answer, name, before, output)
            return
        explained = explain_refusal(desk, chart, entity, sent, answer)
        now: Entity[Any] = desk.call(desk.engine.get(chart, entity))
    told = told_refusal(answer, explained, revision=now.revision)
    if output != "table":
        write_refusal(answer, entity, explained, output)
    elif is_value:
        click.echo(told)
    if not is_value:
        click.echo(f"Error: {told}", err=True)
        ctx.exit(REFUSED)

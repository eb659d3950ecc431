"""`stateward attempt`: an event goes to an entity, and a refusal is an answer like another."""

from __future__ import annotations

from typing import Any

import click

from stateward.cli.entities import event_options
from stateward.cli.send import send_event

__all__ = ["command"]


@click.command("attempt")
@event_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    r"""Send EVENT to the entity of KIND with this ID, as `stateward send` does, and print what came of it.

    A refused event is a value here: it is printed with its explanation to stdout, and the exit code is 0. It is on
    record like any other attempt.

    \b
    Examples:
        stateward attempt Order A-17 Ship --app shop.app:engine
        stateward attempt Order A-17 Pay amount=4200 -o json | jq -r .outcome
    """
    send_event(ctx, **given, is_value=True)

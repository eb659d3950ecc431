"""What the commands on entities share: whose lifecycles they work with, and what their words mean in these."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from stateward.cli.applications import app_named
from stateward.cli.completing import complete_entities, complete_events, complete_kinds
from stateward.cli.desk import Desk, actor_option, desk_options, open_desk, text
from stateward.cli.output import output_option
from stateward.cli.payloads import read_value
from stateward.cli.suggesting import find_name

if TYPE_CHECKING:
    from stateward.chart import Chart, EventMarker
    from stateward.ledger import Entity
    from stateward.ledger.contract import Ledger

__all__ = [
    "entity_of_kind",
    "event_arguments",
    "event_options",
    "find_entity",
    "find_state",
    "key_option",
    "kind_argument",
    "lifecycle_options",
    "open_lifecycles",
    "read_event",
    "version_of",
]

F = TypeVar("F", bound=Callable[..., Any])
Choose = Callable[["Ledger", Sequence["Chart[Any]"]], Sequence["Chart[Any]"]]
"""Which of the charts that were named are put on a ledger that is named alone."""


def kind_argument(*, required: bool = True) -> Callable[[F], F]:
    """Give a command the argument KIND."""
    return click.argument("kind", type=text, required=required, shell_complete=complete_kinds)


def entity_argument(command: F) -> F:
    """Give a command the argument ID, passed to it as `entity`."""
    return click.argument("entity", metavar="ID", type=text, shell_complete=complete_entities)(command)


def event_arguments(command: F) -> F:
    """Give a command EVENT and what it says, passed to it as `event` and `payload`."""
    payload = click.argument("payload", metavar="[PAYLOAD]...", nargs=-1, type=text)
    return click.argument("event", type=text, shell_complete=complete_events)(payload(command))


def key_option(command: F) -> F:
    """Give a command `--key`."""
    option = click.option(
        "--key", metavar="TEXT", type=text, help="The idempotency key: the same again gives the first answer again."
    )
    return option(command)


def lifecycle_options(command: F) -> F:
    """Give a command `--app`, or `--ledger` with `--lifecycle`, passed to it as `lifecycles`."""
    option = click.option(
        "--lifecycle",
        "lifecycles",
        metavar="TARGET",
        multiple=True,
        help="With --ledger, whose lifecycle it is: a package, a module, or package.module:Class; may be repeated.",
    )
    return desk_options(option(command))


def event_options(command: F) -> F:
    """Give a command all that sending an event needs."""
    revision = click.option(
        "--expect-revision",
        metavar="N",
        type=click.IntRange(min=1),
        help="Refuse the event as stale if the entity is not at this revision.",
    )
    return entity_of_kind(
        event_arguments(lifecycle_options(key_option(revision(actor_option(output_option(command))))))
    )


def entity_of_kind(command: F) -> F:
    """Give a command the arguments KIND and ID."""
    return kind_argument()(entity_argument(command))


@contextmanager
def open_lifecycles(
    ctx: click.Context,
    app: str | None,
    ledger: str | None,
    targets: Sequence[str],
    *,
    choose: Choose,
    is_bare_enough: bool = False,
) -> Generator[Desk]:
    """The desk that a command's options name, with the lifecycles of its application, or with those of targets.

    Args:
        ctx: the command's.
        app: its option `--app`.
        ledger: its option `--ledger`.
        targets: its options `--lifecycle`.
        choose: which of the targets' charts are put on the ledger: no more than the command is about, since those that
            are new to it are registered.
        is_bare_enough: whether the ledger alone will do.

    Raises:
        click.UsageError: the options do not go together, or name nothing.
    """
    is_app_named = ctx.get_parameter_source("app") is ParameterSource.COMMANDLINE
    if targets and is_app_named:
        message = "--app and --lifecycle exclude each other: an application has its own lifecycles"
        raise click.UsageError(message)
    if targets and ledger is None:
        message = "--lifecycle needs --ledger, which says where the entities are kept"
        raise click.UsageError(message)
    is_ledger_named = ctx.get_parameter_source("ledger") is ParameterSource.COMMANDLINE
    if is_ledger_named and not (targets or is_app_named or is_bare_enough):
        message = "the lifecycle is needed: name it by --lifecycle beside --ledger, or give --app instead"
        raise click.UsageError(message)

    def chosen(store: Ledger) -> Sequence[Chart[Any]]:
        from stateward.cli.targets import find_all_charts

        return choose(store, find_all_charts(ctx, targets)) if targets else ()

    takes_ledger = targets or is_ledger_named or (is_bare_enough and app_named(app) is None)
    with open_desk(ctx, app, ledger if takes_ledger else None, chosen) as desk:
        yield desk


def version_of(kind: str, entity: str) -> Choose:
    """The chart of the version that an entity is on, which the ledger knows: looking at it registers nothing."""

    def choose(store: Ledger, charts: Sequence[Chart[Any]]) -> Sequence[Chart[Any]]:
        from stateward.ledger.reading import fetch_entity

        name = find_name("lifecycle of the kind {}", kind, (each.kind for each in charts))
        by_version = {(each.kind, each.version): each for each in charts}
        found = store.run(fetch_entity(name, entity, by_version))
        return [by_version[name, found.version]]

    return choose


def find_entity(desk: Desk, kind: str, entity: str) -> tuple[Chart[Any], Entity[Any]]:
    """An entity as it stands, with the chart of its version.

    Raises:
        click.UsageError: there is no such kind.
        UnknownEntity: there is no such entity.
    """
    newest = desk.chart_of(kind)
    found: Entity[Any] = desk.call(desk.engine.get(newest, entity))
    return desk.chart_of(newest.kind, found.version), found


def read_event(chart: Chart[Any], event: str, payload: Sequence[str]) -> EventMarker:
    """The event that a command line names, of the class that a chart knows it by.

    Raises:
        click.UsageError: the chart has no such event, or what is said of it does not fit.
    """
    from stateward.chart import Done, Elapsed, Started

    events = {name: each for name, each in chart.events.items() if not issubclass(each, (Started, Elapsed, Done))}
    name = find_name(f"event {{}} of {chart.kind} version {chart.version}", event, events)
    made: EventMarker = read_value(f"the event {name}", events[name], payload)
    return made


def find_state(charts: Sequence[Chart[Any]], state: str) -> str:
    """A configuration whose states are among those of some charts, as it is written.

    Raises:
        click.UsageError: one of them is not.
    """
    kind = charts[0].kind
    known = [
        each.path for chart in charts for each in chart.states[1:] if not each.children and not each.kind.is_history
    ]
    return "|".join(find_name(f"state {{}} of {kind}", each, known) for each in state.split("|"))


def in_use(kind: str | None) -> Choose:
    """The charts of the versions that entities are on, of a kind or of all: reading their lists registers nothing."""

    def choose(store: Ledger, charts: Sequence[Chart[Any]]) -> Sequence[Chart[Any]]:
        from stateward.ledger.reading import count_census

        name = None if kind is None else find_name("lifecycle of the kind {}", kind, (each.kind for each in charts))
        counts = store.run(count_census(name))
        used = {(each, version) for each, version, _, count in counts if count}
        return [each for each in charts if (each.kind, each.version) in used]

    return choose

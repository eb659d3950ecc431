"""`stateward doctor`: a ledger held against the lifecycles that are to run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from stateward.cli.desk import Desk, desk_options, open_desk
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.ledger.checking import Ages, Facts, Fault

__all__ = ["command"]

_TITLES = {"check": "check", "what": "what", "where": "where", "todo": "what to do"}


class _Subject(NamedTuple):
    """What is looked at, and what is known of those who use it."""

    address: str
    charts: list[Chart[Any]] | None
    """None: nobody has said."""
    ages: Ages | None = None
    handled: tuple[str, ...] | None = None


@click.command("doctor")
@click.argument("targets", metavar="[TARGET]...", nargs=-1)
@desk_options
@click.option(
    "--outbox-age",
    type=click.FloatRange(min=0),
    default=3600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long an effect may wait.",
)
@click.option(
    "--snapshot-age",
    type=click.FloatRange(min=0),
    default=300.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a transaction may last on PostgreSQL.",
)
@output_option
@click.pass_context
def command(
    ctx: click.Context,
    *,
    targets: tuple[str, ...],
    app: str | None,
    ledger: str | None,
    outbox_age: float,
    snapshot_age: float,
    output: str,
) -> None:
    r"""Look for what is wrong between a ledger and the lifecycles that are to run on it, and say what to do.

    A TARGET is a package with all its modules, a module, or package.module:Class; with TARGETs, --ledger says where to
    look, and nothing is changed. Without, it is the application's ledger; its engine is made for that, as when the
    application starts. Of a ledger alone nothing is said of versions and states.

    Looked at are the schema, the digests of versions, entities on versions or in states that nobody has, the census
    against a count of the entities (which reads all of them), effects that wait for too long or were due long ago,
    whether anybody works, due timers, dead letters and pauses; of an application also effects that it has no handler
    for, and what is kept beyond its retention. On PostgreSQL also partitions of this month and the next, the server's
    clock beside this machine's, dead rows, and transactions that hold up readers or keep dead rows. Since when those
    of other users last, only a member of pg_read_all_stats is told.

    The exit code is 1 with any finding, and 5 if the database can't be reached.

    \b
    Examples:
        stateward doctor --app shop.app:engine
        stateward doctor --ledger sqlite:///orders.db shop.orders
        stateward doctor --ledger postgresql://shop@db1/orders -o jsonl
    """
    from msgspec.structs import asdict

    from stateward.ledger.checking import find_faults, open_database

    subject = _subject(ctx, targets, app, ledger)
    with open_database(subject.address) as database:
        facts = database.read_facts()
    faults = find_faults(
        facts, subject.charts, outbox_age_s=outbox_age, snapshot_age_s=snapshot_age,
        ages=subject.ages, handled=subject.handled,
    )  # fmt: skip
    write_rows([asdict(each) for each in faults], output, titles=_TITLES)
    # For a program only the findings are data; for people the sum is part of the answer.
    click.echo(_summary(facts, subject.charts, faults), err=output != "table")
    ctx.exit(1 if faults else 0)


def _subject(ctx: click.Context, targets: tuple[str, ...], app: str | None, ledger: str | None) -> _Subject:
    from stateward.cli.targets import find_all_charts

    by_option = {each for each in ("app", "ledger") if ctx.get_parameter_source(each) is ParameterSource.COMMANDLINE}
    if targets:
        if "app" in by_option:
            message = "--app and TARGETs exclude each other: an application has its own lifecycles"
            raise click.UsageError(message)
        if ledger is None:
            [option] = [each for each in ctx.command.params if each.name == "ledger"]
            raise click.MissingParameter(ctx=ctx, param=option)
        return _Subject(ledger, find_all_charts(ctx, targets))
    if ledger is not None and "app" not in by_option:
        return _Subject(ledger, None)  # as it is: an engine would not be made on one whose schema is behind
    with open_desk(ctx, app, ledger) as desk:
        return _subject_of(desk)


def _subject_of(desk: Desk) -> _Subject:
    from stateward.ledger.checking import Ages

    engine = desk.engine
    if engine.address is None:
        message = "the application's ledger is in memory: nobody but its own process can look at it"
        raise click.UsageError(message)
    kept = engine.retention
    spans = [] if kept is None else [kept.receipts, kept.dead_letters, kept.records]
    ages = Ages(*(None if each is None else each.total_seconds() for each in spans))
    return _Subject(engine.address, list(engine.charts) or None, ages, engine.handled)


def _summary(facts: Facts, charts: list[Chart[Any]] | None, faults: list[Fault]) -> str:
    entities, effects = sum(facts.entities.values()), sum(each.waiting for each in facts.outbox)
    findings = "no findings" if not faults else f"{len(faults)} finding{'s' if len(faults) != 1 else ''}"
    versions = len({(chart.kind, chart.version) for chart in charts or ()})
    return (
        f"{facts.place}: {findings}; schema {facts.schema.found}, {entities:,} entities, "
        f"{effects:,} effects in the outbox; {versions} version{'s' if versions != 1 else ''} of lifecycles given"
    )

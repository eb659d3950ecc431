"""`stateward doctor`: a ledger held against the lifecycles that are to run on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from stateward.cli.db import ledger_option
from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.chart import Chart
    from stateward.ledger.checking import Facts, Fault

__all__ = ["command"]

_TITLES = {"check": "check", "what": "what", "where": "where", "todo": "what to do"}


@click.command("doctor")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@ledger_option
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
    ctx: click.Context, *, targets: tuple[str, ...], ledger: str, outbox_age: float, snapshot_age: float, output: str
) -> None:
    """Look for what is wrong between a ledger and the lifecycles that are to run on it. Nothing is changed.

    A TARGET is a package with all its modules, a module, or package.module:Class. Looked at are the schema, the
    digests of versions, entities on versions or in states that no target has, the census against a count of the
    entities (which reads all of them), the age of the outbox, whether anybody works on it, dead letters and pauses;
    on PostgreSQL also partitions, clocks, dead rows, and transactions that hold up readers or keep dead rows. Since
    when those of other users last, only a member of pg_read_all_stats is told.

    The exit code is 1 with any finding, and 5 if the database can't be reached.
    """
    from msgspec.structs import asdict

    from stateward.cli.targets import find_all_charts
    from stateward.ledger.checking import find_faults, open_database

    charts = find_all_charts(ctx, targets)
    with open_database(ledger) as database:
        facts = database.read_facts()
    faults = find_faults(facts, charts, outbox_age_s=outbox_age, snapshot_age_s=snapshot_age)
    write_rows([asdict(each) for each in faults], output, titles=_TITLES)
    # For a program only the findings are data; for people the sum is part of the answer.
    click.echo(_summary(facts, charts, faults), err=output != "table")
    ctx.exit(1 if faults else 0)


def _summary(facts: Facts, charts: list[Chart[Any]], faults: list[Fault]) -> str:
    entities, effects = sum(facts.entities.values()), sum(each.waiting for each in facts.outbox)
    findings = "no findings" if not faults else f"{len(faults)} finding{'s' if len(faults) != 1 else ''}"
    versions = len({(chart.kind, chart.version) for chart in charts})
    return (
        f"{facts.place}: {findings}; schema {facts.schema.found}, {entities:,} entities, "
        f"{effects:,} effects in the outbox; {versions} version{'s' if versions != 1 else ''} of lifecycles given"
    )

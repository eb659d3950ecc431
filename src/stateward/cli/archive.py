"""`stateward archive`: a month of records is written to a file, and dropped from the ledger."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stateward.cli.db import ledger_option
from stateward.cli.output import output_option, write_object

if TYPE_CHECKING:
    from stateward.ledger.archiving import Records

__all__ = ["command"]


@click.command("archive")
@click.argument("month", metavar="YYYY-MM")
@ledger_option
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="FOLDER",
    help="Where the archive is written.",
)
@click.option(
    "--older-than",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="How long ago the month must have ended; without it, it is neither this month nor the one before.",
)
@click.option("--apply", "applies", is_flag=True, help="Do it; without it, only what would be done is told.")
@output_option
def command(*, month: str, ledger: str, folder: Path, older_than: float | None, applies: bool, output: str) -> None:
    r"""Write the records of a month to FOLDER, read them back, and only then drop them from the ledger.

    A record belongs to the month in which it was accepted, in UTC. The archive is record-YYYY-MM.jsonl.gz, a JSON
    object a line, and record-YYYY-MM.json with its count and digest. Entities, and what is not done yet, stay as they
    are; of older entities the history begins later. While receipts name its records a month is not dropped. If it is
    interrupted, run it again.

    \b
    Examples:
        stateward archive 2025-01 --to /archives --ledger sqlite:///orders.db
        stateward archive 2025-01 --to /archives --ledger postgresql://shop@db1/orders --older-than 400 --apply
    """
    from stateward.ledger.archives import Month
    from stateward.ledger.archiving import archive_month

    wanted = Month.of(month)
    age = None if older_than is None else timedelta(days=older_than)
    with _open_records(ledger) as records:
        done = archive_month(records, wanted, folder, now=datetime.now(UTC), older_than=age, applies=applies)
        place = records.place
    if output != "table":
        file = None if done.file is None else str(folder / done.file)
        write_object({"month": str(wanted), "records": done.records, "file": file, "is_applied": applies}, output)
        return
    count = f"{done.records:,} record{'' if done.records == 1 else 's'}"
    if not done.records:
        click.echo(f"{place} has no records of {wanted}")
    elif done.file is None:
        click.echo(f"{count} of {wanted} would be written to {folder} and dropped from {place}: give --apply to do it")
    else:
        written = "were there already, in" if done.was_there else "written to"
        click.echo(f"{count} of {wanted} {written} {folder / done.file}, read back, and dropped from {place}")


@contextmanager
def _open_records(address: str) -> Generator[Records]:
    """The records of a ledger's database, for as long as the block runs."""
    from stateward.ledger.checking import sqlite_file_of

    path = sqlite_file_of(address)
    if path is not None:
        from stateward.ledger.sqlite.archiving import open_records as open_sqlite

        with open_sqlite(path) as records:
            yield records
        return
    try:
        from stateward.ledger.postgres.archiving import open_records as open_postgres
    except ModuleNotFoundError as error:
        from stateward.errors import ExtraMissing

        raise ExtraMissing(package=error.name or "psycopg", extra="postgres") from error
    with open_postgres(address) as records_there:
        yield records_there

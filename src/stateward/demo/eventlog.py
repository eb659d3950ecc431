"""Event logs: who did what to which entity, and when."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, NamedTuple, cast

from stateward.chart import EventMarker
from stateward.demo.incidents import EVENTS
from stateward.errors import CallerError

__all__ = ["LogUnreadable", "LoggedEvent", "read_incidents"]

_COLUMNS = (
    "case", "time:timestamp", "concept:name", "lifecycle:transition", "org:resource", "impact", "product",
)  # fmt: skip


class LoggedEvent(NamedTuple):
    """One event of a log."""

    entity: str
    at: datetime
    actor: str
    event: EventMarker


class LogUnreadable(CallerError):
    """An event log can't be read; says in which line and why."""

    def __init__(self, problem: str, *, path: str, line: int = 0) -> None:
        self.problem = problem
        self.path = path
        self.line = line
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.path}" + (f", line {self.line}" if self.line else "") + f": {self.problem}"


def read_incidents(path: Path) -> Iterator[LoggedEvent]:
    """The incident log of the BPI Challenge 2013 as CSV, compressed or not, in its own order.

    Args:
        path: a `.csv` or `.csv.gz` with the columns case, time:timestamp (ISO 8601 with offset), concept:name
            (status), lifecycle:transition (sub-status), org:resource, impact, product.

    Raises:
        LogUnreadable: the file is missing or of another form; rows before the bad one have been given.
    """
    try:
        with cast(
            "IO[str]", gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="")
        ) as file:
            rows = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                problem = f"has no column {', '.join(missing)}; an incident log has {', '.join(_COLUMNS)}"
                raise LogUnreadable(problem, path=str(path), line=1)
            for row in rows:
                yield _logged(row, str(path), rows.line_num)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise LogUnreadable(str(error), path=str(path)) from error


def _logged(row: dict[str, str], path: str, line: int) -> LoggedEvent:
    pair = (row["concept:name"], row["lifecycle:transition"])
    kind = EVENTS.get(pair)
    if kind is None:
        problem = f"status {pair[0]!r} with sub-status {pair[1]!r} is unknown"
        raise LogUnreadable(problem, path=path, line=line)
    try:
        at = datetime.fromisoformat(row["time:timestamp"])
    except ValueError as error:
        raise LogUnreadable(str(error), path=path, line=line) from error
    event = kind(impact=row["impact"], product=row["product"])
    return LoggedEvent(row["case"], at, f"user:{row['org:resource']}", event)

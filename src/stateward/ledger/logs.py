"""Event logs from elsewhere: their rows, and what a map says that the columns mean."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from hashlib import blake2b
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import msgspec

from stateward.chart import Chart, EventMarker
from stateward.chart.immutable import field_names
from stateward.errors import (
    ImportStopped,
    MapInvalid,
    Unkeepable,
)
from stateward.ledger.codec import check_text, encode, read_frozen
from stateward.ledger.results import Actor

__all__ = ["BadRow", "Log", "LogMap", "LogRow", "make_value", "read_map"]


class LogMap(msgspec.Struct, frozen=True, kw_only=True):
    """Which column of a log says what, and which event its values stand for."""

    chart: Chart[Any]
    entity: str
    time: str
    event: tuple[str, ...]
    """The columns whose values, joined by `/`, name the event."""
    actor: str | None
    fields: dict[str, dict[str, str]]
    """Columns by field, by the event's wire name; under `Started` those of an entity's first context."""
    names: dict[str, str]
    """Wire names by what the log says instead."""
    default_actor: str | None = None
    """Who sent the events of rows that name nobody; None: such a row is bad."""
    actor_kind: str = "user"
    """The kind of actors of whom the log says only who they are."""
    zone: tzinfo | None = None
    """Where the log's clock hung, for times that do not say so themselves; None: such a row is bad."""

    @property
    def columns(self) -> list[str]:
        """All columns that are read."""
        single = [self.entity, self.time, *self.event, *([self.actor] if self.actor is not None else [])]
        return [*dict.fromkeys([*single, *(each for columns in self.fields.values() for each in columns.values())])]


def read_map(chart: Chart[Any], assignments: Iterable[str], names: Mapping[str, Any] | None = None) -> LogMap:
    """Read what was written of a log's columns.

    Args:
        chart: the chart that the log is sent through.
        assignments: `entity=column`, `time=column`, `actor=column`, `event=column,column`, and for the fields of
            payloads `Pay.amount=column`; `Event.amount=column` for all events that have the field, and
            `Started.total=column` for an entity's first context.
        names: wire names by the values that stand for them.

    Raises:
        MapInvalid: something is missing, given twice, or unknown to the chart.
    """
    given: dict[str, str] = {}
    for each in assignments:
        what, equals, column = (part.strip() for part in each.partition("="))
        if not (what and equals and column):
            message = f"{each!r} is no map: write what=column, entity=case say"
            raise MapInvalid(message)
        if what in given:
            message = f"{what} is mapped twice, to {given[what]} and to {column}"
            raise MapInvalid(message)
        given[what] = column
    missing = [what for what in ("entity", "time", "event") if what not in given]
    if missing:
        message = f"nothing says which column is the {' and the '.join(missing)}: {missing[0]}=column"
        raise MapInvalid(message)
    entity, time, event, actor = (given.pop(what, None) for what in ("entity", "time", "event", "actor"))
    assert entity is not None
    assert time is not None
    assert event is not None
    parts = tuple(part.strip() for part in event.split(","))
    return LogMap(
        chart=chart, entity=entity, time=time, event=parts, actor=actor, fields=_read_fields(chart, given),
        names=_read_names(chart, names),
    )  # fmt: skip


def _read_fields(chart: Chart[Any], given: Mapping[str, str]) -> dict[str, dict[str, str]]:
    kinds: dict[str, type[Any]] = {**chart.events, "Started": chart.context_type}
    columns: dict[str, dict[str, str]] = {name: {} for name in kinds}
    # What is said of all events comes first, so that what is said of one overrides it.
    for what, column in sorted(given.items(), key=lambda each: not each[0].startswith("Event.")):
        name, dot, field = what.rpartition(".")
        if not dot:
            message = f"{what} can't be mapped: entity, time, actor, event and fields of events can, Pay.amount say"
            raise MapInvalid(message)
        if name != "Event" and name not in kinds:
            message = f"{what}: {chart.kind} has no event {name}; it has {', '.join(sorted(chart.events))}"
            raise MapInvalid(message)
        holders = [
            each
            for each in (chart.events if name == "Event" else (name,))
            if field in field_names(kinds[each])
        ]  # fmt: skip
        if not holders:
            whose = "no event" if name == "Event" else chart.context_type.__name__ if name == "Started" else name
            message = f"{what}: {whose} has {'a' if name == 'Event' else 'no'} field {field}"
            raise MapInvalid(message)
        for each in holders:
            columns[each][field] = column
    if not columns["Started"]:
        try:
            make_value(chart.context_type, {})
        except ValueError as error:
            message = f"{chart.context_type.__name__} needs values to start with, Started.field=column: {error}"
            raise MapInvalid(message) from None
    return columns


def _read_names(chart: Chart[Any], names: Mapping[str, Any] | None) -> dict[str, str]:
    for value, name in (names or {}).items():
        if not isinstance(name, str) or name not in chart.events:
            message = f"{value!r}: {chart.kind} has no event {name!r}; it has {', '.join(sorted(chart.events))}"
            raise MapInvalid(message)
    return dict(names or {})


def make_value(kind: Any, cells: Mapping[str, str]) -> Any:
    """An event or a context of texts; an empty one leaves a field at its default, if it has one.

    Raises:
        ValueError: they do not fit it.
    """
    written, make = _maker(kind)
    return make({written[name]: cell for name, cell in cells.items() if cell or name not in _defaulted(kind)})


@lru_cache(maxsize=1024)
def _maker(kind: Any) -> tuple[Mapping[str, str], Callable[[Mapping[str, str]], Any]]:
    """What a class calls its fields in writing, and what makes an instance of them."""
    names = {name: name for name in field_names(kind)}
    validate: Any = getattr(kind, "model_validate", None)
    if validate is not None:  # a pydantic model, which msgspec does not know
        return names, validate
    if issubclass(kind, msgspec.Struct):
        names = {each.name: each.encode_name for each in msgspec.structs.fields(kind)}
    return names, partial(msgspec.convert, type=kind, strict=False, dec_hook=read_frozen)


@lru_cache(maxsize=1024)
def _defaulted(kind: Any) -> frozenset[str]:
    """The fields of a class that have a default."""
    if issubclass(kind, msgspec.Struct):
        return frozenset(each.name for each in msgspec.structs.fields(kind) if not each.required)
    if is_dataclass(kind):
        return frozenset(each.name for each in fields(kind) if each.default is not each.default_factory)
    models: Any = getattr(kind, "model_fields", {})
    return frozenset(name for name, field in models.items() if not field.is_required())


# Rows.


class LogRow(NamedTuple):
    """A row of a log, read."""

    number: int
    """Its place among the rows, from 1; bad ones count."""
    line: int
    entity: str
    at: datetime
    actor: Actor
    event: EventMarker
    key: str
    payload: str
    """The event's fields as JSON."""
    first: dict[str, str]
    """The cells of an entity's first context, which is made of them if this row is the first that names it."""

    @property
    def name(self) -> str:
        """The event's wire name."""
        return self.event.trigger_label()


class BadRow(NamedTuple):
    """A row of a log that can't be read."""

    number: int
    line: int
    problem: str


class Log:
    """A file of comma-separated values with a header, compressed by gzip or not, in UTF-8."""

    def __init__(self, path: Path, mapping: LogMap, *, delimiter: str = ",") -> None:
        self.path = path
        self.mapping = mapping
        self.digest = ""
        """Of the header and the first row, once that was read."""
        self._delimiter = delimiter
        self._file: IO[bytes] | None = None
        self._size = 0

    @property
    def share_read(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        if self._file is None or self._file.closed or not self._size:
            return 1.0 if self._size else 0.0
        return min(1.0, self._file.tell() / self._size)

    def rows(self) -> Iterator[LogRow | BadRow]:
        """The rows in their order; empty lines are none.

        Raises:
            ImportStopped: the file can't be read further, or lacks a column; the rows before that have been given.
        """
        line = 0
        try:
            with self.path.open("rb") as file:
                self._file, self._size = file, self.path.stat().st_size
                is_compressed = file.read(2) == b"\x1f\x8b"
                file.seek(0)
                plain = cast("IO[bytes]", gzip.GzipFile(fileobj=file) if is_compressed else file)
                reader = csv.reader(
                    TextIOWrapper(plain, encoding="utf-8-sig", newline=""), delimiter=self._delimiter, strict=True
                )
                header = next(reader, list[str]())
                places = self._places(header)
                number = 0
                for cells in reader:
                    line = reader.line_num
                    if not cells:
                        continue
                    number += 1
                    if number == 1:
                        text = "\0".join((*header, *cells)).encode(errors="replace")
                        self.digest = blake2b(text, digest_size=8).hexdigest()
                    yield self._read(number, line, cells, len(header), places)
        except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
            # What follows the last row that could be read is at fault.
            raise ImportStopped(str(error), path=str(self.path), line=line + 1) from error

    def _places(self, header: list[str]) -> dict[str, int]:
        """Where the mapped columns are."""
        for column in self.mapping.columns:
            if header.count(column) != 1:
                how = "no column" if column not in header else "more than one column"
                problem = f"has {how} {column}; it has {', '.join(header) or 'none at all'}"
                raise ImportStopped(problem, path=str(self.path), line=1)
        return {column: header.index(column) for column in self.mapping.columns}

    def _read(self, number: int, line: int, cells: list[str], width: int, places: Mapping[str, int]) -> LogRow | BadRow:
        if len(cells) != width:
            return BadRow(number, line, f"has {len(cells)} cells; the header has {width}")
        cell = {column: cells[place] for column, place in places.items()}
        key = f"import:{self.digest}:{number}"
        try:
            return _read_row(self.mapping, cell, number, line, key)
        except (ValueError, Unkeepable) as error:
            return BadRow(number, line, str(error))


def _read_row(mapping: LogMap, cell: Mapping[str, str], number: int, line: int, key: str) -> LogRow:
    """A row from its cells by column.

    Raises:
        ValueError: one of them can't be read.
        Unkeepable: one of them can't be kept.
    """
    value = "/".join(cell[column] for column in mapping.event)
    name = mapping.names.get(value, value)
    kind = mapping.chart.events.get(name)
    if kind is None:
        message = f"{value!r} names no event of {mapping.chart.kind}, and no table of events says which it is"
        raise ValueError(message)
    event: EventMarker = make_value(kind, {field: cell[column] for field, column in mapping.fields[name].items()})
    return LogRow(
        number=number,
        line=line,
        entity=check_text(f"the entity ({mapping.entity})", cell[mapping.entity]),
        at=_read_time(mapping, cell[mapping.time]),
        actor=_read_actor(mapping, cell),
        event=event,
        key=key,
        payload=encode(f"the event {name}", event),
        first={field: cell[column] for field, column in mapping.fields["Started"].items()},
    )


def _read_time(mapping: LogMap, text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        message = f"{mapping.time} is {text!r}, no time in ISO 8601"
        raise ValueError(message) from None
    if at.tzinfo is not None:
        return at
    if mapping.zone is None:
        message = f"{mapping.time} is {text}, without an offset, and no time zone was named for such times"
        raise ValueError(message)
    return at.replace(tzinfo=mapping.zone)


def _read_actor(mapping: LogMap, cell: Mapping[str, str]) -> Actor:
    text = cell[mapping.actor] if mapping.actor is not None else ""
    if not text:
        if mapping.default_actor is None:
            message = "names no actor, and none was named for such rows"
            raise ValueError(message)
        return Actor.of(mapping.default_actor)
    actor = Actor.of(text) if ":" in text else Actor(mapping.actor_kind, text)
    check_text(f"the actor ({mapping.actor})", str(actor))
    return actor

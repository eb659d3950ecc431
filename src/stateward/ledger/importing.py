"""An event log from elsewhere, sent through a lifecycle in its own order: rows, what they mean, batches, resuming.

Every row has a key made of the log and its place in it, `import:<digest>:<number>`. The digest is over the header and
the first row only, so that a log that has grown since, or whose later rows were mended, is the same log. What an
earlier run did is read from the histories of the entities that it names: a receipt is left by applied events alone,
but a refused one must not be tried again either, in a state that it never met. So an entity's rows are done up to the
last that its history knows, and no event of it is ever sent out of its order.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, tzinfo
from functools import lru_cache, partial
from hashlib import blake2b
from io import TextIOWrapper
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol, cast

import msgspec

from stateward.chart import Chart, ContextMarker, EventMarker
from stateward.chart.immutable import field_names
from stateward.errors import CallerError, Conflict, LedgerUnavailable, Refusal, StatewardError, Unkeepable
from stateward.ledger.codec import check_text, encode
from stateward.ledger.results import Actor, Applied, Record

__all__ = [
    "BadRow",
    "ImportStopped",
    "Log",
    "LogMap",
    "LogRow",
    "MapInvalid",
    "Report",
    "Target",
    "import_log",
    "read_map",
]

BATCH_SIZE = 500
"""Rows that are read, mapped and sent together; not more than an engine commits at once."""
KNOWN_MAX = 200_000
"""Entities that are remembered; others are looked up again when the log names them next."""
PROBLEMS_KEPT = 10
"""Problems that a report tells in words; it counts the others."""

Answer = Applied[Any] | Refusal | StatewardError


class ImportStopped(CallerError):
    """An import stopped at a row that can't be read or kept; nothing of its batch was sent if it can't be read."""

    def __init__(self, problem: str, *, path: str, line: int = 0) -> None:
        self.problem = problem
        self.path = path
        self.line = line
        """From 1, the header; 0: the file as a whole."""
        super().__init__(problem)

    def __str__(self) -> str:
        return f"{self.path}" + (f", line {self.line}" if self.line else "") + f": {self.problem}"


class MapInvalid(CallerError):
    """What is to say which column of a log means what does not fit the lifecycle or the log."""


# What the columns mean.


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
            _make(chart.context_type, {})
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


def _make(kind: Any, cells: Mapping[str, str]) -> Any:
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
    return names, partial(msgspec.convert, type=kind, strict=False)


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
    event: EventMarker = _make(kind, {field: cell[column] for field, column in mapping.fields[name].items()})
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


# Sending them.


class Target(Protocol):
    """What an import needs of an engine, for one lifecycle; what it sends has the source `import`."""

    def states(self, entities: Sequence[str]) -> Mapping[str, str]:
        """The configurations of those that exist."""
        ...

    def history(self, entity: str) -> Iterable[Record]:
        """All records of an entity."""
        ...

    def create(self, row: LogRow, context: ContextMarker, key: str) -> Applied[Any]:
        """Start the entity that a row names."""
        ...

    def send(self, rows: Sequence[LogRow]) -> Sequence[Answer]:
        """Send the events of rows in one batch; the answers in their order."""
        ...


class Report:
    """What came of a log, whichever run did it."""

    def __init__(self) -> None:
        self.rows = 0
        """Those read so far: the sum of the counts below."""
        self.applied: Counter[tuple[str, str]] = Counter()
        """By the configuration before and the event, as the next two."""
        self.already_done: Counter[tuple[str, str]] = Counter()
        self.refused: Counter[tuple[str, str]] = Counter()
        self.reasons: dict[tuple[str, str], set[str]] = {}
        """The kinds of the refusals."""
        self.bad = 0
        """Rows that could not be read, and were skipped."""
        self.failed = 0
        """Rows whose event met an error; nothing of them was kept."""
        self.created = 0
        """Entities that were started by the log."""
        self.earlier = 0
        """How many of the rows an earlier run had done."""
        self.problems: list[str] = []
        """What was wrong with the first bad and failed rows."""

    def refuse(self, state: str, event: str, reason: str) -> None:
        """Count a refusal."""
        self.refused[state, event] += 1
        self.reasons.setdefault((state, event), set()).add(reason)


def import_log(
    log: Log, target: Target, *, skips_bad: bool = False, on_progress: Callable[[Report], object] = lambda _: None
) -> Report:
    """Send a log through a lifecycle, or what an interrupted run has left of it.

    Args:
        log: the log.
        target: where to.
        skips_bad: count rows that can't be read or kept, instead of stopping at them.
        on_progress: called after each batch.

    Raises:
        ImportStopped: a row can't be read, and nothing of its batch was sent; or an event met an error, and the others
            of its batch are done.
        Conflict: an earlier run sent something else in the place of a row.
        LedgerUnavailable: the ledger is away; the import goes on from there when it is run again.
    """
    work = _Import(log, target, skips_bad=skips_bad)
    rows = log.rows()
    while batch := list(islice(rows, BATCH_SIZE)):
        work.take(batch)
        on_progress(work.report)
    return work.report


class _Known:
    """An entity that the log has named."""

    __slots__ = ("done", "error", "last", "state")

    def __init__(self, state: str, last: int = 0, done: Mapping[str, Record] | None = None) -> None:
        self.state = state
        self.last = last
        """The last row of this log that its history knows."""
        self.done = done or {}
        """Its records by key, those of this log."""
        self.error: StatewardError | None = None
        """Why it could not be started."""


class _Import:
    """A log under way."""

    def __init__(self, log: Log, target: Target, *, skips_bad: bool) -> None:
        self.report = Report()
        self._log = log
        self._target = target
        self._skips_bad = skips_bad
        self._known: dict[str, _Known] = {}
        self._failure: ImportStopped | None = None

    def take(self, batch: Sequence[LogRow | BadRow]) -> None:
        """Send what is new in a batch. Nothing is sent until all of it has been read."""
        if len(self._known) > KNOWN_MAX:
            self._known.clear()
        self._learn(dict.fromkeys(each.entity for each in batch if isinstance(each, LogRow)))
        starting: dict[str, tuple[LogRow, ContextMarker]] = {}
        waiting: list[LogRow] = []
        repeated: list[tuple[LogRow, _Known]] = []
        for row in batch:
            if isinstance(row, BadRow):
                self._skip(row)
                continue
            known = self._known.get(row.entity)
            if known is not None and f"{row.key}:start" in known.done:
                self.report.created += 1
            if known is not None and row.number <= known.last:
                repeated.append((row, known))
                continue
            if known is None and row.entity not in starting:
                try:
                    starting[row.entity] = row, _make(self._log.mapping.chart.context_type, row.first)
                except ValueError as error:
                    self._skip(BadRow(row.number, row.line, f"no {row.entity} can be started from it: {error}"))
                    continue
            waiting.append(row)
        for row, known in repeated:
            self._repeat(row, known)
        for row, context in starting.values():
            self._start(row, context)
        self._send(waiting)
        self.report.rows += len(batch)
        if self._failure is not None and not self._skips_bad:
            raise self._failure

    def _learn(self, entities: Iterable[str]) -> None:
        """Look up those that are not known yet, and what an earlier run of this log did to them."""
        prefix = f"import:{self._log.digest}:"
        states = self._target.states([each for each in entities if each not in self._known])
        for entity, state in states.items():
            done = {
                record.key: record
                for record in self._target.history(entity)
                if record.key is not None and record.source == "import" and record.key.startswith(prefix)
            }
            numbers = [int(end) for key in done if (end := key.removeprefix(prefix)).isdecimal()]
            self._known[entity] = _Known(state, max(numbers, default=0), done)

    def _repeat(self, row: LogRow, known: _Known) -> None:
        """Count what an earlier run made of a row."""
        record = known.done.get(row.key)
        self.report.earlier += 1
        if record is None:
            self._fail(row, "an earlier run left it out, and has sent later rows of this entity since", is_new=False)
            return
        was = (record.event, record.occurred_at, record.payload)
        if was != (row.name, row.at, msgspec.json.decode(row.payload)):
            problem = (
                f"{self._log.path}, line {row.line}: this is {row.name} of {row.at.isoformat()}, and an earlier run "
                f"has sent {record.event} of {record.occurred_at.isoformat()} in its place, as record {record.id}; "
                "rows that were sent must stay as and where they were, and be read with the same maps"
            )
            raise Conflict(problem, lifecycle=record.kind, entity=row.entity)
        state = record.state_from or ""
        if record.outcome == "applied":
            self.report.applied[state, record.event] += 1
        elif record.outcome == "already_done":
            self.report.already_done[state, record.event] += 1
        else:
            self.report.refuse(state, record.event, record.reason or "")

    def _start(self, row: LogRow, context: ContextMarker) -> None:
        try:
            applied = self._target.create(row, context, f"{row.key}:start")
        except LedgerUnavailable:
            raise
        except StatewardError as error:
            if isinstance(error, Conflict):
                self._learn([row.entity])  # somebody else has started it since it was looked for
            if row.entity not in self._known:
                self._known[row.entity] = _Known("")
                self._known[row.entity].error = error
            return
        self.report.created += 1
        self._known[row.entity] = _Known(applied.state)

    def _send(self, rows: Sequence[LogRow]) -> None:
        sent: list[LogRow] = []
        for row in rows:
            error = self._known[row.entity].error
            if error is None:
                sent.append(row)
            else:
                self._fail(row, str(error), error)
        for row, answer in zip(sent, self._target.send(sent), strict=True):
            self._count(row, answer)

    def _count(self, row: LogRow, answer: Answer) -> None:
        known = self._known[row.entity]
        if isinstance(answer, LedgerUnavailable):
            raise answer
        if isinstance(answer, StatewardError):
            self._fail(row, str(answer), answer)
        elif isinstance(answer, Refusal):
            self.report.refuse(answer.state, row.name, answer.kind)
            known.state = answer.state
        else:
            counts = self.report.applied if answer.outcome == "applied" else self.report.already_done
            counts[known.state, row.name] += 1
            known.state = answer.state

    def _skip(self, row: BadRow) -> None:
        if not self._skips_bad:
            raise ImportStopped(row.problem, path=str(self._log.path), line=row.line)
        self.report.bad += 1
        self._tell(row.line, row.problem)

    def _fail(self, row: LogRow, problem: str, error: StatewardError | None = None, *, is_new: bool = True) -> None:
        """Count an event that met an error; the first one of this run stops the import behind its batch."""
        self.report.failed += 1
        self._tell(row.line, problem)
        if is_new and self._failure is None:
            self._failure = ImportStopped(problem, path=str(self._log.path), line=row.line)
            self._failure.__cause__ = error

    def _tell(self, line: int, problem: str) -> None:
        if len(self.report.problems) < PROBLEMS_KEPT:
            self.report.problems.append(f"line {line}: {problem}")

"""An event log from elsewhere, sent through a lifecycle in its own order: rows, what they mean, batches, resuming.

Every row has a key made of the log and its place in it, `import:<digest>:<number>`. The digest is over the header and
the first row only, so that a log that has grown since, or whose later rows were mended, is the same log. What an
earlier run did is read from the histories of the entities that it names: a receipt is left by applied events alone,
but a refused one must not be tried again either, in a state that it never met. So an entity's rows are done up to the
last that its history knows, and no event of it is ever sent out of its order.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

import msgspec

from stateward.chart import ContextMarker
from stateward.errors import (
    Conflict,
    ImportStopped,
    LedgerUnavailable,
    Refusal,
    StatewardError,
)
from stateward.ledger.logs import BadRow, Log, LogRow, make_value
from stateward.ledger.results import Applied, Record

__all__ = ["Answer", "Report", "Target", "import_log"]

BATCH_SIZE = 500
"""Rows that are read, mapped and sent together; not more than an engine commits at once."""
KNOWN_MAX = 200_000
"""Entities that are remembered; others are looked up again when the log names them next."""
PROBLEMS_KEPT = 10
"""Problems that a report tells in words; it counts the others."""

Answer = Applied[Any] | Refusal | StatewardError


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
        Conflict: an earlier run sent something else in the place of a row, or an entity's older records are archived.
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
                    starting[row.entity] = row, make_value(self._log.mapping.chart.context_type, row.first)
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
            history = list(self._target.history(entity))
            if not history or history[0].revision != 1:
                problem = "its older records are archived, so that nobody can tell here what an earlier run has done"
                raise Conflict(problem, lifecycle=self._log.mapping.chart.kind, entity=entity)
            done = {
                record.key: record
                for record in history
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

"""Conformance cases: documents that say of themselves, or that a list of events says of, how they should end.

A case is a document whose session should end in a top-level final state `pass` and not in `fail`, or a document
with a `.json` file beside it: the atomic states expected at the start and after each event. All time is virtual.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import msgspec

from stateward.errors import DocumentInvalid, StatewardError
from stateward.scxml.posting import HttpPort
from stateward.scxml.processor import Processor, VirtualClock
from stateward.scxml.reader import read_file
from stateward.scxml.session import Session

__all__ = ["Verdict", "find_cases", "run_case"]

TIME_LIMIT = timedelta(hours=1)
"""The virtual time after which a case that has not ended has failed."""


class Verdict(msgspec.Struct, frozen=True):
    """How a case ended."""

    path: Path
    passed: bool
    reason: str = ""
    """Why it failed."""


class _Given(msgspec.Struct):
    name: str
    data: object = None


class _Stimulus(msgspec.Struct, rename="camel"):
    event: _Given
    next_configuration: frozenset[str]
    after: float = 0
    """Milliseconds that pass before the event."""


class _Expectation(msgspec.Struct, rename="camel"):
    initial_configuration: frozenset[str]
    events: tuple[_Stimulus, ...] = ()


def find_cases(path: Path) -> Iterator[Path]:
    """The cases that a path names: a document, or all in a folder and below, in order of their paths.

    In a folder, documents that are no cases of their own are passed over: those that other documents refer to.

    Raises:
        FileNotFoundError: there is nothing at the path.
    """
    if not path.exists():
        raise FileNotFoundError(path)
    if not path.is_dir():
        yield path
        return
    yield from (each for each in sorted(path.rglob("*.scxml")) if each.with_suffix(".json").exists() or _decides(each))


def _decides(path: Path) -> bool:
    """Whether a document can end in `pass`; one that can't be read is a case that fails."""
    try:
        chart = read_file(path)
    except DocumentInvalid:
        return True
    return any(chart.has_state(name) for name in ("pass", "fail"))


def run_case(path: Path) -> Verdict:
    """Run a case to its end, in virtual time."""
    expectation = path.with_suffix(".json")
    try:
        chart = read_file(path)
        with Processor(VirtualClock(), http=HttpPort()) as processor:
            session = Session(chart, processor=processor)
            reason = _follow(session, expectation) if expectation.exists() else _run_to_end(session)
    except StatewardError as error:
        reason = str(error)
    except msgspec.DecodeError as error:
        reason = f"{expectation.name}: {error}"
    return Verdict(path, passed=not reason, reason=reason)


def let_pass(session: Session, clock: VirtualClock, until: timedelta) -> None:
    """Let time pass from one delayed event to the next, and on to a moment."""
    while session.next_due is not None and session.next_due <= until:
        clock.advance(max(session.next_due - clock.now(), timedelta(0)))
        session.run_due()
    clock.advance(max(until - clock.now(), timedelta(0)))


def _run_to_end(session: Session) -> str:
    assert isinstance(session.clock, VirtualClock)
    let_pass(session, session.clock, TIME_LIMIT)
    if session.configuration == ("pass",):
        return ""
    return f"it ended in {_written(session.configuration)}, and not in pass"


def _follow(session: Session, expectation: Path) -> str:
    assert isinstance(session.clock, VirtualClock)
    expected = msgspec.json.decode(expectation.read_bytes(), type=_Expectation)
    if frozenset(session.configuration) != expected.initial_configuration:
        return _differs("at the start", session, expected.initial_configuration)
    for number, each in enumerate(expected.events, start=1):
        let_pass(session, session.clock, session.clock.now() + timedelta(milliseconds=each.after))
        session.send(each.event.name, each.event.data)
        if frozenset(session.configuration) != each.next_configuration:
            return _differs(f"after event {number}, {each.event.name},", session, each.next_configuration)
    return ""


def _differs(when: str, session: Session, expected: frozenset[str]) -> str:
    return f"{when} it is in {_written(session.configuration)}, and not in {_written(sorted(expected))}"


def _written(states: tuple[str, ...] | list[str]) -> str:
    return "|".join(states) or "no state"

"""The forms that the field argues about: how to find out what an event means in a state.

A ring of n states, each with the one event that leads on. Every form does the same moves without guard, action
or record; so these are prices of a look-up, not of a machine.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

from bench.measure import Effort, Run, compare
from bench.report import Report, Table

__all__ = ["measure"]

_EVENTS = 20_000
_SIZES = (4, 8, 16, 32, 64, 128)
_SMALL = range(1, 33)
"""Where the crossover is looked for."""
_DICT = "dict of (state, event)"
_LINEAR = "linear table, searched"

_Drive = Callable[[Sequence[Any]], object]
"""Goes around the ring, an event at a time."""


def measure(effort: Effort) -> Report:
    """ns per event for each form and number of states, and where the linear table stops winning."""
    forms: dict[str, Callable[[int], tuple[_Drive, Sequence[Any]]]] = {
        _DICT: _dict,
        "list of lists, by small numbers": _grid,
        _LINEAR: _linear,
        "class per state, method per event": _methods,
        "function per state, returns the next": _functions,
        "generator, its place is the state": _generator,
    }
    results = {
        size: compare({name: _run(*form(size), effort) for name, form in forms.items()}, _DICT, effort.rounds)
        for size in _SIZES
    }
    rows = [(name, *(f"{results[size][name].ns:,.0f}" for size in _SIZES)) for name in forms]
    head = ("", *(f"n = {size}" for size in _SIZES))
    return Report([Table("Forms of dispatch, ns per event by number of states", head, rows, _crossover(effort))])


def _crossover(effort: Effort) -> str:
    for size in _SMALL:
        figures = compare(
            {_DICT: _run(*_dict(size), effort), _LINEAR: _run(*_linear(size), effort)}, _DICT, effort.rounds
        )
        if figures[_LINEAR].ratio > 1:
            ahead = f"with fewer than {size} entries" if size > 1 else "nowhere, not even with one entry"
            return f"The linear table is ahead of the dict {ahead}; a search looks through half of them on average."
    return f"The linear table is ahead of the dict with up to {_SMALL[-1]} entries at least."


def _run(drive: _Drive, ring: Sequence[Any], effort: Effort) -> Run:
    number = effort.times(_EVENTS)
    events = [ring[index % len(ring)] for index in range(number)]

    def run() -> tuple[int, int]:
        began = time.thread_time_ns()
        drive(events)
        return time.thread_time_ns() - began, number

    return run


def _names_and_events(size: int) -> tuple[list[str], list[type]]:
    """States by name and events by class, as a table by hand has them."""
    return [f"state{n}" for n in range(size)], [type(f"Event{n}", (), {}) for n in range(size)]


def _dict(size: int) -> tuple[_Drive, Sequence[Any]]:
    names, events = _names_and_events(size)
    entries = {(names[n], events[n]): names[(n + 1) % size] for n in range(size)}

    def drive(given: Sequence[type]) -> None:
        state = names[0]
        for event in given:
            state = entries[state, event]

    return drive, events


def _grid(size: int) -> tuple[_Drive, Sequence[Any]]:
    grid = [[(n + 1) % size if n == m else -1 for m in range(size)] for n in range(size)]

    def drive(given: Sequence[int]) -> None:
        state = 0
        for event in given:
            state = grid[state][event]

    return drive, range(size)


def _linear(size: int) -> tuple[_Drive, Sequence[Any]]:
    names, events = _names_and_events(size)
    entries = [(names[n], events[n], names[(n + 1) % size]) for n in range(size)]

    def drive(given: Sequence[type]) -> None:
        state = names[0]
        for event in given:
            for source, wanted, target in entries:
                if wanted is event and source == state:
                    state = target
                    break

    return drive, events


def _methods(size: int) -> tuple[_Drive, Sequence[Any]]:
    states: list[Any] = []
    names = [f"on_event{n}" for n in range(size)]

    def make(n: int) -> Any:
        def lead_on(self: object) -> Any:
            return states[(n + 1) % size]

        return type(f"State{n}", (), {names[n]: lead_on})()

    states += map(make, range(size))

    def drive(given: Sequence[str]) -> None:
        state = states[0]
        for event in given:
            state = getattr(state, event)()

    return drive, names


def _functions(size: int) -> tuple[_Drive, Sequence[Any]]:
    functions: list[Callable[[type], Any]] = []
    _, events = _names_and_events(size)

    def make(n: int) -> Callable[[type], Any]:
        own = events[n]

        def state(event: type) -> Any:
            if event is own:
                return functions[(n + 1) % size]
            raise LookupError(event)

        return state

    functions += map(make, range(size))

    def drive(given: Sequence[type]) -> None:
        state = functions[0]
        for event in given:
            state = state(event)

    return drive, events


def _generator(size: int) -> tuple[_Drive, Sequence[Any]]:
    _, events = _names_and_events(size)

    def ring() -> Generator[None, type, None]:
        event = yield
        while True:
            for own in events:
                if event is not own:
                    raise LookupError(event)
                event = yield

    def drive(given: Sequence[type]) -> None:
        machine = ring()
        next(machine)
        send = machine.send
        for event in given:
            send(event)

    return drive, events

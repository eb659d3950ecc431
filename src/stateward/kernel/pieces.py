"""Pieces and plans: what one microstep does, worked out without running anything.

A piece is the part of a microstep that one transition brings: what it leaves, enters and remembers. It
depends on the transition, on the active states within its domain, and on the histories that its targets
might consult; on nothing else. The transitions that survive a conflict have disjoint domains, so a microstep
is its pieces put together without search: exits in reverse document order, then the transitions' contents in
the order of their selection, then entries in document order.

The sets follow Appendix D of SCXML 1.0; the names of its procedures stand beside each function.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from stateward.chart.handlers import Handler
from stateward.chart.nodes import StateKind, TransitionNode
from stateward.kernel.structure import Structure, bits, bits_reversed
from stateward.kernel.values import Microstep, TimerSet

if TYPE_CHECKING:
    from stateward.kernel.tables import Tables
    from stateward.kernel.values import Position

__all__ = [
    "Call",
    "Complete",
    "Entry",
    "Op",
    "Piece",
    "Plan",
    "Program",
    "SetTimer",
    "Stop",
    "compute_entry",
    "make_farewell",
    "make_piece",
    "make_plan",
]


class Entry:
    """The states that a transition enters, and which of them by default (`computeEntrySet`)."""

    __slots__ = ("by_default", "by_history", "entered")

    def __init__(self) -> None:
        self.entered = 0
        self.by_default = 0
        """Composites whose initial actions run (`statesForDefaultEntry`)."""
        self.by_history: dict[int, tuple[Handler, ...]] = {}
        """History default actions, by the history's parent (`defaultHistoryContent`)."""


def compute_entry(structure: Structure, targets: Iterable[int], domain: int, memory: tuple[int, ...]) -> Entry:
    """What entering these targets from within `domain` enters."""
    entry = Entry()
    targets = tuple(targets)
    for target in targets:
        _add_descendants(structure, target, memory, entry)
    for target in structure.effective_targets(targets, memory):
        _add_ancestors(structure, target, domain, memory, entry)
    return entry


def _add_descendants(structure: Structure, index: int, memory: tuple[int, ...], entry: Entry) -> None:
    """Enter a state, and below it what its kind asks for (`addDescendantStatesToEnter`)."""
    if index in structure.slot:
        _add_remembered(structure, index, memory, entry)
        return
    entry.entered |= 1 << index
    if structure.compound >> index & 1:
        entry.by_default |= 1 << index
        _add_all(structure, structure.states[index].initial, index, memory, entry)
    elif structure.parallel >> index & 1:
        _add_regions(structure, index, memory, entry)


def _add_remembered(structure: Structure, index: int, memory: tuple[int, ...], entry: Entry) -> None:
    """Enter what a history remembers, or its default with the default's actions."""
    remembered = memory[structure.slot[index]]
    state, parent = structure.states[index], structure.parent[index]
    if not remembered:
        entry.by_history[parent] = state.default_actions
    _add_all(structure, tuple(bits(remembered)) or state.default, parent, memory, entry)


def _add_all(structure: Structure, indices: tuple[int, ...], above: int, memory: tuple[int, ...], entry: Entry) -> None:
    for each in indices:
        _add_descendants(structure, each, memory, entry)
    for each in indices:
        _add_ancestors(structure, each, above, memory, entry)


def _add_regions(structure: Structure, index: int, memory: tuple[int, ...], entry: Entry) -> None:
    """Enter the regions in which nothing is entered yet."""
    for child in bits(structure.children[index]):
        if not entry.entered & structure.descendants[child]:
            _add_descendants(structure, child, memory, entry)


def _add_ancestors(structure: Structure, index: int, above: int, memory: tuple[int, ...], entry: Entry) -> None:
    """Enter the states between one and `above`, and the regions beside them (`addAncestorStatesToEnter`)."""
    for ancestor in structure.ancestors[index]:
        if ancestor == above:
            return
        entry.entered |= 1 << ancestor
        if structure.parallel >> ancestor & 1:
            _add_regions(structure, ancestor, memory, entry)


class Piece:
    """What one transition brings to a microstep."""

    __slots__ = ("alone", "entry", "exited", "recorded", "transition")

    def __init__(self, transition: TransitionNode, exited: int, entry: Entry, recorded: dict[int, int]) -> None:
        self.transition = transition
        self.exited = exited
        self.entry = entry
        self.recorded = recorded
        """What the histories of the states left remember from now on, by slot."""
        self.alone: Program | None = None
        """What a microstep of this piece alone does, where that does not depend on the states that stand still."""


def make_piece(
    structure: Structure, transition: TransitionNode, domain: int | None, local: int, memory: tuple[int, ...]
) -> Piece:
    """The piece of a transition.

    Args:
        structure: the chart's tree.
        transition: the transition taken.
        domain: its domain; None when it is targetless.
        local: the active states within the domain.
        memory: what is remembered; only the histories that its targets might consult are looked at.
    """
    if domain is None:
        return Piece(transition, 0, Entry(), {})
    recorded = {
        structure.slot[history]: _remember(structure, history, local)
        for index in bits(local)
        for history in structure.histories_of.get(index, ())
    }
    # What is entered is decided after the exits: a state left and entered by one transition through its own
    # history is where it just was.
    after = tuple(recorded.get(slot, kept) for slot, kept in enumerate(memory))
    entry = compute_entry(structure, transition.targets, domain, after)
    return Piece(transition, local, entry, recorded)


def _remember(structure: Structure, history: int, active: int) -> int:
    parent = structure.parent[history]
    if structure.states[history].kind is StateKind.DEEP_HISTORY:
        return active & structure.descendants[parent] & structure.atomic
    return active & structure.children[parent]


class Call:
    """Run a handler; `active` is the configuration at that moment of the microstep."""

    __slots__ = ("active", "call", "handler", "wants_meta")

    def __init__(self, handler: Handler, active: int) -> None:
        self.handler = handler
        self.call = handler.call
        self.wants_meta = handler.wants_meta
        self.active = active


class Stop:
    """Stop what runs beside a state that is left, unless it has not begun."""

    __slots__ = ("call", "state")

    def __init__(self, state: int, call: Call) -> None:
        self.state = state
        self.call = call


class SetTimer:
    """Set a timer whose delay the context decides."""

    __slots__ = ("delay", "name")

    def __init__(self, name: str, delay: Handler) -> None:
        self.name = name
        self.delay = delay


class Complete:
    """Queue the Done event of a state, with the data that its final child gives; of the root: finish."""

    __slots__ = ("active", "data", "state")

    def __init__(self, state: str, data: Handler | None, active: int) -> None:
        self.state = state
        self.data = data
        self.active = active


Op = Call | SetTimer | Stop | Complete | TimerSet


class Program:
    """What a microstep does, in order, and the record of it."""

    __slots__ = ("begins", "looks_around", "microsteps", "ops", "timers_cancelled", "timers_set")

    def __init__(
        self,
        microstep: Microstep,
        ops: tuple[Op, ...],
        timers_cancelled: tuple[str, ...],
        *,
        begins: int = 0,
        looks_around: bool,
    ) -> None:
        self.microsteps = (microstep,)
        self.ops = ops
        self.timers_cancelled = timers_cancelled
        self.timers_set = tuple(op for op in ops if isinstance(op, TimerSet))
        """The timers whose delay is fixed; they stand among `ops` too, at their place."""
        self.begins = begins
        """The states entered beside which something is to run, once the macrostep has come to rest."""
        self.looks_around = looks_around
        """Whether it depends on states that stand still: a handler asks for them, or a parallel may be done."""


class Plan:
    """A microstep worked out for a position: its program, and where it leads."""

    __slots__ = ("begins", "is_quiet", "microsteps", "only", "ops", "target", "timers_cancelled", "timers_set")

    def __init__(self, program: Program, target: Position) -> None:
        self.microsteps = program.microsteps
        self.ops = program.ops
        self.timers_cancelled = program.timers_cancelled
        self.timers_set = program.timers_set
        self.begins = program.begins
        self.target = target
        calls = [op for op in program.ops if isinstance(op, Call)]
        settled = len(calls) + len(program.timers_set) == len(program.ops) and not (target.restless or program.begins)
        self.is_quiet = settled and not calls
        """Nothing runs and nothing can follow: the step is known but for its context."""
        self.only = calls[0] if settled and len(calls) == 1 and not calls[0].wants_meta else None
        """The one handler, if there is just one and nothing can follow but what it raises."""


def make_plan(tables: Tables, position: Position, pieces: Sequence[Piece]) -> Plan:
    """Put the pieces of one microstep together, in the order of their transitions' selection."""
    exited = entered = 0
    memory = position.memory
    for piece in pieces:
        exited |= piece.exited
        entered |= piece.entry.entered
        if piece.recorded:
            memory = tuple(piece.recorded.get(slot, kept) for slot, kept in enumerate(memory))
    target = tables.intern(position.configuration & ~exited | entered, memory)
    program = pieces[0].alone if len(pieces) == 1 else None
    if program is None:
        program = _make_program(tables, position.configuration, pieces, exited, entered)
        if len(pieces) == 1 and not program.looks_around:
            pieces[0].alone = program
    return Plan(program, target)


def _make_program(tables: Tables, configuration: int, pieces: Sequence[Piece], exited: int, entered: int) -> Program:
    """The ops of a microstep, in order, and its record."""
    structure = tables.structure
    staying = configuration & ~exited
    by_default = 0
    by_history: dict[int, tuple[Handler, ...]] = {}
    for piece in pieces:
        by_default |= piece.entry.by_default
        by_history.update(piece.entry.by_history)
    ops: list[Op] = list(_exit_ops(structure, exited, configuration))
    ops += [Call(each, staying) for piece in pieces for each in piece.transition.actions]
    ops += _entry_ops(tables, entered, staying, by_default, by_history)
    microstep = Microstep(
        tuple(structure.states[index].path for index in bits_reversed(exited)),
        tuple(piece.transition.id for piece in pieces if piece.transition.id),  # the start's has none
        tuple(structure.states[index].path for index in bits(entered)),
    )
    # Through a history Appendix D enters states that were not left; their timers start anew all the same.
    stopped = (*bits_reversed(exited), *bits(entered & staying))
    cancelled = tuple(name for index in stopped for name, _ in tables.timers[index])
    calls = [op.call if isinstance(op, Stop) else op for op in ops]
    looks_around = bool(entered & structure.final) or any(isinstance(op, Call) and op.wants_meta for op in calls)
    begins = entered & ~staying & structure.invoking
    return Program(microstep, tuple(ops), cancelled, begins=begins, looks_around=looks_around)


def make_farewell(tables: Tables, configuration: int) -> Program:
    """Leaving all that is active for good (`exitInterpreter`): exit handlers run, and no history is recorded."""
    structure = tables.structure
    ops = tuple(_exit_ops(structure, configuration, configuration))
    microstep = Microstep(tuple(structure.states[index].path for index in bits_reversed(configuration)), (), ())
    cancelled = tuple(name for index in bits_reversed(configuration) for name, _ in tables.timers[index])
    return Program(microstep, ops, cancelled, looks_around=True)


def _exit_ops(structure: Structure, exited: int, active: int) -> Iterator[Op]:
    """Exit handlers and what ends with a state, children before parents; it is active until then (`exitStates`)."""
    for index in bits_reversed(exited):
        for each in structure.states[index].exit:
            yield Call(each, active)
        for invoke in structure.states[index].invokes:
            yield Stop(index, Call(invoke.stop, active))
        active &= ~(1 << index)


def _entry_ops(
    tables: Tables, entered: int, active: int, by_default: int, by_history: dict[int, tuple[Handler, ...]]
) -> Iterator[Op]:
    """Entry handlers, timers, default contents and completions, parents before children (`enterStates`)."""
    structure = tables.structure
    for index in bits(entered):
        state = structure.states[index]
        active |= 1 << index
        for each in state.entry:
            yield Call(each, active)
        for name, delay in tables.timers[index]:
            yield TimerSet(name, delay) if isinstance(delay, timedelta) else SetTimer(name, delay)
        if by_default >> index & 1:
            for each in state.initial_actions:
                yield Call(each, active)
        for each in by_history.get(index, ()):
            yield Call(each, active)
        if structure.final >> index & 1:
            yield from _completions(tables, index, active)


def _completions(tables: Tables, final: int, active: int) -> Iterator[Op]:
    """The Done events that reaching a final state brings: its parent's, and its grandparent's if parallel."""
    structure = tables.structure
    parent = structure.parent[final]
    data = structure.states[final].data
    if parent == 0:
        if data is not None:
            yield Complete("", data, active)
        return
    if tables.is_awaited(parent):
        yield Complete(structure.states[parent].path, data, active)
    grandparent = structure.parent[parent]
    if (
        structure.parallel >> grandparent & 1
        and structure.is_in_final(grandparent, active)
        and tables.is_awaited(grandparent)
    ):
        yield Complete(structure.states[grandparent].path, None, active)

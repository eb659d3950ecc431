"""The tables of a chart, filled as they are needed, in three layers.

1. Candidates: for an atomic state and an event, its transitions and its ancestors', in order.
2. Pieces (`pieces.py`): for a transition, the active states in its domain and the histories it reads.
3. The front, kept at each position: for an event a tree of guards to ask, with a finished plan at each leaf.

A table keyed by whole configurations alone explodes with the number of regions; pieces don't, since regions
that stand still are not part of their key. The front is bounded: when it is full all plans are dropped, and
positions, which are held only by those who use them, start anew. What matches nothing is not remembered,
since the names of events can come from outside.

Everything is a pure function of its key, so two threads that fill the same entry write equal values, and no
lock is needed: single dict operations are atomic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from stateward.chart.handlers import Handler
from stateward.chart.nodes import Chart, TimerTrigger, TransitionNode
from stateward.chart.values import ContextMarker, Done
from stateward.errors import Refusal, SnapshotInvalid
from stateward.kernel.pieces import Piece, Plan, compute_entry, make_farewell, make_piece, make_plan
from stateward.kernel.structure import Structure, bits, mask_of
from stateward.kernel.values import Position

__all__ = ["EVENTLESS", "Fork", "Node", "Nothing", "Tables", "position_of", "tables_of"]

C = TypeVar("C", bound=ContextMarker)

EVENTLESS = None
"""The key of eventless transitions in the tables that are keyed by trigger."""

FRONT_LIMIT = 8192
"""Plans and forks that a chart keeps before it drops them all."""
PIECES_LIMIT = 65_536
"""Pieces and candidate lists that a chart keeps before it drops them all."""


class Asked(NamedTuple):
    """How far a selection has come: from here it goes on, once the guard that it stands at has answered."""

    lists: Sequence[tuple[TransitionNode, ...]]
    """The candidates of each atomic state that has any."""
    row: int
    """The atomic state that it is at, among those."""
    column: int
    """The candidate that it is at, among those of the atomic state."""
    selected: tuple[TransitionNode, ...] = ()
    verdicts: Mapping[int, bool] = {}
    """What the guards have answered that may be come across again, by transition."""


class Fork:
    """A guard to ask, and where either answer leads; the branches are filled when first taken."""

    __slots__ = ("asked", "call", "handler", "key", "no", "transition", "wants_meta", "yes")

    def __init__(self, transition: TransitionNode, guard: Handler, key: Any, asked: Asked) -> None:
        self.transition = transition
        self.handler = guard
        self.call = guard.call
        self.wants_meta = guard.wants_meta
        self.key = key
        self.asked = asked
        """How far the selection has come on the way here."""
        self.yes: Node | None = None
        self.no: Node | None = None


class Nothing:
    """No transition is enabled; `is_guarded` says whether there were candidates."""

    __slots__ = ("is_guarded", "refusal")

    def __init__(self, *, is_guarded: bool) -> None:
        self.is_guarded = is_guarded
        self.refusal: Refusal | None = None
        """The answer, once it was worked out, where nothing but the position and the key decides it."""


Node = Fork | Plan | Nothing


class Tables:
    """What the kernel has learnt about one chart; shared by every instance of it."""

    def __init__(self, chart: Chart[Any]) -> None:
        self.chart = chart
        self.structure = Structure(chart)
        self.index_of: dict[object, int] = {state.path: state.index for state in chart.states[1:]}
        self._atoms = frozenset(bits(self.structure.atomic))
        self._scale = 1 + (len(chart.states) + len(chart.transitions)) // 64
        """How many entries of an ordinary chart an entry of this one may take the room of."""
        self.is_plain = chart.before is None and chart.guard_error is None and chart.driver is None
        """Whether the short way through a step may be taken: no hook runs before selection or on a guard's error."""
        self.timers = self._timers_by_state()
        """For each state, the timers that live as long as it."""
        self._candidates: dict[Any, tuple[int, dict[int, tuple[TransitionNode, ...]]]] = {}
        self._answers: dict[tuple[int, ...], tuple[int, dict[int, tuple[TransitionNode, ...]]]] = {}
        """What is in `_candidates`, by the transitions that match: many keys share one answer."""
        self.eventless = self._candidates_for(EVENTLESS)[0]
        """The atomic states that have eventless transitions, their own or an ancestor's."""
        self._reads = [self.structure.histories_read(each.targets) for each in chart.transitions]
        nothing_remembered = (0,) * len(self.structure.history)
        self._fixed_domains = [
            None if reads else (self.structure.domain(each, nothing_remembered),)
            for each, reads in zip(chart.transitions, self._reads, strict=True)
        ]
        """The domains, in a tuple each, of those transitions whose targets no history decides."""
        self._pieces: dict[tuple[int, int | None, int, tuple[int, ...]], Piece] = {}
        self._positions: WeakValueDictionary[tuple[int, tuple[int, ...]], Position] = WeakValueDictionary()
        self._front_size = 0
        self.start_plan = self._plan_start()

    # Layer 1: candidates.

    def _candidates_for(self, key: Any) -> tuple[int, dict[int, tuple[TransitionNode, ...]]]:
        """The atomic states with candidates for a trigger key, and the candidates of each, nearest source first."""
        known = self._candidates.get(key)
        if known is not None:
            return known
        matching = tuple(
            each.index
            for each in self.chart.transitions
            if (each.trigger is None if key is EVENTLESS else each.trigger is not None and each.trigger.matches(key))
        )
        answer = self._answers.get(matching) or self._candidates_among(matching)
        if answer[0]:
            if len(self._candidates) + len(self._answers) * self._scale >= PIECES_LIMIT:
                self._candidates.clear()
                self._answers.clear()
            self._candidates[key] = self._answers[matching] = answer
        return answer

    def _candidates_among(self, matching: tuple[int, ...]) -> tuple[int, dict[int, tuple[TransitionNode, ...]]]:
        by_source: dict[int, list[TransitionNode]] = {}
        for index in matching:
            transition = self.chart.transitions[index]
            by_source.setdefault(transition.source, []).append(transition)
        found: dict[int, tuple[TransitionNode, ...]] = {}
        for atom in bits(self.structure.atomic):
            lineage = (atom, *self.structure.ancestors[atom])
            candidates = tuple(each for index in lineage for each in by_source.get(index, ()))
            if candidates:
                found[atom] = candidates
        return mask_of(found), found

    def candidates(self, position: Position, key: Any) -> list[tuple[TransitionNode, ...]]:
        """The candidates of each active atomic state that has any, in document order."""
        mask, by_atom = self._candidates_for(key)
        return [by_atom[atom] for atom in bits(position.configuration & mask)]

    def knows(self, key: Any) -> bool:
        """Whether any transition of the chart, or any `already=`, names such an event."""
        return bool(self._candidates_for(key)[0]) or any(each.trigger.matches(key) for each in self.chart.already)

    def is_already(self, position: Position, key: Any) -> bool:
        """Whether an active state is one in which such an event has nothing left to do."""
        return any(
            position.configuration & mask_of(each.states) and each.trigger.matches(key) for each in self.chart.already
        )

    def is_awaited(self, state: int) -> bool:
        """Whether the Done event of a state could make any difference."""
        key = (Done, self.structure.states[state].path)
        return not self.is_plain or bool(self.eventless or self._candidates_for(key)[0])

    # Layer 3: the front, a tree of guards for each position and trigger key.

    def root(self, position: Position, key: Any) -> Node:
        """Where the selection of transitions for such an event starts."""
        node = position.nodes.get(key, None)
        if node is None:
            node = self._grow(position, key, Asked(self.candidates(position, key), 0, 0))
            if self._candidates_for(key)[0]:  # a key that no transition matches is not remembered
                self._make_room()
                node = position.nodes.setdefault(key, node)
        return node

    def branch(self, position: Position, fork: Fork, *, verdict: bool) -> Node:
        """Where a guard's answer leads."""
        node = fork.yes if verdict else fork.no
        if node is None:
            node = self._grow(position, fork.key, self._answered(fork, verdict=verdict))
            self._make_room()
            if verdict:
                fork.yes = node
            else:
                fork.no = node
        return node

    def _answered(self, fork: Fork, *, verdict: bool) -> Asked:
        """Where the selection goes on after a guard's answer."""
        lists, row, column, selected, verdicts = fork.asked
        if fork.transition.source not in self._atoms:  # other atomic states below the source come across it again
            verdicts = {**verdicts, fork.transition.index: verdict}
        if verdict:
            return Asked(lists, row + 1, 0, (*selected, fork.transition), verdicts)
        return Asked(lists, row, column + 1, selected, verdicts)

    def _grow(self, position: Position, key: Any, asked: Asked) -> Node:
        """Select from there on as far as it is clear: the next guard, or what is to be done (`selectTransitions`)."""
        if position.finished:
            return Nothing(is_guarded=False)
        lists = asked.lists
        selected = list(asked.selected)
        known = {each.index for each in selected}
        column = asked.column
        for row in range(asked.row, len(lists)):
            for at in range(column, len(lists[row])):
                each = lists[row][at]
                verdict = True if each.guard is None else asked.verdicts.get(each.index)
                if verdict is None:
                    assert each.guard is not None
                    return Fork(each, each.guard, key, Asked(lists, row, at, tuple(selected), asked.verdicts))
                if verdict:
                    if each.index not in known:
                        known.add(each.index)
                        selected.append(each)
                    break
            column = 0
        if not selected:
            return Nothing(is_guarded=bool(lists))
        return self._plan(position, self._without_conflicts(position, selected))

    def _without_conflicts(self, position: Position, enabled: Sequence[TransitionNode]) -> list[TransitionNode]:
        """Of two whose exit sets meet, keep the deeper one, else the first (`removeConflictingTransitions`)."""
        kept: list[TransitionNode] = []
        if len(enabled) == 1:
            return [enabled[0]]
        exits = {each.index: self._exit_set(position, each) for each in enabled}
        left = 0
        """What those kept by now, and perhaps some that were not, leave."""
        for each in enabled:
            preempted: list[TransitionNode] = []
            for other in kept if exits[each.index] & left else ():
                if not exits[each.index] & exits[other.index]:
                    continue
                if self.structure.is_descendant(each.source, other.source):
                    preempted.append(other)
                else:
                    break
            else:
                if preempted:
                    kept = [other for other in kept if other not in preempted]
                kept.append(each)
                left |= exits[each.index]
        return kept

    def _exit_set(self, position: Position, transition: TransitionNode) -> int:
        domain = self._domain(position, transition)
        return 0 if domain is None else position.configuration & self.structure.descendants[domain]

    def _domain(self, position: Position, transition: TransitionNode) -> int | None:
        fixed = self._fixed_domains[transition.index]
        return fixed[0] if fixed else self.structure.domain(transition, position.memory)

    def _plan(self, position: Position, transitions: Sequence[TransitionNode]) -> Plan:
        key = tuple(each.index for each in transitions)
        plan = position.plans.get(key)
        if plan is None:
            plan = make_plan(self, position, [self._piece(position, each) for each in transitions])
            plan = position.plans.setdefault(key, plan)
        return plan

    # Layer 2: pieces.

    def _piece(self, position: Position, transition: TransitionNode) -> Piece:
        memory, structure = position.memory, self.structure
        domain = self._domain(position, transition)
        local = 0 if domain is None else position.configuration & structure.descendants[domain]
        reading = self._reads[transition.index]
        reads = tuple(memory[structure.slot[index]] for index in bits(reading)) if reading else ()
        key = (transition.index, domain, local, reads)
        piece = self._pieces.get(key)
        if piece is None:
            piece = make_piece(structure, transition, domain, local, memory)
            if len(self._pieces) * self._scale >= PIECES_LIMIT:
                self._pieces.clear()
            self._pieces[key] = piece
        return piece

    def _plan_start(self) -> Plan:
        """Entering the root's initial state, from nothing; the root's initial actions are the content of this arc."""
        structure = self.structure
        root = structure.states[0]
        nowhere = self.intern(0, (0,) * len(structure.history))
        start = TransitionNode(-1, "", "", 0, root.initial, None, actions=root.initial_actions)
        entry = compute_entry(structure, start.targets, 0, nowhere.memory)
        return make_plan(self, nowhere, [Piece(start, 0, entry, {})])

    def plan_leave(self, position: Position) -> Plan:
        """Leaving every active state, to nowhere: the position stays what it was."""
        return Plan(make_farewell(self, position.configuration), position)

    # Positions.

    def intern(self, configuration: int, memory: tuple[int, ...]) -> Position:
        """The position of this value; the one in use, if it is in use."""
        key = (configuration, memory)
        position = self._positions.get(key)
        if position is None:
            position = self._positions.setdefault(key, Position(self, configuration, memory))
        return position

    def active(self, configuration: int) -> frozenset[str]:
        """The paths of these states."""
        return frozenset(self.structure.states[index].path for index in bits(configuration))

    def statistics(self) -> dict[str, int]:
        """How much is remembered: positions in use, front nodes, pieces, trigger keys."""
        return {
            "positions": len(self._positions),
            "front": self._front_size,
            "pieces": len(self._pieces),
            "triggers": len(self._candidates),
        }

    def _make_room(self) -> None:
        """Count one more front node; when there are too many, drop them all, at every position in use."""
        self._front_size += 1
        if self._front_size * self._scale <= FRONT_LIMIT:
            return
        self._front_size = 0
        for reference in self._positions.valuerefs():  # a list of its own: other threads may add meanwhile
            position = reference()
            if position is not None:
                position.nodes.clear()
                position.plans.clear()

    def _timers_by_state(self) -> list[list[tuple[str, timedelta | Handler]]]:
        timers: list[list[tuple[str, timedelta | Handler]]] = [[] for _ in self.chart.states]
        for each in self.chart.transitions:
            if isinstance(each.trigger, TimerTrigger):
                timer = (each.trigger.timer, each.trigger.delay)
                if timer not in timers[each.source]:
                    timers[each.source].append(timer)
        return timers


def tables_of(chart: Chart[Any]) -> Tables:
    """The tables of a chart, made when first asked for."""
    tables: Tables | None = chart.tables
    if tables is None:
        tables = chart.tables = Tables(chart)
    return tables


def position_of(chart: Chart[Any], state: str, history: Mapping[str, Sequence[str]] | None = None) -> Position:
    """The position that a ledger kept as text, checked against the chart.

    Args:
        chart: the chart that the entity is pinned to.
        state: the paths of the active atomic states, joined by `|`.
        history: what is remembered, paths by the history's path.

    Raises:
        SnapshotInvalid: a path is unknown, or these states can't be active together.
    """
    tables = tables_of(chart)
    structure = tables.structure
    configuration = 0
    for path in state.split("|"):
        index = _index_of(chart, path)
        if not structure.atomic >> index & 1:
            problem = f"{path} is {chart.states[index].kind.value}; a configuration names atomic states"
            raise SnapshotInvalid(problem, lifecycle=chart.kind, state=state)
        configuration |= 1 << index | mask_of(structure.ancestors[index]) & ~1
    if not structure.is_legal(configuration):
        problem = "these states can't be active together"
        raise SnapshotInvalid(problem, lifecycle=chart.kind, state=state)
    memory = [0] * len(structure.history)
    for path, remembered in (history or {}).items():
        index = _index_of(chart, path)
        found = mask_of(_index_of(chart, each) for each in remembered)
        if index not in structure.slot or not found or found & ~structure.descendants[structure.parent[index]]:
            problem = f"the history {path} can't remember {', '.join(remembered) or 'nothing'}"
            raise SnapshotInvalid(problem, lifecycle=chart.kind, state=state)
        memory[structure.slot[index]] = found
    return tables.intern(configuration, tuple(memory))


def _index_of(chart: Chart[Any], path: str) -> int:
    if not chart.has_state(path):
        problem = f"version {chart.version} has no state {path!r}"
        raise SnapshotInvalid(problem, lifecycle=chart.kind, state=path)
    return chart.state(path).index

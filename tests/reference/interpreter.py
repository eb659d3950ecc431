"""The algorithm of W3C SCXML 1.0, Appendix D, as it stands there, on lists and sets of state nodes.

This is the oracle that the kernel is compared with, so it is written to be read beside the specification:
every procedure has its name there, in snake case, and its order of statements. It has no tables and no
caches, it computes the same exit set again and again, and it shares no line with the kernel. What it knows
of a chart are its public nodes. It departs from the text in one place, `domain_of_entry`, which says why.

What stateward adds to the specification stands at the end of the class, under "beyond Appendix D": handlers
and what they yield, timers, the refusals, `before` and `guard_error`. Left out are invoke, the external
queue (a step is given its event), the late data binding, and `exitInterpreter`: natively a machine that has
reached a top-level final state stays in it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from stateward.chart import Chart, Handler, StateKind, StateNode, TimerTrigger, TransitionNode
from stateward.chart.values import (
    ContextMarker,
    Done,
    EffectMarker,
    EventMarker,
    Meta,
    Raise,
    SeededRandom,
    Started,
    wire_name,
)
from stateward.errors import EndlessLoop, RefusalKind

__all__ = [
    "EntrySet",
    "HandlerFault",
    "Interpreter",
    "Maker",
    "ReferenceMicrostep",
    "ReferenceRefusal",
    "ReferenceSnapshot",
    "ReferenceStep",
    "start",
    "step",
]

Maker = Callable[[Chart[Any], ContextMarker, Meta | None], "Interpreter"]

MICROSTEPS_MAX = 1000
INTERNAL_EVENTS_MAX = 10_000


class HandlerFault(Exception):
    """A handler gave back or yielded what it must not."""


@dataclass(frozen=True)
class ReferenceMicrostep:
    """What one microstep did: paths in the order of exit and entry, ids in the order of selection."""

    exited: tuple[str, ...]
    transitions: tuple[str, ...]
    entered: tuple[str, ...]


@dataclass(frozen=True)
class ReferenceSnapshot:
    """What the next step starts from."""

    active: frozenset[str]
    history: Mapping[str, tuple[str, ...]]
    """Only what was recorded; the remembered paths in document order."""
    context: Any


@dataclass(frozen=True)
class ReferenceStep:
    """An event that was applied, or had nothing left to do."""

    outcome: Literal["applied", "already_done"]
    state: str
    """The atomic states' paths in document order, joined by `|`."""
    snapshot: ReferenceSnapshot
    microsteps: tuple[ReferenceMicrostep, ...] = ()
    effects: tuple[EffectMarker, ...] = ()
    timers_set: tuple[tuple[str, timedelta], ...] = ()
    timers_cancelled: tuple[str, ...] = ()
    unhandled: tuple[EventMarker, ...] = ()
    data: Any = None
    """What the top-level final state has given, if it was reached."""


@dataclass(frozen=True)
class ReferenceRefusal:
    """An event that did not apply."""

    kind: RefusalKind
    state: str


def start(
    chart: Chart[Any],
    context: ContextMarker,
    meta: Meta | None = None,
    *,
    make: Maker | None = None,
) -> ReferenceStep:
    """Enter a chart for the first time.

    Args:
        chart: the chart.
        context: the context it starts with.
        meta: what handlers learn beside the event.
        make: makes the interpreter, if it is one that is watched at work.
    """
    interpreter = (make or Interpreter)(chart, context, meta)
    interpreter.interpret()
    return interpreter.result()


def step(
    chart: Chart[Any],
    snapshot: ReferenceSnapshot,
    event: EventMarker,
    meta: Meta | None = None,
    *,
    make: Maker | None = None,
) -> ReferenceStep | ReferenceRefusal:
    """Run one event to completion; the arguments are those of `start`."""
    interpreter = (make or Interpreter)(chart, snapshot.context, meta)
    interpreter.restore(snapshot)
    interpreter.take(event)
    if interpreter.microsteps:
        return interpreter.result()
    state = interpreter.state()
    key = event.trigger_key()
    matching = [t for t in chart.transitions if t.trigger is not None and t.trigger.matches(key)]
    already = [each for each in chart.already if each.trigger.matches(key)]
    if not matching and not already:
        return ReferenceRefusal("unknown", state)
    if any(chart.states[index].path in snapshot.active for each in already for index in each.states):
        return ReferenceStep("already_done", state, snapshot)
    if interpreter.is_finished():
        return ReferenceRefusal("finished", state)
    if any(chart.states[t.source].path in snapshot.active for t in matching):
        return ReferenceRefusal("guarded", state)
    return ReferenceRefusal("illegal", state)


@dataclass
class EntrySet:
    """The three tables that `enterStates` makes and the procedures below it fill."""

    states_to_enter: list[StateNode] = field(default_factory=list)
    states_for_default_entry: list[StateNode] = field(default_factory=list)
    default_history_content: dict[StateNode, tuple[Handler, ...]] = field(default_factory=dict)

    def add(self, state: StateNode) -> None:
        if state not in self.states_to_enter:
            self.states_to_enter.append(state)


class Interpreter:
    """One macrostep: made, run, asked for its result, and thrown away."""

    def __init__(self, chart: Chart[Any], context: ContextMarker, meta: Meta | None = None) -> None:
        self.chart = chart
        self.root = chart.states[0]
        self.configuration: list[StateNode] = []
        self.history_value: dict[StateNode, list[StateNode]] = {}
        self.internal_queue: list[EventMarker] = []
        self.running = True
        self.domains: dict[TransitionNode, StateNode | None] = {}
        self.event: EventMarker = Started()
        # Beyond Appendix D:
        self.context: Any = context
        self.meta = meta or Meta()
        self.source = SeededRandom(self.meta.record_id) if self.meta.record_id is not None else None
        self.verdicts: dict[TransitionNode, bool] = {}
        self.microsteps: list[ReferenceMicrostep] = []
        self.effects: list[EffectMarker] = []
        self.unhandled: list[EventMarker] = []
        self.data: Any = None
        self.timers_before: set[str] = set()
        self.timer_log: list[tuple[str, timedelta | None]] = []
        """Every setting (with its delay) and cancelling (with None), in order."""

    # The main loop.

    def interpret(self) -> None:
        """Enter the initial configuration, as a microstep of its own, and go on until both queues are dry."""
        initial = TransitionNode(
            index=-1, id="", name="", source=0, targets=self.root.initial, trigger=None, internal=True
        )
        self.execute_content(self.root.initial_actions)  # the content of the root's initial transition
        entered = self.enter_states([initial])
        self.microsteps.append(ReferenceMicrostep((), (), entered))
        self.main_event_loop()

    def take(self, event: EventMarker) -> None:
        """The part of mainEventLoop that begins with the dequeuing of an external event."""
        if self.is_finished():
            return
        self.event = event
        self.run_before()
        enabled_transitions = self.select_transitions(event)
        if enabled_transitions:
            self.microstep(enabled_transitions)
        self.main_event_loop()

    def main_event_loop(self) -> None:
        """The inner loop of mainEventLoop: eventless first, then one internal event, until both are dry."""
        handled = 0
        macrostep_done = False
        while self.running and not macrostep_done:
            enabled_transitions = self.select_eventless_transitions()
            if not enabled_transitions:
                if not self.internal_queue:
                    macrostep_done = True
                else:
                    handled += 1
                    self.check_bound(handled, INTERNAL_EVENTS_MAX)
                    internal_event = self.internal_queue.pop(0)
                    self.event = internal_event
                    self.run_before()
                    enabled_transitions = self.select_transitions(internal_event)
                    if not enabled_transitions:
                        self.unhandled.append(internal_event)
            if enabled_transitions:
                self.microstep(enabled_transitions)
        self.unhandled += self.internal_queue

    # Selection.

    def select_eventless_transitions(self) -> list[TransitionNode]:
        """selectEventlessTransitions."""
        return self._select(lambda t: t.trigger is None)

    def select_transitions(self, event: EventMarker) -> list[TransitionNode]:
        """selectTransitions."""
        key = event.trigger_key()
        return self._select(lambda t: t.trigger is not None and t.trigger.matches(key))

    def _select(self, matches: Callable[[TransitionNode], bool]) -> list[TransitionNode]:
        self.verdicts = {}
        enabled_transitions: list[TransitionNode] = []
        atomic_states = sorted((s for s in self.configuration if is_atomic_state(s)), key=document_order)
        for state in atomic_states:
            found = self._first_enabled(state, matches)
            if found is not None and found not in enabled_transitions:
                enabled_transitions.append(found)
        return self.remove_conflicting_transitions(enabled_transitions)

    def _first_enabled(self, state: StateNode, matches: Callable[[TransitionNode], bool]) -> TransitionNode | None:
        """The labelled loop of both select procedures."""
        for s in [state, *self.get_proper_ancestors(state, None)]:
            for t in self.chart.transitions:
                if t.source == s.index and matches(t) and self.condition_match(t):
                    return t
        return None

    def remove_conflicting_transitions(self, enabled_transitions: list[TransitionNode]) -> list[TransitionNode]:
        """removeConflictingTransitions."""
        filtered_transitions: list[TransitionNode] = []
        for t1 in enabled_transitions:
            t1_preempted = False
            transitions_to_remove: list[TransitionNode] = []
            for t2 in filtered_transitions:
                if set(self.compute_exit_set([t1])) & set(self.compute_exit_set([t2])):
                    if self.is_descendant(self.source_of(t1), self.source_of(t2)):
                        transitions_to_remove.append(t2)
                    else:
                        t1_preempted = True
                        break
            if not t1_preempted:
                for t3 in transitions_to_remove:
                    filtered_transitions.remove(t3)
                filtered_transitions.append(t1)
        return filtered_transitions

    # The microstep.

    def microstep(self, enabled_transitions: list[TransitionNode]) -> None:
        """microstep: exit all, do all, enter all."""
        self.check_bound(len(self.microsteps) + 1, MICROSTEPS_MAX)
        self.domains = {t: self.get_transition_domain(t) for t in enabled_transitions}
        exited = self.exit_states(enabled_transitions)
        self.execute_transition_content(enabled_transitions)
        entered = self.enter_states(enabled_transitions)
        ids = tuple(t.id for t in enabled_transitions)
        self.microsteps.append(ReferenceMicrostep(exited, ids, entered))

    def exit_states(self, enabled_transitions: list[TransitionNode]) -> tuple[str, ...]:
        """exitStates: every history is recorded before any handler runs."""
        states_to_exit = sorted(self.compute_exit_set(enabled_transitions), key=document_order, reverse=True)
        for s in states_to_exit:
            for h in self.children_of(s):
                if h.kind is StateKind.DEEP_HISTORY:
                    self.history_value[h] = [
                        s0 for s0 in self.configuration if is_atomic_state(s0) and self.is_descendant(s0, s)
                    ]
                elif h.kind is StateKind.SHALLOW_HISTORY:
                    self.history_value[h] = [s0 for s0 in self.configuration if s0.parent == s.index]
        for s in states_to_exit:
            self.execute_content(s.exit)
            self.cancel_timers(s)
            self.configuration.remove(s)
        return paths(states_to_exit)

    def compute_exit_set(self, transitions: list[TransitionNode]) -> list[StateNode]:
        """computeExitSet."""
        states_to_exit: list[StateNode] = []
        for t in transitions:
            if t.targets:
                domain = self.get_transition_domain(t)
                assert domain is not None
                for s in self.configuration:
                    if self.is_descendant(s, domain) and s not in states_to_exit:
                        states_to_exit.append(s)
        return states_to_exit

    def execute_transition_content(self, enabled_transitions: list[TransitionNode]) -> None:
        """executeTransitionContent."""
        for t in enabled_transitions:
            self.execute_content(t.actions)

    def enter_states(self, enabled_transitions: list[TransitionNode]) -> tuple[str, ...]:
        """enterStates."""
        entry = EntrySet()
        self.compute_entry_set(enabled_transitions, entry)
        states_to_enter = sorted(entry.states_to_enter, key=document_order)
        for s in states_to_enter:
            was_active = s in self.configuration
            if not was_active:
                self.configuration.append(s)
            self.execute_content(s.entry)
            if was_active:
                self.cancel_timers(s)
            self.set_timers(s)
            if s in entry.states_for_default_entry:
                self.execute_content(s.initial_actions)
            if s in entry.default_history_content:
                self.execute_content(entry.default_history_content[s])
            if is_final_state(s):
                parent = self.parent_of(s)
                if parent is self.root:
                    self.running = False
                    self.data = self.done_data(s)
                else:
                    grandparent = self.parent_of(parent)
                    self.internal_queue.append(Done(parent.path, self.done_data(s)))
                    if is_parallel_state(grandparent) and self.all_in_final_state(grandparent):
                        self.internal_queue.append(Done(grandparent.path))
        return paths(states_to_enter)

    def compute_entry_set(self, transitions: list[TransitionNode], entry: EntrySet) -> None:
        """computeEntrySet."""
        for t in transitions:
            for s in self.targets_of(t.targets):
                self.add_descendant_states_to_enter(s, entry)
            ancestor = self.domain_of_entry(t)
            for s in self.get_effective_target_states(t.targets):
                self.add_ancestor_states_to_enter(s, ancestor, entry)

    def add_descendant_states_to_enter(self, state: StateNode, entry: EntrySet) -> None:
        """addDescendantStatesToEnter."""
        if state.kind.is_history:
            parent = self.parent_of(state)
            if self.history_value.get(state):
                for s in self.history_value[state]:
                    self.add_descendant_states_to_enter(s, entry)
                for s in self.history_value[state]:
                    self.add_ancestor_states_to_enter(s, parent, entry)
            else:
                entry.default_history_content[parent] = state.default_actions
                for s in self.targets_of(state.default):
                    self.add_descendant_states_to_enter(s, entry)
                for s in self.targets_of(state.default):
                    self.add_ancestor_states_to_enter(s, parent, entry)
            return
        entry.add(state)
        if is_compound_state(state):
            entry.states_for_default_entry.append(state)
            for s in self.targets_of(state.initial):
                self.add_descendant_states_to_enter(s, entry)
            for s in self.targets_of(state.initial):
                self.add_ancestor_states_to_enter(s, state, entry)
        elif is_parallel_state(state):
            self._add_regions(state, entry)

    def add_ancestor_states_to_enter(self, state: StateNode, ancestor: StateNode | None, entry: EntrySet) -> None:
        """addAncestorStatesToEnter."""
        for anc in self.get_proper_ancestors(state, ancestor):
            entry.add(anc)
            if is_parallel_state(anc):
                self._add_regions(anc, entry)

    def _add_regions(self, state: StateNode, entry: EntrySet) -> None:
        """The loop over a parallel's children that both procedures above have."""
        for child in self.get_child_states(state):
            if not any(self.is_descendant(s, child) for s in entry.states_to_enter):
                self.add_descendant_states_to_enter(child, entry)

    def is_in_final_state(self, s: StateNode) -> bool:
        """isInFinalState."""
        if is_compound_state(s):
            children = self.get_child_states(s)
            return any(is_final_state(each) and each in self.configuration for each in children)
        if is_parallel_state(s):
            return self.all_in_final_state(s)
        return False

    def all_in_final_state(self, parallel: StateNode) -> bool:
        """`getChildStates(s).every(isInFinalState)`."""
        return all(self.is_in_final_state(each) for each in self.get_child_states(parallel))

    # Domains and ancestors.

    def get_transition_domain(self, t: TransitionNode) -> StateNode | None:
        """getTransitionDomain."""
        tstates = self.get_effective_target_states(t.targets)
        source = self.source_of(t)
        if not tstates:
            return None
        if t.internal and is_compound_state(source) and all(self.is_descendant(s, source) for s in tstates):
            return source
        return self.find_lcca([source, *tstates])

    def domain_of_entry(self, t: TransitionNode) -> StateNode | None:
        """The domain that the transition had when its exit set was computed; our one departure.

        Appendix D computes it anew here, after exitStates has recorded histories. Where a history's default
        was a parallel's only region and what it now remembers lies inside that region, the domain moves
        down into the region and the parallel, which was left, is not entered: no legal configuration (3.11).
        """
        return self.domains.get(t) or self.get_transition_domain(t)

    def find_lcca(self, states: list[StateNode]) -> StateNode:
        """findLCCA; the root, being composite, stands for the scxml element."""
        head, *tail = states
        for anc in filter(is_compound_state, self.get_proper_ancestors(head, None)):
            if all(self.is_descendant(s, anc) for s in tail):
                return anc
        raise AssertionError("every state lies below the root")

    def get_effective_target_states(self, targets: Iterable[int]) -> list[StateNode]:
        """getEffectiveTargetStates, of a transition's targets or of a history's default."""
        found: list[StateNode] = []
        for s in self.targets_of(targets):
            if s.kind.is_history:
                remembered = self.history_value.get(s)
                states = remembered or self.get_effective_target_states(s.default)
            else:
                states = [s]
            found += [each for each in states if each not in found]
        return found

    def get_proper_ancestors(self, state1: StateNode, state2: StateNode | None) -> list[StateNode]:
        """getProperAncestors: up to the root and with it, or up to `state2` and without it."""
        found: list[StateNode] = []
        if state2 is not None and (state1 is state2 or self.is_descendant(state2, state1)):
            return found
        ancestor = self.parent_or_none(state1)
        while ancestor is not None and ancestor is not state2:
            found.append(ancestor)
            ancestor = self.parent_or_none(ancestor)
        return found

    def is_descendant(self, state1: StateNode, state2: StateNode) -> bool:
        """isDescendant: a child of it, a child of a child, and so on."""
        ancestor = self.parent_or_none(state1)
        while ancestor is not None:
            if ancestor is state2:
                return True
            ancestor = self.parent_or_none(ancestor)
        return False

    def get_child_states(self, state: StateNode) -> list[StateNode]:
        """getChildStates: the children without the histories."""
        return [each for each in self.children_of(state) if not each.kind.is_history]

    # Reading nodes.

    def children_of(self, state: StateNode) -> list[StateNode]:
        """All children, histories among them."""
        return [self.chart.states[index] for index in state.children]

    def parent_or_none(self, state: StateNode) -> StateNode | None:
        """The parent; None for the root."""
        return None if state.parent is None else self.chart.states[state.parent]

    def parent_of(self, state: StateNode) -> StateNode:
        """The parent of a state that is not the root."""
        parent = self.parent_or_none(state)
        assert parent is not None
        return parent

    def source_of(self, t: TransitionNode) -> StateNode:
        """A transition's source."""
        return self.chart.states[t.source]

    def targets_of(self, targets: Iterable[int]) -> list[StateNode]:
        """The nodes behind indices."""
        return [self.chart.states[index] for index in targets]

    # Beyond Appendix D.

    def restore(self, snapshot: ReferenceSnapshot) -> None:
        """Go on from where an earlier macrostep came to rest."""
        self.configuration = [s for s in self.chart.states if s.path in snapshot.active]
        self.history_value = {
            self.chart.state(history): [self.chart.state(path) for path in remembered]
            for history, remembered in snapshot.history.items()
        }
        self.timers_before = {name for s in self.configuration for name in self.timers_of(s)}

    def is_finished(self) -> bool:
        """Whether a top-level final state is active."""
        return any(is_final_state(s) and self.parent_of(s) is self.root for s in self.configuration)

    def call(self, handler: Handler) -> Any:
        """Call a guard, an action or a final state's data function."""
        if not handler.wants_meta:
            return handler.call(self.context, self.event)
        meta = Meta(
            now=self.meta.now,
            entity=self.meta.entity,
            record_id=self.meta.record_id,
            actor=self.meta.actor,
            active=frozenset(paths(self.configuration)),
            source=self.source,
        )
        return handler.call(self.context, self.event, meta)

    def condition_match(self, t: TransitionNode) -> bool:
        """conditionMatch; a guard is asked once per selection, and may fail as the chart's policy says."""
        if t.guard is None:
            return True
        if t not in self.verdicts:
            try:
                self.verdicts[t] = bool(self.call(t.guard))
            except Exception as error:
                if self.chart.guard_error is None:
                    raise
                self.verdicts[t] = False
                self.internal_queue.append(self.chart.guard_error(error, self.event))
        return self.verdicts[t]

    def execute_content(self, handlers: Iterable[Handler]) -> None:
        """executeContent: each action gives the next one its context."""
        for handler in handlers:
            result = self.call(handler)
            if isinstance(result, Generator):
                result = self.drain(result)
            if not isinstance(result, ContextMarker):
                raise HandlerFault(f"{handler.name} returned {result!r}")
            self.context = result

    def drain(self, generator: Generator[Any, Any, Any]) -> Any:
        """Collect what a generator yields; its return value is the context."""
        while True:
            try:
                yielded = next(generator)
            except StopIteration as stop:
                return stop.value
            if isinstance(yielded, Raise):
                self.internal_queue.append(yielded.event)
            elif isinstance(yielded, EffectMarker):
                self.effects.append(yielded)
            else:
                raise HandlerFault(f"{yielded!r} was yielded")

    def run_before(self) -> None:
        """The chart's own action on every event, right before its transitions are selected."""
        if self.chart.before is not None:
            self.execute_content([self.chart.before])

    def done_data(self, final: StateNode) -> Any:
        """What a final state gives its parent's Done event."""
        return None if final.data is None else self.call(final.data)

    def timers_of(self, state: StateNode) -> dict[str, timedelta | Handler]:
        """The distinct timers that live as long as a state, in order of declaration."""
        found: dict[str, timedelta | Handler] = {}
        for t in self.chart.transitions:
            if t.source == state.index and isinstance(t.trigger, TimerTrigger):
                found.setdefault(t.trigger.timer, t.trigger.delay)
        return found

    def set_timers(self, state: StateNode) -> None:
        """A state has been entered: its timers run."""
        for name, delay in self.timers_of(state).items():
            self.timer_log.append((name, delay.call(self.context) if isinstance(delay, Handler) else delay))

    def cancel_timers(self, state: StateNode) -> None:
        """A state is left: its timers stop."""
        for name in self.timers_of(state):
            self.timer_log.append((name, None))

    def check_bound(self, count: int, limit: int) -> None:
        """Every loop has a bound."""
        if count > limit:
            name = wire_name(type(self.event))
            raise EndlessLoop(lifecycle=self.chart.kind, state=self.state(), event=name, cycle=(), limit=limit)

    def state(self) -> str:
        """The atomic states' paths in document order, joined by `|`."""
        atomic = sorted((s for s in self.configuration if is_atomic_state(s)), key=document_order)
        return "|".join(paths(atomic))

    def result(self) -> ReferenceStep:
        """What the macrostep came to."""
        cancelled: dict[str, None] = {}
        running: dict[str, timedelta] = {}
        for name, delay in self.timer_log:
            running.pop(name, None)
            if delay is not None:
                running[name] = delay
            elif name in self.timers_before:
                cancelled.setdefault(name)
        history = {
            h.path: paths(sorted(remembered, key=document_order)) for h, remembered in self.history_value.items()
        }
        return ReferenceStep(
            outcome="applied",
            state=self.state(),
            snapshot=ReferenceSnapshot(frozenset(paths(self.configuration)), history, self.context),
            microsteps=tuple(self.microsteps),
            effects=tuple(self.effects),
            timers_set=tuple(running.items()),
            timers_cancelled=tuple(cancelled),
            unhandled=tuple(self.unhandled),
            data=self.data,
        )


def is_atomic_state(s: StateNode) -> bool:
    """A state without child states, a final one too."""
    return s.kind in (StateKind.ATOMIC, StateKind.FINAL)


def is_compound_state(s: StateNode) -> bool:
    """A composite, and the root, which stands for the scxml element."""
    return s.kind is StateKind.COMPOSITE


def is_parallel_state(s: StateNode) -> bool:
    """A parallel."""
    return s.kind is StateKind.PARALLEL


def is_final_state(s: StateNode) -> bool:
    """A final state."""
    return s.kind is StateKind.FINAL


def document_order(s: StateNode) -> int:
    """A node's index is its place in document order."""
    return s.index


def paths(states: Iterable[StateNode]) -> tuple[str, ...]:
    """The paths of states, in the order given."""
    return tuple(s.path for s in states)

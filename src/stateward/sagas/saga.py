"""Sagas: a body of stages becomes a lifecycle that goes on stage by stage, and back undo by undo.

The theory is that of Garcia-Molina and Salem (Sagas, 1987): a long transaction is a line of short ones, each of which
has a compensation or stands at or behind the pivot. What is added here is the open outcome: a stage that timed out, or
was cancelled while it was under way, may have been done; so going back begins with its own undo.

All that a saga is about to do stands in its configuration, nothing in its context, which is the author's alone:

    forth   awaiting_a → awaiting_b → … → completed
    back    undoing_b → undoing_a → undone             each past not_undone, where people step in, if it fails
    pivot   in_doubt                                   given up and without an undo: its truth is to be found out
    behind  not_done                                   failed behind the pivot: there is no way back

A reply of a stage that the saga has left behind is already done, on either way. Two things are never taken for one
another, since no two replies share an event class.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, ClassVar, TypeVar

from stateward.chart.declaration import Lifecycle, State, StateHandlers, Transition, after
from stateward.chart.values import ContextMarker
from stateward.errors import DefinitionError
from stateward.sagas.operators import DoAgain, DoneByHand, FoundNotDone, StageEvent, UndoAgain, UndoneByHand, about
from stateward.sagas.placing import Placer, group, has_initial, on_each
from stateward.sagas.replies import Reply, is_told_from
from stateward.sagas.stages import Stage, Undo, UndoOn

__all__ = ["Saga"]

__declares__ = True

C = TypeVar("C", bound=ContextMarker)

_Pairs = list[tuple[State, State | None]]
"""Arcs as sources and targets; a target None stays."""


class Saga(Lifecycle[C]):
    """Stages in order, each with its undo; subclass it and declare them in the body.

    It becomes a lifecycle like any other, which may have states and transitions of its own beside them. It starts in
    the first stage, unless a state of its own is initial, and ends `completed` or `undone`, which its body may declare
    as other than plain final states.
    """

    completed: ClassVar[State]
    undone: ClassVar[State]

    def __init_subclass__(cls, **options: Any) -> None:
        """Make states and transitions of the stages, before the chart is built of them."""
        super().__init_subclass__(**options)
        _weave(cls)


def _weave(saga: type) -> None:
    """Put the states and transitions of a saga's stages into its body."""
    stages = [each for each in vars(saga).values() if isinstance(each, Stage)]
    inherited = [each for base in saga.__mro__[1:] for each in vars(base).values() if isinstance(each, Stage)]
    placer = Placer(saga)
    undo_ons = [(name, each) for name, each in vars(saga).items() if isinstance(each, UndoOn)]
    if not stages:
        if not inherited and any(isinstance(each, (State, Transition)) for each in vars(saga).values()):
            raise placer.error("has no stages: declare them as Stage(...), or the whole as a Lifecycle", "saga")
        if undo_ons:
            name, cancel = undo_ons[0]
            raise placer.error("stands in a body without stages, and would undo nothing", name, cancel.origin)
        return
    if inherited:
        problem = f"is a stage of a saga that extends one with stages of its own, {inherited[0]} the first: "
        raise placer.error(f"{problem}their order would be open; declare them all in one body", *_place(stages[0]))
    _Weaver(placer, stages, dict(undo_ons)).weave()


class _Weaver:
    """One saga on its way to states and transitions."""

    def __init__(self, placer: Placer, stages: list[Stage], undo_ons: dict[str, UndoOn]) -> None:
        self._placer = placer
        self._stages = stages
        self._undo_ons = undo_ons
        pivots = [index for index, stage in enumerate(stages) if stage.pivot]
        if len(pivots) > 1:
            first = stages[pivots[0]]
            raise self._error(stages[pivots[1]], f"is a second pivot beside {first}: there is one point of no return")
        self._pivot = pivots[0] if pivots else len(stages)
        """The index of the pivot; behind all stages if there is none."""
        self._states: list[State] = []
        """The states of the saga, its ends included."""
        self._way_back: list[State] = []
        """Those in which something is undone, or all is."""
        self._completed: State
        self._undone: State
        """Placed only if anything leads there."""

    def weave(self) -> None:
        """Check the stages, then place their states, then their transitions."""
        for stage in self._stages:
            self._check(stage)
        self._check_replies()
        self._place_states()
        for index, stage in enumerate(self._stages):
            self._place_forward(index, stage)
            if stage.undo:
                self._place_backward(index, stage, stage.undo)
            if self._may_be_in_doubt(index):
                self._place_doubt(index, stage)
            if self._may_be_not_done(index):
                self._place_not_done(index, stage)
        for name, cancel in self._undo_ons.items():
            self._fill_undo_on(name, cancel)

    # What leads where.

    def _forth(self, index: int) -> State:
        """Where the saga goes when this stage is done."""
        return self._stages[index + 1].awaiting if index + 1 < len(self._stages) else self._completed

    def _back(self, index: int) -> State:
        """Where the saga goes to undo what was done up to this stage, this one included."""
        undoable = (stage.undoing for stage in reversed(self._stages[: index + 1]) if stage.undo)
        return next(undoable, self._undone)

    def _given_up(self, index: int) -> State:
        """Where the saga goes when nobody knows what came of this stage."""
        if index > self._pivot:
            return self._stages[index].not_done
        return self._stages[index].in_doubt if self._may_be_in_doubt(index) else self._back(index)

    def _may_be_in_doubt(self, index: int) -> bool:
        stage = self._stages[index]
        return index == self._pivot and stage.undo is None and stage.may_be_given_up

    def _may_be_not_done(self, index: int) -> bool:
        stage = self._stages[index]
        return index > self._pivot and (bool(stage.failed) or stage.may_be_given_up)

    def _may_be_given_up(self, index: int) -> bool:
        return self._stages[index].may_be_given_up or (index < self._pivot and bool(self._undo_ons))

    def _may_turn_back(self, index: int) -> bool:
        """Whether this stage may end so that what stands before it is undone."""
        return index <= self._pivot and (bool(self._stages[index].failed) or self._may_be_given_up(index))

    def _may_be_undone(self, index: int) -> bool:
        """Whether anything asks for this stage's undo."""
        later = range(index + 1, len(self._stages))
        return self._may_be_given_up(index) or any(self._may_turn_back(each) for each in later)

    # What is refused.

    def _check(self, stage: Stage) -> None:
        if stage.owner is not None:
            raise self._error(stage, f"stands in {stage.owner.__name__} already: a stage belongs to one saga")
        stage.owner = self._placer.lifecycle
        index = self._stages.index(stage)
        if not stage.done:
            raise self._error(stage, "has no done=: the event that says that it is done")
        for given, state in stage.given.items():
            if state is not None and not isinstance(state, State):
                raise self._error(stage, f"has {given}={state!r}, which is no state: State(name=...)")
        if stage.given["in_doubt"] and not self._may_be_in_doubt(index):
            problem = "a pivot without an undo is, if it has a timeout or may be abandoned"
            raise self._error(stage, f"has in_doubt= and is never in doubt: {problem}")
        if stage.given["not_done"] and not self._may_be_not_done(index):
            problem = "a stage behind the pivot does, if it can fail or has a timeout"
            raise self._error(stage, f"has not_done= and never comes there: {problem}")
        if stage.undo is not None:
            self._check_undo(index, stage)

    def _check_undo(self, index: int, stage: Stage) -> None:
        undo: object = stage.undo
        if not isinstance(undo, Undo):
            raise self._error(stage, f"has undo={undo!r}: write undo=Undo(ask, done=..., failed=...)")
        if not undo.done:
            raise self._error(stage, "has an undo without done=: the event that says that it is undone")
        if not undo.failed and undo.timeout is None:
            problem = "has an undo that can't fail, so that nobody would hear of it: "
            raise self._error(stage, f"{problem}give it failed=, the event behind its dead letter say, or timeout=")
        if index > self._pivot:
            problem = f"stands behind the pivot {self._stages[self._pivot]}, where nothing is undone"
            raise self._error(stage, f"has an undo and {problem}: take it away, or move the stage")
        if not self._may_be_undone(index):
            problem = "neither it nor a later stage up to the pivot can fail so that it would be undone"
            raise self._error(stage, f"has an undo that nothing asks for: {problem}")

    def _check_replies(self) -> None:
        """Each event says by its class what it answers, so that a late one is not taken for another's."""
        known = [(what, each, *_place(stage)) for stage in self._stages for what, each in _replies(stage)]
        cancels = [(name, Reply(each.event), name, each.origin) for name, each in self._undo_ons.items() if each.event]
        for one, other in combinations([*known, *cancels], 2):
            if one in known and not is_told_from(one[1], other[1]):
                problem = f"takes {_name(other[1])} for {other[0]}, and {_name(one[1])} stands for {one[0]}"
                problem += ": one that comes late would be taken for the other; give each a class"
                raise self._placer.error(problem, other[2], other[3])

    def _error(self, stage: Stage, problem: str) -> DefinitionError:
        return self._placer.error(problem, *_place(stage))

    # States.

    def _place_states(self) -> None:
        if not has_initial(self._placer.lifecycle):
            self._stages[0].awaiting.initial = True
        for index, stage in enumerate(self._stages):
            pivot = "; the point of no return" if index == self._pivot else ""
            self._place_state(stage, stage.awaiting, f"{stage} has been asked for{pivot}", stage.ask)
            if self._may_be_in_doubt(index):
                self._place_state(stage, stage.in_doubt, f"{stage} may have been done: people find it out")
            if self._may_be_not_done(index):
                self._place_state(stage, stage.not_done, f"{stage} is still to be done: people see to it")
        self._completed = self._placer.end("completed", description="every stage is done")
        self._states.append(self._completed)
        self._place_way_back()

    def _place_way_back(self) -> None:
        if not any(self._may_turn_back(index) for index in range(len(self._stages))):
            return
        forth = len(self._states)
        for stage in reversed(self._stages):
            if stage.undo:
                self._place_state(stage, stage.undoing, f"the undo of {stage} has been asked for", stage.undo.ask)
                self._place_state(stage, stage.not_undone, f"{stage} could not be undone: people see to it")
        self._undone = self._placer.end("undone", description="whatever was done is undone")
        self._states.append(self._undone)
        self._way_back = self._states[forth:]

    def _place_state(self, stage: Stage, state: State, description: str, ask: StateHandlers = ()) -> None:
        state.entry = (*_in_tuple(ask), *_in_tuple(state.entry))
        of, line = _place(stage)
        self._placer.place_state(state, description=description, of=of, line=line)
        self._states.append(state)

    # Transitions.

    def _place_forward(self, index: int, stage: Stage) -> None:
        """Out of the state in which the stage's reply is awaited, and what becomes of replies that come late."""
        done: _Pairs = [(stage.awaiting, self._forth(index))]
        done += [(state, self._forth(index)) for state in self._trouble_of(index)]
        # Given up, and done after all: what it says is wanted for the undo, or for who does that by hand.
        late = [stage.undoing, stage.not_undone] if stage.undo and self._may_be_given_up(index) else []
        for name, each in _named(f"{stage}_done", stage.done):
            arcs: _Pairs = [*done, *((state, None) for state in late if each.do)]
            self._place_reply(index, stage, name, each, arcs)
        fail = stage.not_done if index > self._pivot else self._back(index - 1) if stage.failed else None
        for name, each in _named(f"{stage}_failed", stage.failed):
            in_doubt: _Pairs = [(stage.in_doubt, fail)] if self._may_be_in_doubt(index) else []
            self._place_reply(index, stage, name, each, [(stage.awaiting, fail), *in_doubt])
        for name, each in _named(f"{stage}_abandoned", stage.abandoned):
            self._place_reply(index, stage, name, each, [(stage.awaiting, self._given_up(index))])
        if stage.timeout is not None:
            self._place(stage, f"{stage}_timeout", after(stage.timeout, stage.awaiting.to(self._given_up(index))))

    def _trouble_of(self, index: int) -> list[State]:
        """The states in which people see to a stage that may still be done."""
        stage = self._stages[index]
        in_doubt = [stage.in_doubt] if self._may_be_in_doubt(index) else []
        return in_doubt + ([stage.not_done] if self._may_be_not_done(index) else [])

    def _place_reply(self, index: int, stage: Stage, name: str, each: Reply, arcs: _Pairs) -> None:
        """A reply of a stage, which is already done wherever the saga has left it behind."""
        ahead = [state for other in range(index + 1) for state in self._before(other, index)]
        # On the way back, a stage up to the pivot may have been asked for; one behind it was not. And the pivot was not
        # done, unless it has an undo: who says otherwise is refused, for that is not "nothing left to do".
        contradicts = index == self._pivot and stage.undo is None and each in stage.done
        ahead += self._way_back if index > self._pivot or contradicts else ()
        sources = [source for source, _ in arcs]
        already = group(state for state in self._states if state not in ahead and state not in sources)
        self._place(stage, name, on_each(each.event, arcs, do=each.do, already=already))

    def _before(self, other: int, index: int) -> list[State]:
        """The states of a stage up to `index` in which that one's reply is too early, or awaited."""
        stage = self._stages[other]
        return [stage.awaiting, *(self._trouble_of(other) if other < index else ())]

    def _place_backward(self, index: int, stage: Stage, undo: Undo) -> None:
        """Through the undo of a stage: done, failed, and what people can then send."""
        undoing, not_undone, back = stage.undoing, stage.not_undone, self._back(index - 1)
        past = self._way_back[self._way_back.index(not_undone) + 1 :]
        for name, each in _named(f"{stage}_undone", undo.done):
            arcs = [(undoing, back), (not_undone, back)]
            self._place(stage, name, on_each(each.event, arcs, do=each.do, already=group(past)))
        for name, each in _named(f"{stage}_undo_failed", undo.failed):
            already = group([not_undone, *past])
            self._place(stage, name, on_each(each.event, [(undoing, not_undone)], do=each.do, already=already))
        if undo.timeout is not None:
            self._place(stage, f"{stage}_undo_timeout", after(undo.timeout, undoing.to(not_undone)))
        self._place_operator(stage, f"undo_{stage}_again", UndoAgain, not_undone, undoing)
        self._place_operator(stage, f"{stage}_undone_by_hand", UndoneByHand, not_undone, back)

    def _place_doubt(self, index: int, stage: Stage) -> None:
        """What people can send when a pivot may have been done."""
        self._place_operator(stage, f"{stage}_again", DoAgain, stage.in_doubt, stage.awaiting)
        self._place_operator(stage, f"{stage}_done_by_hand", DoneByHand, stage.in_doubt, self._forth(index))
        self._place_operator(stage, f"{stage}_found_not_done", FoundNotDone, stage.in_doubt, self._back(index - 1))

    def _place_not_done(self, index: int, stage: Stage) -> None:
        """What people can send when a stage behind the pivot was not done."""
        self._place_operator(stage, f"{stage}_again", DoAgain, stage.not_done, stage.awaiting)
        self._place_operator(stage, f"{stage}_done_by_hand", DoneByHand, stage.not_done, self._forth(index))

    def _place_operator(self, stage: Stage, name: str, event: type[StageEvent], source: State, target: State) -> None:
        # Sent twice, a retry finds its work under way; the others are not taken for another stage's by their guards.
        already = group([target]) if event in (UndoAgain, DoAgain) else None
        self._place(stage, name, on_each(event, [(source, target)], when=about(stage.attribute), already=already))

    def _place(self, stage: Stage, name: str, transition: Transition) -> None:
        of, line = _place(stage)
        self._placer.place(name, transition, of=of, line=line)

    def _fill_undo_on(self, name: str, cancel: UndoOn) -> None:
        """Give the event its arcs, in place: its line in the body keeps its order among the author's own."""
        if not self._pivot:
            problem = f"{self._stages[0]} is the pivot and stands first, so there is nothing to undo"
            raise self._placer.error(problem, name, cancel.origin)
        before = self._stages[: self._pivot]
        cancel.arcs = tuple(stage.awaiting.to(self._back(index)) for index, stage in enumerate(before))
        for arc in cancel.arcs:
            arc.origin = cancel.origin
        cancel.already = group(self._way_back)


def _replies(stage: Stage) -> Iterator[tuple[str, Reply]]:
    """Every reply that a stage and its undo may get, with what it says."""
    for each in stage.done:
        yield f"{stage} done", each
    for each in stage.failed:
        yield f"{stage} failed", each
    for each in stage.abandoned:
        yield f"{stage} abandoned", each
    for each in stage.undo.done if stage.undo else ():
        yield f"{stage} undone", each
    for each in stage.undo.failed if stage.undo else ():
        yield f"{stage} not undone", each


def _named(name: str, replies: tuple[Reply, ...]) -> Iterator[tuple[str, Reply]]:
    """Replies with the names of their transitions; a number tells further ones apart."""
    for number, each in enumerate(replies, start=1):
        yield name if number == 1 else f"{name}_{number}", each


def _name(reply: Reply) -> str:
    return getattr(reply.event, "__name__", repr(reply.event))


def _in_tuple(handlers: StateHandlers) -> tuple[Any, ...]:
    return handlers if isinstance(handlers, tuple) else (handlers,)


def _place(stage: Stage) -> tuple[str, str]:
    """A stage's name and line, as errors name them."""
    return stage.attribute, stage.origin

"""Sagas of one to four stages, walked: all orders of success, failure, timeout, cancellation, late and double replies.

A walk goes from the start to every configuration that any event leads to, and in each sends every event of the chart.
Beside it stands what the world knows (`Known`): which stages were asked for and what came of them, told by the events
that were applied and the effects that were asked for. What a saga promises is held against that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import pytest

from stateward import (
    Chart,
    DefinitionError,
    DoAgain,
    DoneByHand,
    Elapsed,
    EventMarker,
    FoundNotDone,
    Refusal,
    Snapshot,
    Step,
    UndoAgain,
    UndoneByHand,
    chart_of,
    start,
    step,
)
from stateward.chart.lint import lint
from stateward.chart.mermaid import to_mermaid
from tests.sagas.making import FEATURES, MOST, Ask, AskUndo, Cancel, Shape, Trip, event_of, shapes

Came = Literal["not asked", "asked", "done", "not done", "open", "undo asked", "not undone", "undone"]


class Known(NamedTuple):
    """What is known of the world: for each stage what came of it, and which undos were asked for, in order."""

    came: tuple[Came, ...]
    undos: tuple[int, ...] = ()
    may_be_done: frozenset[int] = frozenset()
    """Those that were done, or were given up and may have been."""
    told: frozenset[int] = frozenset()
    """Those whose own reply said that they were done."""
    timers: frozenset[str] = frozenset()

    def with_(self, stage: int, came: Came) -> Known:
        return self._replace(came=(*self.came[:stage], came, *self.came[stage + 1 :]))

    @property
    def current(self) -> int:
        """The stage that was asked for last."""
        return max(i for i, came in enumerate(self.came) if came != "not asked")

    @property
    def turns_back(self) -> bool:
        return bool(self.undos)


class Node(NamedTuple):
    snapshot: Snapshot[Trip]
    known: Known


def events_of(chart: Chart[Any], known: Known) -> Iterator[EventMarker]:
    """Everything that may ever be sent: all replies of all stages, all that people say of each, and timers that run."""
    operators = (UndoAgain, UndoneByHand, DoAgain, DoneByHand, FoundNotDone)
    for event in chart.events.values():
        if event not in operators:
            yield event()
    for operator in operators:
        for i in range(len(known.came)):
            yield operator(stage="abcd"[i], reason="")
    for timer in sorted(known.timers):
        yield Elapsed(timer)


class Walk:
    """One saga, walked through."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.chart = chart_of(shape.make())
        self.stages = range(len(shape.undos))
        self.nodes: set[Node] = set()
        self.edges = 0
        self.ends: Counter[str] = Counter()

    def run(self) -> None:
        begun = start(self.chart, Trip())
        assert begun.effects == (Ask(0),)
        known = Known(tuple("not asked" for _ in self.stages))
        todo = [Node(begun.snapshot, self.learn_effects(known, begun))]
        while todo:
            node = todo.pop()
            if node not in self.nodes:
                self.nodes.add(node)
                self.check_rest(node)
                todo += self.follow(node)

    def follow(self, node: Node) -> Iterator[Node]:
        is_stuck = True
        for event in events_of(self.chart, node.known):
            self.edges += 1
            answer = step(self.chart, node.snapshot, event)
            if isinstance(answer, Refusal) or answer.outcome == "already_done":
                self.check_unchanged(node, event, answer)
                continue
            is_stuck = False
            assert len(answer.microsteps) == 1
            assert not answer.unhandled
            known = self.learn_effects(self.learn(node, event, answer), answer)
            yield Node(answer.snapshot, known)
        assert is_stuck == node.snapshot.position.finished

    # What is learnt.

    def learn(self, node: Node, event: EventMarker, answer: Step[Trip]) -> Known:
        """What an applied event says of the world."""
        known, name = node.known, type(event).__name__
        has_moved = answer.snapshot.position != node.snapshot.position
        if isinstance(event, Cancel):
            assert known.current < self.shape.pivot
            return self.give_up(known, known.current)
        if isinstance(event, Elapsed):
            stage = "abcd".index(event.timer[0])
            is_undo = "undo" in event.timer.partition("@")[0]
            return known.with_(stage, "not undone") if is_undo else self.give_up(known, stage)
        if isinstance(event, (UndoAgain, UndoneByHand, DoAgain, DoneByHand, FoundNotDone)):
            stage = "abcd".index(event.stage)
            return self.learn_from_people(known, stage, event)
        stage = int(name[-1])
        assert known.came[stage] not in ("not asked", "undone", "not done")
        if name.startswith("Done") and not has_moved:  # late: given up, and done after all
            assert known.came[stage] in ("undo asked", "not undone")
            return known._replace(told=known.told | {stage})
        if name.startswith("Done"):
            assert known.came[stage] in ("asked", "open")
            known = known._replace(may_be_done=known.may_be_done | {stage}, told=known.told | {stage})
            return known.with_(stage, "done")
        if name.startswith("Failed"):
            assert known.came[stage] in ("asked", "open")
            # Behind the pivot it is still to be done; that it was not does not end it.
            return known.with_(stage, "open" if stage > self.shape.pivot else "not done")
        if name.startswith("Abandoned"):
            return self.give_up(known, stage)
        if name.startswith("Undone"):
            assert known.came[stage] in ("undo asked", "not undone")
            return known.with_(stage, "undone")
        assert name.startswith("NotUndone")
        assert known.came[stage] == "undo asked"
        return known.with_(stage, "not undone")

    def give_up(self, known: Known, stage: int) -> Known:
        assert known.came[stage] == "asked"
        may_be_done = known.may_be_done | ({stage} if stage <= self.shape.pivot else set())
        return known.with_(stage, "open")._replace(may_be_done=may_be_done)

    def learn_from_people(self, known: Known, stage: int, event: EventMarker) -> Known:
        came = known.came[stage]
        if isinstance(event, UndoAgain):
            assert came == "not undone"
            return known
        if isinstance(event, UndoneByHand):
            assert came == "not undone"
            return known.with_(stage, "undone")
        assert came == "open"
        assert stage >= self.shape.pivot
        if isinstance(event, DoAgain):
            return known
        if isinstance(event, FoundNotDone):
            assert stage == self.shape.pivot
            return known.with_(stage, "not done")._replace(may_be_done=known.may_be_done - {stage})
        return known.with_(stage, "done")._replace(may_be_done=known.may_be_done | {stage})

    def learn_effects(self, known: Known, answer: Step[Trip]) -> Known:
        """What the step asks the world for, and whether it may."""
        timers = known.timers.difference(answer.timers_cancelled).union(each.name for each in answer.timers_set)
        # A timer that has run out is gone without being cancelled; its state was left.
        running = (each for each in timers if answer.snapshot.position.is_in(each.partition("@")[2]))
        known = known._replace(timers=frozenset(running))
        assert len(answer.effects) <= 1
        for effect in answer.effects:
            assert isinstance(effect, (Ask, AskUndo))
            stage = effect.stage
            if isinstance(effect, Ask):
                assert all(known.came[i] == "done" for i in range(stage))
                assert known.came[stage] in ("not asked", "open")
                assert not known.turns_back
                known = known.with_(stage, "asked")._replace(may_be_done=known.may_be_done - {stage})
            else:
                self.check_undo(known, stage)
                is_again = known.came[stage] == "not undone"
                known = known.with_(stage, "undo asked")
                known = known if is_again else known._replace(undos=(*known.undos, stage))
        return known

    # What is promised.

    def check_undo(self, known: Known, stage: int) -> None:
        """An undo is asked for if it may be needed, once unless people ask again, and after those of later stages."""
        assert self.shape.undos[stage]
        assert stage in known.may_be_done
        assert known.came[stage] in ("done", "open", "not undone")
        assert (stage in known.undos) == (known.came[stage] == "not undone")
        assert not known.undos or stage <= known.undos[-1]
        for later in self.stages[stage + 1 :]:
            if later in known.may_be_done and self.shape.undos[later]:
                assert known.came[later] == "undone"
        # The pivot without an undo, and what stands behind it, can't have been done.
        for later in self.stages[self.shape.pivot :]:
            assert self.shape.undos[later] or known.came[later] in ("not asked", "not done")

    def check_rest(self, node: Node) -> None:
        """Wherever a saga rests: in the end it is done or undone as a whole, and before that it waits for one thing."""
        known, state = node.known, node.snapshot.state
        assert known.undos == tuple(sorted(known.undos, reverse=True))
        assert node.snapshot.context.kept == known.told
        waits = [i for i in self.stages if known.came[i] in ("asked", "undo asked", "not undone")]
        if not node.snapshot.position.finished:
            people = [i for i in self.stages[self.shape.pivot :] if known.came[i] == "open" and not self.shape.undos[i]]
            assert len(waits) + (len(people) if not known.turns_back else 0) == 1
            return
        assert waits == []
        self.ends[state] += 1
        is_success = all(came == "done" for came in known.came)
        assert state == ("completed" if is_success else "undone")
        if is_success:
            assert known.undos == ()
            return
        wanted = [i for i in reversed(self.stages) if i in known.may_be_done and self.shape.undos[i]]
        assert known.undos == tuple(wanted)
        assert all(known.came[i] == "undone" for i in wanted)
        assert all(
            known.came[i] in ("not asked", "not done") for i in self.stages[self.shape.pivot :] if i not in wanted
        )

    def check_unchanged(self, node: Node, event: EventMarker, answer: Step[Trip] | Refusal) -> None:
        """What does not apply: no reply that was asked for is lost, and none that was not is taken."""
        known, name = node.known, type(event).__name__
        is_refused = isinstance(answer, Refusal)
        if isinstance(answer, Step):
            assert answer.snapshot == node.snapshot
            assert (answer.effects, answer.timers_set, answer.timers_cancelled) == ((), (), ())
        assert not isinstance(event, Elapsed)  # a timer that runs is taken
        if isinstance(event, Cancel):
            is_late = known.current >= self.shape.pivot or node.snapshot.state == "completed"
            is_on_the_way_back = known.turns_back or node.snapshot.state == "undone"
            assert is_refused == (is_late and not is_on_the_way_back)
            return
        if hasattr(event, "stage"):
            assert is_refused or isinstance(event, (UndoAgain, DoAgain))
            return
        stage = int(name[-1])
        came = known.came[stage]
        assert not (came == "asked" and name.startswith(("Done", "Failed", "Abandoned")))
        assert not (came == "undo asked" and name.startswith(("Undone", "NotUndone")))
        if name.startswith("Done"):
            # A success that comes late is kept for the undo, and ends the doubt about the pivot and what is behind it.
            assert not (came in ("undo asked", "not undone") and stage not in known.told)
            assert not (came == "open" and stage >= self.shape.pivot and not self.shape.undos[stage])
        if name.startswith(("Undone", "NotUndone")):
            if stage in known.undos:
                assert not is_refused
            if not known.turns_back and node.snapshot.state != "undone":
                assert is_refused
        elif came != "not asked":
            # Somebody says that the pivot was done, which is known not to be: that is told aloud.
            is_contradiction = (
                name.startswith("Done")
                and stage == self.shape.pivot
                and not self.shape.undos[stage]
                and came == "not done"
            )
            assert is_refused == is_contradiction
        elif not known.turns_back and node.snapshot.state != "undone":
            assert is_refused


SHAPES = [shape for count in range(1, MOST + 1) for shape in shapes(count)]
FULL = ("all", "fails")
SENSIBLE = [shape for shape in SHAPES if shape.makes_sense]


# The two features left out at four stages lead nowhere that these two don't.
WALKED = [(count, features) for count in range(1, MOST + 1) for features in FEATURES if count < 4 or features in FULL]


@pytest.mark.parametrize(("count", "features"), WALKED)
def test_a_saga_ends_done_or_undone_as_a_whole_and_loses_no_reply(count: int, features: str) -> None:
    walked = [shape for shape in SENSIBLE if len(shape.undos) == count and shape.features == features]
    assert walked
    for shape in walked:
        walk = Walk(shape)
        try:
            walk.run()
        except AssertionError as error:
            error.add_note(f"in a saga of {shape}")
            raise
        assert walk.ends["completed"] >= 1
        assert set(walk.ends) == {"completed"} | ({"undone"} if walk.chart.has_state("undone") else set())


def test_a_walk_goes_everywhere() -> None:
    """Every state is rested in and every transition taken: what a walk holds is held of the whole chart."""
    walk = Walk(Shape((True, False, True, False), 2, cancels=True, features="all"))
    walk.run()
    rested = {node.snapshot.state for node in walk.nodes}
    assert rested == {state.path for state in walk.chart.states[1:]}
    taken: set[str] = set()
    for node in walk.nodes:
        for event in events_of(walk.chart, node.known):
            answer = step(walk.chart, node.snapshot, event)
            if isinstance(answer, Step):
                taken |= {each for microstep in answer.microsteps for each in microstep.transitions}
    assert taken == {each.id for each in walk.chart.transitions}


@pytest.mark.parametrize("count", range(1, MOST + 1))
def test_a_saga_is_a_chart_like_any_other(count: int) -> None:
    for shape in SENSIBLE:
        if len(shape.undos) != count or shape.features not in FULL:
            continue
        chart = chart_of(shape.make())
        assert lint(chart) == [], shape
        assert to_mermaid(chart).startswith("stateDiagram-v2\n")
        again = Chart.from_document(chart.to_document(), context=Trip, events=chart.events, handlers=chart.handlers)
        assert again.digest == chart.digest == chart_of(shape.make()).digest


def test_an_undo_that_nothing_asks_for_is_refused_and_no_other() -> None:
    refused = [shape for shape in SHAPES if not shape.makes_sense]
    assert len(refused) > 10
    for shape in refused:
        with pytest.raises(DefinitionError, match="has an undo that nothing asks for"):
            shape.make()


def test_replies_are_told_apart_by_name_in_these_tests() -> None:
    assert event_of("done", 1).__name__ == "Done1"
    assert event_of("not_undone", 3).__name__ == "NotUndone3"

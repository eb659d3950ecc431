"""Which points of the algorithm a case passes: what the random charts are worth.

`python -m tests.reference.coverage [examples]`, with `src` and the root on the path, draws that many cases of
each kind and prints how many of them passed each point.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from stateward.chart import Chart, Done, EventMarker, Meta, StateKind, StateNode, TimerTrigger, TransitionNode
from stateward.chart.values import ContextMarker
from stateward.errors import EndlessLoop
from tests.reference.charts import Case, chart_from, general_case, twelve_region_case
from tests.reference.handlers import Boom, Failed
from tests.reference.interpreter import (
    EntrySet,
    HandlerFault,
    Interpreter,
    ReferenceRefusal,
    ReferenceStep,
    start,
    step,
)

__all__ = ["POINTS", "measure", "points_of"]

POINTS = (
    "several transitions in one microstep",
    "three or more transitions in one microstep",
    "one transition selected by several states",
    "an ancestor's transition preempted by a descendant's",
    "a transition preempted by an earlier state's",
    "a preempting transition preempted in its turn",
    "no conflict: a targetless transition beside one with targets",
    "an outer state's transition taken because the inner guard said no",
    "a second transition of a state taken because the first guard said no",
    "one guard, several states",
    "a parallel skipped as the domain",
    "a parallel left and entered again",
    "a transition within one region",
    "a composite or parallel to itself",
    "internal to a descendant",
    "external to a descendant",
    "several targets",
    "several targets, a history among them",
    "a region filled in by default beside a named one",
    "an initial with several targets",
    "a deep initial",
    "an initial that is a history",
    "initial actions run",
    "history recorded",
    "shallow history restored",
    "deep history restored",
    "deep history restored over several regions",
    "a parallel's history restored",
    "history default taken",
    "history default actions run",
    "history default actions dropped, the parent being active",
    "a history default that is a history",
    "the domain moved by what a history remembers",
    "history recorded and restored at once",
    "a domain that recording a history would move",
    "an active state entered again by a history",
    "a parallel done",
    "a parallel not yet done",
    "a parallel done, with a parallel among its regions",
    "a parallel that could be done while a nested one is not",
    "a done event handled",
    "an internal event handled",
    "an internal event unhandled",
    "several internal events waiting",
    "an eventless transition",
    "three eventless microsteps in a row",
    "an eventless transition between internal events",
    "an event that enabled nothing, yet woke an eventless transition",
    "finished with events left",
    "finished",
    "a timer set",
    "a timer cancelled",
    "a timer cancelled and set again",
    "a timer set and cancelled within the step",
    "a timer's event handled",
    "two transitions on one timer",
    "a guard's failure made an event",
    "an action before selection raised an event",
    "refused: unknown",
    "refused: finished",
    "refused: guarded",
    "refused: illegal",
    "already done",
    "already done though finished",
    "endless loop",
    "handler broken",
    "ten microsteps in one macrostep",
)
"""Every point, in about the order of the algorithm."""


def points_of(case: Case) -> set[str]:
    """The points that a case passes when the reference runs it."""
    seen: set[str] = set()
    chart = chart_from(case.draft)
    make = partial(_Watching, seen)
    answer = _attempt(seen, lambda: start(chart, case.context, case.meta(0), make=make))
    if not isinstance(answer, ReferenceStep):
        return seen
    snapshot = answer.snapshot
    for number, event in enumerate(case.events, start=1):
        run = partial(step, chart, snapshot, event, case.meta(number), make=make)
        answer = _attempt(seen, run)
        if isinstance(answer, ReferenceRefusal):
            seen.add(f"refused: {answer.kind}")
        elif answer is not None:
            snapshot = answer.snapshot
            if answer.outcome == "already_done":
                finals = {s.path for s in chart.states if s.kind is StateKind.FINAL and s.parent == 0}
                seen.add("already done" + (" though finished" if finals & snapshot.active else ""))
    return seen


def _attempt(
    seen: set[str], run: Callable[[], ReferenceStep | ReferenceRefusal]
) -> ReferenceStep | ReferenceRefusal | None:
    try:
        return run()
    except EndlessLoop:
        seen.add("endless loop")
    except (Boom, HandlerFault):
        seen.add("handler broken")
    return None


class _Watching(Interpreter):
    """The interpreter, telling which points it passes."""

    def __init__(self, seen: set[str], chart: Chart[Any], context: ContextMarker, meta: Meta | None = None) -> None:
        super().__init__(chart, context, meta)
        self.seen = seen
        self.eventless_row = 0
        self.asked: list[TransitionNode] = []
        self.found: list[TransitionNode] = []
        self.is_internal = False
        self.recorded: list[StateNode] = []

    def note(self, point: str, happened: object = True) -> None:
        if happened:
            self.seen.add(point)

    # Selection.

    def select_eventless_transitions(self) -> list[TransitionNode]:
        self.asked, self.found = [], []
        selected = super().select_eventless_transitions()
        self.eventless_row = self.eventless_row + 1 if selected else 0
        self.note("an eventless transition", selected)
        self.note("three eventless microsteps in a row", self.eventless_row >= 3)
        self.note(
            "an eventless transition between internal events",
            selected and self.is_internal and self.internal_queue,
        )
        return selected

    def select_transitions(self, event: EventMarker) -> list[TransitionNode]:
        self.asked, self.found = [], []
        selected = super().select_transitions(event)
        if self.is_internal:
            self.note("an internal event handled" if selected else "an internal event unhandled")
            self.note("a done event handled", selected and isinstance(event, Done))
        self.note("a timer's event handled", any(isinstance(t.trigger, TimerTrigger) for t in selected))
        return selected

    def main_event_loop(self) -> None:
        self.is_internal = True
        before = len(self.microsteps)
        super().main_event_loop()
        self.note("an event that enabled nothing, yet woke an eventless transition", not before and self.microsteps)
        self.note("finished", not self.running)
        self.note("finished with events left", not self.running and self.internal_queue)
        self.note("ten microsteps in one macrostep", len(self.microsteps) >= 10)

    def _first_enabled(self, state: StateNode, matches: Callable[[TransitionNode], bool]) -> TransitionNode | None:
        before = len(self.asked)
        found = super()._first_enabled(state, matches)
        if found is not None:
            refused = [t for t in self.asked[before:] if not self.verdicts.get(t, True)]
            siblings = [t for t in refused if t.source == found.source]
            self.note("a second transition of a state taken because the first guard said no", siblings)
            self.note(
                "an outer state's transition taken because the inner guard said no",
                len(refused) > len(siblings),
            )
            self.note("one transition selected by several states", found in self.found)
            self.found.append(found)
        return found

    def condition_match(self, t: TransitionNode) -> bool:
        self.note("one guard, several states", t.guard is not None and t in self.verdicts)
        self.asked.append(t)
        waiting = len(self.internal_queue)
        matched = super().condition_match(t)
        self.note("a guard's failure made an event", len(self.internal_queue) > waiting)
        return matched

    def run_before(self) -> None:
        waiting = len(self.internal_queue)
        super().run_before()
        self.note("an action before selection raised an event", len(self.internal_queue) > waiting)

    def remove_conflicting_transitions(self, enabled_transitions: list[TransitionNode]) -> list[TransitionNode]:
        filtered = super().remove_conflicting_transitions(enabled_transitions)
        removed = [t for t in enabled_transitions if t not in filtered]
        for t in removed:
            later = [
                each
                for each in enabled_transitions[enabled_transitions.index(t) + 1 :]
                if self.is_descendant(self.source_of(each), self.source_of(t))
            ]
            by_descendant = any(each in filtered for each in later)
            self.note("an ancestor's transition preempted by a descendant's", by_descendant)
            self.note("a transition preempted by an earlier state's", not later)
            self.note("a preempting transition preempted in its turn", later and not by_descendant)
        return filtered

    # The microstep.

    def microstep(self, enabled_transitions: list[TransitionNode]) -> None:
        count = len(enabled_transitions)
        self.note("several transitions in one microstep", count > 1)
        self.note("three or more transitions in one microstep", count > 2)
        with_targets = sum(1 for t in enabled_transitions if t.targets)
        self.note(
            "no conflict: a targetless transition beside one with targets", 0 < with_targets < len(enabled_transitions)
        )  # fmt: skip
        for t in enabled_transitions:
            self._note_transition(t)
        super().microstep(enabled_transitions)
        left, entered = set(self.microsteps[-1].exited), set(self.microsteps[-1].entered)
        again = [self.chart.state(path) for path in left & entered]
        self.note("a parallel left and entered again", any(s.kind is StateKind.PARALLEL for s in again))
        self.note("several internal events waiting", len(self.internal_queue) > 1)

    def _note_transition(self, t: TransitionNode) -> None:
        source = self.source_of(t)
        targets = self.targets_of(t.targets)
        self.note("several targets", len(targets) > 1)
        self.note(
            "several targets, a history among them", len(targets) > 1 and any(s.kind.is_history for s in targets)
        )  # fmt: skip
        self.note("a composite or parallel to itself", targets == [source] and source.children)
        timers = [
            each
            for each in self.chart.transitions
            if each is not t and t.trigger is not None and each.trigger == t.trigger
        ]
        self.note("two transitions on one timer", timers and isinstance(t.trigger, TimerTrigger))
        if not targets:
            return
        domain = self.get_transition_domain(t)
        inside = all(self.is_descendant(s, source) for s in self.get_effective_target_states(t.targets))
        self.note("internal to a descendant", t.internal and domain is source)
        self.note("external to a descendant", not t.internal and inside)
        assert domain is not None
        parent = self.parent_or_none(domain)
        self.note("a transition within one region", parent and parent.kind is StateKind.PARALLEL)
        if any(s.kind.is_history for s in targets):
            plain = self.find_lcca([source, *targets])
            self.note("the domain moved by what a history remembers", plain is not domain)

    def find_lcca(self, states: list[StateNode]) -> StateNode:
        found = super().find_lcca(states)
        head, *tail = states
        nearest = next(
            anc for anc in self.get_proper_ancestors(head, None) if all(self.is_descendant(s, anc) for s in tail)
        )
        self.note("a parallel skipped as the domain", nearest is not found)
        return found

    def exit_states(self, enabled_transitions: list[TransitionNode]) -> tuple[str, ...]:
        left = super().exit_states(enabled_transitions)
        children = [child for path in left for child in self.children_of(self.chart.state(path))]
        self.recorded = [child for child in children if child.kind.is_history]
        self.note("history recorded", self.recorded)
        return left

    def compute_entry_set(self, transitions: list[TransitionNode], entry: EntrySet) -> None:
        for t in transitions:
            moved = t in self.domains and self.domains[t] is not self.get_transition_domain(t)
            self.note("a domain that recording a history would move", moved)
        super().compute_entry_set(transitions, entry)
        active = [s for s in entry.states_to_enter if s in self.configuration]
        self.note("an active state entered again by a history", active)
        for parent, actions in entry.default_history_content.items():
            run = "run" if parent in entry.states_to_enter else "dropped, the parent being active"
            self.note(f"history default actions {run}", actions)
        started = [self.root] if not self.microsteps and transitions[0].index < 0 else []
        for s in (*started, *entry.states_for_default_entry):
            targets = self.targets_of(s.initial)
            self.note("an initial with several targets", len(targets) > 1)
            self.note("a deep initial", any(self.parent_of(each) is not s for each in targets))
            self.note("an initial that is a history", any(each.kind.is_history for each in targets))
            self.note("initial actions run", s.initial_actions)

    def add_descendant_states_to_enter(self, state: StateNode, entry: EntrySet) -> None:
        if state.kind.is_history:
            remembered = self.history_value.get(state)
            if remembered:
                kind = "deep" if state.kind is StateKind.DEEP_HISTORY else "shallow"
                self.note(f"{kind} history restored")
                self.note("deep history restored over several regions", kind == "deep" and len(remembered) > 1)
                self.note("history recorded and restored at once", state in self.recorded)
                self.note("a parallel's history restored", self.parent_of(state).kind is StateKind.PARALLEL)
            else:
                self.note("history default taken")
                defaults = self.targets_of(state.default)
                self.note("a history default that is a history", any(s.kind.is_history for s in defaults))
        super().add_descendant_states_to_enter(state, entry)

    def add_ancestor_states_to_enter(self, state: StateNode, ancestor: StateNode | None, entry: EntrySet) -> None:
        before = len(entry.states_to_enter)
        super().add_ancestor_states_to_enter(state, ancestor, entry)
        above = self.get_proper_ancestors(state, None)
        added = entry.states_to_enter[before:]
        self.note(
            "a region filled in by default beside a named one",
            any(s not in above and self.parent_of(s).kind is StateKind.PARALLEL for s in added),
        )

    def all_in_final_state(self, parallel: StateNode) -> bool:
        result = super().all_in_final_state(parallel)
        nested = [s for s in self.get_child_states(parallel) if s.kind is StateKind.PARALLEL]
        self.note("a parallel done" if result else "a parallel not yet done")
        self.note("a parallel done, with a parallel among its regions", result and nested)
        composites = [s for s in self.get_child_states(parallel) if s.kind is not StateKind.PARALLEL]
        self.note(
            "a parallel that could be done while a nested one is not",
            nested and composites and not result and all(self.is_in_final_state(s) for s in composites),
        )
        return result

    def result(self) -> ReferenceStep:
        result = super().result()
        were_set = {name for name, _ in result.timers_set}
        cancelled = set(result.timers_cancelled)
        self.note("a timer set", were_set)
        self.note("a timer cancelled", cancelled)
        self.note("a timer cancelled and set again", were_set & cancelled)
        touched = {name for name, delay in self.timer_log if delay is not None}
        self.note("a timer set and cancelled within the step", touched - were_set - cancelled)
        self.note("a guard's failure made an event", any(isinstance(each, Failed) for each in result.unhandled))
        return result


def measure(case_of: Callable[[int], Case], seeds: Iterable[int]) -> Counter[str]:
    """How many of the cases of these seeds pass each point, and how large they are together."""
    count: Counter[str] = Counter()
    for seed in seeds:
        case = case_of(seed)
        count.update({"cases", *points_of(case)})
        count["events"] += len(case.events)
        count["states"] += len(list(case.draft.root.walk())) - 1
        count["transitions"] += len(case.draft.transitions)
    return count


def main() -> None:
    """Print the table."""
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    general = measure(general_case, range(examples))
    wide = measure(twelve_region_case, range(examples // 5))
    for what in ("cases", "states", "transitions", "events"):
        print(f"{what:75} {general[what]:8} {wide[what]:8}")
    for point in POINTS:
        shares = [100 * each[point] / each["cases"] for each in (general, wide)]
        print(f"{point:75} {shares[0]:7.1f}% {shares[1]:7.1f}%")


if __name__ == "__main__":
    main()

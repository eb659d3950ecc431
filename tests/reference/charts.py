"""Random charts, and random events to send them, as Hypothesis strategies.

Charts are drawn as drafts that keep every rule by construction: a set of targets is drawn by walking down
from a state, going into several regions at a parallel and into one child at a composite, so it can always be
active at once. Loops end because what could feed one burns fuel, of which the context holds a little; a few
charts are drawn without that care, and there both engines must give up.

`describe` writes a chart as text; a failing `Case` prints itself so.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache, partial
from typing import Any, TypeVar

from hypothesis import strategies as st

from stateward.chart import (
    Chart,
    DoneTrigger,
    Elapsed,
    Event,
    EventMarker,
    EventTrigger,
    Handler,
    Meta,
    StateKind,
    TimerTrigger,
    Trigger,
)
from stateward.chart.build import build
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.errors import DefinitionWarning, EndlessLoop
from tests.reference.handlers import (
    A,
    Act,
    Ask,
    B,
    Boom,
    C,
    D,
    Data,
    DelayOf,
    FailedGuard,
    Log,
    Stranger,
    handler_of,
)
from tests.reference.interpreter import HandlerFault, ReferenceStep, start, step

__all__ = ["Case", "chart_drafts", "chart_from", "describe", "general_cases", "twelve_region_cases"]

T = TypeVar("T")

DEPTH_MAX = 4
STATES_MAX = 26
EVENTS_MAX = 20

ATOMIC = StateKind.ATOMIC
COMPOSITE = StateKind.COMPOSITE
PARALLEL = StateKind.PARALLEL
FINAL = StateKind.FINAL
SHALLOW = StateKind.SHALLOW_HISTORY
DEEP = StateKind.DEEP_HISTORY


@dataclass(frozen=True)
class Case:
    """A chart and what is sent to it."""

    draft: ChartDraft
    context: Log
    events: tuple[EventMarker, ...]
    has_meta: bool

    def meta(self, number: int) -> Meta | None:
        """The meta of the step of that number; the start is number 0."""
        return Meta(entity="e1", record_id=f"record-{number}", actor="someone") if self.has_meta else None

    def __repr__(self) -> str:
        meta = "with meta" if self.has_meta else "without meta"
        return f"\n{describe(self.draft)}context {self.context!r}, {meta}\nevents {list(self.events)!r}\n"


def chart_from(draft: ChartDraft) -> Chart[Log]:
    """Build a draft, which may well have no way to a final state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DefinitionWarning)
        return build(draft)


@st.composite
def chart_drafts(draw: st.DrawFn) -> ChartDraft:
    """A chart of up to four levels."""
    return _Drawing(draw).general_chart()


@st.composite
def general_cases(draw: st.DrawFn) -> Case:
    """A chart of up to four levels with up to twenty events."""
    drawing = _Drawing(draw)
    return drawing.case(drawing.general_chart())


@st.composite
def twelve_region_cases(draw: st.DrawFn) -> Case:
    """A parallel of twelve regions with up to twenty events."""
    drawing = _Drawing(draw)
    return drawing.case(drawing.twelve_regions())


@cache
def _up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


@dataclass
class _Taste:
    """What one chart has much or little of, in percent."""

    parallel: int = 20
    history: int = 25
    eventless: int = 12
    raising: int = 8
    fragile: int = 0
    """How many guards and actions are broken."""
    careless: int = 0
    """How many eventless transitions may loop without end."""


@dataclass
class _Drawing:
    """One chart in the making. Every choice shrinks to its first option, and every chance to no."""

    draw: st.DrawFn
    taste: _Taste = field(default_factory=_Taste)
    states: dict[str, StateDraft] = field(default_factory=dict)
    room: int = STATES_MAX
    transitions: list[TransitionDraft] = field(default_factory=list)

    # Choices.

    def chance(self, percent: int) -> bool:
        return percent > 0 and self.draw(_up_to(99)) >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.draw(_up_to(len(options) - 1))] if len(options) > 1 else options[0]

    def weigh(self, *options: tuple[int, T]) -> T:
        """One of the options by weight; of those that have any."""
        number = self.draw(_up_to(sum(weight for weight, _ in options) - 1))
        for weight, option in options:
            if number < weight:
                return option
            number -= weight
        raise AssertionError("the number is smaller than the sum")

    # Whole charts.

    def general_chart(self) -> ChartDraft:
        self.taste = _Taste(
            parallel=self.pick((20, 10, 35)),
            history=self.pick((25, 5, 60)),
            eventless=self.pick((12, 0, 25)),
            raising=self.pick((8, 0, 20)),
            fragile=self.pick((0,) * 7 + (6,)),
            careless=self.pick((0,) * 19 + (30,)),
        )
        root = StateDraft("", COMPOSITE)
        self.states[""] = root
        must = PARALLEL if self.chance(60) else None
        self.add_children(root, depth=1, must=must)
        self.add_histories(root)
        self.settle(root)
        count = 4 + self.draw(_up_to(len(self.states) // 2)) + self.draw(_up_to(len(self.states) // 2))
        for _ in range(count):
            self.add_transition()
        return self.finish(root)

    def twelve_regions(self) -> ChartDraft:
        self.taste = _Taste(history=10, eventless=6, raising=3)
        self.room = 90
        root = StateDraft("", COMPOSITE)
        self.states[""] = root
        wide = self.add_state(root, "p", PARALLEL, initial=self.chance(70))
        self.add_state(root, "off", ATOMIC, initial=not wide.is_initial)
        self.add_state(root, "end", FINAL)
        for number in range(12):
            region = self.add_state(wide, f"r{number}", COMPOSITE)
            self.add_children(region, depth=DEPTH_MAX - self.weigh((80, 0), (20, 1)))
        self.add_histories(root)
        self.settle(root)
        for region in [each for each in wide.children if each.kind is COMPOSITE]:
            inside = [each for each in region.walk() if each.kind in (ATOMIC, COMPOSITE)]
            for _ in range(self.pick((2, 1, 3))):
                source = self.pick(inside)
                targets = self.targets_near(source) if self.chance(85) else self.targets_of(source)
                self.write_transition(source, targets)
        for _ in range(self.pick((3, 1, 5))):
            self.add_transition()
        self.write_transition(self.states["off"], ("p",))
        self.write_transition(wide, self.pick((("off",), ("end",), ("off",))))
        return self.finish(root)

    def finish(self, root: StateDraft) -> ChartDraft:
        draft = ChartDraft("Random", 1, Log, root, self.transitions)
        real = [path for path, each in self.states.items() if path and not each.kind.is_history]
        for number in range(self.weigh((80, 0), (15, 1), (5, 2))):
            chosen = sorted({self.pick(real) for _ in range(3)})
            trigger = EventTrigger(self.event_class())
            draft.already.append(AlreadyDraft(f"already{number}", trigger, tuple(chosen)))
        if self.chance(15):
            draft.before = self.action("before")
        if self.chance(50 if self.taste.fragile else 3):
            draft.guard_error = FailedGuard()
        return draft

    def case(self, draft: ChartDraft) -> Case:
        context = Log(fuel=self.draw(_up_to(25)))
        count = 1 + max(self.draw(_up_to(EVENTS_MAX - 1)), self.draw(_up_to(EVENTS_MAX - 1)))
        case = Case(draft, context, (), has_meta=self.chance(50))
        return replace(case, events=tuple(self.events(case, count)))

    def events(self, case: Case, count: int) -> Iterator[EventMarker]:
        """Events, most of which find a transition: the reference runs along, and says which states are active.

        Where it fails to, they are drawn blindly; whether the kernel fails there too is for the test to see.
        """
        chart = chart_from(case.draft)
        taken = attempt(lambda: start(chart, case.context, case.meta(0)))
        for number in range(1, count + 1):
            ways = [
                each.trigger
                for each in case.draft.transitions
                if taken and each.source in taken.snapshot.active
                if isinstance(each.trigger, (EventTrigger, TimerTrigger))
            ]
            event = self.event_for(self.pick(ways)) if ways and self.chance(60) else self.event(case.draft)
            yield event
            if taken:
                next_taken = attempt(partial(step, chart, taken.snapshot, event, case.meta(number)))
                taken = next_taken if isinstance(next_taken, ReferenceStep) else taken

    def event(self, draft: ChartDraft) -> EventMarker:
        timers = sorted({t.trigger.timer for t in draft.transitions if isinstance(t.trigger, TimerTrigger)})
        kind = self.weigh((82, "class"), (14, "timer"), (3, "stranger"), (1, "strange timer"))
        if kind == "timer" and timers:
            return Elapsed(self.pick(timers))
        if kind == "stranger":
            return Stranger()
        if kind == "strange timer":
            return Elapsed("nobody@nowhere")
        return self.payload_event()

    def event_for(self, trigger: EventTrigger | TimerTrigger) -> EventMarker:
        if isinstance(trigger, TimerTrigger):
            return Elapsed(trigger.timer)
        payload = self.draw(_up_to(3))
        kinds: dict[type[EventMarker], Callable[[int], EventMarker]] = {A: A, B: B, C: C, D: D}
        return kinds.get(trigger.event, C)(payload)

    def payload_event(self) -> EventMarker:
        kind: Callable[[int], EventMarker] = self.weigh((38, A), (32, B), (20, C), (10, D))
        return kind(self.draw(_up_to(3)))

    def event_class(self) -> type[EventMarker]:
        return self.weigh((38, A), (32, B), (18, C), (8, D), (4, Event))

    # The tree.

    def add_state(
        self, parent: StateDraft, name: str, kind: StateKind, *, initial: bool = False
    ) -> StateDraft:
        path = f"{parent.path}.{name}" if parent.path else name
        made = StateDraft(path, kind, is_initial=initial)
        self.room -= 1
        self.states[path] = made
        parent.children.append(made)
        if kind.is_history:
            return made
        if kind is not ATOMIC or self.chance(75):
            made.entry = self.actions(f"enter {path}")
        if self.chance(65):
            made.exit = self.actions(f"leave {path}")
        if kind is FINAL and self.chance(50):
            made.data = handler_of(Data(path, wants_meta=self.chance(30)))
        return made

    def add_children(self, parent: StateDraft, *, depth: int, must: StateKind | None = None) -> None:
        """Give a composite its states or a parallel its regions, and these theirs."""
        is_parallel = parent.kind is PARALLEL
        count = self.weigh((20, 2), (2, 1), (8, 3)) if is_parallel else self.pick((2, 1, 3, 3, 4))
        count = max(count, 2) if must else count
        for number in range(count):
            kind = self.kind_of_child(parent, depth)
            if must is not None and number == count - 1:
                kind = must
            elif kind is FINAL and parent.path == "" and number == 0:
                kind = ATOMIC  # so that there is something to leave
            child = self.add_state(parent, "abcdefgh"[number], kind)
            if kind in (COMPOSITE, PARALLEL):
                self.add_children(child, depth=depth + 1)

    def kind_of_child(self, parent: StateDraft, depth: int) -> StateKind:
        deeper = depth < DEPTH_MAX and self.room > 0
        parallel = self.taste.parallel if depth < DEPTH_MAX - 1 else 0
        if parent.kind is PARALLEL:
            options = [(75, COMPOSITE), (parallel, PARALLEL), (8, ATOMIC)] if deeper else [(1, ATOMIC)]
        else:
            final = 6 if parent.path == "" else 22
            options = [(45, ATOMIC), (final, FINAL)]
            if deeper:
                options += [(25, COMPOSITE), (parallel, PARALLEL)]
        return self.weigh(*options)

    def add_histories(self, root: StateDraft) -> None:
        """Memories for composites and parallels; the root's is a curiosity, since it is never left."""
        for state in list(root.walk()):
            if state.kind in (COMPOSITE, PARALLEL) and self.chance(self.taste.history if state.path else 2):
                kinds = self.weigh((35, (SHALLOW,)), (40, (DEEP,)), (15, (SHALLOW, DEEP)))
                for kind in kinds:
                    name = "H" if kind is SHALLOW else "H*"
                    self.add_state(state, name, kind)
                if self.chance(10):  # they stand last unless they stand first
                    state.children.sort(key=lambda each: not each.kind.is_history)

    def settle(self, root: StateDraft) -> None:
        """Initial states, and what histories lead to before they remember anything."""
        for state in root.walk():
            if state.kind is COMPOSITE and not any(each.is_initial for each in state.children):
                self.settle_initial(state)
            if state.kind in (COMPOSITE, PARALLEL) and self.chance(50):
                state.initial_actions = self.actions(f"start {state.path}") if state.path else ()
            for child in state.children:
                if child.kind.is_history:
                    if self.chance(60):
                        child.default_actions = self.actions(f"recall {child.path}")
                    if state.initial and self.states[state.initial[0]] in state.children:
                        own = self.states[state.initial[0]].kind.is_history
                    else:
                        own = False
                    if own or self.chance(60):
                        below = self.pick(real_children(state))
                        child.default = self.places_within(below) if self.chance(70) else (below.path,)

    def settle_initial(self, state: StateDraft) -> None:
        children = real_children(state)
        living = [each for each in children if each.kind is not FINAL]
        child = self.pick(living if living and not self.chance(4) else children)
        histories = [each for each in state.children if each.kind.is_history]
        way = self.weigh((60, "mark"), (12, "name"), (24, "deep"), (4, "history"))
        if way == "deep":
            state.initial = self.places_within(child)
        elif way == "history" and histories and state.path:
            state.initial = (self.pick(histories).path,)
        elif way == "name":
            state.initial = (child.path,)
        else:
            child.is_initial = True

    def places_within(self, state: StateDraft) -> tuple[str, ...]:
        """A state, or some below it, that can all be active at once: several regions, but one child."""
        if state.kind is PARALLEL and self.chance(65):
            regions = real_children(state)
            histories = [each for each in state.children if each.kind.is_history]
            if histories and self.chance(25):
                return (self.pick(histories).path,)
            chosen = [each for each in regions if self.chance(70)] or regions[:1]
            if self.chance(25):
                chosen.reverse()
            return tuple(path for each in chosen for path in self.places_within(each))
        if state.kind is COMPOSITE and self.chance(60):
            return self.places_within(self.pick(state.children))
        return (state.path,)

    # Transitions.

    def sources(self) -> list[StateDraft]:
        return [
            each for path, each in self.states.items() if path and each.kind in (ATOMIC, COMPOSITE, PARALLEL)
        ]

    def add_transition(self) -> None:
        source = self.pick(self.sources())
        self.write_transition(source, self.targets_of(source))

    def targets_of(self, source: StateDraft) -> tuple[str, ...]:
        histories = [path for path, each in self.states.items() if path and each.kind.is_history]
        parallels = [each for each in self.states.values() if each.kind is PARALLEL]
        way = self.weigh(
            (30, "near"),
            (28, "anywhere"),
            (10, "stay"),
            (8, "self"),
            (5, "above"),
            (12, "history"),
            (9, "wide"),
        )
        if way == "stay":
            return ()
        if way == "self":
            return (source.path,)
        if way == "above" and "." in source.path:
            return (self.pick(list(ancestors_of(source.path))),)
        if way == "history" and histories:
            return (self.pick(histories),)
        if way == "wide" and parallels:
            return self.places_within(self.pick(parallels))
        if way == "near":
            return self.targets_near(source)
        return self.places_within(self.pick([each for path, each in self.states.items() if path]))

    def targets_near(self, source: StateDraft) -> tuple[str, ...]:
        """Inside the source, or beside it."""
        inside = real_children(source)
        if inside and self.chance(50):
            return self.places_within(self.pick(inside))
        parent = self.states[source.path.rpartition(".")[0]]
        return self.places_within(self.pick(real_children(parent)))

    def write_transition(self, source: StateDraft, targets: tuple[str, ...]) -> None:
        trigger, name = self.trigger(source)
        number = len(self.transitions)
        guard = self.guard() if self.chance(40) else None
        actions = self.actions(f"do {number}") if self.chance(90) else ()
        if trigger is None:
            guard = guard or Ask("true")
            if not self.chance(self.taste.careless):
                guard = Ask(guard.kind, guard.a, guard.b, guard.subject, fuelled=True)
                actions = (*actions, handler_of(Act(f"burn {number}", burns=True)))
        inside = bool(targets) and all(path.startswith(f"{source.path}.") for path in targets)
        internal = source.kind is COMPOSITE and inside and self.chance(50)
        self.transitions.append(
            TransitionDraft(
                name=name,
                source=source.path,
                targets=targets,
                trigger=trigger,
                guard=handler_of(guard) if guard else None,
                actions=actions,
                internal=internal,
            )
        )

    def trigger(self, source: StateDraft) -> tuple[Trigger | None, str]:
        way = self.weigh((68, "event"), (self.taste.eventless, "always"), (10, "done"), (10, "after"))
        if way == "always":
            return None, "always"
        if way == "done":
            ending = [each for each in self.states.values() if each.path and can_be_done(each)]
            if ending:
                own = source in ending and self.chance(70)
                return DoneTrigger(source.path if own else self.pick(ending).path), "done"
        if way == "after":
            return self.timer(source)
        event = self.event_class()
        return EventTrigger(event), event.__name__.lower()

    def timer(self, source: StateDraft) -> tuple[Trigger, str]:
        """A timer of its own, or one that another transition of this source waits for too."""
        known = [
            (t.trigger, t.name)
            for t in self.transitions
            if t.source == source.path and isinstance(t.trigger, TimerTrigger)
        ]
        if known and self.chance(40):
            return self.pick(known)
        name = f"after{len(self.transitions)}"
        seconds = self.draw(_up_to(3)) + 1
        delay = handler_of(DelayOf(seconds)) if self.chance(50) else timedelta(seconds=seconds)
        return TimerTrigger(f"{name}@{source.path}", delay), name

    # Handlers.

    def actions(self, label: str) -> tuple[Handler, ...]:
        if self.chance(10):
            return self.action(f"{label} first"), self.action(f"{label} then")
        return (self.action(label),)

    def action(self, label: str) -> Handler:
        way = self.weigh(
            (40, "plain"), (18, "adds"), (15, "sees"), (15, "notes"), (8, "raises"), (2, "draws")
        )
        raises = way == "raises" or self.chance(self.taste.raising)
        events: tuple[EventMarker, ...] = ()
        if raises and self.taste.raising:
            events = (self.payload_event(),)
            if self.chance(25):
                events = (*events, self.payload_event())
        return handler_of(
            Act(
                label,
                adds=1 if way == "adds" else 0,
                burns=False,
                notes=1 + self.chance(30) if way == "notes" else 0,
                raises=events,
                sees=way == "sees",
                draws=way == "draws",
                breaks=self.pick(("raise", "none", "junk")) if self.chance(self.taste.fragile // 2) else "",
            )
        )

    def guard(self) -> Ask:
        if self.chance(self.taste.fragile * 4):
            return Ask("boom", 2, self.draw(_up_to(1)))
        way = self.weigh(
            (30, "count"), (15, "payload"), (12, "fuel"), (10, "event"), (12, "active"), (6, "absent"),
            (6, "false"), (5, "true"), (4, "random"),
        )  # fmt: skip
        if way in ("count", "fuel"):
            divisor = self.draw(_up_to(1)) + 2
            return Ask(way, divisor, self.draw(_up_to(divisor - 1)))
        if way == "payload":
            return Ask(way, self.draw(_up_to(2)) + 1)
        if way == "event":
            return Ask(way, subject=self.event_class())
        if way in ("active", "absent"):
            return Ask(way, subject=self.pick([path for path in self.states if path]))
        return Ask(way)


def attempt(run: Callable[[], T]) -> T | None:
    """What it gives, or None if a broken handler or an endless loop makes it fail."""
    try:
        return run()
    except (Boom, HandlerFault, EndlessLoop):
        return None


def real_children(state: StateDraft) -> list[StateDraft]:
    """The children without the histories."""
    return [each for each in state.children if not each.kind.is_history]


def can_be_done(state: StateDraft) -> bool:
    """Whether a transition may wait for it to be done."""
    return state.kind is PARALLEL or (
        state.kind is COMPOSITE and any(each.kind is FINAL for each in state.children)
    )


def ancestors_of(path: str) -> Iterator[str]:
    """The paths above a path, nearest first, without the root's."""
    while path := path.rpartition(".")[0]:
        yield path


def describe(draft: ChartDraft) -> str:
    """A chart as text."""
    lines: list[str] = []
    for state in draft.root.walk():
        marks = [state.kind.value] if state.kind is not ATOMIC else []
        marks += ["initial"] if state.is_initial else []
        told: list[tuple[str, Any]] = [
            ("starts in", state.initial),
            ("entry", state.entry),
            ("exit", state.exit),
            ("starting", state.initial_actions),
            ("default", state.default),
            ("recalling", state.default_actions),
            ("data", state.data),
        ]
        marks += [f"{what} {value}" for what, value in told if value]
        indent = "  " * (state.path.count(".") + 1) if state.path else ""
        lines.append(f"{indent}{state.path or 'root'}: {'; '.join(marks)}")
    for t in draft.transitions:
        on = t.trigger.label if t.trigger else "always"
        waits = f" @{t.trigger.timer}" if isinstance(t.trigger, TimerTrigger) else ""
        how = f"{' internal' if t.internal else ''} when {t.guard} do {t.actions}"
        lines.append(f"{t.name}: {t.source} --{on}{waits}--> {', '.join(t.targets) or 'stays'}{how}")
    lines += [f"already {each.trigger.label} in {each.states}" for each in draft.already]
    lines += [f"before {draft.before}"] if draft.before else []
    lines += ["guard errors are events"] if draft.guard_error else []
    return "\n".join(lines) + "\n"

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
from random import Random
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
from tests.reference.interpreter import HandlerFault, ReferenceRefusal, start, step

__all__ = ["Case", "chart_from", "describe", "general_case", "general_cases", "seeds", "twelve_region_case"]

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
def general_cases(draw: st.DrawFn) -> Case:
    """A chart of up to four levels with up to twenty events, each choice a draw: slow, but it shrinks."""
    drawing = _Drawing(lambda most: draw(_up_to(most)))
    return drawing.case(drawing.general_chart())


def general_case(seed: int) -> Case:
    """The same from a seed: ten times as fast, and no two seeds alike; `reduce_case` is what shrinks it."""
    drawing = _Drawing(partial(Random(seed).randint, 0))
    return drawing.case(drawing.general_chart())


def twelve_region_case(seed: int) -> Case:
    """A parallel of twelve regions with up to twenty events."""
    drawing = _Drawing(partial(Random(seed).randint, 0))
    return drawing.case(drawing.twelve_regions())


seeds: st.SearchStrategy[int] = st.tuples(*[st.integers(0, 0xFFFF)] * 4).map(
    # In parts, because a single large number is mostly drawn small.
    lambda parts: int.from_bytes(b"".join(part.to_bytes(2, "big") for part in parts), "big")
)
"""Seeds of cases."""


@cache
def _up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


@dataclass
class _Taste:
    """What one chart has much or little of, in percent."""

    parallel: int = 20
    history: int = 25
    eventless: int = 12
    ending: int = 15
    """How many transitions lead to a final state nearby; with much of it, more composites have one."""
    raising: int = 8
    keeps_c: bool = False
    """Only a transition that is given C waits for it."""
    fragile: int = 0
    """How many guards and actions are broken."""
    careless: int = 0
    """How many transitions that need no event from outside may loop without end."""


@dataclass
class _Drawing:
    """One chart in the making. Every choice shrinks to its first option, and every chance to no."""

    choose: Callable[[int], int]
    """A number from 0 to the one given."""
    taste: _Taste = field(default_factory=_Taste)
    states: dict[str, StateDraft] = field(default_factory=dict)
    room: int = STATES_MAX
    transitions: list[TransitionDraft] = field(default_factory=list)

    # Choices.

    def chance(self, percent: int) -> bool:
        return percent > 0 and self.choose(99) >= 100 - percent

    def pick(self, options: Sequence[T]) -> T:
        return options[self.choose(len(options) - 1)] if len(options) > 1 else options[0]

    def weigh(self, *options: tuple[int, T]) -> T:
        """One of the options by weight; of those that have any."""
        number = self.choose(sum(weight for weight, _ in options) - 1)
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
            ending=self.pick((15, 15, 60)),
            raising=self.pick((8, 0, 20)),
            fragile=self.pick((0, 0, 0, 0, 0, 0, 8)),
            careless=self.pick((0,) * 19 + (70,)),
        )
        self.room = 6 if self.taste.careless else STATES_MAX  # a thousand microsteps take their time
        root = StateDraft("", COMPOSITE)
        self.states[""] = root
        must = PARALLEL if self.chance(65) else None
        self.add_children(root, depth=1, must=must)
        if self.taste.ending > 50 and self.chance(30):
            self.add_nest(root)
        if self.chance(30):
            self.add_state(root, "end", FINAL)
        self.add_histories(root)
        self.settle(root)
        count = 4 + self.choose(len(self.states) // 2) + self.choose(len(self.states) // 2)
        for _ in range(count):
            self.add_transition()
        if self.taste.ending > 50:
            self.drive_to_the_end()
        return self.finish(root)

    def drive_to_the_end(self) -> None:
        """One event that leads composites to a final state, so that whole parallels get done."""
        event = self.event_class()
        for state in list(self.states.values()):
            finals = [each for each in state.children if each.kind is FINAL]
            if state.path and finals and self.chance(75):
                inside = [each for each in state.children if each.kind in (ATOMIC, COMPOSITE, PARALLEL)]
                source = self.pick(inside) if inside and self.chance(40) else state
                self.write_transition(source, (self.pick(finals).path,), EventTrigger(event))

    def twelve_regions(self) -> ChartDraft:
        self.taste = _Taste(history=10, eventless=6, raising=3)
        self.room = 90
        root = StateDraft("", COMPOSITE)
        self.states[""] = root
        wide = self.add_state(root, "p", PARALLEL, initial=self.chance(70))
        self.add_state(root, "off", ATOMIC, initial=not wide.is_initial)
        self.add_state(root, "end", FINAL)
        all_end = self.chance(30)
        self.taste.keeps_c = all_end
        for number in range(12):
            region = self.add_state(wide, f"r{number}", COMPOSITE)
            self.add_children(region, depth=DEPTH_MAX - self.weigh((80, 0), (20, 1)))
            if all_end:
                self.add_state(region, "z", FINAL)
        self.add_histories(root)
        self.settle(root)
        for region in [each for each in wide.children if each.kind is COMPOSITE]:
            if all_end:
                self.write_transition(region, (f"{region.path}.z",), EventTrigger(B if self.chance(2) else C))
            inside = [each for each in region.walk() if each.kind in (ATOMIC, COMPOSITE)]
            for _ in range(self.pick((2, 1, 3))):
                source = self.pick(inside)
                targets = self.targets_near(source) if self.chance(85) else self.targets_of(source)
                self.write_transition(source, targets)
        for _ in range(self.pick((3, 1, 5))):
            self.add_transition()
        self.write_transition(self.states["off"], ("p",))
        self.write_transition(wide, self.pick((("off",), ("end",), ("off",))))
        if all_end:
            self.write_transition(wide, self.pick((("end",), ("off",), ("p",), ())), DoneTrigger("p"))
        return self.finish(root)

    def finish(self, root: StateDraft) -> ChartDraft:
        draft = ChartDraft("Random", 1, Log, root, self.transitions)
        real = [path for path, each in self.states.items() if path and not each.kind.is_history]
        for number in range(self.weigh((80, 0), (15, 1), (5, 2))):
            chosen = sorted({self.pick(real) for _ in range(3)} | ({"end"} & {*real}))
            trigger = EventTrigger(self.event_class())
            draft.already.append(AlreadyDraft(f"already{number}", trigger, tuple(chosen)))
        if self.chance(15):
            draft.before = self.action("before")
        if self.chance(50 if self.taste.fragile else 3):
            draft.guard_error = FailedGuard()
        return draft

    def case(self, draft: ChartDraft) -> Case:
        context = Log(fuel=self.choose(25))
        count = 1 + max(self.choose(EVENTS_MAX - 1), self.choose(EVENTS_MAX - 1))
        case = Case(draft, context, (), has_meta=self.chance(50))
        return replace(case, events=tuple(self.events(case, count)))

    def events(self, case: Case, count: int) -> Iterator[EventMarker]:
        """Events, most of which find a transition: the reference runs along and says which states are active.

        When it has failed the rest is drawn blindly; whether the kernel fails too is for the test to see.
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
            event = self.event_for(self.pick(ways)) if ways and self.chance(70) else self.event(case.draft)
            yield event
            if taken:
                answer = attempt(partial(step, chart, taken.snapshot, event, case.meta(number)))
                taken = taken if isinstance(answer, ReferenceRefusal) else answer

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
        payload = self.choose(3)
        kinds: dict[type[EventMarker], Callable[[int], EventMarker]] = {A: A, B: B, C: C, D: D}
        return kinds.get(trigger.event, C)(payload)

    def payload_event(self) -> EventMarker:
        kind: Callable[[int], EventMarker] = self.weigh((38, A), (32, B), (20, C), (10, D))
        return kind(self.choose(3))

    def event_class(self) -> type[EventMarker]:
        if self.taste.keeps_c:
            return self.weigh((45, A), (40, B), (15, D))
        return self.weigh((38, A), (32, B), (18, C), (8, D), (4, Event))

    # The tree.

    def add_state(self, parent: StateDraft, name: str, kind: StateKind, *, initial: bool = False) -> StateDraft:
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
            elif (
                parent.path
                and parent.kind is COMPOSITE
                and 0 < number == count - 1
                and self.chance(20 + self.taste.ending)
            ):
                kind = FINAL
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

    def add_nest(self, root: StateDraft) -> None:
        """A parallel whose regions are a parallel and a composite, all of which can be done."""
        nest = self.add_state(root, "n", PARALLEL, initial=self.chance(50))
        names = ("q", "r") if self.chance(50) else ("r", "q")
        for name in names:
            region = self.add_state(nest, name, PARALLEL if name == "q" else COMPOSITE)
            inner = [self.add_state(region, each, COMPOSITE) for each in "ab"] if name == "q" else [region]
            for each in inner:
                self.add_state(each, "a", ATOMIC)
                self.add_state(each, "z", FINAL)

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
                state.initial_actions = self.actions(f"start {state.path or 'all'}")
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
        deep = 45 if child.kind is PARALLEL else 20
        way = self.weigh((60, "mark"), (12, "name"), (deep, "deep"), (4, "history"))
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
        if state.kind is PARALLEL and self.chance(75):
            regions = real_children(state)
            histories = [each for each in state.children if each.kind.is_history]
            if histories and self.chance(25):
                return (self.pick(histories).path,)
            chosen = [each for each in regions if self.chance(75)] or regions[:1]
            if self.chance(25):
                chosen.reverse()
            return tuple(path for each in chosen for path in self.places_within(each))
        if state.kind is COMPOSITE and self.chance(60):
            return self.places_within(self.pick(state.children))
        return (state.path,)

    # Transitions.

    def sources(self) -> list[StateDraft]:
        return [each for path, each in self.states.items() if path and each.kind in (ATOMIC, COMPOSITE, PARALLEL)]

    def add_transition(self) -> None:
        source = self.pick(self.sources())
        self.write_transition(source, self.targets_of(source))

    def targets_of(self, source: StateDraft) -> tuple[str, ...]:
        histories = [path for path, each in self.states.items() if path and each.kind.is_history]
        parallels = [each for each in self.states.values() if each.kind is PARALLEL]
        way = self.weigh(
            (30, "near"),
            (24, "anywhere"),
            (15, "history"),
            (self.taste.ending, "final"),
            (12, "wide"),
            (10, "stay"),
            (9, "self"),
            (5, "above"),
        )
        if way == "stay":
            return ()
        if way == "self":
            return (source.path,)
        if way == "above" and "." in source.path:
            return (self.pick(list(ancestors_of(source.path))),)
        if way == "history" and histories:
            return (self.pick(histories),)
        if way == "final" and (finals := self.finals_near(source)):
            return (self.pick(finals),)
        if way == "wide" and parallels:
            return self.places_within(self.pick(parallels))
        if way == "near":
            return self.targets_near(source)
        return self.places_within(self.pick([each for path, each in self.states.items() if path]))

    def finals_near(self, source: StateDraft) -> list[str]:
        """The final states beside the source, or beside one of those above it; these last."""
        above = [self.states[path] for path in ancestors_of(source.path)]
        return [each.path for state in (*above, self.states[""]) for each in state.children if each.kind is FINAL]

    def targets_near(self, source: StateDraft) -> tuple[str, ...]:
        """Inside the source, or beside it."""
        inside = real_children(source)
        if inside and self.chance(50):
            return self.places_within(self.pick(inside))
        parent = self.states[source.path.rpartition(".")[0]]
        return self.places_within(self.pick(real_children(parent)))

    def write_transition(self, source: StateDraft, targets: tuple[str, ...], given: Trigger | None = None) -> None:
        trigger, name = (given, "given") if given else self.trigger(source)
        number = len(self.transitions)
        guard = self.guard() if self.chance(5 if given else 40) else None
        actions = self.actions(f"do {number}") if self.chance(90) else ()
        if trigger is None or isinstance(trigger, DoneTrigger):
            guard = guard or Ask("true")
            if trigger is None and self.chance(25):
                guard = Ask("payload", 2) if self.chance(50) else Ask("event", subject=self.event_class())
            if not self.chance(self.taste.careless):
                guard = Ask(guard.kind, guard.a, guard.b, guard.subject, fuelled=True)
                actions = (*actions, handler_of(Act(f"burn {number}", burns=True)))
        inside = bool(targets) and all(path.startswith(f"{source.path}.") for path in targets)
        internal = source.kind is COMPOSITE and inside and self.chance(97 if given else 50)
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
        way = self.weigh((66, "event"), (self.taste.eventless, "always"), (13, "done"), (10, "after"))
        if way == "always":
            return None, "always"
        if way == "done":
            ending = [each for each in self.states.values() if each.path and can_be_done(each)]
            above = [source.path, *ancestors_of(source.path)]
            around = [each for each in ending if each.path in above]
            if ending:
                return DoneTrigger(self.pick(around if around and self.chance(75) else ending).path), "done"
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
        seconds = self.choose(3) + 1
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
        )  # fmt: skip
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
            return Ask("boom", 2, self.choose(1))
        way = self.weigh(
            (30, "count"), (15, "payload"), (12, "fuel"), (10, "event"), (12, "active"), (6, "absent"),
            (6, "false"), (5, "true"), (4, "random"),
        )  # fmt: skip
        if way in ("count", "fuel"):
            divisor = self.choose(1) + 2
            return Ask(way, divisor, self.choose(divisor - 1))
        if way == "payload":
            return Ask(way, self.choose(2) + 1)
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
    return state.kind is PARALLEL or (state.kind is COMPOSITE and any(each.kind is FINAL for each in state.children))


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

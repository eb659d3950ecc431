"""Small charts for the points where hand-written engines go wrong, with answers worked out by hand.

Each names the points (`coverage.POINTS`) that it is there for. Every state logs `+path` when it is entered
and `-path` when it is left, every transition `!name`, an initial transition `>path` of its composite, and a
history's default `?path`. The answers were written down from the text of Appendix D, not from a run.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from stateward.chart import (
    Done,
    DoneTrigger,
    Elapsed,
    EventMarker,
    EventTrigger,
    Handler,
    Meta,
    Raise,
    StateKind,
    TimerTrigger,
    Trigger,
)
from stateward.chart.draft import AlreadyDraft, ChartDraft, StateDraft, TransitionDraft
from stateward.errors import RefusalKind
from tests.reference.charts import Case
from tests.reference.handlers import A, Ask, B, C, Log, Stranger, handler_of

__all__ = ["SUBTLE", "Said", "Subtle"]


@dataclass(frozen=True)
class Said:
    """What one event should lead to."""

    log: str = ""
    """The lines that it adds, joined by blanks."""
    state: str = ""
    refused: RefusalKind | None = None
    already: bool = False
    unhandled: tuple[EventMarker, ...] = ()
    timers_set: tuple[str, ...] = ()
    timers_cancelled: tuple[str, ...] = ()


@dataclass(frozen=True)
class Subtle:
    """A chart, its start, and events with their answers."""

    name: str
    points: frozenset[str]
    draft: ChartDraft
    start: Said
    events: tuple[tuple[EventMarker, Said], ...]

    @property
    def case(self) -> Case:
        """The same as the random charts are given."""
        return Case(self.draft, Log(), tuple(event for event, _ in self.events), has_meta=False)


@dataclass(frozen=True)
class Say:
    """An action that logs one word."""

    word: str
    raises: tuple[EventMarker, ...] = ()
    tells_event: bool = False
    sees: bool = False

    def __call__(self, context: Log, event: EventMarker, meta: Meta | None = None) -> Any:
        word = self.word + (f"({type(event).__name__})" if self.tells_event else "")
        if meta is not None:
            word += "{" + ",".join(sorted(meta.active)) + "}"
        after = context.replace(entries=(*context.entries, word))
        return self._raising(after) if self.raises else after

    def _raising(self, context: Log) -> Generator[Raise, None, Log]:
        for event in self.raises:
            yield Raise(event)
        return context


def say(word: str, *raises: EventMarker, tells_event: bool = False, sees: bool = False) -> Handler:
    return Handler(word, Say(word, raises, tells_event, sees), wants_meta=sees)


# States are written with relative names; the first child is the initial one unless `starts` says otherwise.


@dataclass
class _State:
    name: str
    kind: StateKind
    children: tuple[_State, ...] = ()
    starts: tuple[str, ...] = ()
    starting: bool = False
    default: tuple[str, ...] = ()
    recalling: bool = False
    raises: tuple[EventMarker, ...] = ()
    sees: bool = False

    def draft(self, parent: str) -> StateDraft:
        path = f"{parent}.{self.name}" if parent else self.name
        starts = self.starts
        if self.kind is StateKind.COMPOSITE and not starts:
            first = next(child for child in self.children if not child.kind.is_history)
            starts = (first.name,)
        is_real = bool(path) and not self.kind.is_history
        return StateDraft(
            path,
            self.kind,
            initial=tuple(f"{path}.{name}" if path else name for name in starts),
            initial_actions=(say(f">{path}"),) if self.starting else (),
            entry=(say(f"+{path}", *self.raises, sees=self.sees),) if is_real else (),
            exit=(say(f"-{path}", sees=self.sees),) if is_real else (),
            default=tuple(f"{parent}.{name}" for name in self.default),
            default_actions=(say(f"?{path}"),) if self.recalling else (),
            children=[child.draft(path) for child in self.children],
        )


def s(name: str, *children: _State, starts: tuple[str, ...] = (), starting: bool = False, **told: Any) -> _State:
    kind = StateKind.COMPOSITE if children else StateKind.ATOMIC
    return _State(name, kind, children, starts, starting, **told)


def p(name: str, *regions: _State) -> _State:
    return _State(name, StateKind.PARALLEL, regions)


def final(name: str, *raises: EventMarker) -> _State:
    return _State(name, StateKind.FINAL, raises=raises)


def shallow(*default: str, recalling: bool = False) -> _State:
    return _State("H", StateKind.SHALLOW_HISTORY, default=default, recalling=recalling)


def deep(*default: str, recalling: bool = False) -> _State:
    return _State("H*", StateKind.DEEP_HISTORY, default=default, recalling=recalling)


@dataclass
class _Arcs:
    """The transitions of one chart."""

    made: list[TransitionDraft] = field(default_factory=list)

    def on(
        self,
        trigger: type[EventMarker] | Trigger | None,
        name: str,
        source: str,
        *targets: str,
        when: Ask | None = None,
        raises: tuple[EventMarker, ...] = (),
        internal: bool = False,
        tells_event: bool = False,
        sees: bool = False,
    ) -> _Arcs:
        self.made.append(
            TransitionDraft(
                name=name,
                source=source,
                targets=targets,
                trigger=EventTrigger(trigger) if isinstance(trigger, type) else trigger,
                guard=handler_of(when) if when else None,
                actions=(say(f"!{name}", *raises, tells_event=tells_event, sees=sees),),
                internal=internal,
            )
        )
        return self


def chart(arcs: _Arcs, *states: _State, starts: tuple[str, ...] = ()) -> ChartDraft:
    root = _State("", StateKind.COMPOSITE, states, starts)
    return ChartDraft("Subtle", 1, Log, root.draft(""), arcs.made)


SUBTLE: list[Subtle] = []
"""All of them."""


def subtle(name: str, points: set[str], draft: ChartDraft, start: Said, *events: tuple[EventMarker, Said]) -> None:
    SUBTLE.append(Subtle(name, frozenset(points), draft, start, events))


# Selection and conflicts.

subtle(
    "a descendant's transition preempts its ancestor's, though it is found later",
    {"an ancestor's transition preempted by a descendant's", "one transition selected by several states"},
    chart(
        _Arcs().on(A, "leave", "p", "out").on(A, "move", "p.s.y", "p.s.z"),
        p("p", s("r", s("x")), s("s", s("y"), s("z"))),
        s("out"),
    ),
    Said("+p +p.r +p.r.x +p.s +p.s.y", "p.r.x|p.s.y"),
    (A(), Said("-p.s.y !move +p.s.z", "p.r.x|p.s.z")),
    (A(), Said("-p.s.z -p.s -p.r.x -p.r -p !leave +out", "out")),
)

subtle(
    "of two that conflict the earlier state's is taken",
    {"a transition preempted by an earlier state's"},
    chart(
        _Arcs().on(A, "second", "p.s.y", "two").on(A, "first", "p.r.x", "one"),
        p("p", s("r", s("x")), s("s", s("y"))),
        s("one"),
        s("two"),
    ),
    Said("+p +p.r +p.r.x +p.s +p.s.y", "p.r.x|p.s.y"),
    (A(), Said("-p.s.y -p.s -p.r.x -p.r -p !first +one", "one")),
)

subtle(
    "what does not conflict is one microstep: all exits, then all contents, then all entries",
    {"several transitions in one microstep", "a transition within one region"},
    chart(
        _Arcs().on(A, "two", "p.s.c", "p.s.d").on(A, "one", "p.r.a", "p.r.b"),
        p("p", s("r", s("a"), s("b")), s("s", s("c"), s("d"))),
    ),
    Said("+p +p.r +p.r.a +p.s +p.s.c", "p.r.a|p.s.c"),
    (A(), Said("-p.s.c -p.r.a !one !two +p.r.b +p.s.d", "p.r.b|p.s.d")),
)

subtle(
    "a targetless transition never conflicts, and an ancestor's is taken once for all regions",
    {
        "no conflict: a targetless transition beside one with targets",
        "one transition selected by several states",
    },
    chart(
        _Arcs().on(A, "tick", "p").on(A, "move", "p.r.a", "p.r.c"),
        p("p", s("r", s("a"), s("c")), s("s", s("b"))),
    ),
    Said("+p +p.r +p.r.a +p.s +p.s.b", "p.r.a|p.s.b"),
    (A(), Said("-p.r.a !move !tick +p.r.c", "p.r.c|p.s.b")),
    (A(), Said("!tick", "p.r.c|p.s.b")),
)

subtle(
    "a guard that says no leaves the event to the next transition, then to the ancestors",
    {
        "a second transition of a state taken because the first guard said no",
        "an outer state's transition taken because the inner guard said no",
        "refused: guarded",
    },
    chart(
        _Arcs()
        .on(A, "big", "c.a", "c.b", when=Ask("payload", 3))
        .on(A, "middle", "c.a", when=Ask("payload", 2))
        .on(A, "small", "c", when=Ask("payload", 1)),
        s("c", s("a"), s("b")),
    ),
    Said("+c +c.a", "c.a"),
    (A(2), Said("!middle", "c.a")),
    (A(1), Said("!small", "c.a")),
    (A(0), Said(refused="guarded", state="c.a")),
    (A(3), Said("-c.a !big +c.b", "c.b")),
)

# Domains.

subtle(
    "no parallel is a domain: from a region to its own child leaves every region",
    {"a parallel skipped as the domain", "a parallel left and entered again"},
    chart(
        _Arcs().on(A, "move", "p.s.c", "p.s.d").on(B, "again", "p.r", "p.r.b"),
        p("p", s("r", s("a"), s("b")), s("s", s("c"), s("d"))),
    ),
    Said("+p +p.r +p.r.a +p.s +p.s.c", "p.r.a|p.s.c"),
    (A(), Said("-p.s.c !move +p.s.d", "p.r.a|p.s.d")),
    (B(), Said("-p.s.d -p.s -p.r.a -p.r -p !again +p +p.r +p.r.b +p.s +p.s.c", "p.r.b|p.s.c")),
)

subtle(
    "internal stays in its source, external leaves it; neither starts it by default",
    {"internal to a descendant", "external to a descendant", "initial actions run"},
    chart(
        _Arcs().on(A, "in", "c", "c.b", internal=True).on(B, "out", "c", "c.b").on(C, "self", "c", "c"),
        s("c", s("a"), s("b"), starting=True),
    ),
    Said("+c >c +c.a", "c.a"),
    (A(), Said("-c.a !in +c.b", "c.b")),
    (B(), Said("-c.b -c !out +c +c.b", "c.b")),
    (C(), Said("-c.b -c !self +c >c +c.a", "c.a")),
)

# Entry sets.

subtle(
    "several deep targets: what is between is entered, what is not named starts by default",
    {"an initial with several targets", "a region filled in by default beside a named one", "several targets"},
    chart(
        _Arcs().on(A, "there", "off", "p.s.c", "p.r.a").on(B, "off", "p", "off"),
        p(
            "p",
            s("r", s("a"), s("b"), starting=True),
            s("s", s("d", s("e"), s("f"), starting=True), s("c"), starting=True),
            s("t", s("g"), starting=True),
        ),
        s("off"),
        starts=("p.s.d.f", "p.r.b"),
    ),
    Said("+p +p.r +p.r.b +p.s +p.s.d +p.s.d.f +p.t >p.t +p.t.g", "p.r.b|p.s.d.f|p.t.g"),
    (B(), Said("-p.t.g -p.t -p.s.d.f -p.s.d -p.s -p.r.b -p.r -p !off +off", "off")),
    (A(), Said("-off !there +p +p.r +p.r.a +p.s +p.s.c +p.t >p.t +p.t.g", "p.r.a|p.s.c|p.t.g")),
)

# History.

_remembering = chart(
    _Arcs()
    .on(A, "in", "c.a", "c.d.y")
    .on(B, "away", "c", "off")
    .on(A, "shallow", "off", "c.H")
    .on(C, "deep", "off", "c.H*"),
    s("c", s("a"), s("d", s("x"), s("y"), starting=True), shallow(), deep(), starting=True),
    s("off"),
)
subtle(
    "shallow history remembers the child, deep history the atomic states",
    {"shallow history restored", "deep history restored", "history recorded"},
    _remembering,
    Said("+c >c +c.a", "c.a"),
    (A(), Said("-c.a !in +c.d +c.d.y", "c.d.y")),
    (B(), Said("-c.d.y -c.d -c !away +off", "off")),
    (C(), Said("-off !deep +c +c.d +c.d.y", "c.d.y")),
    (B(), Said("-c.d.y -c.d -c !away +off", "off")),
    (A(), Said("-off !shallow +c +c.d >c.d +c.d.x", "c.d.x")),
    (B(), Said("-c.d.x -c.d -c !away +off", "off")),
    (C(), Said("-off !deep +c +c.d +c.d.x", "c.d.x")),
)

_recalling = chart(
    _Arcs()
    .on(A, "recall", "off", "c.H")
    .on(B, "enter", "off", "c")
    .on(A, "inside", "c.a", "c.H")
    .on(C, "away", "c", "off"),
    s("off"),
    s("c", s("a"), s("b"), shallow("b", recalling=True), starting=True),
)
subtle(
    "a history's default is not its parent's start; its actions run after the parent's entry",
    {"history default taken", "history default actions run"},
    _recalling,
    Said("+off", "off"),
    (A(), Said("-off !recall +c ?c.H +c.b", "c.b")),
    (C(), Said("-c.b -c !away +off", "off")),
    (A(), Said("-off !recall +c +c.b", "c.b")),
)
subtle(
    "a history's default actions belong to its parent's entry: they don't run if it is active already",
    {"history default actions dropped, the parent being active"},
    _recalling,
    Said("+off", "off"),
    (B(), Said("-off !enter +c >c +c.a", "c.a")),
    (A(), Said("-c.a !inside +c.b", "c.b")),
)

subtle(
    "a composite that starts in its own history: start, then default, then the child",
    {"an initial that is a history", "deep history restored"},
    chart(
        _Arcs().on(A, "next", "c.a", "c.b").on(B, "away", "c", "off").on(B, "back", "off", "c"),
        s("c", deep("a", recalling=True), s("a"), s("b"), starts=("H*",), starting=True),
        s("off"),
    ),
    Said("+c >c ?c.H* +c.a", "c.a"),
    (A(), Said("-c.a !next +c.b", "c.b")),
    (B(), Said("-c.b -c !away +off", "off")),
    (B(), Said("-off !back +c >c +c.b", "c.b")),
)

subtle(
    "history is recorded before anything is left, and at once there to be restored",
    {"history recorded and restored at once", "deep history restored over several regions"},
    chart(
        _Arcs().on(A, "move", "p.s.c", "p.s.d").on(B, "renew", "p", "p.H*"),
        p("p", s("r", s("a"), s("b")), s("s", s("c"), s("d")), deep()),
    ),
    Said("+p +p.r +p.r.a +p.s +p.s.c", "p.r.a|p.s.c"),
    (A(), Said("-p.s.c !move +p.s.d", "p.r.a|p.s.d")),
    (B(), Said("-p.s.d -p.s -p.r.a -p.r -p !renew +p +p.r +p.r.a +p.s +p.s.d", "p.r.a|p.s.d")),
)

subtle(
    "a history that leads to where its source is: the text leaves less than it enters",
    # The domain comes from what is remembered (getTransitionDomain), so c.d is not left; but
    # addDescendantStatesToEnter enters all between that and the history's parent, so c.d is entered again.
    {"the domain moved by what a history remembers", "an active state entered again by a history"},
    chart(
        _Arcs()
        .on(A, "step", "c.d.x", "c.d.y")
        .on(B, "away", "c", "off")
        .on(B, "back", "off", "c.H*")
        .on(C, "recall", "c.d.y", "c.H*"),
        s("c", s("d", s("x"), s("y")), deep()),
        s("off"),
    ),
    Said("+c +c.d +c.d.x", "c.d.x"),
    (A(), Said("-c.d.x !step +c.d.y", "c.d.y")),
    (B(), Said("-c.d.y -c.d -c !away +off", "off")),
    (B(), Said("-off !back +c +c.d +c.d.y", "c.d.y")),
    (C(), Said("-c.d.y !recall +c.d +c.d.y", "c.d.y")),
)

# Done events and the order of a macrostep.

_nest = chart(
    _Arcs()
    .on(A, "three", "p.r.a", "p.r.z")
    .on(B, "one", "p.q.u.c", "p.q.u.y")
    .on(C, "two", "p.q.v.d", "p.q.v.x")
    .on(DoneTrigger("p"), "over", "p", "out"),
    p("p", s("r", s("a"), final("z")), p("q", s("u", s("c"), final("y")), s("v", s("d"), final("x")))),
    s("out"),
)
_nest_start = Said("+p +p.r +p.r.a +p.q +p.q.u +p.q.u.c +p.q.v +p.q.v.d", "p.r.a|p.q.u.c|p.q.v.d")
subtle(
    "a parallel is done when its last region is, a region that is a parallel by its own regions",
    {
        "a parallel done",
        "a parallel not yet done",
        "a parallel done, with a parallel among its regions",
        "a done event handled",
    },
    _nest,
    _nest_start,
    (B(), Said("-p.q.u.c !one +p.q.u.y", "p.r.a|p.q.u.y|p.q.v.d", unhandled=(Done("p.q.u"),))),
    (C(), Said("-p.q.v.d !two +p.q.v.x", "p.r.a|p.q.u.y|p.q.v.x", unhandled=(Done("p.q.v"), Done("p.q")))),
    (
        A(),
        Said(
            "-p.r.a !three +p.r.z -p.q.v.x -p.q.v -p.q.u.y -p.q.u -p.q -p.r.z -p.r -p !over +out",
            "out",
            unhandled=(Done("p.r"),),
        ),
    ),
)
subtle(
    "only the grandparent of a final state is asked whether it is done, not what is above that",
    {"a parallel that could be done while a nested one is not"},
    _nest,
    _nest_start,
    (A(), Said("-p.r.a !three +p.r.z", "p.r.z|p.q.u.c|p.q.v.d", unhandled=(Done("p.r"),))),
    (B(), Said("-p.q.u.c !one +p.q.u.y", "p.r.z|p.q.u.y|p.q.v.d", unhandled=(Done("p.q.u"),))),
    (C(), Said("-p.q.v.d !two +p.q.v.x", "p.r.z|p.q.u.y|p.q.v.x", unhandled=(Done("p.q.v"), Done("p.q")))),
)

subtle(
    "a done event stands behind what the final state's own entry raised",
    {"a done event handled", "several internal events waiting", "an internal event handled"},
    chart(
        _Arcs().on(A, "go", "c.a", "c.z").on(DoneTrigger("c"), "fin", "c").on(B, "raised", "c"),
        s("c", s("a"), final("z", B())),
    ),
    Said("+c +c.a", "c.a"),
    (A(), Said("-c.a !go +c.z !raised !fin", "c.z")),
)

subtle(
    "eventless first, then one internal event, then eventless again, each with the event being handled",
    {"an eventless transition", "an eventless transition between internal events", "an internal event unhandled"},
    chart(
        _Arcs()
        .on(A, "go", "a", "b", raises=(B(), C(), B()), tells_event=True)
        .on(B, "early", "b", "wrong")
        .on(None, "hop", "b", "c", when=Ask("true"), tells_event=True)
        .on(B, "take", "c", "d", tells_event=True)
        .on(None, "skip", "d", "e", when=Ask("true"), tells_event=True)
        .on(C, "late", "d", "wrong")
        .on(C, "end", "e", tells_event=True),
        s("a"),
        s("b"),
        s("c"),
        s("d"),
        s("e"),
        s("wrong"),
    ),
    Said("+a", "a"),
    (
        A(),
        Said("-a !go(A) +b -b !hop(A) +c -c !take(B) +d -d !skip(B) +e !end(C)", "e", unhandled=(B(),)),
    ),
)

subtle(
    "an event that nothing waits for is still offered to eventless transitions",
    {"an event that enabled nothing, yet woke an eventless transition", "refused: unknown"},
    chart(
        _Arcs().on(None, "wake", "a", "b", when=Ask("event", subject=Stranger)).on(A, "on", "b", "a"),
        s("a"),
        s("b"),
    ),
    Said("+a", "a"),
    (B(), Said(refused="unknown", state="a")),
    (A(), Said(refused="illegal", state="a")),
    (Stranger(), Said("-a !wake +b", "b")),
    (Stranger(), Said(refused="unknown", state="b")),
)

_ending = chart(
    _Arcs().on(A, "go", "c.a", "end", raises=(B(), C())).on(B, "never", "c"),
    s("c", s("a")),
    final("end", A()),
)
_ending.already.append(AlreadyDraft("again", EventTrigger(C), ("end",)))
subtle(
    "a top-level final state stops the macrostep and is not left; what waits is told",
    {
        "finished",
        "finished with events left",
        "refused: finished",
        "refused: unknown",
        "already done though finished",
    },
    _ending,
    Said("+c +c.a", "c.a"),
    (B(), Said("!never", "c.a")),
    (A(), Said("-c.a -c !go +end", "end", unhandled=(B(), C(), A()))),
    (A(), Said(refused="finished", state="end")),
    (C(), Said(already=True, state="end")),
    (Stranger(), Said(refused="unknown", state="end")),
)

# Handlers and timers.

subtle(
    "a state is active in its exit and its entry handlers, and in no transition's",
    set(),
    chart(
        _Arcs().on(A, "go", "c.x", "c.y", sees=True),
        s("c", s("x", sees=True), s("y", sees=True)),
    ),
    Said("+c +c.x{c,c.x}", "c.x"),
    (A(), Said("-c.x{c,c.x} !go{c} +c.y{c,c.y}", "c.y")),
)

_HOUR = timedelta(hours=1)
subtle(
    "timers are told net: cancelled and set again is both, set and cancelled is neither",
    {
        "a timer set",
        "a timer cancelled",
        "a timer cancelled and set again",
        "a timer set and cancelled within the step",
        "a timer's event handled",
        "two transitions on one timer",
    },
    chart(
        _Arcs()
        .on(A, "go", "a", "b")
        .on(None, "back", "b", "a", when=Ask("event", subject=A))
        .on(B, "go on", "a", "b")
        .on(TimerTrigger("ta@a", _HOUR), "never", "a", when=Ask("false"))
        .on(TimerTrigger("ta@a", _HOUR), "ta", "a")
        .on(TimerTrigger("tb@b", _HOUR), "tb", "b", "end"),
        s("a"),
        s("b"),
        final("end"),
    ),
    Said("+a", "a", timers_set=("ta@a",)),
    (A(), Said("-a !go +b -b !back +a", "a", timers_set=("ta@a",), timers_cancelled=("ta@a",))),
    (Elapsed("ta@a"), Said("!ta", "a")),
    (Elapsed("tb@b"), Said(refused="illegal", state="a")),
    (B(), Said("-a !go on +b", "b", timers_set=("tb@b",), timers_cancelled=("ta@a",))),
    (Elapsed("tb@b"), Said("-b !tb +end", "end", timers_cancelled=("tb@b",))),
)

"""A case by hand for each of the 25 points of Appendix D where hand-written engines go wrong.

The numbers are those of the list in the shared case collection. Where a point speaks of what only SCXML has
(descriptors, invoke, data models), the case is about the kernel's side of it: the hook that SCXML will use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from stateward import (
    ActionFailed,
    Actions,
    Chart,
    Composite,
    Done,
    Effect,
    Event,
    Final,
    Handler,
    Lifecycle,
    Parallel,
    Raise,
    Refusal,
    State,
    Step,
    after,
    always,
    chart_of,
    done,
    nested,
    on,
    start,
    step,
)
from stateward.chart.build import build
from stateward.chart.draft import ChartDraft, StateDraft, TransitionDraft
from stateward.chart.nodes import EventTrigger, StateKind, Trigger
from tests.kernel.logbook import A, B, C, D, Log, Note, log_of, raises, run, says, shows_active

pytestmark = pytest.mark.filterwarnings("ignore::stateward.DefinitionWarning")


def is_even(context: Log, event: Event) -> bool:
    return context.n % 2 == 0


def never(context: Log, event: Event) -> bool:
    return False


def counts(context: Log, event: Event) -> Log:
    return context.replace(n=context.n + 1)


def drafted(
    states: Iterable[StateDraft], transitions: Iterable[TransitionDraft], initial: tuple[str, ...], **hooks: Any
) -> Chart[Log]:
    """A chart from drafts, for what the class syntax does not say: deep initials, hooks, foreign triggers."""
    root = StateDraft(path="", kind=StateKind.COMPOSITE, initial=initial, children=list(states))
    return build(ChartDraft("Drafted", 1, Log, root, list(transitions), **hooks))


def atom(path: str, **options: Any) -> StateDraft:
    return StateDraft(path=path, kind=StateKind.ATOMIC, **options)


def composite(path: str, *children: StateDraft, **options: Any) -> StateDraft:
    options.setdefault("initial", (children[0].path,))
    return StateDraft(path=path, kind=StateKind.COMPOSITE, children=list(children), **options)


def parallel(path: str, *regions: StateDraft, **options: Any) -> StateDraft:
    return StateDraft(path=path, kind=StateKind.PARALLEL, children=list(regions), **options)


# 1 to 5: which transitions are selected.


def test_01_a_states_own_transitions_come_first_in_order_and_only_then_its_ancestors() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class outer(Composite):
            inner = State(initial=True)
            first = State()
            second = State()
            by_inner = on(A, inner.to(first, when=never), inner.to(second), inner.to(first))

        other = State()
        by_outer = on(A, outer.to(other))
        from_second = on(B, outer.second.to(outer.inner, when=never))
        from_outer = on(B, outer.to(other))

    assert run(Points, A()).state == "outer.second"
    assert run(Points, A(), B()).state == "other"


def test_02_an_ancestors_transition_selected_through_two_regions_is_taken_once() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)

            class right(Composite):
                b = State(initial=True)

        count = on(A, both.stay(do=counts))

    answer = run(Points, A())
    assert answer.snapshot.context.n == 1
    assert answer.microsteps[0].transitions == ("count:both",)


def test_03_of_two_that_conflict_the_one_selected_by_the_earlier_region_wins() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)

            class right(Composite):
                b = State(initial=True)

        from_left = State()
        from_right = State()
        leave = on(A, both.right.b.to(from_right), both.left.a.to(from_left))

    answer = run(Points, A())
    assert answer.state == "from_left"
    assert answer.microsteps[0].transitions == ("leave:both.left.a",)


def test_04_but_the_one_from_deeper_down_wins_over_its_ancestors() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)

            class right(Composite):
                b = State(initial=True)
                c = State()
                move = on(A, b.to(c))

        out = State()
        leave = on(A, both.to(out))

    # The left region has only the ancestor's transition, selected first; the right one's own preempts it.
    answer = run(Points, A())
    assert answer.state == "both.left.a|both.right.c"
    assert answer.microsteps[0].transitions == ("both.right.move:both.right.b",)


def test_05_what_does_not_conflict_is_one_microstep_all_exits_all_contents_all_entries() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True, exit=says("-a"))
                a2 = State(entry=says("+a2"))
                move = on(A, a.to(a2, do=says("left")))

            class right(Composite):
                b = State(initial=True, exit=says("-b"))
                b2 = State(entry=says("+b2"))
                move = on(A, b.to(b2, do=says("right")))

    answer = run(Points, A())
    assert len(answer.microsteps) == 1
    assert log_of(answer) == ["-b", "-a", "left", "right", "+a2", "+b2"]


# 6 to 10: what is left and entered.


def test_06_exits_go_children_first_entries_parents_first() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, entry=says("+one"), exit=says("-one"))
        class one(Composite):
            @nested(initial=True, entry=says("+mid"), exit=says("-mid"))
            class mid(Composite):
                leaf = State(initial=True, entry=says("+leaf"), exit=says("-leaf"))

        @nested(entry=says("+two"))
        class two(Composite):
            leaf = State(initial=True, entry=says("+leaf2"))

        go = on(A, one.to(two, do=says("go")))

    assert log_of(run(Points, A())) == [
        "+one", "+mid", "+leaf", "-leaf", "-mid", "-one", "go", "+two", "+leaf2",
    ]  # fmt: skip


def test_07_the_least_common_ancestor_skips_parallels() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, entry=says("+both"), exit=says("-both"))
        class both(Parallel):
            @nested(entry=says("+left"), exit=says("-left"))
            class left(Composite):
                a = State(initial=True)
                a2 = State()

            @nested(entry=says("+right"), exit=says("-right"))
            class right(Composite):
                b = State(initial=True)
                b2 = State()
                step_right = on(B, b.to(b2))

        again = on(A, both.left.to(both.left.a2))

    answer = run(Points, B(), A())
    # A region to its own child, externally: the whole parallel is left, and the other region starts anew.
    assert answer.state == "both.left.a2|both.right.b"
    assert log_of(answer)[3:] == ["-right", "-left", "-both", "+both", "+left", "+right"]


def test_08_external_to_a_descendant_leaves_and_enters_the_source_again() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, entry=says("+s"), exit=says("-s"))
        class s(Composite):
            a = State(initial=True)
            b = State()

        go = on(A, s.to(s.b))

    assert log_of(run(Points, A())) == ["+s", "-s", "+s"]


def test_09_internal_stays_inside_a_composite_source_only() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, entry=says("+s"), exit=says("-s"))
        class s(Composite):
            a = State(initial=True, exit=says("-a"))
            b = State()

        go = on(A, s.to(s.b, internal=True))

    assert log_of(run(Points, A())) == ["+s", "-a"]


def test_09_internal_with_a_parallel_source_is_external_where_a_document_says_so() -> None:
    """The declaration refuses it; the kernel treats it as the specification does, for SCXML."""
    from stateward.chart.nodes import Chart as Compiled
    from stateward.chart.nodes import TransitionNode

    chart = drafted(
        [parallel("p", composite("p.r", atom("p.r.a"), entry=(Handler("in", says("+r")),)))],
        [TransitionDraft("go", "p", ("p.r",), EventTrigger(A))],
        ("p",),
    )
    (go,) = chart.transitions
    as_internal = TransitionNode(go.index, go.id, go.name, go.source, go.targets, go.trigger, internal=True)
    rebuilt = Compiled(
        kind=chart.kind,
        version=1,
        context_type=Log,
        states=chart.states,
        transitions=(as_internal,),
        events=chart.events,
    )
    answer = step(rebuilt, start(rebuilt, Log()).snapshot, A())
    assert isinstance(answer, Step)
    assert log_of(answer) == ["+r", "+r"]
    assert answer.microsteps[0].exited == ("p.r.a", "p.r", "p")


def test_10_targetless_leaves_nothing_never_conflicts_and_still_runs() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True, exit=says("-a"))
                note = on(A, a.stay(do=says("noted")))

            class right(Composite):
                b = State(initial=True)

        out = State()
        leave = on(A, both.right.b.to(out))

    answer = run(Points, A())
    assert answer.state == "out"
    assert log_of(answer) == ["-a", "noted"]
    assert answer.microsteps[0].transitions == ("both.left.note:both.left.a", "leave:both.right.b")


# 11 to 16: history and defaults.


def test_11_history_is_recorded_before_any_exit_handler_runs() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class s(Composite):
            a = State(initial=True)
            b = State(exit=shows_active("exit"))
            move = on(A, a.to(b))

        out = State()
        leave = on(B, s.to(out))
        back = on(C, out.to(s.history()))

    left = run(Points, A(), B())
    assert left.snapshot.position.history == {"s.H": ("s.b",)}
    assert log_of(left) == ["exit:s,s.b"]
    assert run(Points, A(), B(), C()).state == "s.b"


def test_12_shallow_remembers_the_child_deep_the_atomic_descendants() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class s(Composite):
            @nested(initial=True)
            class one(Composite):
                a = State(initial=True)
                b = State()
                move = on(A, a.to(b))

        out = State()
        leave = on(B, s.to(out))
        shallow = on(C, out.to(s.history()))
        deep = on(D, out.to(s.history(deep=True)))

    assert run(Points, A(), B()).snapshot.position.history == {"s.H": ("s.one",), "s.H*": ("s.one.b",)}
    assert run(Points, A(), B(), C()).state == "s.one.a"
    assert run(Points, A(), B(), D()).state == "s.one.b"


def test_13_a_historys_default_is_its_own_and_its_actions_run_after_the_parents_entry() -> None:
    chart = drafted(
        [
            atom("out"),
            composite(
                "s",
                atom("s.a", entry=(Handler("a", says("+a")),)),
                atom("s.b", entry=(Handler("b", says("+b")),)),
                StateDraft(
                    path="s.h",
                    kind=StateKind.SHALLOW_HISTORY,
                    default=("s.b",),
                    default_actions=(Handler("d", says("default")),),
                ),
                entry=(Handler("s", says("+s")),),
                initial_actions=(Handler("i", says("initial")),),
            ),
        ],
        [TransitionDraft("go", "out", ("s.h",), EventTrigger(A))],
        ("out",),
    )
    answer = step(chart, start(chart, Log()).snapshot, A())
    assert isinstance(answer, Step)
    assert answer.state == "s.b"
    assert "s.h" not in answer.snapshot.position.active
    assert log_of(answer) == ["+s", "default", "+b"]


def test_14_the_domain_of_a_transition_to_history_comes_from_what_is_remembered() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, entry=says("+top"), exit=says("-top"))
        class top(Composite):
            @nested(initial=True)
            class s(Composite):
                a = State(initial=True)
                b = State()
                move = on(A, a.to(b))

            out = State()
            leave = on(B, s.to(out))
            back = on(C, out.to(s.history(deep=True)))

    answer = run(Points, A(), B(), C())
    assert answer.state == "top.s.b"
    assert log_of(answer) == ["+top"], "the domain is top, which is not left"
    assert answer.microsteps[0].entered == ("top.s", "top.s.b")


def test_15_an_initial_may_name_several_deep_targets_and_regions_not_named_get_their_default() -> None:
    def region(name: str) -> StateDraft:
        return composite(name, atom(f"{name}.a"), composite(f"{name}.c", atom(f"{name}.c.x"), atom(f"{name}.c.y")))

    chart = drafted([parallel("p", region("p.q"), region("p.r"), region("p.s"))], [], ("p.q.c.y", "p.s.c"))
    answer = start(chart, Log())
    assert answer.state == "p.q.c.y|p.r.a|p.s.c.x"
    assert answer.microsteps[0].entered == (
        "p", "p.q", "p.q.c", "p.q.c.y", "p.r", "p.r.a", "p.s", "p.s.c", "p.s.c.x",
    )  # fmt: skip


def test_16_initial_content_runs_after_the_parents_entry_and_before_the_childs() -> None:
    chart = drafted(
        [
            composite(
                "s",
                atom("s.a", entry=(Handler("a", says("+a")),)),
                entry=(Handler("s", says("+s")),),
                initial_actions=(Handler("i", says("initial")),),
            )
        ],
        [],
        ("s",),
    )
    assert log_of(start(chart, Log())) == ["+s", "initial", "+a"]


# 17 to 20: completion, queues, blocks.


def gives_data(context: Log, event: Event) -> object:
    return {"n": context.n}


def keeps_data(context: Log, event: Done) -> Log:
    return context.replace(log=(*context.log, f"{event.state}:{event.data}"))


def test_17_done_events_carry_data_and_a_parallel_is_done_when_all_its_regions_are() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)
                f = Final(data=gives_data)
                finish = on(A, a.to(f))

            class right(Composite):
                b = State(initial=True)
                f = Final()
                finish = on(B, b.to(f))

            left_done = done(left.stay(do=keeps_data))

        end = Final(data=gives_data)
        all_done = done(both.to(end, do=keeps_data))

    assert log_of(run(Points, A())) == ["both.left:{'n': 0}"]
    answer = run(Points, A(), B())
    assert answer.state == "end"
    assert answer.data == {"n": 0}
    assert log_of(answer) == ["both.left:{'n': 0}", "both:None"]


def test_17_a_top_level_final_ends_the_macrostep() -> None:
    class Points(Lifecycle[Log]):
        a = State(initial=True)
        end = Final(entry=raises(B()))
        go = on(A, a.to(end))
        late = on(B, a.to(end))

    answer = run(Points, A())
    assert answer.snapshot.position.finished
    assert answer.unhandled == (B(),)
    again = step(chart_of(Points), answer.snapshot, B())
    assert isinstance(again, Refusal)
    assert again.kind == "finished"


def test_18_eventless_first_then_one_internal_event_then_eventless_again() -> None:
    def at_most_two(context: Log, event: Event) -> bool:
        return context.n < 2

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        b = State()
        c = State()
        d = State()
        go = on(A, a.to(b, do=raises(B(), "A")))
        loop = always(b.stay(when=at_most_two, do=counts))
        internal = on(B, b.to(c, do=says("B")))
        then = always(c.to(d, do=says("eventless")))

    answer = run(Points, A())
    assert log_of(answer) == ["A", "B", "eventless"]
    assert [each.transitions for each in answer.microsteps] == [
        ("go:a",), ("loop:b",), ("loop:b",), ("internal:b",), ("then:c",),
    ]  # fmt: skip


def test_19_raised_events_are_handled_in_the_order_in_which_they_were_raised() -> None:
    def raises_two(context: Log, event: Event) -> Actions[Log]:
        yield Raise(B())
        yield Note("between")
        yield Raise(C())
        return context

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        go = on(A, a.stay(do=raises_two))
        b = on(B, a.stay(do=raises(D(), "B")))
        c = on(C, a.stay(do=says("C")))
        d = on(D, a.stay(do=says("D")))

    answer = run(Points, A())
    assert log_of(answer) == ["B", "C", "D"]
    assert answer.effects == (Note("between"),)


def test_20_each_handler_is_a_block_of_its_own_which_can_catch_its_own_error_and_go_on() -> None:
    """SCXML's blocks of executable content are such generators; natively an error fails the step."""

    def block(context: Log, event: Event) -> Actions[Log]:
        try:
            raise ValueError
        except ValueError:
            yield Raise(B())
        return context

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        b = State(entry=(block, says("second block")))
        go = on(A, a.to(b))
        error = on(B, b.stay(do=says("error event")))

    assert log_of(run(Points, A())) == ["second block", "error event"]


# 21 to 25: the hooks.


def broken(context: Log, event: Event) -> bool:
    raise ValueError("broken")


class Failure(Event):
    text: str


def test_21_a_raising_guard_fails_the_step_or_is_false_and_an_internal_event() -> None:
    def chart(**hooks: Any) -> Chart[Log]:
        return drafted(
            [atom("a"), atom("b"), atom("c"), atom("e")],
            [
                TransitionDraft("go", "a", ("b",), EventTrigger(A), guard=Handler("broken", broken)),
                TransitionDraft("go", "a", ("c",), EventTrigger(A)),
                TransitionDraft("error", "c", ("e",), EventTrigger(Failure)),
            ],
            ("a",),
            **hooks,
        )

    strict = chart()
    with pytest.raises(ActionFailed, match=r"Drafted in a, handling A: broken raised ValueError\('broken'\)"):
        step(strict, start(strict, Log()).snapshot, A())
    lenient = chart(guard_error=lambda error, event: Failure(str(error)))
    answer = step(lenient, start(lenient, Log()).snapshot, A())
    assert isinstance(answer, Step)
    assert answer.state == "e"
    assert [each.transitions for each in answer.microsteps] == [("go:a#2",), ("error:c",)]


class Named(Event):
    name: str

    def trigger_key(self) -> Any:
        return Named, self.name

    def trigger_label(self) -> str:
        return self.name


@dataclass(frozen=True)
class Descriptor(Trigger):
    """Token prefixes, as SCXML's event descriptors have them."""

    text: str

    def matches(self, key: Any) -> bool:
        if not (isinstance(key, tuple) and key[0] is Named):
            return False
        tokens, wanted = key[1].split("."), self.text.removesuffix(".*").split(".")
        return self.text == "*" or tokens[: len(wanted)] == wanted

    @property
    def label(self) -> str:
        return self.text

    @property
    def event_class(self) -> type[Event]:
        return Named


def test_22_a_matcher_of_ones_own_decides_which_names_match_and_a_prefix_is_of_whole_tokens() -> None:
    chart = drafted(
        [atom("a"), atom("b"), atom("c")],
        [
            TransitionDraft("foo", "a", ("b",), Descriptor("foo.*")),
            TransitionDraft("any", "a", ("c",), Descriptor("*")),
        ],
        ("a",),
    )
    begin = start(chart, Log()).snapshot
    answers = [step(chart, begin, Named(name)) for name in ("foo", "foo.bar", "foobar")]
    assert [each.state for each in answers] == ["b", "b", "c"]


def test_22_natively_an_event_matches_by_its_class_and_a_subclass_is_one_of_its_kind() -> None:
    class Payment(Event):
        pass

    class CardPayment(Payment):
        pass

    class PaymentNote(Event):
        pass

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        b = State()
        pay = on(Payment, a.to(b))

    assert run(Points, CardPayment()).state == "b"
    answer = step(chart_of(Points), run(Points).snapshot, PaymentNote())
    assert isinstance(answer, Refusal)
    assert answer.kind == "unknown"


def test_23_what_a_passed_through_state_would_have_started_is_never_asked_for() -> None:
    """What lives as long as its state starts when the macrostep has ended, for the states still active."""

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        passing = State()
        b = State()
        go = on(A, a.to(passing))
        through = always(passing.to(b))
        never = after(timedelta(hours=1), passing.to(a))
        late = after(timedelta(hours=2), b.to(a))

    answer = run(Points, A())
    assert [timer.name for timer in answer.timers_set] == ["late@b"]
    assert answer.timers_cancelled == ()


def test_23_an_action_of_the_charts_own_runs_before_selection_and_guards_see_what_it_did() -> None:
    def keeps_name(context: Log, event: Event) -> Log:
        return context.replace(log=(*context.log, type(event).__name__), n=1)

    def was_kept(context: Log, event: Event) -> bool:
        return context.n == 1

    chart = drafted(
        [atom("a"), atom("b")],
        [
            TransitionDraft(
                "go",
                "a",
                ("b",),
                EventTrigger(A),
                guard=Handler("was_kept", was_kept),
                actions=(Handler("raise_B", raises(B())),),
            ),
            TransitionDraft("then", "b", ("a",), EventTrigger(B)),
        ],
        ("a",),
        before=Handler("keeps_name", keeps_name),
    )
    answer = step(chart, start(chart, Log()).snapshot, A())
    assert isinstance(answer, Step)
    assert answer.state == "a"
    assert log_of(answer) == ["A", "B"]


def test_24_data_is_bound_once_on_first_entry_before_the_other_entry_handlers() -> None:
    def bind_once(context: Log, event: Event) -> Log:
        return context.replace(n=7) if context.n == 0 else context

    def sees(context: Log, event: Event) -> Log:
        return context.replace(log=(*context.log, str(context.n)), n=context.n + 1)

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        b = State(entry=(bind_once, sees))
        go = on(A, a.to(b))
        back = on(B, b.to(a))

    assert log_of(run(Points, A(), B(), A())) == ["7", "8"]


def test_25_handlers_see_the_configuration_state_by_state() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True, exit=shows_active("-s"))
        class s(Composite):
            a = State(initial=True, exit=shows_active("-a"))

        @nested(entry=shows_active("+t"))
        class t(Composite):
            b = State(initial=True, entry=shows_active("+b"))

        go = on(A, s.to(t, do=shows_active("go")))

    assert log_of(run(Points, A())) == ["-a:s,s.a", "-s:s", "go:", "+t:t", "+b:t,t.b"]


# What no case of the shared collection catches.


def test_a_final_states_own_entry_raises_come_before_its_done_event() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class s(Composite):
            a = State(initial=True)
            f = Final(entry=raises(B()))
            go = on(A, a.to(f))

        raised = on(B, s.stay(do=says("raised")))
        finished = done(s.stay(do=says("done")))

    assert log_of(run(Points, A())) == ["raised", "done"]


def test_a_parallel_is_not_done_after_its_first_region_nor_between_the_two_in_one_microstep() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class both(Parallel):
            class left(Composite):
                a = State(initial=True)
                f = Final(entry=says("+left"))
                finish = on(A, a.to(f))
                both_at_once = on(C, a.to(f))

            class right(Composite):
                b = State(initial=True)
                f = Final(entry=says("+right"))
                finish = on(B, b.to(f))
                both_at_once = on(C, b.to(f))

        out = State()
        finished = done(both.to(out, do=says("done")))

    assert run(Points, A()).state == "both.left.f|both.right.b"
    assert log_of(run(Points, A(), B())) == ["+left", "+right", "done"]
    at_once = run(Points, C())
    assert log_of(at_once) == ["+left", "+right", "done"]
    assert [each.transitions for each in at_once.microsteps][1:] == [("finished:both",)]


def test_a_region_that_holds_a_parallel_is_not_final_because_that_parallel_is_done() -> None:
    class Points(Lifecycle[Log]):
        @nested(initial=True)
        class outer(Parallel):
            class plain(Composite):
                a = State(initial=True)
                f = Final()
                finish = on(A, a.to(f))

            class holder(Composite):
                @nested(initial=True)
                class inner(Parallel):
                    class only(Composite):
                        b = State(initial=True)
                        f = Final()
                        finish = on(A, b.to(f))

        inner_done = done(outer.holder.inner.stay(do=says("inner")))
        outer_done = done(outer.stay(do=says("outer")))

    assert log_of(run(Points, A())) == ["inner"]


def test_the_ancestors_of_a_deep_initial_target_are_entered() -> None:
    chart = drafted(
        [composite("s", composite("s.t", atom("s.t.a"), atom("s.t.b"), entry=(Handler("t", says("+t")),)))],
        [],
        ("s.t.b",),
    )
    answer = start(chart, Log())
    assert answer.snapshot.position.active == {"s", "s.t", "s.t.b"}
    assert log_of(answer) == ["+t"]


def test_a_field_that_was_not_declared_is_an_error_and_changes_nothing() -> None:
    def assigns(context: Log, event: Event) -> Log:
        return context.replace(undeclared=1)

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        go = on(A, a.stay(do=assigns))

    with pytest.raises(ActionFailed, match="undeclared"):
        run(Points, A())


def test_names_of_events_and_states_differ_by_case() -> None:
    chart = drafted(
        [atom("a"), atom("A")],
        [
            TransitionDraft("go", "a", ("A",), Descriptor("go")),
            TransitionDraft("go", "A", ("a",), Descriptor("GO")),
        ],
        ("a",),
    )
    begin = start(chart, Log()).snapshot
    assert isinstance(step(chart, begin, Named("GO")), Refusal)
    answer = step(chart, begin, Named("go"))
    assert isinstance(answer, Step)
    assert answer.state == "A"


def test_a_loop_over_the_contexts_items_is_over_those_that_were_there() -> None:
    class Item(Effect):
        text: str

    def adds_while_looping(context: Log, event: Event) -> Actions[Log]:
        for word in context.log:
            yield Item(word)
            context = context.replace(log=(*context.log, f"{word}!"))
        return context

    class Points(Lifecycle[Log]):
        a = State(initial=True)
        go = on(A, a.stay(do=adds_while_looping))

    answer = run(Points, A(), context=Log(log=("x", "y")))
    assert answer.effects == (Item("x"), Item("y"))
    assert log_of(answer) == ["x", "y", "x!", "y!"]

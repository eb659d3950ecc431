"""Children of states: when they start and end, what their parents are told, and what is wrong with a declaration."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest

from stateward import (
    ActionFailed,
    Actions,
    Chart,
    Child,
    Composite,
    Context,
    DefinitionError,
    Done,
    Effect,
    EndlessLoop,
    Engine,
    Event,
    FamilyMachine,
    FamilySnapshot,
    Final,
    Lifecycle,
    Machine,
    MachineBusy,
    MutexMachine,
    Refused,
    SnapshotInvalid,
    StartChild,
    State,
    Step,
    StopChild,
    always,
    chart_of,
    done,
    nested,
    on,
)
from stateward.chart.dot import to_dot
from stateward.chart.mermaid import to_mermaid
from stateward.scxml import Session, VirtualClock, read, write


class Authorize(Event):
    amount: int


class Cancel(Event):
    pass


class Order(Event):
    pass


class Undo(Effect):
    what: str


class Payment(Context):
    amount: int
    log: tuple[str, ...] = ()


class Cart(Context):
    total: int
    paid: int = 0


def payment_of(cart: Cart) -> Payment:
    return Payment(amount=cart.total)


def note_entry(payment: Payment, event: Event) -> Payment:
    return payment.replace(log=(*payment.log, "entered"))


def take_back(payment: Payment, event: Event) -> Actions[Payment]:
    yield Undo("payment")
    return payment.replace(log=(*payment.log, "left"))


def is_enough(payment: Payment, event: Authorize) -> bool:
    return event.amount >= payment.amount


def keep_amount(payment: Payment, event: Authorize) -> Payment:
    return payment.replace(amount=event.amount)


def what_was_paid(payment: Payment, event: Event) -> int:
    return payment.amount


def record(cart: Cart, event: Done) -> Cart:
    return cart.replace(paid=event.data)


class PaymentLifecycle(Lifecycle[Payment]):
    """Money."""

    waiting = State(initial=True, entry=note_entry, exit=take_back)
    settled = Final(data=what_was_paid)
    authorize = on(Authorize, waiting.to(settled, when=is_enough, do=keep_amount))


class CartLifecycle(Lifecycle[Cart]):
    """A cart."""

    filling = State(initial=True)
    paying = State(child=Child(PaymentLifecycle, payment_of))
    shipped = Final()
    given_up = Final()
    order = on(Order, filling.to(paying))
    cancel = on(Cancel, paying.to(given_up))
    again = on(Order, paying.to(paying))
    settle = done(paying.to(shipped, do=record))


def test_a_child_starts_with_its_state_and_its_end_is_its_parents_event() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    assert machine.children == {}
    step = machine.send(Order())
    assert step.effects == (StartChild("paying", "Payment", Payment(amount=5)),)
    child = machine.child(CartLifecycle.paying)
    assert (child.state, child.context) == ("waiting", Payment(amount=5, log=("entered",)))
    seen: list[str] = []
    machine.listen(lambda step: seen.append(f"parent {step.state}"))
    child.listen(lambda step: seen.append(f"child {step.state}"))
    assert child.send(Authorize(7)).data == 7
    assert seen == ["child settled", "parent shipped"]
    assert (machine.state, machine.context.paid) == ("shipped", 7)
    assert machine.children == {}
    assert machine.is_finished
    assert not child.is_stopped


def test_the_kernels_step_says_what_starts_and_stops_and_runs_nothing() -> None:
    from stateward.kernel import start, step

    chart = chart_of(CartLifecycle)
    first = start(chart, Cart(total=5)).snapshot
    begun = step(chart, first, Order())
    assert isinstance(begun, Step)
    assert [type(each) for each in begun.effects] == [StartChild]
    again = step(chart, begun.snapshot, Order())
    assert isinstance(again, Step)
    assert [type(each) for each in again.effects] == [StopChild, StartChild]
    ended = step(chart, begun.snapshot, Done("paying", 3))
    assert isinstance(ended, Step)
    assert ended.effects == (StopChild("paying"),)
    assert ended.snapshot.context.paid == 3


def test_a_child_whose_state_is_left_is_stopped_after_its_exit_handlers() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    machine.send(Order())
    child = machine.child("paying")
    told: list[Step[Payment]] = []
    child.listen(told.append)
    machine.send(Cancel())
    assert machine.state == "given_up"
    assert machine.children == {}
    assert child.is_stopped
    assert child.context.log == ("entered", "left")
    [step] = told
    assert step.effects == (Undo("payment"),)
    with pytest.raises(Refused, match="finished"):
        child.send(Authorize(5))
    assert machine.state == "given_up"


def test_a_state_entered_again_has_a_new_child() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    machine.send(Order())
    first = machine.child("paying")
    machine.send(Order())
    second = machine.child("paying")
    assert first is not second
    assert first.is_stopped
    second.send(Authorize(6))
    assert machine.context.paid == 6


def test_a_refused_event_of_either_changes_neither() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    machine.send(Order())
    child = machine.child("paying")
    with pytest.raises(Refused):
        child.send(Authorize(4))
    with pytest.raises(Refused):
        machine.send(Authorize(5))
    assert machine.child("paying") is child
    with pytest.raises(KeyError, match="beside filling"):
        machine.child("filling")


def nothing_at_all(cart: Cart) -> Payment:
    return None  # type: ignore[return-value]


def fail(payment: Payment, event: Event) -> Payment:
    message = "no"
    raise ValueError(message)


class Broken(Lifecycle[Payment]):
    waiting = State(initial=True, entry=fail)
    settled = Final()
    authorize = on(Authorize, waiting.to(settled))


class BadExit(Lifecycle[Payment]):
    waiting = State(initial=True, exit=fail)
    settled = Final()
    authorize = on(Authorize, waiting.to(settled))


@pytest.mark.parametrize(
    ("lifecycle", "function"), [(PaymentLifecycle, nothing_at_all), (Broken, payment_of)], ids=["context", "entry"]
)
def test_a_child_that_can_not_start_leaves_its_parent_where_it_was(
    lifecycle: type[Lifecycle[Payment]], function: object
) -> None:
    class Holder(Lifecycle[Cart]):
        filling = State(initial=True)
        paying = State(child=Child(lifecycle, function))  # type: ignore[arg-type]
        end = Final()
        order = on(Order, filling.to(paying))
        settle = done(paying.to(end))

    machine = FamilyMachine(Holder, Cart(total=1))
    with pytest.raises(ActionFailed):
        machine.send(Order())
    assert (machine.state, dict(machine.children)) == ("filling", {})


def test_a_child_that_can_not_be_stopped_leaves_its_parent_where_it_was() -> None:
    class Holder(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(BadExit, payment_of))
        end = Final()
        cancel = on(Cancel, paying.to(end))

    machine = FamilyMachine(Holder, Cart(total=1))
    child = machine.child("paying")
    with pytest.raises(ActionFailed):
        machine.send(Cancel())
    assert machine.state == "paying"
    assert machine.child("paying") is child
    assert not child.is_stopped


def refuse_odd(cart: Cart, event: Done) -> Cart:
    if cart.total % 2:
        message = "odd"
        raise ValueError(message)
    return cart


def make_even(cart: Cart, event: Cancel) -> Cart:
    return cart.replace(total=cart.total + 1)


def test_an_end_that_its_parent_fails_on_is_told_again() -> None:
    class Holder(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(PaymentLifecycle, payment_of))
        end = Final()
        settle = done(paying.to(end, do=refuse_odd))
        mend = on(Cancel, paying.stay(do=make_even))

    machine = FamilyMachine(Holder, Cart(total=1))
    child = machine.child("paying")
    with pytest.raises(ActionFailed, match="odd"):
        child.send(Authorize(1))
    assert (child.is_finished, machine.state) == (True, "paying")
    with pytest.raises(ActionFailed, match="odd"):
        machine.send(Cancel())
    assert machine.context.total == 1


def test_an_end_that_its_parent_has_failed_on_is_told_after_a_restore_with_its_data() -> None:
    is_broken = True

    def take(cart: Cart, event: Done) -> Cart:
        if is_broken:
            message = "broken"
            raise ValueError(message)
        return cart.replace(paid=event.data)

    class Holder(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(PaymentLifecycle, payment_of))
        end = State()
        over = Final()
        settle = done(paying.to(end, do=take))
        order = on(Order, end.stay())
        cancel = on(Cancel, end.to(over))

    machine = FamilyMachine(Holder, Cart(total=1))
    with pytest.raises(ActionFailed, match="broken"):
        machine.child("paying").send(Authorize(7))
    is_broken = False
    again = FamilyMachine.restore_family(Holder, machine.family())
    again.send(Order())
    assert (again.state, again.context.paid) == ("end", 7)
    assert again.children == {}
    by_child = FamilyMachine.restore_family(Holder, machine.family())
    with pytest.raises(Refused, match="finished"):
        by_child.child("paying").send(Authorize(7))
    assert (by_child.state, by_child.context.paid) == ("end", 7)


def test_children_have_children_and_all_end_with_their_state() -> None:
    class Inner(Lifecycle[Cart]):
        working = State(initial=True, child=Child(PaymentLifecycle, payment_of))
        end = Final(data=lambda cart, _: cart.paid)
        settle = done(working.to(end, do=record))

    def same(cart: Cart) -> Cart:
        return cart

    class Outer(Lifecycle[Cart]):
        @nested(initial=True)
        class both(Composite):
            working = State(initial=True, child=Child(Inner, same))

        end = Final()
        cancel = on(Cancel, both.to(end))
        settle = done(both.working.to(end, do=record))

    machine = FamilyMachine(Outer, Cart(total=3))
    leaf = machine.child("both.working").child("working")
    leaf.send(Authorize(4))
    assert (machine.state, machine.context.paid) == ("end", 4)

    machine = FamilyMachine(Outer, Cart(total=3))
    middle = machine.child(Outer.both.working)
    leaf = middle.child("working")
    machine.send(Cancel())
    assert (middle.is_stopped, leaf.is_stopped, leaf.context.log) == (True, True, ("entered", "left"))


class AtOnce(Lifecycle[Payment]):
    passing = State(initial=True)
    over = Final(data=what_was_paid)
    go = always(passing.to(over))


def test_a_child_that_ends_at_once_and_one_that_does_so_for_ever() -> None:
    class Once(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(AtOnce, payment_of))
        end = Final()
        settle = done(paying.to(end, do=record))

    assert FamilyMachine(Once, Cart(total=8)).context.paid == 8

    class ForEver(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(AtOnce, payment_of))
        end = Final()
        settle = done(paying.to(paying))
        cancel = on(Cancel, paying.to(end))

    with pytest.raises(EndlessLoop, match=r"done\(paying\)"):
        FamilyMachine(ForEver, Cart(total=8))


def test_a_state_that_is_left_in_the_same_macrostep_starts_no_child() -> None:
    class Passing(Lifecycle[Cart]):
        paying = State(initial=True, child=Child(Broken, payment_of))
        end = Final()
        go = always(paying.to(end))

    machine = FamilyMachine(Passing, Cart(total=8))
    assert (machine.state, machine.started.effects) == ("end", ())


def test_a_family_is_a_value_to_go_on_from() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    machine.send(Order())
    family = machine.family()
    machine.send(Cancel())
    again = FamilyMachine.restore_family(CartLifecycle, family)
    assert again.family() == family
    assert again.child("paying").context.log == ("entered",)
    again.child("paying").send(Authorize(9))
    assert (again.state, again.context.paid) == ("shipped", 9)
    stray = FamilySnapshot(machine.snapshot(), family.children)
    with pytest.raises(SnapshotInvalid, match="beside which none runs"):
        FamilyMachine.restore_family(CartLifecycle, stray)


def test_sending_from_within_is_refused() -> None:
    machine = FamilyMachine(CartLifecycle, Cart(total=5))
    caught: list[BaseException] = []

    def send_again(_: object) -> None:
        try:
            machine.send(Cancel())
        except MachineBusy as error:
            caught.append(error)

    machine.listen(send_again)
    machine.send(Order())
    assert len(caught) == 1


# Who can't run them.


def test_other_machines_and_engines_say_that_they_run_no_children() -> None:
    for kind in (Machine, MutexMachine):
        with pytest.raises(DefinitionError, match=r"paying: has a child, which no \w+ runs: a FamilyMachine does"):
            kind(CartLifecycle, Cart(total=5))
    snapshot = FamilyMachine(CartLifecycle, Cart(total=5)).snapshot()
    with pytest.raises(DefinitionError, match="a FamilyMachine does"):
        Machine.restore(CartLifecycle, snapshot)
    with pytest.raises(DefinitionError, match="no ledger keeps"):
        Engine("memory://", lifecycles=[CartLifecycle])


# What is declared, drawn and written.


def of_another(payment: Payment) -> Payment:
    return payment


def to_another(cart: Cart) -> Cart:
    return cart


def of_two(cart: Cart, event: Event) -> Payment:
    return Payment(cart.total)


@pytest.mark.parametrize(
    ("child", "problem"),
    [
        (PaymentLifecycle, "child=Child"),
        (Child(int, payment_of), "int, which is no lifecycle"),  # type: ignore[arg-type]
        (Child(PaymentLifecycle, of_another), "takes context Payment, and would get Cart"),
        (Child(PaymentLifecycle, to_another), "returns Cart; the child takes Payment"),  # type: ignore[arg-type]
        (Child(PaymentLifecycle, of_two), "takes 2 arguments; a child's context takes"),  # type: ignore[arg-type]
        (Child(PaymentLifecycle, 5), "is no function"),  # type: ignore[arg-type]
    ],
)
def test_a_child_is_checked_when_the_class_is_built(child: object, problem: str) -> None:
    with pytest.raises(DefinitionError, match=problem) as caught:

        class Wrong(Lifecycle[Cart]):
            paying = State(initial=True, child=child)  # type: ignore[arg-type]
            end = Final()
            cancel = on(Cancel, paying.to(end))

    assert caught.value.subject == "paying"


def test_only_a_child_with_an_end_can_be_waited_for() -> None:
    with pytest.warns(Warning, match="never finished"):

        class Endless(Lifecycle[Payment]):
            waiting = State(initial=True)
            stay = on(Authorize, waiting.stay())

    with pytest.raises(DefinitionError, match="which has no final state"):

        class Waits(Lifecycle[Cart]):
            paying = State(initial=True, child=Child(Endless, payment_of))
            end = Final()
            settle = done(paying.to(end))

    with pytest.raises(DefinitionError, match="which is atomic"):

        class Plain(Lifecycle[Cart]):
            paying = State(initial=True)
            end = Final()
            settle = done(paying.to(end))


def test_the_document_says_the_child_and_the_digest_covers_it() -> None:
    chart = chart_of(CartLifecycle)
    document = chart.to_document()
    [paying] = [each for each in document["states"] if each["name"] == "paying"]
    assert paying["invokes"][0]["child"] == {
        "kind": chart_of(PaymentLifecycle).kind,
        "version": 1,
        "digest": chart_of(PaymentLifecycle).digest,
        "context": "payment_of",
    }
    again = Chart.from_document(
        msgspec.json.decode(msgspec.json.encode(document)), context=Cart, events=chart.events, handlers=chart.handlers
    )
    assert again.digest == chart.digest
    machine = FamilyMachine(again, Cart(total=5))
    machine.send(Order())
    machine.child("paying").send(Authorize(6))
    assert machine.context.paid == 6
    paying["invokes"][0]["child"]["digest"] = "another"
    with pytest.raises(DefinitionError, match="the handler given starts"):
        Chart.from_document(document, context=Cart, events=chart.events, handlers=chart.handlers)


def test_drawings_name_the_child() -> None:
    chart = chart_of(CartLifecycle)
    for text in (to_mermaid(chart), to_dot(chart)):
        assert f"child {chart_of(PaymentLifecycle).kind}" in text


def test_a_child_is_written_as_a_document_within_the_document() -> None:
    written = write(chart_of(CartLifecycle))
    clock = VirtualClock()
    session = Session(read(written), clock=clock)
    session.send("Order")
    [child] = session.children
    assert child.configuration == ("waiting",)
    child.send("Authorize")
    assert session.configuration == ("shipped",)
    assert clock.now() == timedelta(0)

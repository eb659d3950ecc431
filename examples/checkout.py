"""A checkout: payment and parcel go on side by side, may be put on hold, and resume where they were."""

from datetime import timedelta

from stateward import Actions, Composite, Context, Effect, Event, Final, Lifecycle, Parallel, State, done, nested, on


class Start(Event):
    pass


class Capture(Event):
    amount: int


class Decline(Event):
    pass


class HandOver(Event):
    pass


class Hold(Event):
    pass


class Dispute(Event):
    pass


class Resume(Event):
    pass


class ReserveSlot(Effect):
    cart: str


class Cart(Context):
    id: str
    captured: int = 0


def reserve_slot(cart: Cart, event: Event) -> Actions[Cart]:
    yield ReserveSlot(cart.id)
    return cart


def record_capture(cart: Cart, event: Capture) -> Cart:
    return cart.replace(captured=event.amount)


class CheckoutLifecycle(Lifecycle[Cart]):
    """A checkout, from browsing to completion."""

    browsing = State(initial=True)

    @nested(entry=reserve_slot)
    class active(Parallel):
        @nested(sla=timedelta(minutes=30))
        class payment(Composite):
            unpaid = State(initial=True)
            captured = Final()
            capture = on(Capture, unpaid.to(captured, do=record_capture))
            decline = on(Decline, unpaid.to(unpaid))

        class parcel(Composite):
            packing = State(initial=True)
            handed_over = Final()
            hand_over = on(HandOver, packing.to(handed_over))

    on_hold = State()
    completed = Final()

    start = on(Start, browsing.to(active))
    hold = on(Hold, active.to(on_hold))
    dispute = on(Dispute, active.payment.unpaid.to(on_hold))
    resume = on(Resume, on_hold.to(active.history(deep=True)))
    finish = done(active.to(completed))

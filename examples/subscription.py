"""A subscription, as a gathering: active when payment, account and entitlement have arrived, in whichever order."""

from datetime import timedelta

from stateward import Actions, Context, Effect, Event, Fact, Final, Gather, Patience, State, on, stop_on


class OpenAccount(Effect):
    subscriber: str


class CallSupport(Effect):
    subscriber: str


class Welcome(Effect):
    subscriber: str


class RefundPayment(Effect):
    payment: str


class Paid(Event):
    payment: str


class AccountOpened(Event):
    account: str


class Entitled(Event):
    pass


class PaymentRefused(Event):
    pass


class Unsubscribe(Event):
    pass


class Subscription(Context):
    subscriber: str
    payment: str = ""
    account: str = ""


def open_account(subscription: Subscription, event: Event) -> Actions[Subscription]:
    yield OpenAccount(subscription.subscriber)
    return subscription


def call_support(subscription: Subscription, event: Event) -> Actions[Subscription]:
    yield CallSupport(subscription.subscriber)
    return subscription


def welcome(subscription: Subscription, event: Event) -> Actions[Subscription]:
    yield Welcome(subscription.subscriber)
    return subscription


def give_back(subscription: Subscription, event: Event) -> Actions[Subscription]:
    """What was paid before it was given up."""
    if subscription.payment:
        yield RefundPayment(subscription.payment)
    return subscription


def give_back_late(subscription: Subscription, event: Paid) -> Actions[Subscription]:
    """What was paid after that."""
    if event.payment != subscription.payment:
        yield RefundPayment(event.payment)
    return subscription.replace(payment=event.payment)


def keep_payment(subscription: Subscription, event: Paid) -> Subscription:
    return subscription.replace(payment=event.payment)


def keep_account(subscription: Subscription, event: AccountOpened) -> Subscription:
    return subscription.replace(account=event.account)


class SubscriptionActivation(Gather[Subscription]):
    """A subscription, active when payment, account and entitlement have arrived."""

    version = 1

    payment = Fact(Paid, do=keep_payment)
    account = Fact(AccountOpened, do=keep_account, ask=open_account)
    entitlement = Fact(Entitled)

    patience = Patience(timedelta(days=2), overdue=State(entry=call_support, sla=timedelta(hours=8)))
    refused = stop_on(PaymentRefused)

    complete = State(name="active", entry=welcome)
    given_up = State(entry=give_back)
    ended = Final()

    late_payment = on(Paid, given_up.stay(do=give_back_late))
    unsubscribe = on(Unsubscribe, (complete | given_up).to(ended))

"""What the services of the test world do with a call: rules and books, without a network.

Each call is honoured once per idempotency key, and nothing else counts: whoever asks for the same under two keys pays
twice, and the books say so. A refund closes its order's account, so that nothing is charged later; a release does the
same for goods.
"""

from __future__ import annotations

from typing import Any

import msgspec

__all__ = ["Account", "Answer", "Books", "Call", "Services"]


class Call(msgspec.Struct):
    """A call, as it arrived; a line of the journal."""

    operation: str
    order: str
    key: str
    effect: str
    revision: int
    attempt: int
    worker: str
    amount: int = 0
    text: str = ""
    seq: int = 0
    """Its place among all calls, from 1."""
    fate: str = ""
    has_acted: bool = False
    """Whether this call is the one of its key that was honoured."""
    answer: str = ""
    """The event that its key was answered with, `Charged`; empty if there is none, or not yet."""


class Answer(msgspec.Struct, frozen=True):
    """What a call is answered."""

    event: str = ""
    """The event that it means for the order; empty: none."""
    fields: dict[str, Any] = {}
    further: tuple[tuple[str, dict[str, Any]], ...] = ()
    """Further events."""


class Account(msgspec.Struct):
    """What was done for an order: the keys under which it was."""

    charges: list[str] = []
    refunds: list[str] = []
    reservations: list[str] = []
    releases: list[str] = []
    charged: int = 0
    refunded: int = 0
    is_closed: bool = False
    """Whether nothing is charged any more."""
    is_off_shelf: bool = False
    """Whether nothing is reserved any more."""


class Books(msgspec.Struct):
    """All that the services know."""

    calls: list[Call] = []
    accounts: dict[str, Account] = {}
    answers: dict[str, Answer] = {}
    """By key."""

    def of(self, prefix: str) -> Books:
        """What they know of orders whose names begin so."""
        calls = [each for each in self.calls if each.order.startswith(prefix)]
        keys = {each.key for each in calls}
        return Books(
            calls,
            {order: each for order, each in self.accounts.items() if order.startswith(prefix)},
            {key: each for key, each in self.answers.items() if key in keys},
        )


class Services:
    """The payment provider, the inventory and the post office."""

    def __init__(self, is_declined: Any, is_out_of_stock: Any) -> None:
        """Take two functions of an order: whether its charge is declined, and its goods are not there."""
        self.books = Books()
        self._is_declined, self._is_out_of_stock = is_declined, is_out_of_stock
        self._calls: dict[tuple[str, str], int] = {}

    def note(self, call: Call) -> int:
        """Enter a call into the journal; how many of its operation there were for its order before."""
        self.books.calls.append(call)
        call.seq = len(self.books.calls)
        nth = self._calls.get((call.operation, call.order), 0)
        self._calls[call.operation, call.order] = nth + 1
        return nth

    def act(self, call: Call) -> Answer:
        """Honour a call, or give the answer that its key got before."""
        answer = self.books.answers.get(call.key)
        if answer is None:
            account = self.books.accounts.setdefault(call.order, Account())
            answer = self.books.answers[call.key] = getattr(self, f"_{call.operation}")(call, account)
            call.has_acted = True
        call.answer = answer.event
        return answer

    def payment(self, order: str) -> Answer:
        """What became of the order's payment, for whoever asks; nothing if it is not charged."""
        account = self.books.accounts.get(order, Account())
        if account.charges and not account.refunds:
            return Answer("Charged", {"amount": account.charged, "payment": f"pay-{order}"})
        return Answer()

    def _charge(self, call: Call, account: Account) -> Answer:
        if account.is_closed:
            return Answer("Declined", {"reason": "closed"})
        if self._is_declined(call.order):
            return Answer("Declined", {"reason": "no cover"})
        account.charges.append(call.key)
        account.charged += call.amount
        return Answer("Charged", {"amount": call.amount, "payment": f"pay-{call.order}"})

    def _refund(self, call: Call, account: Account) -> Answer:
        account.is_closed = True
        if not account.charges:
            return Answer("Refunded", {"amount": 0})
        account.refunds.append(call.key)
        account.refunded += account.charged
        return Answer("Refunded", {"amount": account.charged})

    def _reserve(self, call: Call, account: Account) -> Answer:
        if account.is_off_shelf or self._is_out_of_stock(call.order):
            return Answer("OutOfStock")
        account.reservations.append(call.key)
        return Answer("Reserved", {"shelf": f"shelf-{call.order}"}, (("Labelled", {"label": f"label-{call.order}"}),))

    def _release(self, call: Call, account: Account) -> Answer:
        account.is_off_shelf = True
        if account.reservations:
            account.releases.append(call.key)
        return Answer("Released")

    def _notify(self, call: Call, account: Account) -> Answer:
        return Answer()

    _receipt = _track = _notify

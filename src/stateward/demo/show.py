"""The show: an order's life, a refusal, a handler that fails, a timer, a worker that is killed; then a few thousand.

All of it is real: a ledger in a file or on a server, a payment provider in a process of its own that is asked over
HTTP, workers in threads and processes, and `kill -9`.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import msgspec

from stateward.demo.children import Child
from stateward.demo.crowd import Ran, run_crowd
from stateward.demo.orders import Deliver, Order, OrderLifecycle, Pay, Reserve, Ship, made_up_lives
from stateward.demo.payments import SETTINGS, Provider, register
from stateward.demo.replay import look_back
from stateward.demo.report import refusals_told, stays_told
from stateward.demo.screen import Screen
from stateward.demo.watching import DemoStalled, Watch
from stateward.demo.worker import Orders, Told
from stateward.engine import Engine
from stateward.errors import CallerError, Refusal

__all__ = ["Show", "Stage", "opened"]

GRACE = timedelta(seconds=1)
FAIL_EVERY = 40
"""So manieth call of the provider fails while there are many."""


class Stage(NamedTuple):
    """Where the show is, and how much of it."""

    ledger: str
    book: Path
    """The provider's; made anew."""
    orders: int
    seed: int


@contextmanager
def opened(stage: Stage, screen: Screen) -> Generator[Show]:
    """A show, ready to be run: its ledger is open and its provider runs, until the block ends.

    Raises:
        CallerError: there are orders in the ledger.
        LedgerUnavailable: it can't be opened.
        DemoStalled: the provider does not start.
    """
    with ExitStack() as stack:
        engine = stack.enter_context(Engine(stage.ledger, lifecycles=[OrderLifecycle]))
        if engine.census(OrderLifecycle):
            message = f"there are orders in {stage.ledger}: the demo wants a ledger of its own, and leaves yours alone"
            raise CallerError(message)
        process = Child("stateward.demo.provider", str(stage.book))
        stack.callback(process.stop)
        port = process.read_line()
        if not port:
            message = "the payment provider has not started"
            raise DemoStalled(message)
        provider = Provider(int(port))
        stack.callback(engine.stop, GRACE)
        yield Show(stage, engine, provider, screen, stack)


class Show:
    """The acts, one after the other."""

    def __init__(self, stage: Stage, engine: Engine, provider: Provider, screen: Screen, stack: ExitStack) -> None:
        """Made by `opened`."""
        self.engine = engine
        self._stage = stage
        self._provider = provider
        self._screen = screen
        self._stack = stack
        self._watch = Watch(screen)
        engine.listen(self._watch.committed)
        register(engine, provider, self._watch.attempt)

    def run(self) -> None:
        """Run all of it.

        Raises:
            DemoStalled: what must come does not come.
        """
        self.engine.start(SETTINGS)
        self._life()
        self._refusal()
        self._failures()
        self._timer()
        self.engine.stop(GRACE)
        self._kill()
        self.engine.start(SETTINGS)
        self._tell(self._many())

    def _create(self, order: str, customer: str) -> None:
        self.engine.create(OrderLifecycle, order, Order(), actor=customer, key=f"cart of {order}")

    def _pay(self, order: str, customer: str) -> None:
        self.engine.send(OrderLifecycle, order, Pay(amount=4200), actor=customer, key=f"payment of {order}")

    def _life(self) -> None:
        self._screen.heading("1. The life of an order")
        self._screen.say(
            "Each line is a transition, written down in a transaction of its own. Paying asks the payment provider, a"
            " process of its own, after commit; its answer comes back as an event."
        )
        self._create("A-1", "customer:9")
        self._pay("A-1", "customer:9")
        self._watch.wait_state("A-1", "paid")
        self._pay("A-1", "customer:9")  # a repetition: the same key again applies nothing, and nobody is told
        self.engine.send(OrderLifecycle, "A-1", Pay(amount=4200), actor="customer:9")
        self.engine.send(OrderLifecycle, "A-1", Ship(), actor="warehouse:2")
        self.engine.send(OrderLifecycle, "A-1", Deliver(), actor="carrier:7")
        self._watch.wait(lambda: self._watch.done["Notify"] > 0, "the customer of A-1 was not told")

    def _refusal(self) -> None:
        self._screen.heading("2. A refusal, and why")
        self._create("A-2", "customer:12")
        event = Pay(amount=100)
        answer = self.engine.attempt(OrderLifecycle, "A-2", event, actor="customer:12")
        assert isinstance(answer, Refusal)
        self._screen.say("Nothing has changed but the record of the attempt. Asked why:")
        self._screen.show(str(self.engine.why(OrderLifecycle, "A-2", event)).splitlines(), indent="    ")

    def _failures(self) -> None:
        self._screen.heading("3. A handler that fails twice")
        self._screen.say("The provider is out of order for two calls. Each attempt has the same key, and waits longer.")
        self._provider.tell(order="A-3", fail=2)
        self._create("A-3", "customer:31")
        self._pay("A-3", "customer:31")
        self._watch.wait_state("A-3", "paid")
        self._show_book("A-3")

    def _timer(self) -> None:
        self._screen.heading("4. A timer")
        self._screen.say("Goods are put aside for two seconds. The timer is set by the very transaction that does it.")
        self._create("A-4", "customer:44")
        self.engine.send(OrderLifecycle, "A-4", Reserve(), actor="customer:44")
        names = ", ".join(each.name for each in self.engine.timers(OrderLifecycle, "A-4"))
        self._screen.say(f"(the timers of A-4 that run: {names})")
        self._watch.wait_state("A-4", "cancelled")

    def _kill(self) -> None:
        screen = self._screen
        screen.heading("5. A worker that is killed amid a charge")
        self._provider.tell(order="A-5", hold=True)
        self._create("A-5", "customer:5")
        self._pay("A-5", "customer:5")
        first = self._start_worker()
        if not self._provider.get("/held", "A-5"):
            message = f"worker {first.pid} has not asked the provider"
            raise DemoStalled(message)
        screen.say(f"Worker {first.pid} has asked the provider, which has the money and keeps its reply back.")
        code = first.kill()
        entity = self.engine.get(OrderLifecycle, "A-5")
        pending = ", ".join(each.effect for each in self.engine.pending(OrderLifecycle, "A-5"))
        screen.say(
            f"kill -9 {first.pid}: it ended with {code}. A-5 is {entity.state}, and in its outbox is: {pending}."
        )
        killed = time.monotonic()
        second = self._start_worker()
        screen.say(f"Worker {second.pid} is started in its place. It sees that the other is gone, and asks again:")
        self._watch.wait_state("A-5", "paid")
        took = time.monotonic() - killed
        self._show_book("A-5")
        screen.say(
            f"Nothing is lost, nothing is charged twice; {took:.1f} s after the kill all is as if none had been."
        )
        second.stop()

    def _start_worker(self) -> Child:
        """A worker in another process; what it tells is told here."""
        child = Child(
            "stateward.demo.worker",
            msgspec.json.encode(Orders(self._stage.ledger, self._provider.port)).decode(),
        )  # fmt: skip
        self._stack.callback(child.stop)
        who = f"worker {child.pid}"

        def hear(line: str) -> None:
            told = msgspec.json.decode(line, type=Told)
            if told.committed is not None:
                self._watch.committed(told.committed, who)
            if told.attempt is not None:
                self._watch.attempt(told.attempt, who)

        child.each_line(hear)
        return child

    def _show_book(self, order: str) -> None:
        for each in self._provider.get("/charges", order):
            key = f"{each['key'][:8]}...{each['key'][-6:]}"
            self._screen.say(
                f"The provider's book on {order}: key {key} asked {_times(each['asked'])}, charged"
                f" {_times(each['booked'])}."
            )

    def _many(self) -> Ran:
        count = self._stage.orders
        self._screen.heading(f"6. {count:,} orders")
        self._screen.say(
            f"Made up from seed {self._stage.seed}: customers underpay, pay twice and cancel too late. One call in"
            f" {FAIL_EVERY} of the provider fails, and is tried again."
        )
        self._provider.tell(fail_every=FAIL_EVERY)
        self._watch.is_quiet = True
        ran = run_crowd(self.engine, made_up_lives(count, self._stage.seed), self._watch, self._screen)
        self._watch.is_quiet = False
        self._provider.tell()
        return ran

    def _tell(self, ran: Ran) -> None:
        screen = self._screen
        found = look_back(self.engine, OrderLifecycle)
        screen.heading("What the ledger tells")
        screen.say(
            f"{ran.orders:,} orders in {ran.took_s:.1f} s: {ran.events:,} events sent, {ran.records:,} records"
            f" ({ran.records / ran.took_s:,.0f}/s), each committed with what it tells. With the"
            f" five orders above there are {found.records:,}:"
        )
        screen.show(["", *stays_told(found.stays, screen.width - 2), "", *refusals_told(found.refused), ""])
        sums = self._provider.get("/sums")
        failed = self._watch.failures.total()
        screen.say(
            f"The provider's book: {sums['keys']:,} charges, asked {sums['asked']:,} times: {sums['charged']:,} charged"
            f" and {sums['declined']:,} declined; {sums['refunds']:,} given back. {failed:,} calls have failed. Orders"
            f" charged twice: {sums['charged_twice']}."
        )


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")

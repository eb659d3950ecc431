"""The driver of the test world: sends what customers do, does harm to workers, databases and clocks, until all is done.

Time passes in turns. A turn waits until the services were called for some more times, and never by the clock; then the
clock of the world is moved a little, customers do what is theirs in this turn, and harm is done as the seed says. When
nobody calls any more, everything waits for a timer, and the clock is moved on by more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Self

import psycopg

from stateward import Engine, Event, LedgerUnavailable, Sending, StatewardError
from stateward.engine import Creating
from tests.work.world.checking import Evidence, violations
from tests.work.world.client import Watcher, events_of
from tests.work.world.clock import WorldClock
from tests.work.world.commands import Start
from tests.work.world.faults import draw_traits
from tests.work.world.gathering import Rows, gather
from tests.work.world.lifecycle import FINAL_STATES, Cancel, Checkout, Order, OrderLifecycle
from tests.work.world.processes import Fleet, Services, WorkerProcess

__all__ = ["Harm", "World"]

CALLS_PER_TURN = 60
"""How many calls a turn waits for."""
ORDERS_PER_TURN = 25
OPEN_MAX = 400
"""How many orders may be open, before no more are made."""
STOPS_MAX = 20
"""How often it is tried to stop a worker outside of its transactions."""
LOOKS_MAX = 1_000_000
IDLE_TURNS_MAX = 240
"""After so many turns in which nothing moved, the world counts as stuck."""


class Harm(NamedTuple):
    """How often harm is done, as its probability in a turn."""

    kill: float = 0.12
    kill_all: float = 0.015
    stop: float = 0.04
    jump: float = 0.02
    restart: float = 0.0
    """The database; only where there is a server."""


_HARM = Harm()


class Deed(NamedTuple):
    """What a customer does, and when."""

    turn: float
    """In orders made before."""
    order: str
    event: Event
    key: str


class World:
    """A ledger, services, workers, and what befalls them; all drawn from one seed."""

    def __init__(
        self,
        address: str,
        folder: Path,
        seed: int,
        *,
        workers: int = 3,
        harm: Harm = _HARM,
        restart: Callable[[], None] | None = None,
        poisoned: int = 0,
    ) -> None:
        """Start it.

        Args:
            address: of a fresh ledger.
            folder: where its files are kept.
            seed: what everything is drawn from.
            workers: how many work at a time.
            harm: how often harm is done.
            restart: restarts the database.
            poisoned: how many orders have a receipt that kills its worker.
        """
        self.address, self._folder, self.seed, self._harm, self._restart = address, folder, seed, harm, restart
        self._workers_wanted = workers
        self._poisoned_wanted = poisoned
        self._poisoned: frozenset[str] = frozenset()
        self._chance = Random(f"{seed}:driver")
        self._numbers = count(1)
        self.deeds_done: dict[str, int] = {}
        """What harm was done, how often."""
        self._calls = 0
        self._callbacks = 0
        self._late: list[Sending] = []
        self._orders: list[str] = []
        self.turn = 0

    def __enter__(self) -> Self:
        self.clock = WorldClock(self._folder / "clock")
        self._services = Services(self.seed)
        self._fleet = Fleet()
        self.watcher = Watcher(self._services.port)
        self.engine = Engine(self.address, lifecycles=[OrderLifecycle], clock=self.clock)
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()
        self.watcher.close()
        self._fleet.__exit__()
        self._services.__exit__()

    # The run.

    def run(self, orders: int) -> None:
        """Let that many orders live to their ends.

        Raises:
            AssertionError: nothing moved any more, and they were not all at their ends.
        """
        names = [f"o{number:05}" for number in range(orders)]
        self._poisoned = frozenset(self._chance.sample(names, self._poisoned_wanted))
        self.clock.poison(is_on=bool(self._poisoned))
        deeds = sorted(
            (deed for number, order in enumerate(names) for deed in self._deeds(number, order, orders)),
            key=lambda deed: deed.turn,
        )
        idle = 0
        while True:
            self.turn += 1
            self._staff()
            has_moved = self._wait_for_calls()
            has_moved |= self._make_orders(names)
            has_moved |= self._do_deeds(deeds, is_last=len(self._orders) == len(names))
            has_moved |= self._take_callbacks()
            is_ending = len(self._orders) == len(names) and not deeds and not self._late
            self._do_harm(is_ending=is_ending)
            if is_ending and not has_moved and self._is_done():
                return
            self._pass_time(is_idle=not has_moved)
            if self.turn % 8 == 0 or not has_moved:
                has_moved |= self._retry_dead()
            idle = 0 if has_moved else idle + 1
            assert idle < IDLE_TURNS_MAX, self._stuck()

    def _deeds(self, number: int, order: str, orders: int) -> Iterable[Deed]:
        """What an order's customer does: some of it twice, and some of it in the wrong order."""
        traits = draw_traits(self.seed, order)
        chance = Random(f"{self.seed}:deeds:{order}")
        events: list[tuple[float, Event, str]] = []
        if traits.checks_out:
            events.append((number + chance.uniform(0, 5), Checkout(amount=traits.amount), "checkout"))
        if traits.cancels_after is not None:
            when = number + 5 + traits.cancels_after * orders
            events.append((when if traits.cancels_after >= 0 else number, Cancel(reason="changed my mind"), "cancel"))
        for turn, event, key in events:
            yield Deed(turn, order, event, key)
            for _ in range(traits.copies):
                yield Deed(turn + chance.choice((0, 1, 30, orders / 5)), order, event, key)

    def _wait_for_calls(self) -> bool:
        """Wait until the services were called some more times, or not at all for a while; whether they were."""
        before = self._calls
        while self._calls < before + CALLS_PER_TURN:
            calls = self.watcher.calls(self._calls)
            if calls == self._calls:
                break
            self._calls = calls
        return self._calls > before

    def _make_orders(self, names: Sequence[str]) -> bool:
        made = len(self._orders)
        following = names[made : made + ORDERS_PER_TURN]
        if not following or made - self._count_final() > OPEN_MAX:
            return False
        creatings = [
            Creating(lifecycle=OrderLifecycle, entity=each, context=Order(), actor="customer:1", key="made")
            for each in following
        ]
        answers = self._patiently(lambda: self.engine.create_many(creatings))
        assert not [each for each in answers if isinstance(each, StatewardError)], answers
        self._orders += following
        return True

    def _count_final(self) -> int:
        census = self._patiently(lambda: self.engine.census(OrderLifecycle))
        return sum(census.get(state, 0) for state in FINAL_STATES)

    def _do_deeds(self, deeds: list[Deed], *, is_last: bool) -> bool:
        """Do what is due, the due ones in any order; those that are not made yet are not known to anybody."""
        due = 0
        while due < len(deeds) and (deeds[due].turn < len(self._orders) or is_last) and due < 4 * ORDERS_PER_TURN:
            due += 1
        now, deeds[:due] = deeds[:due], []
        sendings = [
            Sending(lifecycle=OrderLifecycle, entity=each.order, event=each.event, actor="customer:1", key=each.key)
            for each in now
        ]
        self._send([*sendings, *self._late])
        self._late = []
        return bool(sendings)

    def _take_callbacks(self) -> bool:
        """What the provider tells beside its answers comes in any order, late, and sometimes again."""
        told = self.watcher.callbacks(self._callbacks)
        self._callbacks += len(told)
        sendings = [
            Sending(
                lifecycle=OrderLifecycle, entity=order, event=event, actor="provider:1", key=f"callback:{answer.event}"
            )
            for order, answer in told
            for event in events_of(answer)
        ]
        for each in sendings:
            if self._chance.random() < 0.3:
                self._late.append(each)
        self._send(sendings)
        return bool(told)

    def _send(self, sendings: list[Sending]) -> None:
        self._chance.shuffle(sendings)
        answers = self._patiently(lambda: self.engine.send_many(sendings)) if sendings else []
        while lost := [each for each, answer in zip(sendings, answers, strict=True) if _is_away(answer)]:
            sendings = lost
            answers = self._patiently(lambda: self.engine.send_many(lost))
        errors = [each for each in answers if isinstance(each, StatewardError)]
        assert not errors, errors

    @staticmethod
    def _patiently(act: Callable[[], Any]) -> Any:
        """Do what a restarting database may keep from being done, again, as customers do."""
        deadline = time.monotonic() + 60
        while True:
            try:
                return act()
            except (LedgerUnavailable, psycopg.OperationalError):
                if time.monotonic() > deadline:
                    raise

    # Harm.

    def _staff(self) -> None:
        """Start workers for those that ended."""
        while len(self._at_work()) < self._workers_wanted:
            number = next(self._numbers)
            self._fleet.start(
                Start(
                    name=f"w{number}",
                    address=self.address,
                    port=self._services.port,
                    clock=str(self._folder / "clock"),
                    log=str(self._folder / "workers.log"),
                    has_tasks=number % 2 == 0,
                    skew_s=self._chance.uniform(-2, 2),
                    poisoned=self._poisoned,
                )
            )

    def _at_work(self) -> list[WorkerProcess]:
        return [each for each in self._fleet.workers.values() if not each.is_over and not each.is_stopped]

    def _do_harm(self, *, is_ending: bool) -> None:
        chance, harm = self._chance, self._harm
        for stopped in [each for each in self._fleet.workers.values() if each.is_stopped]:
            if self._has_lost_lease(stopped):
                stopped.go_on()
                self._note("zombie")
        if self._befalls(harm.kill, turn=5) and self._at_work():
            self._kill([chance.choice(self._at_work())], "kill")
        if self._befalls(harm.kill_all, turn=12):
            self._kill(self._at_work(), "kill all")
        nobody_is = not any(each.is_stopped for each in self._fleet.workers.values())
        if self._befalls(harm.stop, turn=18) and nobody_is and self._at_work():
            self._stop_one(chance.choice(self._at_work()))
        if self._befalls(harm.jump, turn=24):
            self.clock.move(chance.choice((timedelta(hours=1), timedelta(minutes=-10))))
            self._note("jump")
        if self._befalls(harm.restart, turn=30) and not is_ending and self._restart is not None:
            self._restart()
            self._note("restart")
        if is_ending:
            self.clock.poison(is_on=False)

    def _befalls(self, chance: float, *, turn: int) -> bool:
        """Whether a harm comes in this turn: by chance, and once for certain."""
        return self._chance.random() < chance or self.turn == turn

    def _stop_one(self, worker: WorkerProcess) -> None:
        """Stop a worker; not within its transaction where that keeps all others from writing until it goes on."""
        for _ in range(STOPS_MAX):
            worker.stop()
            wait_until_stopped(worker.pid)
            with Rows(self.address) as rows:
                if rows.can_be_written():
                    self._note("stop")
                    return
            worker.go_on()

    def _kill(self, workers: Iterable[WorkerProcess], what: str) -> None:
        for each in workers:
            each.kill()
            self._fleet.wait_over(each)
        self._note(what)

    def _note(self, what: str, times: int = 1) -> None:
        self.deeds_done[what] = self.deeds_done.get(what, 0) + times

    def _has_lost_lease(self, worker: WorkerProcess) -> bool:
        """Whether a stopped worker's peers have taken over from it."""
        query = f"SELECT count(*) FROM worker WHERE process LIKE '%#{worker.pid}/%'"
        [(there,)] = self._patiently(lambda: self._look(query))
        return not there

    def _look(self, query: str) -> list[tuple[Any, ...]]:
        with Rows(self.address) as rows:
            return rows.read(query)

    def _pass_time(self, *, is_idle: bool) -> None:
        if is_idle:
            self.clock.move(timedelta(minutes=self._chance.choice((5, 31, 31, 60 * 24))))
        else:
            self.clock.move(timedelta(seconds=self._chance.choice((5, 20, 60, 120))))

    def _retry_dead(self) -> bool:
        """Retry what died; whether anything had."""
        retried = self._patiently(lambda: self.engine.retry(self.engine.dead()))
        if retried:
            self._note("retried", retried)
        return bool(retried)

    # The end.

    def told(self) -> str:
        """What befell it, and how it ended."""
        return f"{self.turn} turns, {self._calls} calls, {self.deeds_done}, {self.engine.census(OrderLifecycle)}"

    def _is_done(self) -> bool:
        if self._count_final() < len(self._orders):
            return False
        with Rows(self.address) as rows:
            return not any(rows.left().values())

    def _stuck(self) -> str:
        left = [self._look(f"SELECT * FROM {each} LIMIT 5") for each in ("outbox", "timer", "dead_letter")]
        parts = self._look("SELECT owner, min(part), max(part), count(*) FROM part GROUP BY owner")
        leases = self._look("SELECT id, beat, process FROM worker")
        fleet = [
            (each.start.name, each.pid, "stopped" if each.is_stopped else "over" if each.is_over else "at work")
            for each in self._fleet.workers.values()
        ]
        log = (self._folder / "workers.log").read_text()[-3000:]
        return (
            f"seed {self.seed}, turn {self.turn}: stuck: {self.engine.census(OrderLifecycle)} {left}\n"
            f"{parts}\n{leases}\n"
            f"{[each for each in fleet if each[2] != 'over']}\n{log}"
        )

    def stop(self) -> None:
        """Ask the workers to end, and wait until they have."""
        for each in self._fleet.workers.values():
            if each.is_stopped:
                each.go_on()
        for each in self._at_work():
            self._fleet.end(each)

    def evidence(self) -> Evidence:
        """What is known in the end."""
        log = (self._folder / "workers.log").read_text() if (self._folder / "workers.log").exists() else ""
        crashes = [
            f"{each.start.name} ended with {each.status}: {log[-2000:]}"
            for each in self._fleet.workers.values()
            if each.status not in (0, -9)
        ]
        return gather(self.engine, self.address, self.watcher.books(), self._orders, crashes)

    def check(self) -> None:
        """Hold everything against everything.

        Raises:
            AssertionError: something does not hold; it says what.
        """
        found = violations(self.evidence())
        shown = "\n".join(found[:20])
        assert not found, f"seed {self.seed}: {len(found)} violations after {self.deeds_done}:\n{shown}"


def _is_away(answer: object) -> bool:
    return isinstance(answer, LedgerUnavailable)


def wait_until_stopped(pid: int) -> None:
    """Wait until none of a process's threads runs any more: a signal takes a moment to come."""
    for _ in range(LOOKS_MAX):
        try:
            threads = [each.read_text() for each in Path(f"/proc/{pid}/task").glob("*/stat")]
        except OSError:  # one has just ended
            threads = ["() R"]
        if all(each.rpartition(")")[2].split()[0] in "TZX" for each in threads):
            return
        os.sched_yield()
    message = f"process {pid} does not stop"
    raise AssertionError(message)

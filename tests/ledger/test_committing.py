"""Group commit by threads, interleavings forced: who commits what, and what an interrupt leaves behind."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from threading import Event, Lock, Thread
from types import FrameType
from typing import Any

import pytest

from stateward.errors import LedgerUnavailable
from stateward.ledger import Applied, committing
from stateward.ledger.committing import Committer
from stateward.ledger.pairs import Pair
from stateward.ledger.results import Actor
from tests.ledger.faults_postgres import wait_until


def pair(name: str) -> Pair:
    return Pair(record=name, kind="Count", entity=name, name="Tick", payload="{}", actor=Actor("a", "1"), occurred_at=0)


class Gated:
    """A commit that waits for its gate, batch by batch, and notes what it settled."""

    def __init__(self) -> None:
        self.begun: list[list[str]] = []
        self.settled: list[str] = []
        self.gates: list[Event] = []

    def __call__(self, pairs: Sequence[Pair], *, waits: bool = False) -> None:
        gate = Event()
        self.gates.append(gate)
        self.begun.append([each.entity for each in pairs])
        assert gate.wait(30)
        for each in pairs:
            each.answer = Applied(kind="Count", entity=each.entity, revision=2, record=each.record, state="", version=1)
            self.settled.append(each.entity)

    def wait_begun(self, batches: int) -> None:
        wait_until(lambda: len(self.begun) >= batches, f"for batch {batches} to be under way")


def submitting(committer: Committer, name: str) -> Thread:
    thread = Thread(target=committer.submit, args=([pair(name)],))
    thread.start()
    return thread


def wait_queued(committer: Committer, count: int) -> None:
    wait_until(lambda: len(committer._queue) == count, f"for {count} to wait in the queue")


def interrupt_once(reached: Callable[[], None]) -> Thread:
    """Interrupt the main thread as soon as something is reached."""

    def act() -> None:
        reached()
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = Thread(target=act)
    thread.start()
    return thread


def test_what_arrives_during_a_commit_is_committed_together_next() -> None:
    commit = Gated()
    committer = Committer(commit)
    threads = [submitting(committer, "a")]
    commit.wait_begun(1)
    for number, name in enumerate(("b", "c", "d"), start=1):
        threads.append(submitting(committer, name))
        wait_queued(committer, number)
    commit.gates[0].set()
    commit.wait_begun(2)
    commit.gates[1].set()
    for thread in threads:
        thread.join(30)
    assert commit.begun == [["a"], ["b", "c", "d"]]
    assert not committer._is_busy


def test_a_sender_that_is_interrupted_while_it_waits_takes_its_event_back() -> None:
    commit = Gated()
    committer = Committer(commit)
    first = submitting(committer, "a")
    commit.wait_begun(1)
    interrupter = interrupt_once(lambda: wait_queued(committer, 1))
    with pytest.raises(KeyboardInterrupt):
        committer.submit([pair("mine")])
    interrupter.join(30)
    commit.gates[0].set()
    first.join(30)
    assert commit.settled == ["a"]
    assert (committer._waiting, committer._is_busy) == (0, False)


def test_an_event_that_is_being_committed_is_committed_whatever_interrupts_its_sender() -> None:
    commit = Gated()
    committer = Committer(commit)
    threads = [submitting(committer, "a")]
    commit.wait_begun(1)
    threads.append(submitting(committer, "b"))
    wait_queued(committer, 1)

    def reached() -> None:
        wait_queued(committer, 2)
        commit.gates[0].set()
        commit.wait_begun(2)

    interrupter = interrupt_once(reached)
    mine = pair("mine")
    with pytest.raises(KeyboardInterrupt):
        committer.submit([mine])
    interrupter.join(30)
    assert not mine.is_settled
    commit.gates[1].set()
    for thread in threads:
        thread.join(30)
    assert commit.begun == [["a"], ["b", "mine"]]
    assert mine.is_settled
    assert (committer._waiting, committer._is_busy) == (0, False)


def test_a_sender_interrupted_when_its_turn_has_come_commits_for_those_who_wait_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its lock interrupts it at the very moment at which it is woken."""

    class Interrupting:
        def __init__(self) -> None:
            self._lock = Lock()
            self._is_main = threading.current_thread() is threading.main_thread()
            self._acquired = 0
            self.release = self._lock.release

        def acquire(self) -> bool:
            self._lock.acquire()
            self._acquired += 1
            if self._is_main and self._acquired == 2:
                raise KeyboardInterrupt
            return True

    commit = Gated()
    committer = Committer(commit)
    first = submitting(committer, "a")
    commit.wait_begun(1)
    monkeypatch.setattr("stateward.ledger.committing.Lock", Interrupting)
    others: list[Thread] = []

    def queue_another_and_go_on() -> None:
        wait_queued(committer, 1)
        others.append(submitting(committer, "b"))
        wait_queued(committer, 2)
        commit.gates[0].set()
        commit.wait_begun(2)
        commit.gates[1].set()

    driver = Thread(target=queue_another_and_go_on)
    driver.start()
    mine: Any = pair("mine")
    with pytest.raises(KeyboardInterrupt):
        committer.submit([mine])
    for thread in (driver, first, *others):
        thread.join(30)
        assert not thread.is_alive()
    assert commit.begun == [["a"], ["mine", "b"]]
    assert mine.is_settled
    assert (committer._waiting, committer._is_busy) == (0, False)


def test_senders_wait_for_room_and_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stateward.ledger.committing.QUEUE_MAX", 2)
    commit = Gated()
    committer = Committer(commit)
    threads = [submitting(committer, "a")]
    commit.wait_begun(1)
    for number, name in enumerate(("b", "c"), start=1):
        threads.append(submitting(committer, name))
        wait_queued(committer, number)
    threads.append(submitting(committer, "d"))
    wait_until(lambda: bool(committer._has_room._waiters), "for d to wait for room")  # type: ignore[attr-defined]
    assert len(committer._queue) == 2
    for number in range(3):
        commit.wait_begun(number + 1)
        commit.gates[number].set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert commit.begun == [["a"], ["b", "c"], ["d"]]


def test_what_keeps_a_batch_from_being_committed_is_told_to_each_and_the_next_is_committed() -> None:
    told: list[str] = []

    def commit(pairs: Sequence[Pair], *, waits: bool = False) -> None:
        if not told:
            told.append("raised")
            raise RuntimeError("broken")
        for each in pairs:
            each.answer = Applied(kind="Count", entity=each.entity, revision=2, record=each.record, state="", version=1)

    committer = Committer(commit)
    first, second = pair("a"), pair("b")
    committer.submit([first])
    assert "broken" in str(first.error)
    committer.submit([second])
    assert second.answer is not None


def test_a_sender_interrupted_as_it_is_handed_its_turn_still_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interrupt comes when it is out of the queue already. Seen to leave the queue without a leader, when what it
    is to commit was only said after the lock was let go.
    """
    commit = Gated()
    committer = Committer(commit)
    first = submitting(committer, "a")
    commit.wait_begun(1)
    slot: Any = committing._Waiter.batch  # type: ignore[misc]
    is_told, has_left = Event(), Event()

    def get(waiter: Any) -> Any:
        return slot.__get__(waiter)

    def give(waiter: Any, batch: Any) -> None:
        if batch and batch[0].pairs[0].entity == "mine" and not is_told.is_set():
            is_told.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            has_left.wait(0.5)  # as it would, if it did not wait for the lock that is held here
        slot.__set__(waiter, batch)

    told = type("Told", (committing._Waiter,), {"batch": property(get, give)})
    monkeypatch.setattr(committing, "_Waiter", told)

    def go_on() -> None:
        wait_queued(committer, 1)
        commit.gates[0].set()
        commit.wait_begun(2)
        commit.gates[1].set()

    driver = Thread(target=go_on, daemon=True)
    driver.start()
    mine = pair("mine")
    with pytest.raises(KeyboardInterrupt):
        committer.submit([mine])
    has_left.set()
    for thread in (driver, first):
        thread.join(30)
        assert not thread.is_alive()
    assert mine.is_settled
    assert not committer._is_busy


def test_an_interrupt_at_the_entry_of_leading_leaves_the_engine_usable() -> None:
    """Python looks for signals when a function is entered. Seen to leave the committer busy for ever."""
    committer = Committer(settle_all)

    def interrupt(frame: FrameType, event: str, argument: object) -> None:
        if event == "call" and frame.f_code.co_name == "_lead":
            sys.settrace(None)
            raise KeyboardInterrupt

    before = sys.gettrace()
    sys.settrace(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            committer.submit([pair("a")])
    finally:
        sys.settrace(before)
    assert not committer._is_busy
    later = pair("b")
    committer.submit([later])
    assert later.is_settled


def test_followers_of_an_interrupted_leader_are_told_that_the_outcome_is_unknown() -> None:
    """It may have read the reply to its commit just then."""
    begun, gate = Event(), Event()

    def commit(pairs: Sequence[Pair], *, waits: bool = False) -> None:
        if pairs[0].entity == "a":
            begun.set()
            assert gate.wait(30)
            settle_all(pairs)
        else:
            raise KeyboardInterrupt

    committer = Committer(commit)
    first = submitting(committer, "a")
    assert begun.wait(30)
    leader = Thread(target=_swallow, args=(committer, pair("b")))
    leader.start()
    wait_queued(committer, 1)
    follower = pair("c")
    third = Thread(target=committer.submit, args=([follower],))
    third.start()
    wait_queued(committer, 2)
    gate.set()
    for thread in (first, leader, third):
        thread.join(30)
    assert isinstance(follower.error, LedgerUnavailable)
    assert follower.error.is_outcome_unknown


def _swallow(committer: Committer, mine: Pair) -> None:
    with contextlib.suppress(KeyboardInterrupt):
        committer.submit([mine])


def settle_all(pairs: Sequence[Pair], *, waits: bool = False) -> None:
    for each in pairs:
        each.answer = Applied(kind="Count", entity=each.entity, revision=2, record=each.record, state="", version=1)

"""The machine that a task owns: its channel, its life, and whoever waits when it ends.

Nothing here sleeps. `settle` lets the loop run until no task can go on by itself, and threads wait on signals.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from threading import Event as Signal
from typing import Any, TypeVar

import pytest

from stateward import (
    ActionFailed,
    ChannelMachine,
    Event,
    Final,
    Lifecycle,
    MachineBusy,
    MachineStopped,
    Refusal,
    Refused,
    State,
    Step,
    on,
)
from stateward.machine import channel
from tests.machine.driving import PATIENCE_S, Add, Close, Tally, TallyLifecycle, beside, in_thread, is_consistent

T = TypeVar("T")


class Lose(Event):
    """No transition names it."""


@pytest.fixture(autouse=True)
def _asyncio_has_nothing_to_complain_of(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception is left that nobody has looked at, and no task that was not waited for."""
    yield
    gc.collect()
    records = [*caplog.get_records("call"), *caplog.get_records("teardown")]
    assert [each.getMessage() for each in records if each.name == "asyncio"] == []


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run`, within what a test may take."""

    async def bounded() -> T:
        return await asyncio.wait_for(main(), PATIENCE_S)

    return asyncio.run(bounded())


async def settle() -> None:
    """Let all tasks go on until they wait for something."""
    for _ in range(20):
        await asyncio.sleep(0)


def spin_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, in a place where nothing can be awaited."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up


meanwhile: dict[int, Callable[[], object]] = {}
"""By the id of an Add: what happens while its step is computed."""


@pytest.fixture(autouse=True)
def _nothing_happens_meanwhile() -> Iterator[None]:
    yield
    meanwhile.clear()


def add_id(tally: Tally, event: Add) -> Tally:
    if event.id in meanwhile:
        meanwhile[event.id]()
    return Tally((*tally.ids, event.id))


class Slow(Lifecycle[Tally]):
    even = State(initial=True)
    odd = State()
    closed = Final()
    add = on(Add, even.to(odd), odd.to(even), do=add_id)
    close = on(Close, (even | odd).to(closed))


class Death(BaseException):
    """What no handler of stateward takes for a failure of a step."""


def dies() -> None:
    raise Death


def running(machine: ChannelMachine[Any]) -> channel._Channel:
    assert machine._channel is not None
    return machine._channel


@asynccontextmanager
async def held_up(machine: ChannelMachine[Tally]) -> AsyncGenerator[Callable[[], None]]:
    """The owner takes nothing until what is given is called, or the block ends."""
    queue: Any = running(machine).queue
    may_go = asyncio.Event()
    get = queue.get

    async def waits() -> Any:
        await may_go.wait()
        return await get()

    await settle()  # the owner has begun, and waits in the real get
    queue.get = waits
    queue.put_nowait(None)  # so that it comes by
    await settle()
    assert queue.empty()
    try:
        yield may_go.set
    finally:
        may_go.set()
        queue.get = get


# Backpressure.


def test_a_full_channel_makes_senders_wait_and_takes_no_more_than_it_holds() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=3) as machine:
            async with held_up(machine) as release:
                puts = [asyncio.create_task(machine.put(Add(number))) for number in range(5)]
                sends = [asyncio.create_task(machine.send(Add(number))) for number in range(5, 10)]
                await settle()
                assert [each.done() for each in puts] == [True, True, True, False, False]
                assert not any(each.done() for each in sends)
                assert running(machine).queue.qsize() == 3
                assert running(machine).waiting == 7
                assert machine.context.ids == ()
                release()
                steps = await asyncio.gather(*sends)
            assert machine.context.ids == tuple(range(10))
            assert [each.snapshot.context.ids[-1] for each in steps] == [5, 6, 7, 8, 9]
            assert running(machine).waiting == 0

    run(main)


def test_it_tells_what_its_channel_holds() -> None:
    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally(), capacity=2)
        assert not machine.statistics().is_running
        async with machine:
            senders = [asyncio.create_task(machine.send(Add(id=n))) for n in range(3)]
            await asyncio.sleep(0)  # the third finds no room
            held = machine.statistics()
            assert (held.is_running, held.queued, held.waiting) == (True, 2, 1)
            await asyncio.gather(*senders)
            assert machine.statistics().queued == 0
        assert not machine.statistics().is_running

    run(main)


def test_a_capacity_of_one_works_and_less_is_refused() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine:
            await asyncio.gather(*(machine.send(Add(number)) for number in range(20)))
            assert machine.context.ids == tuple(range(20))

    run(main)
    for capacity in (0, -1):
        with pytest.raises(ValueError, match=f"a capacity of {capacity} lets nothing in"):
            ChannelMachine(TallyLifecycle, Tally(), capacity=capacity)


def test_threads_wait_for_room_too() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine:
            async with held_up(machine) as release:
                await machine.put(Add(0))
                threads = [beside(machine.send_from_thread, Add(number)) for number in range(1, 5)]
                waiting = asyncio.gather(*threads)
                while running(machine).waiting < 4:
                    await asyncio.sleep(0)
                assert running(machine).queue.qsize() == 1
                release()
                await waiting
            assert machine.context.ids[0] == 0
            assert sorted(machine.context.ids) == list(range(5))
            assert not running(machine).late
            assert not running(machine).threads

    run(main)


# Taking back.


def test_a_sender_cancelled_before_its_event_is_taken_takes_it_back() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            async with held_up(machine):
                sends = [asyncio.create_task(machine.send(Add(number))) for number in range(4)]
                await settle()
                sends[1].cancel()
                sends[3].cancel()
                await settle()
            answers = await asyncio.gather(*sends, return_exceptions=True)
            assert [type(each) for each in answers] == [Step, asyncio.CancelledError] * 2
            assert machine.context.ids == (0, 2)

    run(main)


def test_a_sender_cancelled_while_it_waits_for_room_lets_the_next_one_in() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine:
            async with held_up(machine):
                tasks = [asyncio.create_task(machine.put(Add(number))) for number in range(4)]
                await settle()
                assert [each.done() for each in tasks] == [True, False, False, False]
                tasks[1].cancel()
                tasks[2].cancel()
                await settle()
            assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [
                type(None),
                asyncio.CancelledError,
                asyncio.CancelledError,
                type(None),
            ]
            await machine.send(Add(9))
            assert machine.context.ids == (0, 3, 9)

    run(main)


def test_a_sender_cancelled_after_its_event_was_taken_has_it_applied_once() -> None:
    async def main() -> None:
        async with ChannelMachine(Slow, Tally()) as machine:
            task = asyncio.create_task(machine.send(Add(1)))
            meanwhile[1] = task.cancel  # the owner has it in hand
            with pytest.raises(asyncio.CancelledError):
                await task
            assert machine.context == Tally((1,))
            await machine.send(Add(2))
            assert machine.context.ids == (1, 2)

    run(main)


@pytest.mark.parametrize("event", [Add(1), Lose(), Add(2)], ids=["applied", "refused", "failed"])
def test_a_sender_cancelled_between_its_answer_and_its_waking_is_just_cancelled(
    event: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle_really = ChannelMachine._settle

    def settle_and_cancel(machine: ChannelMachine[Any], *arguments: Any) -> None:
        settle_really(machine, *arguments)
        sending[0].cancel()

    sending: list[asyncio.Task[Step[Tally]]] = []
    meanwhile[2] = lambda: 1 // 0

    async def main() -> None:
        async with ChannelMachine(Slow, Tally()) as machine:
            with monkeypatch.context() as patch:
                patch.setattr(ChannelMachine, "_settle", settle_and_cancel)
                sending.append(asyncio.create_task(machine.send(event)))
                await asyncio.wait(sending)
            assert sending[0].cancelled()
            await machine.send(Add(3))
            assert machine.context.ids == ((1, 3) if event == Add(1) else (3,))

    run(main)


@pytest.mark.parametrize("fails", [False, True])
def test_a_listener_or_an_action_that_cancels_its_sender_does_not_harm_the_owner(fails: bool) -> None:
    async def main() -> None:
        async with ChannelMachine(Slow, Tally()) as machine:
            task = asyncio.create_task(machine.send(Add(1)))

            def cancels() -> None:
                task.cancel()
                assert not fails

            meanwhile[1] = cancels
            with pytest.raises(asyncio.CancelledError):
                await task
            await machine.send(Add(2))
            assert machine.context.ids == ((2,) if fails else (1, 2))

    run(main)


def test_waiting_with_a_timeout_takes_back_what_was_not_taken() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            async with held_up(machine):
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(machine.send(Add(1)), 0.001)
            await machine.send(Add(2))
            assert machine.context.ids == (2,)

    run(main)


def test_a_thread_that_runs_out_of_time_takes_its_event_back() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine:
            async with held_up(machine):
                for _ in range(3):  # the first is in the queue, the others wait for room
                    with pytest.raises(TimeoutError):
                        await beside(machine.send_from_thread, Add(1), timeout_s=0.001)
            await machine.send(Add(2))
            assert machine.context.ids == (2,)
            step = await beside(machine.send_from_thread, Add(3), timeout_s=PATIENCE_S)
            assert step.snapshot.context.ids == (2, 3)
            assert running(machine).threads == {}

    run(main)


def test_a_thread_that_runs_out_of_time_in_the_middle_of_its_step_gets_the_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    is_in_the_step, has_run_out = Signal(), Signal()

    class Impatient(concurrent.futures.Future[Any]):
        """Runs out of time when the step has begun, and the step waits for that."""

        def result(self, timeout: float | None = None) -> Any:
            if timeout is not None:
                assert is_in_the_step.wait(PATIENCE_S)
                has_run_out.set()
                raise TimeoutError
            return super().result(PATIENCE_S)

    def waits() -> None:
        is_in_the_step.set()
        assert has_run_out.wait(PATIENCE_S)

    async def main() -> None:
        async with ChannelMachine(Slow, Tally()) as machine:
            meanwhile[1] = waits
            step = await beside(machine.send_from_thread, Add(1), timeout_s=1.0)
            assert step.snapshot.context.ids == (1,)
            assert machine.context.ids == (1,)

    monkeypatch.setattr(channel, "Future", Impatient)
    run(main)


def test_a_thread_that_is_interrupted_while_it_waits_takes_its_event_back(monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(concurrent.futures.Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            raise KeyboardInterrupt

    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            async with held_up(machine):
                with pytest.raises(KeyboardInterrupt):
                    await beside(in_thread, machine.send_from_thread, Add(1))
                assert running(machine).threads == {}
            await machine.send(Add(2))
            assert machine.context.ids == (2,)

    monkeypatch.setattr(channel, "Future", Interrupted)
    run(main)


# Stopping.


def test_stopping_applies_all_that_was_sent_before() -> None:
    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally(), capacity=2)
        async with machine:
            async with held_up(machine) as release:
                puts = [asyncio.create_task(machine.put(Add(number))) for number in range(6)]
                sends = [asyncio.create_task(machine.send(Add(number))) for number in range(6, 9)]
                await settle()
                stopping = asyncio.create_task(machine.stop())
                await settle()
                assert not stopping.done()
                with pytest.raises(MachineStopped):
                    await machine.send(Add(99))
                release()
                await stopping
            assert all(each.done() for each in (*puts, *sends))
            assert [each.result().snapshot.context.ids[-1] for each in sends] == [6, 7, 8]
        assert machine.context.ids == tuple(range(9))

    run(main)


def test_what_a_thread_sent_before_the_stop_is_applied() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine, held_up(machine) as release:
            await machine.put(Add(0))
            waiting = asyncio.gather(*(beside(machine.send_from_thread, Add(number)) for number in (1, 2, 3)))
            while len(running(machine).threads) < 3:
                await asyncio.sleep(0)
            stopping = asyncio.create_task(machine.stop())
            await settle()
            release()
            await asyncio.gather(stopping, waiting)
        assert sorted(machine.context.ids) == [0, 1, 2, 3]

    run(main)


def test_a_stop_whose_last_waiting_sender_gives_up_comes_to_its_end() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine, held_up(machine) as release:
            await machine.put(Add(0))
            waiting = asyncio.create_task(machine.put(Add(1)))
            await settle()
            stopping = asyncio.create_task(machine.stop())
            await settle()
            release()
            waiting.cancel()
            await stopping
            assert waiting.cancelled()
        assert machine.context.ids == (0,)

    run(main)


def test_stopping_twice_stopping_early_and_stopping_what_never_ran_are_safe() -> None:
    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally())
        await machine.stop()
        async with machine:
            await machine.send(Add(1))
            await machine.stop()
            await machine.stop()
        await machine.stop()
        async with machine:
            await asyncio.gather(machine.stop(), machine.stop())
        assert machine.context.ids == (1,)

    run(main)


def test_a_stop_that_is_cancelled_can_be_repeated() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=1) as machine:
            async with held_up(machine):
                await machine.put(Add(1))
                stopping = asyncio.create_task(machine.stop())
                await settle()
                stopping.cancel()
                await asyncio.wait([stopping])
                assert stopping.cancelled()
            await machine.stop()
            assert machine.context.ids == (1,)
            with pytest.raises(MachineStopped):
                await machine.send(Add(2))

    run(main)


def test_what_is_sent_to_a_machine_that_does_not_run_is_answered_at_once() -> None:
    async def sends(machine: ChannelMachine[Tally]) -> None:
        for send in (machine.send, machine.attempt, machine.put):
            with pytest.raises(MachineStopped, match="Tally: Add was not applied") as caught:
                await send(Add(1))
            assert (caught.value.lifecycle, caught.value.event) == ("Tally", "Add")
        with pytest.raises(MachineStopped):
            machine.send_from_thread(Add(1))
        with pytest.raises(MachineStopped):
            in_thread(machine.send_from_thread, Add(1))

    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally())
        await sends(machine)
        async with machine:
            pass
        await sends(machine)
        assert machine.can(Add(1))
        assert machine.context.ids == ()

    run(main)
    # Its loop is closed.
    machine = ChannelMachine(TallyLifecycle, Tally())

    async def enter() -> None:
        async with machine:
            pass

    asyncio.run(enter())
    with pytest.raises(MachineStopped):
        machine.send_from_thread(Add(1))


def test_a_block_that_raises_stops_the_machine_and_lets_the_error_through() -> None:
    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally())

        async def fails() -> None:
            async with machine:
                await machine.put(Add(1))
                raise LookupError

        with pytest.raises(LookupError):
            await fails()
        assert machine.context.ids == (1,)

    run(main)


# Running again.


def test_a_machine_can_be_entered_again_also_in_another_loop() -> None:
    machine = ChannelMachine(TallyLifecycle, Tally(), capacity=2)

    async def main(first: int) -> None:
        for number in (first, first + 1):
            async with machine:
                await machine.send(Add(number))

    asyncio.run(main(1))
    asyncio.run(main(3))
    assert machine.context.ids == (1, 2, 3, 4)


def test_a_machine_has_one_owner_at_a_time() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            with pytest.raises(RuntimeError, match="has an owning task already"):
                await machine.__aenter__()
            await machine.send(Add(1))
        assert machine.context.ids == (1,)

    run(main)


def test_a_restored_machine_has_a_capacity_and_tells_of_failures() -> None:
    failures: list[Refusal | Exception] = []

    async def main() -> None:
        begun = ChannelMachine(TallyLifecycle, Tally())
        async with begun:
            await begun.send(Add(1))
        machine = ChannelMachine.restore(
            TallyLifecycle, begun.snapshot(), capacity=1, on_failure=lambda event, problem: failures.append(problem)
        )
        with pytest.raises(MachineStopped):
            await machine.send(Add(2))
        async with machine:
            async with held_up(machine):
                tasks = [asyncio.create_task(machine.put(event)) for event in (Add(2), Lose())]
                await settle()
                assert [each.done() for each in tasks] == [True, False]
            await asyncio.gather(*tasks)
            await machine.send(Add(3))
        assert machine.context.ids == (1, 2, 3)
        assert begun.context.ids == (1,)

    run(main)
    assert failures == [Refusal("unknown", "Tally", "even", "Lose")]
    with pytest.raises(ValueError, match="a capacity of 0 lets nothing in"):
        ChannelMachine.restore(TallyLifecycle, ChannelMachine(TallyLifecycle, Tally()).snapshot(), capacity=0)


# The owner's death.


@pytest.mark.parametrize("where", ["action", "listener"])
def test_when_the_owner_dies_everybody_is_answered(where: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        machine = ChannelMachine(Slow, Tally(), capacity=4)
        if where == "action":
            meanwhile[1] = dies
        else:
            machine.listen(lambda step: dies() if step.snapshot.context.ids[-1] == 1 else None)
        async with machine:
            async with held_up(machine):
                sends = [asyncio.create_task(machine.send(Add(number))) for number in range(5)]
                puts = [asyncio.create_task(machine.put(Add(number))) for number in range(5, 7)]
                threads = [beside(machine.send_from_thread, Add(number)) for number in range(7, 10)]
                while running(machine).waiting < 6:
                    await asyncio.sleep(0)
            answers = await asyncio.gather(*sends, *puts, *threads, return_exceptions=True)
            applied = 1 if where == "action" else 2
            assert [isinstance(each, Step) for each in answers[:applied]] == [True] * applied
            assert [type(each) for each in answers[applied:]] == [MachineStopped] * (10 - applied)
            assert machine.context.ids == tuple(range(applied))
            for send in (machine.send, machine.put):
                with pytest.raises(MachineStopped):
                    await send(Add(20))
            with pytest.raises(MachineStopped):
                await beside(machine.send_from_thread, Add(20))
        meanwhile.clear()
        async with machine:
            await machine.send(Add(30))
        assert machine.context.ids == (*range(applied), 30)
        assert is_consistent(machine.snapshot())

    run(main)
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert [each.getMessage() for each in errors] == ["Slow: the owning task was ended by Death()"]
    assert errors[0].exc_info is not None
    assert isinstance(errors[0].exc_info[1], Death)


def test_when_the_owner_dies_what_nobody_waits_for_is_reported() -> None:
    failures: list[tuple[Event, type]] = []

    async def main() -> None:
        meanwhile[0] = dies
        machine = ChannelMachine(
            Slow,
            Tally(),
            on_failure=lambda event, problem: failures.append((event, type(problem))),  # type: ignore[arg-type]
        )
        async with machine:
            for number in range(3):
                await machine.put(Add(number))
            await settle()
        assert machine.context.ids == ()

    run(main)
    assert failures == [(Add(number), MachineStopped) for number in range(3)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_interrupt_in_an_action_ends_the_loop_and_answers_threads_even_if_it_never_runs_again(
    error: type[BaseException],
) -> None:
    answers: list[BaseException] = []
    machine = ChannelMachine(Slow, Tally())
    is_inside = Signal()

    def waits_for_threads_and_raises() -> None:
        is_inside.set()
        spin_until(lambda: len(running(machine).threads) == 2)
        raise error

    meanwhile[1] = waits_for_threads_and_raises

    def sends(number: int) -> None:
        assert is_inside.wait(PATIENCE_S)
        try:
            machine.send_from_thread(Add(number))
        except MachineStopped as answer:
            answers.append(answer)

    threads = [threading.Thread(target=sends, args=(number,), daemon=True) for number in (5, 6)]
    for thread in threads:
        thread.start()

    async def main() -> None:
        async with machine:
            await machine.send(Add(1))

    with asyncio.Runner() as runner:
        with pytest.raises(error):
            runner.run(main())
        for thread in threads:
            thread.join(PATIENCE_S)
        assert len(answers) == 2
    assert machine.context == Tally()
    meanwhile.clear()

    async def again() -> None:
        async with machine:
            await machine.send(Add(7))

    asyncio.run(again())
    assert machine.context.ids == (7,)


def test_a_loop_that_is_closed_with_the_owner_in_it_leaves_no_thread_hanging() -> None:
    loop = asyncio.new_event_loop()
    machine = ChannelMachine(TallyLifecycle, Tally())
    loop.run_until_complete(machine.__aenter__())
    loop.run_until_complete(machine.send(Add(1)))
    owner = running(machine).owner
    assert owner is not None

    def sends() -> None:
        with pytest.raises(MachineStopped):
            machine.send_from_thread(Add(2))
        answered.set()

    answered = Signal()
    thread = threading.Thread(target=sends, daemon=True)
    thread.start()
    # The loop stands still, and a thread waits for it; then it is torn down as asyncio.run does it.
    spin_until(lambda: len(running(machine).threads) == 1)
    owner.cancel()
    loop.run_until_complete(asyncio.wait([owner]))
    assert answered.wait(PATIENCE_S)
    loop.close()
    with pytest.raises(MachineStopped):
        in_thread(machine.send_from_thread, Add(3))
    assert machine.context.ids == (1,)


def test_a_loop_that_is_closed_over_its_owner_is_told_from_one_that_runs() -> None:
    loop = asyncio.new_event_loop()
    machine = ChannelMachine(TallyLifecycle, Tally())
    loop.run_until_complete(machine.__aenter__())
    loop.run_until_complete(machine.send(Add(1)))
    former = running(machine)
    owner: Any = former.owner
    owner._log_destroy_pending = False  # asyncio would tell of what is tested here
    answers: list[BaseException] = []

    def sends() -> None:
        try:
            machine.send_from_thread(Add(2))
        except BaseException as error:
            answers.append(error)

    thread = threading.Thread(target=sends, daemon=True)
    thread.start()
    spin_until(lambda: len(former.threads) == 1)
    loop.close()
    with pytest.raises(MachineStopped) as caught:
        in_thread(machine.send_from_thread, Add(3))
    assert isinstance(caught.value.__cause__, RuntimeError)

    async def main() -> None:
        async with machine:
            await machine.send(Add(4))
            # The former owner ends when nobody holds it any more; it answers whoever waits for it, and no others.
            with pytest.raises(RuntimeError, match="Event loop is closed"):
                owner.get_coro().close()
            thread.join(PATIENCE_S)
            assert [type(each) for each in answers] == [MachineStopped]
            await machine.send(Add(5))

    run(main)
    assert machine.context.ids == (1, 4, 5)


def test_a_thread_that_comes_in_while_the_machine_is_stopped_is_answered() -> None:
    class StopsFirst:
        """A gate at which the stop is always a little faster."""

        def __init__(self, channel: channel._Channel) -> None:
            self._channel = channel

        def __enter__(self) -> None:
            self._channel.is_stopping = True

        def __exit__(self, *_: object) -> None:
            pass

    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            gate: Any = StopsFirst(running(machine))
            running(machine).gate = gate
            with pytest.raises(MachineStopped):
                await beside(machine.send_from_thread, Add(1))
            assert running(machine).threads == {}
        assert machine.context.ids == ()

    run(main)


def test_an_owner_that_is_cancelled_before_it_began_answers_all_the_same() -> None:
    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally())
        await machine.__aenter__()
        sending = asyncio.create_task(machine.send(Add(1)))
        await machine.put(Add(2))
        owner = running(machine).owner
        assert owner is not None
        owner.cancel()
        with pytest.raises(MachineStopped):
            await sending
        await machine.stop()
        assert machine.context.ids == ()

    run(main)


# One-way.


def test_failures_of_what_nobody_waits_for_are_reported_and_the_owner_goes_on() -> None:
    failures: list[tuple[Event, Refusal | Exception]] = []

    def raises() -> None:
        raise LookupError

    meanwhile[1] = raises

    async def main() -> None:
        async with ChannelMachine(Slow, Tally(), on_failure=lambda *both: failures.append(both)) as machine:
            for event in (Add(1), Lose(), Add(2)):
                await machine.put(event)
        assert machine.context.ids == (2,)

    run(main)
    (first, failed), (second, refusal) = failures
    assert (first, second) == (Add(1), Lose())
    assert isinstance(failed, ActionFailed)
    assert refusal == Refusal("unknown", "Slow", "even", "Lose")


def test_without_on_failure_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            await machine.put(Lose())
            await machine.put(Add(1))

    run(main)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("stateward.machine", logging.ERROR)
    assert "Tally: an event that nobody waits for was not applied: Tally in even refused Lose" in record.getMessage()


def test_an_on_failure_that_raises_is_logged_and_the_owner_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def fails(event: object, problem: object) -> None:
        raise LookupError("nobody home")

    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), on_failure=fails) as machine:
            await machine.put(Lose())
            await machine.send(Add(1))
            assert machine.context.ids == (1,)

    run(main)
    (record,) = caplog.records
    assert record.getMessage() == "Tally: on_failure raised"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], LookupError)


def test_what_is_awaited_is_not_reported() -> None:
    failures: list[object] = []

    async def main() -> None:
        machine = ChannelMachine(TallyLifecycle, Tally(), on_failure=lambda *both: failures.append(both))
        async with machine:
            assert isinstance(await machine.attempt(Lose()), Refusal)
            with pytest.raises(Refused):
                await machine.send(Lose())
            with pytest.raises(Refused):
                await beside(machine.send_from_thread, Lose())

    run(main)
    assert failures == []


# Order and place.


def test_events_are_applied_in_the_order_in_which_they_came_in() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally(), capacity=100) as machine:
            sends = [asyncio.create_task(machine.send(Add(number))) for number in range(50)]
            await asyncio.gather(*sends)
            for number in range(50, 60):
                await machine.put(Add(number))
            await machine.send(Add(60))
            assert machine.context.ids == tuple(range(61))

    run(main)


def test_the_loops_own_thread_is_told_instead_of_waiting_for_itself() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            with pytest.raises(MachineBusy) as caught:
                machine.send_from_thread(Add(1))
            assert caught.value.event == "Add"
            with pytest.raises(MachineBusy):
                machine.send_from_thread(Add(1), timeout_s=0.001)
            await machine.send(Add(2))
            assert machine.context.ids == (2,)

    run(main)
    # Also while its loop stands still.
    with asyncio.Runner() as runner:
        machine = ChannelMachine(TallyLifecycle, Tally())
        runner.run(machine.__aenter__())
        with pytest.raises(MachineBusy):
            machine.send_from_thread(Add(1))
        runner.run(machine.stop())


def test_a_task_of_another_loop_is_told_how_to_send() -> None:
    async def elsewhere(machine: ChannelMachine[Tally]) -> None:
        for send in (machine.send, machine.attempt, machine.put):
            with pytest.raises(RuntimeError, match="owned by a task of another event loop; there is send_from_thread"):
                await send(Add(1))
        with pytest.raises(RuntimeError, match="another event loop"):
            await machine.stop()
        machine.send_from_thread(Add(2))

    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            await beside(lambda: asyncio.run(elsewhere(machine)))
            assert machine.context.ids == (2,)

    run(main)


def test_a_listener_may_leave_a_task_that_sends() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            tasks: list[asyncio.Task[Step[Tally]]] = []

            def follows_up(step: Step[Tally]) -> None:
                if len(step.snapshot.context.ids) < 3:
                    tasks.append(asyncio.create_task(machine.send(Add(len(step.snapshot.context.ids)))))

            machine.listen(follows_up)
            await machine.send(Add(0))
            while len(machine.context.ids) < 3:
                await asyncio.sleep(0)
            await asyncio.gather(*tasks)
            assert machine.context.ids == (0, 1, 2)

    run(main)


def test_what_is_no_event_never_enters_the_channel() -> None:
    async def main() -> None:
        async with ChannelMachine(TallyLifecycle, Tally()) as machine:
            nothing: Any = "noon"
            for send in (machine.send, machine.attempt, machine.put):
                with pytest.raises(TypeError, match="'noon' is no event"):
                    await send(nothing)
            with pytest.raises(TypeError, match="'noon' is no event"):
                await beside(machine.send_from_thread, nothing)
            assert running(machine).queue.empty()
            await machine.send(Add(1))

    run(main)

"""The work after commit, as `doctor` looks at it: who works, what waits, what rests and what died."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from stateward.ledger.checking.facts import Asleep, Dead, Facts, Fault, Paused

__all__ = ["read_waiting", "waiting_faults"]

WORKERLESS_S_MAX = 300.0
"""How long effects and due timers may wait while nobody works on them: workers may be just being replaced."""
PAUSE_S_MAX = 86_400.0
"""How long a pause may go on before it may be one that was forgotten."""

_TIMERS = "SELECT count(*), min({due_at}) FROM timer WHERE {due_at} <= {now!r}"
_DEAD = "SELECT kind, effect, count(*), min({died_at}) FROM dead_letter GROUP BY kind, effect ORDER BY kind, effect"
_PAUSES = "SELECT scope, name, reason, paused_by, {paused_at} FROM pause WHERE resumed_at IS NULL ORDER BY scope, name"


def read_waiting(read: Callable[[str], list[Any]], now: float, *, moment: str) -> dict[str, Any]:
    """The facts of it; `moment` makes seconds since 1970 of a column, where that is put in."""
    due_at, died_at, paused_at = (moment.format(column) for column in ("due_at", "died_at", "paused_at"))
    [[workers]] = read("SELECT count(*) FROM worker")
    [asleep] = read(_TIMERS.format(due_at=due_at, now=now))
    return {
        "workers": workers,
        "asleep": Asleep(*asleep),
        "dead": [Dead(*row) for row in read(_DEAD.format(died_at=died_at))],
        "paused": [Paused(*row) for row in read(_PAUSES.format(paused_at=paused_at))],
    }


def waiting_faults(facts: Facts) -> Iterator[Fault]:
    """What is wrong with it."""
    yield from _workerless_faults(facts)
    for kind, effect, letters, oldest_at in facts.dead:
        what = f"{_many(letters, 'dead letter')}, the first of {_age(facts, oldest_at)} ago"
        todo = "see their errors with `stateward dead`; when the cause is mended, `stateward retry` sends them again"
        yield Fault("dead", what, f"{kind}, {effect}", todo)
    for scope, name, reason, by, since in facts.paused:
        if facts.read_at - since > PAUSE_S_MAX:
            what = f"paused by {by} for {_age(facts, since)}: {reason}"
            yield Fault("pause", what, f"{scope} {name}", "resume it, if it was forgotten")


def _workerless_faults(facts: Facts) -> Iterator[Fault]:
    if facts.workers:
        return
    effects = sum(each.waiting for each in facts.outbox)
    oldest = [each.oldest_at for each in facts.outbox]
    if facts.asleep.oldest_at is not None:
        oldest.append(facts.asleep.oldest_at)
    if oldest and facts.read_at - min(oldest) > WORKERLESS_S_MAX:
        waiting = f"{_many(effects, 'effect')} and {_many(facts.asleep.due, 'due timer')}"
        what = f"nobody works, while {waiting} wait, the oldest for {_age(facts, min(oldest))}"
        yield Fault("worker", what, facts.place, "start workers: `stateward run`, or Engine.run or start in a process")


def _age(facts: Facts, since: float) -> timedelta:
    return timedelta(seconds=round(facts.read_at - since))


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"

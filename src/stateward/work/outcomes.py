"""What follows an attempt: the effect is done, with what its handler replied, or it is asked for again, or dead.

It is worked out in memory, and written by the dispatcher, a batch at a time.
"""

from __future__ import annotations

import logging
import random
from datetime import timedelta
from typing import Any

import msgspec

from stateward.chart import EventMarker
from stateward.errors import LedgerUnavailable, StatewardError, VersionUnknown
from stateward.ledger import Actor
from stateward.ledger.after_commit import Postponement
from stateward.ledger.codec import LAST_TIME
from stateward.ledger.pairs import Pair
from stateward.ledger.rows import EffectEnd, EffectKey, OutboxRow
from stateward.work.calling import Returned
from stateward.work.ground import Ground
from stateward.work.handling import GiveUp, Handling, Snooze, answers_of

__all__ = ["DispatchStatistics", "Judge", "Outcome", "Taken", "amid"]

ERROR_CHARACTERS_MAX = 2_000
"""What is kept of an error."""
VERSION_DELAY = timedelta(seconds=30)
"""When an effect is asked for again whose entity is of a version that this worker does not know: while workers are
replaced by newer ones, one after the other, it is no failure of the effect's, and one of these has its part soon."""

_log = logging.getLogger(__name__)


class DispatchStatistics(msgspec.Struct, kw_only=True):
    """What a worker has made of effects since it started."""

    done: int = 0
    replied: int = 0
    """Of those done, the ones whose handlers replied with events."""
    failed: int = 0
    """Attempts."""
    snoozed: int = 0
    dead: int = 0


class Taken(msgspec.Struct, eq=False):
    """An effect in hand."""

    row: OutboxRow
    handling: Handling
    attempt: int
    """The one that is made, from 1."""
    is_suspect: bool = False
    """Whether a worker that died may have had it in hand: that it is begun is noted first."""

    @property
    def is_alone(self) -> bool:
        """Whether a worker has died amid it before: it may be the one that kills them."""
        return self.is_suspect and self.row.last_error == amid(self.row.attempts)

    @property
    def key(self) -> str:
        """Its stable key."""
        return f"{self.row.record}:{self.row.n}"


class Outcome(msgspec.Struct, eq=False):
    """What came of an attempt."""

    taken: Taken
    pairs: list[Pair] = []
    end: EffectEnd | None = None
    postponement: Postponement | None = None


class Judge:
    """Says what follows an attempt, by what its handler gave back and by the retry policy."""

    def __init__(self, ground: Ground, statistics: DispatchStatistics, chance: random.Random) -> None:
        self._ground = ground
        self._statistics = statistics
        self._chance = chance

    def judge(self, taken: Taken, effect: Any, returned: Returned) -> Outcome:
        """What follows what a handler gave back, or raised."""
        value, error = returned
        try:
            return self._failed(taken, effect, error) if error is not None else self._answered(taken, value)
        except Exception as problem:  # what it answered can't be taken back to the entity
            return self._failed(taken, effect, problem)

    def has_died(self, taken: Taken) -> Outcome:
        """What follows when no attempt is left for one whose workers have died."""
        return self._dead(taken, taken.row.attempts, taken.row.last_error or "its worker died amid it")

    def _answered(self, taken: Taken, value: object) -> Outcome:
        row = taken.row
        end = EffectEnd(*row[:5], taken.attempt)
        pairs = [
            self._reply(row, event, taken.key if n == 0 else f"{taken.key}:{n}")
            for n, event in enumerate(answers_of(row.effect, taken.key, value))
        ]
        if pairs:
            pairs[-1].end = end
            return Outcome(taken, pairs=pairs)
        return Outcome(taken, end=end)

    def _reply(self, row: OutboxRow, event: EventMarker, key: str) -> Pair:
        pair = self._ground.accept(
            row.kind, row.entity, event, actor=Actor("handler", row.effect), key=f"effect:{key}", source="effect",
            cause=f"{row.record}:{row.n}",
        )  # fmt: skip
        pair.traceparent = row.traceparent
        return pair

    def _failed(self, taken: Taken, effect: Any, error: BaseException) -> Outcome:
        """What follows a failed attempt, by the retry policy."""
        row, retry = taken.row, taken.handling.retry
        if isinstance(error, Snooze):
            return self._postponed(taken, taken.attempt - 1, error.delay, _text_of(error))
        why = _text_of(error)
        rule = "give_up" if isinstance(error, GiveUp) else retry.rule_of(error)
        if isinstance(rule, timedelta):
            return self._postponed(taken, taken.attempt - 1, rule, why)
        self._statistics.failed += 1
        if rule == "retry" and taken.attempt < retry.limit:
            return self._postponed(taken, taken.attempt, retry.delay(taken.attempt, self._chance), why)
        _log.warning("%s %s of %s %s is a dead letter: %s", row.effect, taken.key, row.kind, row.entity, why)
        return self._dead(taken, taken.attempt, why, effect)

    def _postponed(self, taken: Taken, attempts: int, delay: timedelta, why: str) -> Outcome:
        if attempts < taken.attempt:
            self._statistics.snoozed += 1
        due_at = min(self._ground.now() + max(delay, timedelta(0)) // timedelta(microseconds=1), LAST_TIME)
        return Outcome(taken, postponement=Postponement(EffectKey(*taken.row[:5]), attempts, due_at, why))

    def _dead(self, taken: Taken, attempts: int, why: str, effect: Any = None) -> Outcome:
        """A dead letter, with the event by which the lifecycle answers it, if there is one."""
        row, on_dead = taken.row, taken.handling.on_dead
        end = EffectEnd(*row[:5], attempts, why, self._ground.now())
        if on_dead is not None:
            try:
                effect = taken.handling.decode(row.payload) if effect is None else effect
                pair = self._reply(row, on_dead(effect, why), f"{taken.key}:dead")
            except Exception as error:  # the letter is not lost by it
                end = end._replace(error=f"{why}; and its on_dead: {_text_of(error)}"[:ERROR_CHARACTERS_MAX])
            else:
                pair.end = end
                return Outcome(taken, pairs=[pair])
        return Outcome(taken, end=end)

    def is_to_be_brought_again(self, outcome: Outcome) -> bool:
        """Whether something else is to be written of it, since the lifecycle's own code could not take a reply.

        The attempt is a failed one then, and nothing is lost.
        """
        errors = [pair.error for pair in outcome.pairs if pair.error is not None]
        if not errors:
            return False
        if isinstance(errors[0], LedgerUnavailable):
            for pair in outcome.pairs:  # under the same record ids
                pair.error = None
            return True
        if isinstance(errors[0], VersionUnknown):  # a worker of the newer code can take it
            later = self._postponed(outcome.taken, outcome.taken.attempt - 1, VERSION_DELAY, _text_of(errors[0]))
            outcome.pairs, outcome.end, outcome.postponement = [], None, later.postponement
            return False
        end = outcome.pairs[-1].end
        if end is not None and end.error is not None:  # on_dead can't be taken: the letter is kept without it
            outcome.pairs, outcome.end = [], end._replace(error=f"{end.error}; and its on_dead: {_text_of(errors[0])}")
            return False
        failed = self._failed(outcome.taken, None, errors[0])
        outcome.pairs, outcome.end, outcome.postponement = failed.pairs, failed.end, failed.postponement
        return bool(failed.pairs)

    def count(self, outcome: Outcome) -> None:
        """Count what was written."""
        end = outcome.end or (outcome.pairs[-1].end if outcome.pairs else None)
        if outcome.postponement is not None or end is None:
            return
        if end.error is not None:
            self._statistics.dead += 1
        else:
            self._statistics.done += 1
            self._statistics.replied += bool(outcome.pairs)


def amid(attempt: int) -> str:
    """What is noted of an effect before it is called, if its worker may die by it."""
    return f"attempt {attempt} was begun, and its worker died amid it"


def _text_of(error: BaseException) -> str:
    name = type(error).__name__
    try:
        text = str(error)
    except Exception:  # it is what is told about a failure, and none of its own
        text = ""
    told = name if not text else text if isinstance(error, (GiveUp, Snooze, StatewardError)) else f"{name}: {text}"
    return told[:ERROR_CHARACTERS_MAX].replace("\0", " ").encode("utf-8", "replace").decode()

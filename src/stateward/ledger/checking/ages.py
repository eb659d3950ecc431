"""What is past its age, as `doctor` looks at it: what workers should have deleted, and months that may be archived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from stateward.ledger.checking.facts import Facts, Fault

__all__ = ["Ages", "age_faults", "read_ages"]

BEHIND_S_MAX = 86_400.0
"""How long workers may be behind with what is past its age: they delete in small batches, and may have been away."""

_OLDEST = "SELECT {id} FROM record ORDER BY id LIMIT 1"
_UNSEEN = "SELECT {id} FROM record WHERE id > (SELECT through FROM expiry WHERE name = 'receipt') ORDER BY id LIMIT 1"


class Ages(NamedTuple):
    """How long things are kept, in seconds; None: for ever."""

    receipts_s: float | None = None
    dead_letters_s: float | None = None
    records_s: float | None = None


def read_ages(read: Callable[[str], list[Any]], *, identifier: str, made_at: Callable[[Any], float]) -> dict[str, Any]:
    """The facts of it; `identifier` makes of the column `id` what `made_at` reads."""
    found = {
        "oldest_record_at": read(_OLDEST.format(id=identifier)),
        "oldest_receipt_at": read(_UNSEEN.format(id=identifier)),
    }
    return {name: made_at(rows[0][0]) if rows else None for name, rows in found.items()}


def age_faults(facts: Facts, ages: Ages) -> Iterator[Fault]:
    """What is wrong with it."""
    undeleted = [("receipts", facts.oldest_receipt_at, ages.receipts_s)]
    if facts.dead:
        undeleted.append(("dead letters", min(each.oldest_at for each in facts.dead), ages.dead_letters_s))
    for name, oldest_at, kept_s in undeleted:
        if oldest_at is None or kept_s is None:
            continue
        age_s = facts.read_at - oldest_at
        if age_s > kept_s + BEHIND_S_MAX:
            what = f"{name} go after {_span(kept_s)}, and there are some of {_span(age_s)} ago"
            todo = "workers of the application delete them: see that they run, and with this retention"
            yield Fault("retention", what, facts.place, todo)
    if facts.oldest_record_at is None or ages.records_s is None:
        return
    month = datetime.fromtimestamp(facts.oldest_record_at, UTC).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    ended_at = (month + timedelta(days=32)).replace(day=1).timestamp()
    if facts.read_at - ended_at > ages.records_s:
        what = f"records are kept for {_span(ages.records_s)}, and those of {month:%Y-%m} are still there"
        days = int(ages.records_s // 86_400)
        todo = f"`stateward archive {month:%Y-%m} --to FOLDER --older-than {days}` writes them to a file and drops them"
        yield Fault("retention", what, facts.place, todo)


def _span(seconds: float) -> timedelta:
    return timedelta(seconds=round(seconds))

"""Tables of what came of it, as lines of text: the same on a terminal and in a file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import timedelta

from stateward.demo.replay import Replay, Stay

__all__ = ["describe_length", "refusals_told", "replay_told", "stays_told", "table"]

REFUSALS_SHOWN = 15


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, texts: Sequence[str]) -> Iterator[str]:
    """Aligned columns, numbers to the right.

    Args:
        head: the titles.
        rows: the cells.
        texts: the titles of the columns that are no numbers.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, tuple("-" * width for width in widths), *rows):
        cells = (
            cell.ljust(width) if title in texts else cell.rjust(width)
            for title, cell, width in zip(head, row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def stays_told(stays: Sequence[Stay], width: int | None = None) -> Iterator[str]:
    """Each state: how many are there, how many have left it, and how long they had stayed.

    Args:
        stays: the states.
        width: what it should fit into; None: as wide as it is. Shorter titles are all that can be done for it.
    """
    rows = [
        (stay.state, f"{stay.entities:,}", f"{stay.stays:,}", _length(stay.median), _length(stay.longest))
        for stay in stays
    ]
    lines = list(table(("state", "entities now", "stays ended", "median stay", "longest stay"), rows, texts=("state",)))
    if width is not None and max(map(len, lines)) > width:
        return table(("state", "now", "left", "median", "longest"), rows, texts=("state",))
    return iter(lines)


def refusals_told(refused: Counter[tuple[str, str]]) -> Iterator[str]:
    """What was refused, by state and event, the most frequent first."""
    found = sorted(refused.items(), key=lambda each: (-each[1], each[0]))
    rows = [(*key, f"{times:,}") for key, times in found[:REFUSALS_SHOWN]]
    yield from table(("refused in state", "event", "times"), rows, texts=("refused in state", "event"))
    if len(found) > REFUSALS_SHOWN:
        rest = sum(times for _, times in found[REFUSALS_SHOWN:])
        yield f"and {rest:,} more in {len(found) - REFUSALS_SHOWN} other pairs of state and event"


def replay_told(done: Replay, stays: Sequence[Stay], took_s: float) -> Iterator[str]:
    """What came of a log."""
    yield (
        f"{done.events:,} events of {done.entities:,} entities in {took_s:.1f} s ({done.events / took_s:,.0f}/s): "
        f"{done.applied:,} applied, {done.already_done:,} already done, {done.refused.total():,} refused"
    )
    yield ""
    yield from stays_told(stays)
    if done.refused:
        yield ""
        yield from refusals_told(done.refused)


def describe_length(length: timedelta) -> str:
    """A stay's length in its two largest units, or in small ones."""
    total = length.total_seconds()
    if total < 1:
        return f"{total * 1000:.0f} ms"
    if total < 60:
        return f"{total:.1f} s"
    seconds = int(total)
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"


def _length(length: timedelta | None) -> str:
    return "-" if length is None else describe_length(length)

"""Times as people give and read them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

__all__ = ["moment", "past_moment", "told_age"]

_AGE = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


def moment(value: str) -> datetime:
    """A time with its zone, or `now`."""
    if value == "now":
        return datetime.now(UTC)
    try:
        given = datetime.fromisoformat(value)
    except ValueError:
        message = f"{value!r} is no time in ISO 8601, 2026-07-01T12:00:00Z, and not `now`"
        raise click.BadParameter(message) from None
    if given.tzinfo is None:
        message = f"{value!r} has no offset: 2026-07-01T12:00:00Z and 2026-07-01T14:00:00+02:00 have one"
        raise click.BadParameter(message)
    return given


def past_moment(value: str) -> datetime:
    """A time as `moment` takes it, or how long ago it was: 3d, 2h30m, 45s."""
    match = _AGE.fullmatch(value)
    if match is None or not value:
        return moment(value)
    days, hours, minutes, seconds = (int(each or 0) for each in match.groups())
    try:
        return datetime.now(UTC) - timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        message = f"{value!r} ago is before all time"
        raise click.BadParameter(message) from None


def told_age(age: timedelta) -> str:
    """How long something is, in its two largest units: 2 d 3 h, 5 min 10 s."""
    seconds = max(0, round(age.total_seconds()))
    parts: list[str] = []
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s")):
        count, seconds = divmod(seconds, size)
        if count or (unit == "s" and not parts):
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])

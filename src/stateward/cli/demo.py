"""`stateward demo`: the main job in one command, on a real log or a made-up one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stateward.chart import Lifecycle
    from stateward.demo.eventlog import LoggedEvent
    from stateward.demo.replay import Replay, Stay

__all__ = ["command"]

_PROGRESS_EVERY = 10_000
_REFUSALS_SHOWN = 15


@click.command("demo")
@click.option(
    "--log",
    type=click.Path(path_type=Path),
    help="An incident log, .csv or .csv.gz; orders are made up without one.",
)
@click.option("--db", type=click.Path(path_type=Path), help="The SQLite file to keep; it must not exist yet.")
@click.option("--orders", default=2000, show_default=True, help="How many orders to make up.")
@click.option("--seed", default=1, show_default=True, help="What the made-up orders are drawn from.")
def command(log: Path | None, db: Path | None, orders: int, seed: int) -> None:
    """Send an event log through a lifecycle onto an embedded SQLite file, and report what came of it.

    Each event is one transaction: the entity's row and its audit record, or neither.
    """
    from stateward.demo.eventlog import LogUnreadable
    from stateward.demo.replay import measure_stays, replay
    from stateward.engine import Engine

    path = _fresh_file(db)
    lifecycle, context, events, what = _choose(log, orders, seed)
    click.echo(f"{what} -> {path}", err=True)
    started = time.perf_counter()
    with Engine(path, lifecycles=[lifecycle]) as engine:
        try:
            done = replay(engine, lifecycle, context, events, _progress(started))
        except LogUnreadable as error:
            raise click.UsageError(str(error)) from error
        took = time.perf_counter() - started
        _report(done, measure_stays(engine, lifecycle), took)


def _fresh_file(db: Path | None) -> Path:
    if db is not None:
        if db.exists():
            message = f"{db} exists: the demo writes a new file and leaves yours alone"
            raise click.UsageError(message)
        return db
    path = Path(gettempdir()) / "stateward-demo.sqlite"
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    return path


def _choose(log: Path | None, orders: int, seed: int) -> tuple[type[Lifecycle[Any]], Any, Iterable[LoggedEvent], str]:
    """The lifecycle, its first context, the events and a name for them."""
    if log is not None:
        from stateward.demo.eventlog import read_incidents
        from stateward.demo.incidents import Incident, IncidentLifecycle

        return IncidentLifecycle, Incident(), read_incidents(log), f"incidents of {log.name}"
    from stateward.demo.orders import Order, OrderLifecycle, made_up_log

    return OrderLifecycle, Order(), made_up_log(orders, seed), f"{orders} made-up orders (seed {seed})"


def _progress(started: float) -> Callable[[Replay], object]:
    """A line on stderr: rewritten in place on a terminal, a line now and then elsewhere."""
    live = sys.stderr.isatty()
    every = 500 if live else _PROGRESS_EVERY

    def show(done: Replay) -> None:
        if done.events % every == 0:
            rate = done.events / (time.perf_counter() - started)
            text = (
                f"{done.events:,} events, {done.entities:,} entities, {done.refused.total():,} refused, {rate:,.0f}/s"
            )
            click.echo(f"\r{text}\033[K" if live else text, nl=not live, err=True)

    return show


def _report(done: Replay, stays: list[Stay], took: float) -> None:
    if sys.stderr.isatty():
        click.echo("\r\033[K", nl=False, err=True)
    click.echo(
        f"{done.events:,} events of {done.entities:,} entities in {took:.1f} s ({done.events / took:,.0f}/s): "
        f"{done.applied:,} applied, {done.already_done:,} already done, {done.refused.total():,} refused\n"
    )
    rows: list[tuple[str, ...]] = [
        (stay.state, f"{stay.entities:,}", f"{stay.stays:,}", _duration(stay.median), _duration(stay.longest))
        for stay in stays
    ]
    _table(("state", "entities now", "stays ended", "median stay", "longest stay"), rows)
    if not done.refused:
        return
    click.echo()
    refusals = done.refused.most_common()
    _table(("refused in state", "event", "times"), [(*key, f"{n:,}") for key, n in refusals[:_REFUSALS_SHOWN]])
    if len(refusals) > _REFUSALS_SHOWN:
        rest = sum(n for _, n in refusals[_REFUSALS_SHOWN:])
        click.echo(f"and {rest:,} more in {len(refusals) - _REFUSALS_SHOWN} other pairs of state and event")
    click.echo(f"\nwhy, for {done.explained_entity}:\n{done.explained}")


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Aligned columns, numbers to the right; the same on a terminal and in a file."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    texts = {i for i in range(len(head)) if i == 0 or head[i] == "event"}
    for row in (head, tuple("-" * width for width in widths), *rows):
        cells = (
            cell.ljust(w) if i in texts else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())


def _duration(length: timedelta | None) -> str:
    if length is None:
        return "-"
    seconds = int(length.total_seconds())
    days, rest = divmod(seconds, 86_400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    if days:
        return f"{days} d {hours:02} h"
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds % 60:02} s"

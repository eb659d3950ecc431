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
    from stateward.chart import Lifecycle
    from stateward.demo.replay import Replay, Stay

__all__ = ["command"]

_PROGRESS_EVERY = 10_000
_REFUSALS_SHOWN = 15


@click.command("demo")
@click.option(
    "--log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An incident log, .csv or .csv.gz; orders are made up without one.",
)
@click.option("--db", type=click.Path(path_type=Path), help="The SQLite file to keep; it must not exist yet.")
@click.option("--orders", default=2000, show_default=True, help="How many orders to make up.")
@click.option("--seed", default=1, show_default=True, help="What the made-up orders are drawn from.")
def command(log: Path | None, db: Path | None, orders: int, seed: int) -> None:
    """Send an event log through a lifecycle onto an embedded SQLite file, and report what came of it.

    Made-up orders are sent event by event, each in a transaction of its own; a log is imported in batches.
    """
    from stateward.demo.incidents import IncidentLifecycle
    from stateward.demo.orders import Order, OrderLifecycle, made_up_log
    from stateward.demo.replay import explain_record, import_incidents, look_back, replay
    from stateward.engine import Engine
    from stateward.errors import ImportStopped

    path = _fresh_file(db)
    lifecycle: type[Lifecycle[Any]] = OrderLifecycle if log is None else IncidentLifecycle
    what = f"{orders} made-up orders (seed {seed})" if log is None else f"incidents of {log.name}"
    click.echo(f"{what} -> {path}", err=True)
    started = time.perf_counter()
    with Engine(path, lifecycles=[lifecycle]) as engine:
        try:
            if log is None:
                done = replay(engine, OrderLifecycle, Order(), made_up_log(orders, seed), _progress(started))
            else:
                done = import_incidents(engine, log, _progress(started))
        except ImportStopped as error:
            raise click.UsageError(str(error)) from error
        took = time.perf_counter() - started
        stays, refused = look_back(engine, lifecycle)
        _report(done, stays, took)
        if refused is not None:
            click.echo(f"\nwhy, for {refused.entity}:\n{explain_record(engine, lifecycle, refused)}")


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


def _progress(started: float) -> Callable[[Replay], object]:
    """A line on stderr: rewritten in place on a terminal, a line now and then elsewhere."""
    live = sys.stderr.isatty()
    every = 500 if live else _PROGRESS_EVERY
    told = 0

    def show(done: Replay) -> None:
        nonlocal told
        if done.events // every > told:
            told = done.events // every
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

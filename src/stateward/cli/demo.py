"""`stateward demo`: what stateward does, in one command; or a real event log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from stateward.demo.screen import Screen
    from stateward.demo.show import Stage

__all__ = ["command"]

INTERRUPTED = 130
"""What a shell says of a program that Ctrl-C has ended."""


@click.command("demo")
@click.option("--once", is_flag=True, help="End before the HTTP API is served.")
@click.option(
    "--log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An incident log, .csv or .csv.gz, to be replayed instead.",
)
@click.option(
    "--db",
    type=click.Path(path_type=Path),
    help="The SQLite file to write, which must not exist yet; by default one in a fresh folder for temporary files.",
)
@click.option(
    "--dsn", metavar="ADDRESS", help="A PostgreSQL database to write to instead: postgresql://user@host/name."
)
@click.option(
    "--orders", type=click.IntRange(min=1), default=3000, show_default=True, help="How many orders to make up."
)  # fmt: skip
@click.option("--seed", default=1, show_default=True, help="What the made-up orders are drawn from.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8321,
    show_default=True,
    help="Where the HTTP API is served, on loopback.",
)
@click.pass_context
def command(
    ctx: click.Context,
    *,
    once: bool,
    log: Path | None,
    db: Path | None,
    dsn: str | None,
    orders: int,
    seed: int,
    port: int,
) -> None:
    r"""Show orders with payment at work: transitions, a refusal, a failing handler, a timer, a worker killed with -9.

    Then a few thousand of them, with what the ledger tells of it; then the HTTP API is served until Ctrl-C. All of it
    is real: a SQLite file or a PostgreSQL database, workers in processes of their own, a payment provider that is asked
    over HTTP. Nothing has to be set up, and no network is needed.

    \b
    Examples:
        stateward demo
        stateward demo --once --orders 500
        stateward demo --dsn postgresql://me@localhost/scratch
        stateward demo --log incidents.csv.gz
    """
    from stateward.demo.screen import Screen
    from stateward.demo.show import Stage
    from stateward.demo.watching import DemoStalled
    from stateward.ledger.opening import names_postgres

    if db is not None and dsn is not None:
        ctx.fail("--db and --dsn exclude each other")
    if dsn is not None and not names_postgres(dsn):  # a mistyped one would be a new file of that name
        ctx.fail(f"--dsn {dsn} is no PostgreSQL database: postgresql://user@host/name is one, and --db is for a file")
    ledger, book = _places(db, dsn)
    screen = Screen()
    try:
        if log is not None:
            _replay(log, ledger, screen)
        else:
            _show(Stage(ledger, book, orders, seed), screen, None if once else port)
    except KeyboardInterrupt:
        screen.end_progress()
        screen.say("Interrupted: all that was begun is ended.")
        ctx.exit(INTERRUPTED)
    except DemoStalled as error:
        screen.end_progress()
        click.echo(f"Error: {error}", err=True)
        ctx.exit(5)


def _places(db: Path | None, dsn: str | None) -> tuple[str, Path]:
    """The ledger's address, and where the provider's book is to be kept."""
    from tempfile import mkdtemp

    if db is None:
        folder = Path(mkdtemp(prefix="stateward-demo-"))
        return dsn or f"sqlite:///{folder / 'orders.db'}", folder / "provider.db"
    ledger = db.resolve()
    book = ledger.with_name(f"{ledger.stem}-provider.db")
    for each in (ledger, book):
        if each.exists():
            message = f"{each} exists: the demo writes a new file and leaves yours alone"
            raise click.UsageError(message)
    return f"sqlite:///{ledger}", book


def _show(stage: Stage, screen: Screen, port: int | None) -> None:
    from stateward.demo.serving import next_commands, next_requests, program_of, serve_demo, without_password
    from stateward.demo.show import opened
    from stateward.errors import ExtraMissing

    screen.say(f"The ledger: {without_password(stage.ledger)}")
    screen.say(f"The payment provider's book: {stage.book}")
    with opened(stage, screen) as show:
        with screen.heeding_interrupts():
            show.run()
            screen.check()
        screen.heading("What to try next")
        screen.show(list(next_commands(stage.ledger, program_of(sys.argv[0]))))
        if port is None:
            return

        def tell(found: int) -> None:
            screen.say("The HTTP API is served until Ctrl-C:")
            screen.show(list(next_requests(found)))

        try:
            serve_demo(show.engine, port, tell)
        except ExtraMissing as error:
            screen.say(f"The HTTP API is not served: {error}")
        else:
            screen.say("Stopped.")


def _replay(log: Path, ledger: str, screen: Screen) -> None:
    """Import the incident log, and tell what came of it."""
    import time

    from stateward.demo.incidents import IncidentLifecycle
    from stateward.demo.replay import Replay, explain_record, import_incidents, look_back
    from stateward.demo.report import replay_told
    from stateward.demo.serving import without_password
    from stateward.engine import Engine
    from stateward.errors import ImportStopped

    started = time.perf_counter()

    def show(done: Replay, *, is_last: bool = False) -> None:
        rate = done.events / (time.perf_counter() - started)
        screen.check()
        text = f"{done.events:,} events, {done.entities:,} entities, {done.refused.total():,} refused, {rate:,.0f}/s"
        screen.progress(text, is_last=is_last)

    screen.say(f"The incidents of {log.name}, in the ledger {without_password(ledger)}")
    with Engine(ledger, lifecycles=[IncidentLifecycle]) as engine:
        try:
            with screen.heeding_interrupts():
                done = import_incidents(engine, log, show)
        except ImportStopped as error:
            raise click.UsageError(str(error)) from error
        took_s = time.perf_counter() - started
        show(done, is_last=True)
        found = look_back(engine, IncidentLifecycle)
        screen.show(["", *replay_told(done, found.stays, took_s)], indent="")
        if found.last_refusal is not None:
            why: Any = explain_record(engine, IncidentLifecycle, found.last_refusal)
            screen.show(["", f"why, for {found.last_refusal.entity}:", *str(why).splitlines()], indent="")

"""`stateward run`: a worker for everything that an application asks for, until it is told to stop."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from stateward.cli.applications import app_named, app_option, find_engine
from stateward.cli.lasting import grace_option, log_level_option

if TYPE_CHECKING:
    from datetime import timedelta

    from stateward.engine import AsyncEngine
    from stateward.work import WorkerSettings

__all__ = ["command"]

_SECONDS = click.FloatRange(min=0, min_open=True)


@click.command("run")
@app_option
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="How many effects are handled at the same time.",
)
@click.option(
    "--lease",
    type=_SECONDS,
    default=15.0,
    show_default=True,
    metavar="SECONDS",
    help="How long it may give no sign of life before others go on with its work.",
)
@click.option(
    "--poll",
    type=_SECONDS,
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How often it looks, while idle, for what other processes have committed.",
)
@grace_option
@click.option("--listen", is_flag=True, help="Be woken by engines that notify; on PostgreSQL alone.")
@log_level_option
def command(
    *, app: str | None, concurrency: int, lease: float, poll: float, grace: float, listen: bool, log_level: str
) -> None:
    r"""Work for an application: handle effects, fire timers, reconcile, until SIGTERM or SIGINT.

    Any number may run at the same time, on any number of machines: they share the work. Told to stop, it begins
    nothing more and lets what goes on end within --grace; what does not is left to the lease, and another worker does
    it. A second signal ends it at once. The exit code is 0 after it was told to stop, and 5 if the ledger can't be
    opened; a ledger that goes away later is waited for.

    \b
    Examples:
        stateward run --app shop.app:engine
        STATEWARD_APP=shop.app:engine stateward run --concurrency 100 --grace 60
    """
    import logging
    from datetime import timedelta

    from stateward.engine import Engine
    from stateward.work import WorkerSettings

    # Before the application is imported: what its modules log is seen, and one that sets up logging by itself may.
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    with _signals_end_it():
        name = app_named(app)
        if name is None:
            message = "name an application: --app, STATEWARD_APP, or app under [tool.stateward] in pyproject.toml"
            raise click.UsageError(message)
        engine = find_engine(name)
        settings = WorkerSettings(
            concurrency=concurrency,
            lease=timedelta(seconds=lease),
            poll=timedelta(seconds=poll),
            listen=listen,
        )
        if isinstance(engine, Engine):
            with engine:
                engine.run(settings, grace=timedelta(seconds=grace))
        else:
            import asyncio

            asyncio.run(_run(engine, settings, timedelta(seconds=grace)))


async def _run(engine: AsyncEngine, settings: WorkerSettings, grace: timedelta) -> None:
    async with engine:
        await engine.run(settings, grace=grace)


@contextmanager
def _signals_end_it() -> Generator[None]:
    """What signals do whenever no worker waits for them: before it works, and while it stops."""

    def end(number: int, _: Any) -> None:
        # Neither logging nor a clean exit: either may wait for what the signal has interrupted.
        text = f"{signal.Signals(number).name}: ended at once; what was begun is left to the lease\n"
        os.write(2, text.encode())
        os._exit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

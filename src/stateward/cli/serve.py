"""`stateward serve`: the HTTP face of an application, until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stateward.cli.applications import app_named, app_option, find_engine
from stateward.cli.lasting import grace_option, log_level_option

if TYPE_CHECKING:
    import socket
    from datetime import timedelta

    from stateward.engine import AsyncEngine, Engine
    from stateward.http import Api
    from stateward.http.health import Metrics

__all__ = ["command"]


@click.command("serve")
@app_option
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="Where it listens.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="On which port; 0: one that is free, which is told.",
)
@click.option(
    "--tokens",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    envvar="STATEWARD_TOKENS",
    show_envvar=True,
    help="Who may ask: a TOML file with a table [[token]] for each, of secret, actor, roles, acts_for_others.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A name that it is called by, beside this machine's own; * is any, and needs tokens. May be repeated.",
)
@click.option(
    "--allow-origin",
    multiple=True,
    metavar="ORIGIN",
    help="The origin of pages that may ask, https://desk.example.com. May be repeated.",
)
@click.option("--work", is_flag=True, help="Be a worker as well, as stateward run is: effects, timers, reconciliation.")
@grace_option
@click.option("--access-log", is_flag=True, help="Log each request.")
@log_level_option
def command(
    *,
    app: str | None,
    host: str,
    port: int,
    tokens: Path | None,
    allow_host: tuple[str, ...],
    allow_origin: tuple[str, ...],
    work: bool,
    grace: float,
    access_log: bool,
    log_level: str,
) -> None:
    r"""Serve an application's entities over HTTP, until SIGTERM or SIGINT.

    Without tokens it serves this machine alone, and listens nowhere else. STATEWARD_TOKEN holds one token, and
    STATEWARD_TOKEN_ACTOR who has it; --tokens names a file of several. What is served is told by /openapi.json;
    /metrics is for Prometheus, with the extra prometheus.

    Told to stop, it takes on nothing more, ends streams of records, and lets what goes on end within --grace. A second
    signal ends it at once. The exit code is 0 after it was told to stop, and 5 if the ledger can't be opened; one that
    goes away later is answered by 503.

    \b
    Examples:
        stateward serve --app shop.app:engine
        stateward serve --app shop.app:engine --host 0.0.0.0 --tokens tokens.toml --allow-host api.example.com
    """
    import asyncio
    import logging
    from datetime import timedelta

    from stateward.http import Api
    from stateward.http.keyring import read_tokens
    from stateward.http.serving import listen_on

    # Before the application is imported: what its modules log is seen, and one that sets up logging by itself may.
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    given = read_tokens(tokens)
    name = app_named(app)
    if name is None:
        message = "name an application: --app, STATEWARD_APP, or app under [tool.stateward] in pyproject.toml"
        raise click.UsageError(message)
    engine = find_engine(name)
    try:
        api = Api(
            engine, tokens=given, hosts=_hosts(host, allow_host), origins=allow_origin, metrics=_metrics(engine)
        )  # fmt: skip
        listener = listen_on(api, host, port)
    except BaseException:
        _close(engine)
        raise
    asyncio.run(_serve(engine, api, listener, work=work, grace=timedelta(seconds=grace), access_log=access_log))


def _hosts(host: str, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The names that it is called by; the address that it listens on is one, unless it stands for all."""
    is_any = host in ("", "0.0.0.0", "::", "*")
    return allowed if is_any else (*allowed, host)


def _metrics(engine: Engine | AsyncEngine) -> Metrics | None:
    """What /metrics gives; nothing without the extra for it."""
    import logging

    from stateward.errors import ExtraMissing
    from stateward.http import metrics_of

    try:
        return metrics_of(engine)
    except ExtraMissing as error:
        logging.getLogger(__name__).info("there is no /metrics: %s", error)
        return None


async def _serve(
    engine: Engine | AsyncEngine,
    api: Api,
    listener: socket.socket,
    *,
    work: bool,
    grace: timedelta,
    access_log: bool,
) -> None:
    import asyncio

    from stateward.engine import Engine
    from stateward.http.serving import serve

    address, port = listener.getsockname()[:2]

    def tell() -> None:
        where = f"[{address}]" if ":" in address else address
        click.echo(f"listening on http://{where}:{port}", err=True)

    ending: list[asyncio.Future[None]] = []

    def end_work() -> None:  # while what was asked is still answered: both have the same grace
        stopping = asyncio.to_thread(engine.stop, grace) if isinstance(engine, Engine) else engine.stop(grace)
        ending.append(asyncio.ensure_future(stopping))

    try:
        if not isinstance(engine, Engine):
            await engine.open()
        if api.has_metrics:  # they count from now on
            await asyncio.to_thread(engine.metrics) if isinstance(engine, Engine) else await engine.metrics()
        if work:
            await asyncio.to_thread(engine.start) if isinstance(engine, Engine) else await engine.start()
        await serve(
            api, listener, grace_s=grace.total_seconds(), access_log=access_log, is_ready=tell, is_stopping=end_work
        )
    finally:
        listener.close()
        if not ending:
            end_work()
        try:
            await ending[0]
        finally:
            await asyncio.to_thread(engine.close) if isinstance(engine, Engine) else await engine.close()


def _close(engine: Engine | AsyncEngine) -> None:
    """Close what was opened; an engine for tasks has opened nothing yet."""
    from stateward.engine import Engine

    if isinstance(engine, Engine):
        engine.close()

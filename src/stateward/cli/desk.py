"""An operator's desk: the engine that a command works on, whichever kind it is, with its application or without.

Who only looks at what is kept, or pauses something, needs no code of the application: an engine without lifecycles on
the same ledger does it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource

from stateward.cli.applications import app_named, app_option, find_engine
from stateward.cli.suggesting import find_name

if TYPE_CHECKING:
    import asyncio

    from stateward.chart import Chart
    from stateward.engine import AsyncEngine, Engine
    from stateward.ledger.contract import Ledger

__all__ = [
    "Desk",
    "actor_of",
    "actor_option",
    "apply_option",
    "chart_among",
    "desk_options",
    "limit_option",
    "open_desk",
    "reason_option",
    "say",
    "take",
    "text",
    "told_time",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def text(value: str) -> str:
    """The type of arguments that a ledger is to keep: bytes that are no UTF-8 are told here, and not by a database."""
    from stateward.ledger.codec import is_keepable

    if not is_keepable(value):
        message = f"{value!r} is no text that can be kept"
        raise click.BadParameter(message)
    return value


def desk_options(command: F) -> F:
    """Give a command `--app` and `--ledger`, of which one is needed."""
    option = click.option(
        "--ledger",
        metavar="URL",
        envvar="STATEWARD_LEDGER",
        show_envvar=True,
        help=(
            "The ledger alone, instead of an application, whose code is not loaded then: sqlite:///orders.db, "
            "postgresql://user@host/name, or a SQLite file."
        ),
    )
    return app_option(option(command))


def apply_option(command: F) -> F:
    """Give a command `--apply`."""
    option = click.option("--apply", is_flag=True, help="Do it; without this, only what would be done is shown.")
    return option(command)


def actor_option(command: F) -> F:
    """Give a command `--actor`, who does it."""
    option = click.option(
        "--actor",
        metavar="KIND:ID",
        type=text,
        envvar="STATEWARD_ACTOR",
        show_envvar=True,
        help="Who does it, operator:ann; it is recorded.",
    )
    return option(command)


def actor_of(given: str | None) -> str:
    """Who does it: as given, and else whoever is logged in, as an operator.

    Raises:
        click.UsageError: nobody is named, and the system does not know who it is either.
    """
    if given:
        return given
    import getpass

    try:
        return text(f"operator:{getpass.getuser()}")
    except (KeyError, OSError) as error:
        message = "Missing option '--actor': nobody is logged in under a name"
        raise click.UsageError(message) from error


def reason_option(command: F) -> F:
    """Give a command `--reason`."""
    return click.option("--reason", metavar="TEXT", type=text, help="Why; it is recorded.")(command)


def limit_option(command: F) -> F:
    """Give a command `--limit`."""
    option = click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=1000,
        show_default=True,
        help="How many at most; 0: all there are.",
    )
    return option(command)


class Desk:
    """An engine whose calls are made to their ends, be it one of threads or one of tasks."""

    def __init__(self, engine: Engine | AsyncEngine, runner: asyncio.Runner | None) -> None:
        """Take the engine, and what drives it if it is one of tasks."""
        self.engine = engine
        self._runner = runner

    def call(self, made: T | Awaitable[T]) -> T:
        """What a method of the engine gives."""
        if self._runner is not None and inspect.isawaitable(made):
            given: T = self._runner.run(_awaited(made))
            return given
        return cast("T", made)

    def each(self, made: Iterator[T] | AsyncIterator[T]) -> Iterator[T]:
        """What a method of the engine lists, one by one."""
        if isinstance(made, Iterator):
            yield from made
            return
        assert self._runner is not None
        while True:
            try:
                yield self._runner.run(_awaited(anext(made)))
            except StopAsyncIteration:
                return

    def kind_of(self, kind: str) -> str:
        """A kind as it is written; whoever has no lifecycles takes it as it is.

        Raises:
            click.UsageError: the engine has others.
        """
        kinds = {each.kind for each in self.engine.charts}
        return find_name("lifecycle of the kind {}", kind, sorted(kinds)) if kinds else kind

    def chart_of(self, kind: str, version: int | None = None) -> Chart[Any]:
        """The newest chart of a kind, or that of a version.

        Raises:
            click.UsageError: the engine has none.
        """
        return chart_among(self.engine.charts, kind, version)


def chart_among(charts: Sequence[Chart[Any]], kind: str, version: int | None = None) -> Chart[Any]:
    """The newest of some charts that are of a kind, or the one of a version.

    Raises:
        click.UsageError: there is none.
    """
    name = find_name("lifecycle of the kind {}", kind, sorted({each.kind for each in charts}))
    versions = {each.version: each for each in charts if each.kind == name}
    if version is not None and version not in versions:
        message = f"there is no version {version} of {name}; these are: {', '.join(map(str, sorted(versions)))}"
        raise click.UsageError(message)
    return versions[max(versions) if version is None else version]


@contextmanager
def open_desk(
    ctx: click.Context,
    app: str | None,
    ledger: str | None,
    choose: Callable[[Ledger], Sequence[Chart[Any]]] = lambda _: (),
) -> Generator[Desk]:
    """The desk that a command's options name, for as long as the block runs.

    Of an application and a ledger, that which is named by option counts, and else the ledger, which needs less.

    Args:
        ctx: the command's.
        app: its option `--app`.
        ledger: its option `--ledger`.
        choose: which lifecycles are put on a ledger that is named alone.

    Raises:
        click.UsageError: neither is named, or both are by option.
        LedgerUnavailable: the ledger is away, or there is none.
    """
    by_option = {each for each in ("app", "ledger") if ctx.get_parameter_source(each) is ParameterSource.COMMANDLINE}
    if by_option == {"app", "ledger"}:
        message = "--app and --ledger exclude each other: an application has its own ledger"
        raise click.UsageError(message)
    engine: Engine | AsyncEngine
    if ledger is not None and by_option != {"app"}:
        engine = _engine_on(ledger, choose)
    else:
        name = app_named(app)
        if name is None:
            message = "name an application (--app, STATEWARD_APP, or app in pyproject.toml) or a ledger (--ledger)"
            raise click.UsageError(message)
        engine = find_engine(name)
    with _opened(engine) as desk:
        yield desk


@contextmanager
def _opened(engine: Engine | AsyncEngine) -> Generator[Desk]:
    from stateward.engine import Engine

    if isinstance(engine, Engine):
        with engine:
            yield Desk(engine, None)
        return
    import asyncio

    with asyncio.Runner() as runner:
        runner.run(engine.open())
        try:
            yield Desk(engine, runner)
        finally:
            runner.run(engine.close())


def _engine_on(address: str, choose: Callable[[Ledger], Sequence[Chart[Any]]]) -> Engine:
    """An engine on a ledger that is there, and whose schema is current: nothing is made by looking at it."""
    from stateward.engine import Engine
    from stateward.errors import LedgerOutdated
    from stateward.ledger import open_ledger
    from stateward.ledger.checking import open_database

    with open_database(address) as database:
        found, known = database.schema()
    if found != known:
        raise LedgerOutdated(found=found, wanted=known)
    ledger = open_ledger(address)
    try:
        return Engine(ledger, lifecycles=choose(ledger))
    except BaseException:
        ledger.close()  # an engine that is made closes it; one that is not does not
        raise


# What the commands say.


def take(found: Iterator[T], limit: int) -> list[T]:
    """So many of what was found, 0 for all; that there are more is told on stderr."""
    if limit == 0:
        return list(found)
    taken = list(islice(found, limit))
    if next(found, None) is not None:
        click.echo(f"these are the first {limit}, and there are more: --limit 0 shows all", err=True)
    return taken


def say(text: str, output: str) -> None:
    """Tell people something: on stdout beside a table, where it is part of the answer, and else on stderr."""
    click.echo(text, err=output != "table")


def told_time(moment: datetime | None) -> str:
    """A time in a table, to the second, in UTC."""
    return "-" if moment is None else f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def _awaited(made: Awaitable[T]) -> T:
    return await made

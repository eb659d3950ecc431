"""Which application a command works on: `module:engine`, by option, by environment or by pyproject.toml."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from types import ModuleType

    from stateward.engine import AsyncEngine, Engine

__all__ = ["app_named", "app_option", "find_engine"]

F = TypeVar("F", bound=Callable[..., Any])

_EXAMPLE = "shop.app:engine"


def app_option(command: F) -> F:
    """Give a command the option `--app`, passed to it as `app`."""
    option = click.option(
        "--app",
        metavar="MODULE:ENGINE",
        envvar="STATEWARD_APP",
        show_envvar=True,
        help=(
            "The application: an Engine, an AsyncEngine, or a function that makes one. By default, the one that "
            "pyproject.toml in the current directory names: app under [tool.stateward]."
        ),
    )
    return option(command)


def app_named(given: str | None) -> str | None:
    """The application by its name: as given, or as pyproject.toml in the current directory says; None: neither does.

    Raises:
        click.UsageError: pyproject.toml can't be read, or says something else.
    """
    if given is not None:
        return given
    import tomllib

    try:
        document: Any = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))
        name: Any = document.get("tool", {}).get("stateward", {}).get("app")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:  # the last: something else than a table
        message = f"pyproject.toml can't be read: {error}"
        raise click.UsageError(message) from error
    if name is not None and not isinstance(name, str):
        message = f'pyproject.toml, [tool.stateward]: app is {name!r}, and no text like "{_EXAMPLE}"'
        raise click.UsageError(message)
    return name


def find_engine(name: str) -> Engine | AsyncEngine:
    """The engine of an application; a function that makes one is called.

    Raises:
        click.UsageError: there is no such module, or it holds no engine under that name.
        StatewardError: the engine can't be made: its ledger is away, say.
    """
    from stateward.engine import AsyncEngine, Engine

    module_name, _, attribute = name.partition(":")
    if not module_name or not attribute:
        message = f"{name!r} names no engine: write module:engine, {_EXAMPLE}"
        raise click.UsageError(message)
    module = _module(module_name)
    value: Any = module
    for each in attribute.split("."):
        value = getattr(value, each, None)
    verb = "is"
    if callable(value) and not inspect.iscoroutinefunction(value):
        value, verb = _made(name, value), "makes"
    if isinstance(value, Engine | AsyncEngine):
        return value
    what = "nothing" if value is None else f"a {type(value).__name__}"
    if inspect.iscoroutinefunction(value):
        what = "a coroutine function"
    message = f"{name} {verb} {what}; an Engine, an AsyncEngine, or a function that makes one is wanted"
    raise click.UsageError(message + _others(module))


def _module(name: str) -> ModuleType:
    from stateward.cli.targets import Failure, import_target
    from stateward.errors import StatewardError

    module = import_target(name)
    if not isinstance(module, Failure):
        return module
    if isinstance(module.error, StatewardError):
        raise module.error
    raise click.UsageError(str(module)) from module.error


def _made(name: str, function: Callable[[], Any]) -> Any:
    """What a function makes; whatever it raises but our own errors is told as a fault of the application."""
    from stateward.errors import StatewardError

    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError) as error:
        message = f"{name} can't be called without arguments: {error}"
        raise click.UsageError(message) from None
    try:
        return function()
    except StatewardError:
        raise
    except Exception as error:
        message = f"{name} raised {type(error).__name__}: {error}"
        raise click.UsageError(message) from error


def _others(module: ModuleType) -> str:
    from stateward.engine import AsyncEngine, Engine

    names = [name for name, value in vars(module).items() if isinstance(value, Engine | AsyncEngine)]
    return f"; {module.__name__} has {', '.join(f'{module.__name__}:{each}' for each in names)}" if names else ""

"""What a command's TARGET names: `package.module:Class`, `package.module:chart`, or a module or package alone.

The current directory is importable. A module is run by being imported: what it prints or opens is its own.
"""

from __future__ import annotations

import pkgutil
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import click

from stateward.chart import Chart, Lifecycle
from stateward.errors import DefinitionError, DefinitionWarning

__all__ = ["Failure", "Found", "find_all_charts", "find_charts", "find_one_chart", "import_target", "walk_charts"]

_FILE_AND_LINE = re.compile(r".+:\d+")
_CHART_ROOM = str(Path(sys.modules["stateward.chart"].__file__ or "").parent)


@dataclass(frozen=True)
class Found:
    """A chart and where it was found."""

    place: str
    """`module:name`."""
    chart: Chart[Any]


@dataclass(frozen=True)
class Failure:
    """A module that could not be imported, and why."""

    module: str
    error: BaseException

    @property
    def definition_error(self) -> DefinitionError | None:
        """The error of a lifecycle that is declared wrongly, if that is the reason."""
        return self.error if isinstance(self.error, DefinitionError) else None

    @property
    def origin(self) -> str:
        """`file:line` of what went wrong: as a definition error tells it, or the last line outside of stateward."""
        told = getattr(self.error, "origin", "")
        if _FILE_AND_LINE.fullmatch(told):
            return str(told)
        frames = [
            each
            for each in traceback.extract_tb(self.error.__traceback__)
            if not each.filename.startswith((_CHART_ROOM, "<frozen"))
        ]
        is_own = bool(frames) and frames[-1].filename != __file__ and "importlib" not in frames[-1].filename
        return f"{frames[-1].filename}:{frames[-1].lineno}" if is_own else ""

    def __str__(self) -> str:
        where = f" ({self.origin})" if self.origin else ""
        return f"{self.module} can't be imported: {type(self.error).__name__}: {self.error}{where}"


def find_one_chart(target: str) -> Found:
    """The one chart that a target names.

    Raises:
        click.UsageError: it names none, or several.
        DefinitionError: a lifecycle on the way is declared wrongly.
    """
    found = find_charts(target)
    if len(found) != 1:
        places = "".join(f"\n  {each.place}" for each in found)
        message = f"{target} holds {len(found)} lifecycles: say which" + places
        raise click.UsageError(message)
    return found[0]


def find_charts(target: str) -> list[Found]:
    """The charts of one module, or the one that the target names in it.

    Raises:
        click.UsageError: there is no such module, or it holds nothing of that name.
        DefinitionError: a lifecycle on the way is declared wrongly.
    """
    module_name, _, attribute = target.partition(":")
    module = import_target(module_name)
    if isinstance(module, Failure):
        if module.definition_error is not None:
            raise module.definition_error
        raise click.UsageError(str(module)) from module.error
    found = _charts_in(module)
    if attribute:
        return [_named(module, attribute, found)]
    if not found:
        message = f"{target} holds no lifecycle"
        raise click.UsageError(message)
    return found


def find_all_charts(ctx: click.Context, targets: Sequence[str]) -> list[Chart[Any]]:
    """The charts of several targets; a module that can't be imported ends the command.

    Raises:
        click.UsageError: there is no such module, or a target holds nothing of that name, or no lifecycle at all: that
            nothing is found in it would be told of the ledger.
    """
    results: list[Found | Failure] = []
    for target in targets:
        of_target = list(walk_charts(target))
        if not of_target:
            message = f"{target} holds no lifecycle"
            raise click.UsageError(message)
        results += of_target
    failures = [each for each in results if not isinstance(each, Found)]
    for failure in failures:
        click.echo(f"Error: {failure}", err=True)
    if failures:
        ctx.exit(2)
    return [each.chart for each in results if isinstance(each, Found)]


def walk_charts(target: str) -> Iterator[Found | Failure]:
    """The charts that a target names; of a package, those of all its modules, in alphabetical order.

    Its `__main__` modules are left alone, since importing one would run it.

    Raises:
        click.UsageError: there is no such module, or it holds nothing of that name.
    """
    module_name, _, attribute = target.partition(":")
    top = import_target(module_name)
    if isinstance(top, Failure):
        missing = top.error.name if isinstance(top.error, ModuleNotFoundError) else None
        if missing and f"{module_name}.".startswith(f"{missing}."):
            raise click.UsageError(str(top))
        yield top
    elif attribute:
        yield _named(top, attribute, _charts_in(top))
    else:
        seen: set[int] = set()
        for module in (top, *_submodules(top)):
            if isinstance(module, Failure):
                yield module
                continue
            for found in _charts_in(module):
                if id(found.chart) not in seen:
                    seen.add(id(found.chart))
                    yield found


def _submodules(package: ModuleType) -> Iterator[ModuleType | Failure]:
    paths: Any = getattr(package, "__path__", None)
    for info in [] if paths is None else sorted(pkgutil.iter_modules(paths), key=lambda each: each.name):
        if info.name == "__main__":
            continue
        module = import_target(f"{package.__name__}.{info.name}")
        yield module
        if isinstance(module, ModuleType):
            yield from _submodules(module)


def import_target(name: str) -> ModuleType | Failure:
    """A module by its name, or why there is none.

    Raises:
        click.UsageError: it is no name of a module.
    """
    if name.endswith(".py") or "/" in name or not name:
        message = f"{name or 'nothing'} is no module's name: write orders.lifecycles, not orders/lifecycles.py"
        raise click.UsageError(message)
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)
    try:
        with warnings.catch_warnings():
            # `check` says the same in its own way; a drawing and a catalogue have no use for it.
            warnings.simplefilter("ignore", DefinitionWarning)
            return import_module(name)
    except (Exception, SystemExit) as error:  # whatever a module raises, it is the module's fault, and told as such
        return Failure(name, error)


def _charts_in(module: ModuleType) -> list[Found]:
    """The charts that a module declares, in order; those it only imports, if it declares none."""
    found: dict[int, tuple[Found, bool]] = {}
    for name, value in vars(module).items():
        chart = _chart_of(value)
        if chart is not None and id(chart) not in found:
            home = getattr(value if isinstance(value, type) else chart.lifecycle, "__module__", module.__name__)
            found[id(chart)] = (Found(f"{module.__name__}:{name}", chart), home == module.__name__)
    own = [each for each, is_own in found.values() if is_own]
    return own or [each for each, _ in found.values()]


def _chart_of(value: object) -> Chart[Any] | None:
    """The chart that a lifecycle class declares, or the value itself if it is one."""
    if isinstance(value, type) and issubclass(value, Lifecycle):
        value = cast("Any", value).__chart__  # None for a base that declares no states
    if not isinstance(value, Chart):
        return None
    chart: Chart[Any] = cast("Any", value)
    return chart


def _named(module: ModuleType, attribute: str, others: list[Found]) -> Found:
    value: Any = module
    for name in attribute.split("."):
        value = getattr(value, name, None)
    chart = _chart_of(value)
    if chart is None:
        names = ", ".join(each.place.partition(":")[2] for each in others) or "none"
        what = "nothing" if value is None else f"a {type(value).__name__}, no lifecycle with states and no chart,"
        message = f"{module.__name__} has {what} under the name {attribute}; its lifecycles: {names}"
        raise click.UsageError(message)
    return Found(f"{module.__name__}:{attribute}", chart)

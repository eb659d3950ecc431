"""What it costs to import stateward and to start its command, in fresh interpreters with bytecode compiled."""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import stateward
from bench.measure import Effort
from bench.report import Budget, Report, Table

__all__ = ["measure"]

_ROUNDS = 11
_UNWANTED = ("asyncio", "sqlite3", "click", "rich", "logging", "http")
_PASS = ("-c", "pass")
_IMPORT = ("-c", "import stateward")
_BELOW = ("-c", "import __future__, collections, datetime, enum, functools, threading, typing, weakref, msgspec")
_HELP = ("-m", "stateward.cli", "--help")


def measure(effort: Effort) -> Report:
    """Wall times, in turns; and which modules are loaded that must not be."""
    compileall.compile_dir(str(Path(stateward.__file__).parent), quiet=1)
    rounds = _ROUNDS if effort.scale == 1 else effort.rounds
    commands = (_PASS, _IMPORT, _BELOW, _HELP)
    taken: dict[tuple[str, ...], list[float]] = {command: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            ms = _wall_ms(command)
            if number:
                taken[command].append(ms)

    def beyond(command: tuple[str, ...]) -> float:
        return median(a - b for a, b in zip(taken[command], taken[_PASS], strict=True))

    loaded = _modules(_IMPORT[1]) - _modules("pass")
    found = [name for name in _UNWANTED if name in loaded]
    rows = [
        ("a bare interpreter, start to end", f"{median(taken[_PASS]):.0f}"),
        ("import stateward, beyond that", f"{beyond(_IMPORT):.0f}"),
        ("of it: msgspec, and what it needs of the standard library", f"{beyond(_BELOW):.0f}"),
        ("stateward --help, start to end", f"{median(taken[_HELP]):.0f}"),
    ]
    note = (
        f"Median of {rounds} fresh interpreters each, in turns. `import stateward` loads {len(loaded)} modules, of "
        f"{', '.join(_UNWANTED)}: {', '.join(found) or 'none'}."
    )
    return Report(
        [Table("Import and command", ("", "ms"), rows, note)],
        [
            Budget("import stateward", 60, beyond(_IMPORT), "ms"),
            Budget("web, database and command line modules that it loads", 0, len(found), "modules"),
        ],
    )


def _wall_ms(arguments: tuple[str, ...]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=_environment())
    return (time.perf_counter() - began) * 1000


def _modules(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"],
        check=True,
        capture_output=True,
        text=True,
        env=_environment(),
    )
    return set(done.stdout.split())


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}

"""What it costs to import stateward and to start its command, in fresh interpreters with bytecode compiled."""

from __future__ import annotations

import compileall
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import stateward
from bench.measure import Effort
from bench.report import Budget, Report, Table

__all__ = ["measure"]

_Command = tuple[str, ...]
"""What an interpreter is given."""
_ROUNDS = 11
_UNWANTED = ("asyncio", "sqlite3", "click", "rich", "logging", "http")
_PASS = ("-c", "pass")
_IMPORT = ("-c", "import stateward")
_BELOW = ("-c", "import __future__, collections, datetime, enum, functools, threading, typing, weakref, msgspec")
_HELP = ("-m", "stateward.cli", "--help")
_COMMANDS = ("send", "show", "doctor", "run")
_COMMAND_HELPS: tuple[_Command, ...] = tuple(("-m", "stateward.cli", name, "--help") for name in _COMMANDS)


def measure(effort: Effort) -> Report:
    """Times of fresh interpreters, in turns; and which modules are loaded that must not be."""
    compileall.compile_dir(str(Path(stateward.__file__).parent), quiet=1)
    rounds = _ROUNDS if effort.scale == 1 else effort.rounds
    commands = (_PASS, _IMPORT, _BELOW, _HELP, *_COMMAND_HELPS)
    taken: dict[_Command, list[tuple[float, float]]] = {command: [] for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            both = _wall_and_processor_ms(command)
            if number:
                taken[command].append(both)

    def middle(command: _Command, clock: int, beyond: _Command | None = None) -> float:
        """The median by the clock on the wall (0) or of the processor (1), beyond that of another command."""
        if beyond is None:
            return median(each[clock] for each in taken[command])
        return median(a[clock] - b[clock] for a, b in zip(taken[command], taken[beyond], strict=True))

    loaded = _modules(_IMPORT[1]) - _modules("pass")
    found = [name for name in _UNWANTED if name in loaded]
    measured: list[tuple[str, _Command, _Command | None]] = [
        ("a bare interpreter, start to end", _PASS, None),
        ("import stateward, beyond that", _IMPORT, _PASS),
        ("of it: msgspec, and what it needs of the standard library", _BELOW, _PASS),
        ("stateward --help, start to end", _HELP, None),
        *((f"stateward {name} --help", help_, None) for name, help_ in zip(_COMMANDS, _COMMAND_HELPS, strict=True)),
    ]
    rows = [
        (name, *(f"{middle(command, clock, beyond):.0f}" for clock in (0, 1))) for name, command, beyond in measured
    ]
    note = (
        f"Median of {rounds} fresh interpreters each, in turns; nothing but the processor is waited for, so on a quiet "
        f"machine both are the same. `import stateward` loads {len(loaded)} modules, of {', '.join(_UNWANTED)}: "
        f"{', '.join(found) or 'none'}."
    )
    return Report(
        [Table("Import and command", ("", "wall, ms", "processor, ms"), rows, note)],
        [
            Budget("import stateward, processor time", 60, middle(_IMPORT, 1, _PASS), "ms"),
            Budget("web, database and command line modules that it loads", 0, len(found), "modules"),
            Budget("stateward --help, on the wall", 150, middle(_HELP, 0), "ms"),
            Budget(
                "the slowest help of a command, on the wall", 150, max(middle(each, 0) for each in _COMMAND_HELPS), "ms"
            ),
        ],
    )


def _wall_and_processor_ms(arguments: _Command) -> tuple[float, float]:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True, env=_environment())
    wall = time.perf_counter() - began
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall * 1000, (now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime) * 1000


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

"""`python -m bench [NAME...]`: print the tables of the benchmarks named, or of all."""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from bench.measure import Effort
from bench.report import Report, budgets_table

NAMES = ("flat", "statechart", "dispatch", "callers", "imports", "ledger", "durable", "work", "scale", "http")
QUICK = Effort(rounds=2, scale=0.05)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks; nothing is asserted, so a busy machine fails nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="What stateward costs, beside its peers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(NAMES)}; all of them if none")
    parser.add_argument("--quick", action="store_true", help="a smoke test: too few rounds to mean anything")
    parser.add_argument("--rounds", type=int, metavar="N", help="rounds that count (9)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tables and budgets there as well")
    given = parser.parse_args(arguments)
    unknown = [name for name in given.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    effort = QUICK if given.quick else Effort()
    if given.rounds:
        effort = Effort(max(1, given.rounds), effort.scale)
    _run([name for name in NAMES if not given.names or name in given.names], effort, given.json)
    return 0


def _run(names: Sequence[str], effort: Effort, file: Path | None) -> None:
    where = f"Python {platform.python_version()}, {platform.machine()}, {effort.rounds} rounds"
    print(f"# stateward's benchmarks\n\n{where}", flush=True)
    whole = Report()
    for name in names:
        print(f"measuring {name}", file=sys.stderr, flush=True)
        part: Report = import_module(f"bench.{name}").measure(effort)
        for each in part.tables:
            print(f"\n{each}", flush=True)
        whole.tables += part.tables
        whole.budgets += part.budgets
    if whole.budgets:
        print(f"\n{budgets_table(whole.budgets)}", flush=True)
    if file is not None:
        found: dict[str, Any] = {
            "where": where,
            "tables": [asdict(each) for each in whole.tables],
            "budgets": [{**asdict(each), "holds": each.holds} for each in whole.budgets],
        }
        file.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())

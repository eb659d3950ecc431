"""The list of the examples is whole, and what it says can be run."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from tests.examples.conftest import ROOT

TEXT = (ROOT / "examples" / "README.md").read_text(encoding="utf-8")
COMMANDS = [shlex.split(each) for each in re.findall(r"`((?:python|stateward (?:diagram|scxml)) [^`]+)`", TEXT)]


def test_it_lists_every_example() -> None:
    listed = set(re.findall(r"\]\(([^)]+)\)", TEXT))
    assert listed == {each.name for each in (ROOT / "examples").iterdir() if each.suffix in (".py", ".json", ".scxml")}


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) == 6


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_runs_and_prints_something(command: list[str]) -> None:
    program = [sys.executable, *([] if command[0] == "python" else ["-m", "stateward.cli"])]
    done = subprocess.run([*program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout

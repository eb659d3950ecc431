"""Every block of the README is run: Python as one program, output compared, commands called."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "text", "sh"}


def test_the_python_blocks_run_in_order_and_print_what_the_text_blocks_say() -> None:
    names: dict[str, Any] = {"__name__": "readme"}
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        for number, (kind, block) in enumerate(BLOCKS):
            if kind == "python":
                exec(compile(block, f"README.md block {number}", "exec"), names)
    assert printed.getvalue() == "".join(block for kind, block in BLOCKS if kind == "text")


def test_the_commands_run(tmp_path: Path) -> None:
    commands = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(commands) >= 4
    (tmp_path / "examples").symlink_to(ROOT / "examples")  # what is written goes elsewhere than into the project
    for command in commands:
        program, *arguments = shlex.split(command)
        if program == "make":  # a dry run: these very tests are among what it would run
            words = ["make", "-C", str(ROOT), "--dry-run", *arguments]
        else:
            assert program == "stateward"
            words = [sys.executable, "-m", "stateward.cli", *arguments]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        assert done.stdout
    assert (tmp_path / "orders.db").exists()

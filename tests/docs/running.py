"""How a page is run: its Python as one program, its commands as somebody types them, in a folder of its own.

- `python`: the blocks of a page share their names. A block whose first line is `# shop.py` is a file of that name
  instead, which a command further down must use.
- `sh`: each command is run, in order. `# refused: exit code 3` behind one says that it ends with that. `stateward` and
  `python FILE` run in this process, everything else in a shell. `console` is the same, with `$ ` before each command
  and what it prints beneath.
- `text` behind either is what it prints. There, `...` stands for anything within a line, and as a line for any lines.
- `make` and `pip install` are not run but looked at: the goal is one of the Makefile's, the package is this one.
- Commands that go on until they are stopped are started, waited for, and stopped: `LASTING` says when.
- `toml`, `json`, `yaml`, `xml` are parsed, `sql` is run on a fresh ledger and rolled back, `mermaid` is read.
- A block without a language is a drawing. Any other language is a fault; so is a block that comes to nothing.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import re
import runpy
import shlex
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from xml.etree import ElementTree

import pytest
import yaml

from stateward.cli import main
from stateward.engine import Engine
from tests.docs.blocks import ROOT, Block, Page
from tests.docs.servers import Server

__all__ = ["Fixture", "run_page"]

Fixture = Callable[[Path], contextlib.AbstractContextManager[Mapping[str, str]]]
"""What a page needs around it, a server say: made in its folder, it gives what stands in the page and what is meant."""

COMMAND_S = 120
EXIT_CODE = re.compile(r"\s+# (?:[^#]*: )?exit code (\d+)\s*$")
DRAWN = "─│▼▶"
PROGRAMS = {"stateward", "python", "curl", "cat", "ls", "head", "make", "pip", "cd", "export", "sqlite3"}
"""What a command may begin with; another one is a fault until somebody has thought about it."""
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|localhost):\d+")


class Lasting(NamedTuple):
    """A command that goes on until it is stopped."""

    options: tuple[str, ...]
    """What is added to it here."""
    ready: re.Pattern[str]
    """What it prints on stderr when it works."""
    stays: bool
    """Whether it goes on up to the end of the page, and not only until it works."""


LASTING = {
    "run": Lasting((), re.compile(r" works on \d+ of \d+ parts"), stays=False),
    "serve": Lasting(("--port", "0"), ADDRESS, stays=True),
}
COMMAND = [sys.executable, "-m", "stateward.cli"]
"""What such a command is, as a process of its own."""
ELSEWHERE = {"stateward demo": "tests/demo/test_demo.py"}
"""Commands that take long and have tests of their own, by all of their text."""


@contextlib.contextmanager
def _logging_as_it_was() -> Generator[None]:
    """What a page sets up is its own."""
    logger = logging.getLogger("stateward")
    level, handlers = logger.level, list(logger.handlers)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.handlers[:] = handlers


def run_page(page: Page, folder: Path, fixture: Fixture | None = None) -> None:
    """Run a page in a folder; a fault is an AssertionError that names the page and the line."""
    (folder / "examples").symlink_to(ROOT / "examples")
    with contextlib.ExitStack() as around:
        patch = around.enter_context(pytest.MonkeyPatch.context())
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setenv("NO_PROXY", "127.0.0.1")
        patch.setenv("NO_COLOR", "1")
        patch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT / "src"))))
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        for name in [name for name in os.environ if name.startswith("STATEWARD_")]:
            patch.delenv(name)
        around.callback(_forget_modules, folder)
        around.enter_context(_logging_as_it_was())
        run = _Run(page, folder, around)
        if fixture is not None:
            run.meant.update(around.enter_context(fixture(folder)))
        for block in page.blocks:
            run.take(block)
        run.end()


class _Run:
    """A page while it is run."""

    def __init__(self, page: Page, folder: Path, around: contextlib.ExitStack) -> None:
        self.meant: dict[str, str] = {}
        """What stands in the page, and what is meant here: addresses of servers."""
        self._page = page
        self._folder = folder
        self._around = around
        self._names: dict[str, Any] = {"__name__": "docs"}
        self._printed: str | None = None
        """What the block before this one has printed, and no block has told yet."""
        self._must_be_told = False
        self._files: dict[str, Block] = {}
        """Files that no command has used yet."""
        self._block = Block("", "", 0, None)

    def fail(self, problem: str) -> NoReturn:
        raise AssertionError(f"{self._page.name}:{self._block.line}: {problem}")

    def take(self, block: Block) -> None:
        if block.language != "text":
            self._expect_nothing_untold()
        self._block = block
        if block.not_run is not None:
            self._printed = None
            if block.language == "python":
                compile(block.text, f"{self._page.name}:{block.line}", "exec")
            return
        kinds: dict[str, Callable[[str], object]] = {
            "python": self._python, "sh": self._sh, "console": self._console, "text": self._text,
            "toml": self._toml, "json": json.loads, "yaml": yaml.safe_load, "xml": ElementTree.fromstring,
            "sql": _run_sql, "mermaid": _read_mermaid, "": self._drawing, "{toctree}": self._toctree,
        }  # fmt: skip
        if block.language not in kinds:
            self.fail(
                f"nothing is known of blocks of {block.language!r}: say what becomes of them in tests/docs/running.py"
            )
        try:
            is_commands = block.language in ("sh", "console")  # each is read when its time has come
            kinds[block.language](block.text if is_commands else self._in_meant(block.text))
        except AssertionError as error:
            if str(error).startswith(self._page.name):
                raise
            self.fail(str(error))
        except (ValueError, yaml.YAMLError, ElementTree.ParseError, sqlite3.Error) as error:
            if block.language == "python":
                raise
            self.fail(f"{type(error).__name__}: {error}")

    def end(self) -> None:
        self._expect_nothing_untold()
        for name, block in self._files.items():
            self._block = block
            self.fail(f"no command uses the file {name}")

    def _in_meant(self, text: str) -> str:
        for written, meant in self.meant.items():
            text = text.replace(written, meant)
        return text

    def _expect_nothing_untold(self) -> None:
        if self._printed and self._must_be_told:
            self.fail(f"it prints what no text block behind it tells:\n{self._printed}")
        self._printed = None

    # Languages.

    def _python(self, text: str) -> None:
        name = self._block.file
        if name is not None:
            self._write(name, text)
            return
        code = compile(text, f"{self._page.name}:{self._block.line}", "exec")
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(code, self._names)
        self._printed, self._must_be_told = printed.getvalue(), True

    def _toml(self, text: str) -> None:
        tomllib.loads(text)
        if self._block.file is not None:
            self._write(self._block.file, text)
            del self._files[self._block.file]

    def _sh(self, text: str) -> None:
        printed = "".join(self._command(self._in_meant(each)) for each in _commands(text))
        self._printed, self._must_be_told = printed, False

    def _console(self, text: str) -> None:
        parts = re.split(r"^\$ ", text, flags=re.MULTILINE)
        if parts[0] or len(parts) < 2:
            self.fail("a console block begins with `$ ` and a command")
        for part in parts[1:]:
            command, _, expected = part.partition("\n")
            self._compare(self._in_meant(expected), self._command(self._in_meant(command)))

    def _text(self, text: str) -> None:
        if self._printed is None:
            self.fail("it is printed by nothing: it stands behind no block that is run")
        self._compare(text, self._printed)
        self._printed = None

    def _compare(self, expected: str, printed: str) -> None:
        if printed and not printed.endswith("\n"):  # a page's line has an end in any case
            printed += "\n"
        if not _pattern(expected).fullmatch(printed):
            self.fail(f"what is printed is not what the page tells.\n--- the page\n{expected}--- printed\n{printed}")

    def _drawing(self, text: str) -> None:
        if not any(each in text for each in DRAWN):
            self.fail("a block without a language is a drawing; name the language of this one")

    def _toctree(self, text: str) -> None:
        pages = [line for line in text.splitlines() if line and not line.startswith(":")]
        missing = [each for each in pages if not (self._page.path.parent / f"{each}.md").exists()]
        if missing or not pages:
            self.fail(f"there are no such pages: {', '.join(missing)}")

    def _write(self, name: str, text: str) -> None:
        path = self._folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        importlib.invalidate_caches()  # what looks for modules may have seen the folder without it
        self._files[name] = self._block

    # Commands.

    def _command(self, command: str) -> str:
        """Run it, and give back what it prints."""
        expected = 0
        if found := EXIT_CODE.search(command):
            expected, command = int(found[1]), command[: found.start()]
        words = shlex.split(command, comments=True)
        if not words or words[0] not in PROGRAMS:
            self.fail(f"{command}: what `{words[0] if words else ''}` does is not known in tests/docs/running.py")
        self._use_files(command)
        if words[0] in ("make", "pip"):
            (_check_make if words[0] == "make" else _check_pip)(words[1:])
            return ""
        bare = " ".join(words).removesuffix(" &")
        if bare in ELSEWHERE:
            assert (ROOT / ELSEWHERE[bare]).exists()
            return ""
        if words[0] == "stateward" and len(words) > 1 and words[1] in LASTING and "--help" not in words:
            self._last(words[1:], LASTING[words[1]])
            return ""
        code, printed, talk = _run(command, words)
        if code != expected:
            self.fail(f"{command}: it ends with exit code {code}, not {expected}\n{printed}{talk}")
        return printed

    def _use_files(self, command: str) -> None:
        used = [name for name in self._files if name in command or f"{Path(name).stem}:" in command]
        if any(each in command for each in ("pytest", " init")):
            used = list(self._files)
        for name in used:
            del self._files[name]

    def _last(self, words: list[str], lasting: Lasting) -> None:
        words = [*words, *lasting.options]
        server = Server([*COMMAND, *[each for each in words if each != "&"]])
        self._around.callback(server.stop)
        found = server.wait(lasting.ready, COMMAND_S)
        if not lasting.stays:
            server.stop()
            return
        for written in set(ADDRESS.findall(self._page.text)):
            self.meant[written] = found


def _commands(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _run(command: str, words: list[str]) -> tuple[int, str, str]:
    """Its exit code, and what it prints to stdout and stderr."""
    is_plain = not re.search(r"[|<>;&$`*]", command)
    if is_plain and words[0] == "stateward":
        return _in_process(words, main)
    if is_plain and words[0] == "python" and not words[1].startswith("-"):
        return _in_process(words[1:], lambda: runpy.run_path(words[1], run_name="__main__"))
    done = subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, check=False, timeout=COMMAND_S, stdin=subprocess.DEVNULL
    )
    return done.returncode, done.stdout, done.stderr


def _in_process(words: list[str], call: Callable[[], object]) -> tuple[int, str, str]:
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(io.StringIO()) as printed,
        contextlib.redirect_stderr(io.StringIO()) as talk,
    ):
        patch.setattr(sys, "argv", words)
        try:
            call()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        finally:
            _forget_modules(Path.cwd())  # the next command is a new process
    return code, printed.getvalue(), talk.getvalue()


def _forget_modules(folder: Path) -> None:
    """As if the modules of a page's folder had not been imported."""
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(f"{folder}{os.sep}"):
            del sys.modules[name]


def _check_make(arguments: list[str]) -> None:
    """See that make has such goals; what it would run is not run, these very tests may be of it."""
    done = subprocess.run(
        ["make", "-C", str(ROOT), "--dry-run", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"make {' '.join(arguments)}: {done.stderr}"
    goals = re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    unknown = [each for each in arguments if "=" not in each and each not in goals]
    assert not unknown, f"make {' '.join(unknown)}: the Makefile has no such goal"


def _check_pip(arguments: list[str]) -> None:
    """See that what is installed is this project, with extras that it has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    verb, *packages = arguments
    assert verb == "install", f"pip {verb}: what is it for?"
    for each in packages:
        found = re.fullmatch(rf"{project['name']}(?:\[(?P<extras>[\w,]+)\])?", each)
        assert found is not None, f"pip install {each}: it is not this project"
        extras = set(found["extras"].split(",")) if found["extras"] else set[str]()
        assert extras <= set(project["optional-dependencies"]), f"pip install {each}: there is no such extra"


def _pattern(expected: str) -> re.Pattern[str]:
    """What the text of a page stands for."""
    lines = [
        r"(?:.*\n)*?" if line.strip() == "..." else r"[^\n]*?".join(map(re.escape, line.split("..."))) + r"[^\S\n]*\n"
        for line in expected.splitlines()
    ]
    return re.compile("".join(lines) + r"\n?")


def _run_sql(text: str) -> None:
    with Engine("ledger-of-sql-blocks.db", lifecycles=[]):
        pass
    with contextlib.closing(sqlite3.connect("ledger-of-sql-blocks.db", isolation_level=None)) as connection:
        connection.execute("BEGIN")
        statement = ""
        for line in text.splitlines(keepends=True):
            statement += line
            if sqlite3.complete_statement(statement):
                connection.execute(statement)
                statement = ""
        assert not statement.strip(), f"a statement without an end: {statement}"
        connection.execute("ROLLBACK")


def _read_mermaid(text: str) -> None:
    head, *lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert head.partition(" ")[0] in ("stateDiagram-v2", "flowchart", "sequenceDiagram"), (
        f"no drawing begins with {head}"
    )
    if head == "stateDiagram-v2":
        wrong = [line for line in lines if not re.fullmatch(r"(\[\*\]|\w+) --> (\[\*\]|\w+)( *: .+)?", line)]
        assert not wrong, f"no transitions: {wrong}"

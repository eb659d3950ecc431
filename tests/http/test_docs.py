"""docs/http.md: its commands are run against a real server, and the tests that it names exist."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from stateward.demo.orders import OrderLifecycle
from stateward.http.app import Api
from stateward.http.guarding import Token
from stateward.http.limits import Limits
from stateward.http.problems import PROBLEMS
from tests.http.services import StartService

HERE = Path(__file__).parent
TEXT = (HERE.parent.parent / "docs" / "http.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def ask(service_url: str, words: list[str]) -> httpx.Response:
    """What a command of curl asks."""
    headers: dict[str, str] = {}
    body: str | None = None
    url = ""
    rest = iter(words)
    for word in rest:
        if word == "-H":
            name, _, value = next(rest).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(rest)
        elif word.startswith("http"):
            url = word.replace("http://127.0.0.1:8000", service_url)
        else:
            assert word == "-s", word
    return httpx.request("GET" if body is None else "POST", url, headers=headers, content=body)


def fits(given: Any, wanted: Any) -> bool:
    """Whether a value is what a page says; `...` there is anything."""
    if wanted == "...":
        return True
    if isinstance(wanted, dict):
        return (
            isinstance(given, dict) and given.keys() == wanted.keys() and all(fits(given[k], wanted[k]) for k in given)
        )
    if isinstance(wanted, list):
        return isinstance(given, list) and len(given) == len(wanted) and all(map(fits, given, wanted))
    return bool(given == wanted)


def test_each_command_is_answered_as_the_page_says(start: StartService) -> None:
    service = start(lifecycles=[OrderLifecycle])
    asked = 0
    for (kind, block), (following, answer) in pairwise(BLOCKS):
        if kind == "sh" and following == "json":
            program, *words = shlex.split(block.replace("\\\n", " "))
            assert program == "curl"
            found = ask(service.url, words).json()
            assert fits(found, msgspec.json.decode(answer)), f"{block}\n{found}"
            asked += 1
    assert asked == 8


def test_every_option_of_serve_is_documented() -> None:
    from stateward.cli.serve import command

    options = {each for parameter in command.params for each in parameter.opts}
    rows = re.findall(r"^\| `(--[a-z-]+)[^`]*` \|", TEXT, re.MULTILINE)
    assert sorted(rows) == sorted(options)


def test_every_block_is_of_a_kind_that_is_looked_at() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "sh", "json", "toml"}


def test_the_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number, (kind, block) in enumerate(BLOCKS):
        if kind == "python":
            names: dict[str, Any] = {"__name__": "docs"}
            exec(compile(block, f"docs/http.md block {number}", "exec"), names)
            if isinstance(names.get("api"), Api):
                names["api"].close()
                names["engine"].close()


def test_what_a_file_of_tokens_holds_is_shown() -> None:
    import tomllib

    [entry] = tomllib.loads(next(block for kind, block in BLOCKS if kind == "toml"))["token"]
    assert set(entry) == set(Token.__struct_fields__)


def test_every_promise_names_a_test_that_exists() -> None:
    tests = "".join(path.read_text(encoding="utf-8") for path in HERE.glob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", TEXT)
    assert len(named) >= 10
    assert [each for each in named if f"def {each}(" not in tests] == []


def test_every_problem_and_every_limit_and_every_route_is_named(start: StartService) -> None:
    for name, (status, _) in PROBLEMS.items():
        [row] = [line for line in TEXT.splitlines() if line.startswith(f"| {status} |")]
        assert f"`{name}`" in row
    assert all(f"`{each}`" in TEXT for each in Limits.__struct_fields__)
    service = start(metrics=lambda: ("text/plain", b""))
    assert all(f"| `{each.method} {each.path}` |" in TEXT for each in service.api.operations)

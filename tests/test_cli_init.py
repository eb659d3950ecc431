"""`stateward init`: what it writes is right, runs, passes its own test and every check, and overwrites nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from click.testing import CliRunner, Result

from stateward.cli import root_group
from stateward.cli.init import _FILES

ROOT = Path(__file__).resolve().parent.parent
WAIT_S = 120.0


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(root_group(), ["init", *arguments], prog_name="stateward")
    assert done.exit_code == code, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def call(folder: Path, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a module of Python in a project, as somebody would who has installed stateward."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "STATEWARD_", "PYTEST_"))}
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=WAIT_S,
        env=kept | {"PYTHONPATH": str(ROOT / "src"), "MYPYPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done


def stateward(folder: Path, *arguments: str, code: int = 0) -> str:
    return call(folder, "stateward.cli", *arguments, code=code).stdout


def test_the_project_of_an_order_lives(here: Path) -> None:
    """Its test passes, and the commands of its README work, in their order."""
    done = init("shop")
    assert [Path(each) for each in done.stdout.splitlines()] == [
        Path("shop") / each
        for each in (
            "pyproject.toml", "README.md", ".gitignore", "shop/__init__.py", "shop/lifecycle.py", "shop/handlers.py",
            "shop/app.py", "tests/test_order.py",
        )
    ]  # fmt: skip
    assert done.stderr == "next: cd shop && pytest, and then as README.md says\n"
    folder = here / "shop"
    assert " passed" in call(folder, "pytest", "-p", "no:cacheprovider").stdout
    assert stateward(folder, "check", "shop") == "1 lifecycle checked: no findings\n"
    assert "draft" in stateward(folder, "diagram", "shop.lifecycle")
    stateward(folder, "create", "Order", "A-1", "price=100")
    assert "covers_price said no" in stateward(folder, "why", "Order", "A-1", "Submit", "amount=1", code=3)
    stateward(folder, "send", "Order", "A-1", "Submit", "amount=100")
    assert "Order A-1 is in charging" in stateward(folder, "show", "Order", "A-1")
    work_until_active(folder)
    assert json.loads(stateward(folder, "census", "-o", "json")) == [
        {"kind": "Order", "version": 1, "state": "active", "count": 1}
    ]
    assert ": no findings" in stateward(folder, "doctor")
    assert served(folder, "/entities/Order/A-1")["state"] == "active"


def served(folder: Path, path: str) -> dict[str, Any]:
    """What `stateward serve` answers, on a port that is free."""
    words = [sys.executable, "-m", "stateward.cli", "serve", "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            [address] = [next(each[0] for line in process.stderr if (each := re.findall(r"http://[\d.:]+", line)))]
            with build_opener(ProxyHandler({})).open(f"{address}{path}", timeout=WAIT_S) as answer:
                found: dict[str, Any] = json.load(answer)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    return found


def work_until_active(folder: Path) -> None:
    """Have `stateward run` work until the order is active, by what it logs, and stop it as a person does."""
    words = [sys.executable, "-m", "stateward.cli", "run"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    with subprocess.Popen(words, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            assert any("charging -> active by Charged" in line for line in process.stderr)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
        finally:
            process.kill()
    assert process.returncode == 0


@pytest.mark.parametrize(
    "options",
    [(), ("--kind", "Subscription"), ("--kind", "LongInsuranceClaims", "--name", "claims_of_all_who_are_insured")],
)
def test_what_it_writes_passes_every_check(here: Path, options: Sequence[str]) -> None:
    folder = here / "my-shop"
    init(str(folder), *options)
    package = options[-1] if "--name" in options else "my_shop"
    call(folder, "ruff", "check", "--no-cache", ".")
    call(folder, "ruff", "format", "--no-cache", "--check", ".")
    # The sources of stateward itself are another check's: an installed package's are not looked at either.
    call(folder, "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(here / "mypy"), package, "tests")
    assert " passed" in call(folder, "pytest", "-p", "no:cacheprovider").stdout
    text = "".join(each.read_text(encoding="utf-8") for each in folder.rglob("*.*") if each.suffix in (".py", ".md"))
    assert "$" not in text
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["stateward"]["app"] == f"{package}.app:engine"
    assert project["project"]["dependencies"][0].startswith("stateward>=")


def test_nothing_is_overwritten_and_nothing_is_half_written(here: Path) -> None:
    (here / "tests").mkdir()
    mine = here / "tests" / "test_order.py"
    mine.write_text("# mine\n")
    told = init(".", "--name", "shop", code=4).stderr
    assert told == "Error: nothing is overwritten, and there is tests/test_order.py\n"
    assert [each for each in here.rglob("*") if each.is_file()] == [mine]
    mine.unlink()
    (here / "notes.txt").write_text("mine")
    init(".", "--name", "shop")
    assert (here / "notes.txt").read_text() == "mine"
    assert "next: pytest" in init("--name", "other", "other").stderr.replace("cd other && ", "")
    before = {each: each.read_bytes() for each in here.rglob("*") if each.is_file()}
    init(".", "--name", "shop", code=4)
    assert {each: each.read_bytes() for each in here.rglob("*") if each.is_file()} == before


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["json"], "json is no name for a package of your own: give another by --name"),
        (["shop", "--name", "a b"], "a b is no name for a package"),
        (["shop", "--name", "class"], "class is no name for a package"),
        (["7"], "7 is no name for a package"),
        (["tests"], "tests is no name for a package"),
        (["shop", "--kind", "order"], "'order' is no kind to begin with"),
        (["shop", "--kind", "Charge"], "'Charge' is no kind to begin with"),
        (["shop", "--kind", "True"], "'True' is no kind to begin with"),
        (["file.txt"], "file.txt' is a file"),
        (["file.txt/x"], "can't be written"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(here: Path, arguments: list[str], problem: str) -> None:
    (here / "file.txt").touch()
    assert problem in init(*arguments, code=2).stderr
    assert [each.name for each in here.iterdir()] == ["file.txt"]


def test_every_template_is_used_and_there() -> None:
    there = {each.name for each in files("stateward.cli").joinpath("project").iterdir()}
    assert there == set(_FILES.values())

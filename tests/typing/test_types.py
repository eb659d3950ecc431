"""The types are tested: what must pass passes, and each planted error is told by those that its line names."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from stateward import DefinitionError

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
MARKER = re.compile(r"# tell: ([a-z ]+)$")
DOC = ROOT / "docs" / "typing.md"


def marked(teller: str) -> set[int]:
    """The lines of wrong.py that a teller must complain of."""
    lines = (HERE / "wrong.py").read_text().splitlines()
    found = ((number, MARKER.search(line)) for number, line in enumerate(lines, start=1))
    return {number for number, match in found if match and teller in match[1].split()}


def told_by_mypy(name: str) -> set[int]:
    words = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", str(HERE / name)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return {int(number) for number in re.findall(rf"{name}:(\d+): error:", done.stdout)}


def told_by_basedpyright(name: str, tmp_path: Path) -> set[int]:
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps(
            {
                "typeCheckingMode": "strict",
                "include": [str(HERE / name)],
                "extraPaths": [str(ROOT / "src")],
                # What only says that the planted errors stand in functions nobody calls.
                **dict.fromkeys(("reportUnusedClass", "reportUnusedExpression", "reportUnknownMemberType"), False),
                **dict.fromkeys(("reportUnknownArgumentType", "reportUnknownLambdaType"), False),
            }
        )
    )
    words = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(settings)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {each["range"]["start"]["line"] + 1 for each in found if each["severity"] == "error"}


def test_mypy_passes_what_is_right_and_tells_each_planted_error() -> None:
    assert told_by_mypy("right.py") == set()
    assert told_by_mypy("wrong.py") == marked("mypy")


def test_basedpyright_passes_what_is_right_and_tells_each_planted_error(tmp_path: Path) -> None:
    assert told_by_basedpyright("right.py", tmp_path) == set()
    assert told_by_basedpyright("wrong.py", tmp_path) == marked("basedpyright")


def test_what_is_right_builds_and_runs() -> None:
    right = importlib.import_module("tests.typing.right")
    assert right.paid == 1
    assert right.machine.why(right.Ship()).lifecycle == "Right"


def wrong_module() -> ModuleType:
    """wrong.py without its lines at module level, which are wrong themselves."""
    source = (HERE / "wrong.py").read_text()
    kept = [line for line in source.splitlines() if not re.match(r"[A-Za-z].*# tell:", line)]
    module = ModuleType("wrong")
    exec(compile("\n".join(kept), "wrong.py", "exec", dont_inherit=True), module.__dict__)
    return module


def test_building_the_class_tells_what_it_is_said_to() -> None:
    module = wrong_module()
    lines = (HERE / "wrong.py").read_text().splitlines()
    planted = [
        name
        for name, _ in inspect.getmembers(module, inspect.isfunction)
        if any(line.startswith(f"def {name}() -> None:") for line in lines)
    ]
    assert len(planted) == len(marked("building"))
    for name in planted:
        with pytest.raises((DefinitionError, NameError)):
            getattr(module, name)()


def test_the_page_counts_what_the_markers_say() -> None:
    text = DOC.read_text()
    for teller in ("mypy", "basedpyright", "building"):
        assert f"{teller}: {len(marked(teller))}" in text, f"docs/typing.md: {teller} tells {len(marked(teller))}"
    assert f"holds {len(marked('mypy') | marked('building') | marked('basedpyright'))} planted errors" in text


@pytest.mark.parametrize("checker", ["mypy", "basedpyright"])
def test_what_a_checker_does_not_tell_is_on_the_page_and_told_by_building(checker: str) -> None:
    said = re.search(rf"- not told by {checker}: ((?:`\w+`[,\s]*)+)", DOC.read_text())
    assert said is not None
    lines = (HERE / "wrong.py").read_text().splitlines()
    around = {line: re.findall(r"^def (\w+)", "\n".join(lines[:line]), re.MULTILINE)[-1] for line in marked("building")}
    untold = {name for line, name in around.items() if line not in marked(checker)}
    assert set(re.findall(r"\w+", said[1])) == untold
    assert marked("mypy") | marked("basedpyright") | marked("building") == marked(checker) | {
        line for line, name in around.items() if name in untold
    }

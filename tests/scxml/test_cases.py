"""Conformance cases, and `stateward scxml` around them: what is a case, how it is decided, what is printed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stateward.cli.scxml import command
from stateward.scxml.cases import find_cases, run_case
from tests.scxml.documents import document

PASSING = document(
    '<state id="a"><onentry><send event="go" delay="10s"/></onentry><transition event="go" target="pass"/></state>'
    '<final id="pass"/><final id="fail"/>'
)
FAILING = PASSING.replace('event="go" target="pass"', 'event="go" target="fail"')
STUCK = PASSING.replace('event="go" target="pass"', 'event="never" target="pass"')
LOOPING = document('<state id="a"><transition cond="True" target="a"/></state><final id="pass"/>')
DOOR = document(
    '<datamodel><data id="size" expr="0"/></datamodel><state id="shut">'
    '<onentry><log label="size" expr="size"/></onentry>'
    '<transition event="open" target="open"><assign location="size" expr="_event.data"/></transition></state>'
    '<state id="open"><onentry><send event="close" delay="2s"/></onentry>'
    '<transition event="close" target="shut"/><transition event="lock" target="locked"/></state><final id="locked"/>'
)


def expectation(*events: tuple[float, str, str], start: str = "shut") -> str:
    """A `.json` file: milliseconds to wait, an event, and the state expected after it."""
    given = [{"after": ms, "event": {"name": name}, "nextConfiguration": [state]} for ms, name, state in events]
    return json.dumps({"initialConfiguration": [start], "events": given})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "passing.scxml").write_text(PASSING)
    (tmp_path / "deep" / "door.scxml").write_text(DOOR)
    (tmp_path / "deep" / "door.json").write_text(expectation((0, "open", "open"), (2000, "look", "shut")))
    (tmp_path / "part.scxml").write_text(document('<state id="a"/>'))
    return tmp_path


def run(*arguments: object, code: int = 0) -> Result:
    """The command, held against what it should exit with."""
    result = CliRunner().invoke(command, [str(each) for each in arguments])
    assert result.exit_code == code, result.output
    return result


def test_a_folder_holds_the_cases_below_it_but_not_their_parts(folder: Path) -> None:
    assert [path.name for path in find_cases(folder)] == ["door.scxml", "passing.scxml"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PASSING, ""),
        (FAILING, "it ended in fail, and not in pass"),
        (STUCK, "it ended in a, and not in pass"),
        (LOOPING, "this repeats: always:a"),
        ("<scxml", "is no XML"),
        (document('<state id="a"><onentry><rise/></onentry></state>'), "<rise> is no element"),
    ],
    ids=["passing", "failing", "stuck", "looping", "no XML", "wrong element"],
)
def test_a_document_is_decided_by_where_it_ends(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "case.scxml"
    path.write_text(text)
    verdict = run_case(path)
    assert verdict.passed == (not reason)
    assert reason in verdict.reason


@pytest.mark.parametrize(
    ("expected", "reason"),
    [
        (expectation(), ""),
        (expectation(start="open"), "at the start it is in shut, and not in open"),
        (expectation((0, "open", "open"), (0, "close", "shut")), ""),
        (expectation((0, "open", "open"), (1999, "look", "open"), (1, "look", "shut")), ""),
        (
            expectation((0, "open", "open"), (2000, "look", "open")),
            "after event 2, look, it is in shut, and not in open",
        ),
        ("[]", "door.json: "),
        ("{", "door.json: "),
    ],
    ids=["start", "wrong start", "events", "time", "too much time", "no expectation", "no JSON"],
)
def test_a_document_with_expectations_is_held_against_them(expected: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "door.scxml").write_text(DOOR)
    (tmp_path / "door.json").write_text(expected)
    verdict = run_case(tmp_path / "door.scxml")
    assert verdict.passed == (not reason)
    assert reason in verdict.reason


# The command.


def test_the_test_command_writes_a_line_for_each_case_and_the_sum(folder: Path) -> None:
    lines = run("test", folder).stdout.splitlines()
    assert lines == [f"passed  {folder}/deep/door.scxml", f"passed  {folder}/passing.scxml", "2 passed, 0 failed"]


def test_the_test_command_fails_with_a_reason(folder: Path) -> None:
    (folder / "failing.scxml").write_text(FAILING)
    lines = run("test", folder / "failing.scxml", folder / "passing.scxml", code=1).stdout.splitlines()
    assert lines[0] == f"FAILED  {folder}/failing.scxml: it ended in fail, and not in pass"
    assert lines[-1] == "1 passed, 1 failed"


def test_a_folder_without_a_case_is_a_mistake(tmp_path: Path) -> None:
    assert "there is no case in" in run("test", tmp_path, code=2).output
    run("test", tmp_path / "none", code=2)


def test_the_run_command_shows_the_configuration_after_each_event(folder: Path) -> None:
    result = run("run", folder / "deep" / "door.scxml", 'open={"wide": true}', "+1s", "+1s", "-o", "jsonl")
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(row["event"], row["configuration"]) for row in rows] == [
        ("", "shut"),
        ('open={"wide": true}', "open"),
        ("+1s", "open"),
        ("+1s", "shut"),
    ]
    assert result.stderr.splitlines() == ["log: size: 0", "log: size: {'wide': True}"]


def test_the_run_command_says_what_is_still_due_and_what_has_finished(folder: Path) -> None:
    assert "a delayed event is due in 2 s" in run("run", folder / "deep" / "door.scxml", "open").stderr
    result = run("run", folder / "deep" / "door.scxml", "open", "lock")
    assert "due" not in result.stderr
    assert result.stdout.splitlines()[-1].split() == ["lock", "locked", "True"]


@pytest.mark.parametrize("event", ["open={", "+1parsec"])
def test_an_event_that_says_nothing_is_a_mistake(event: str, folder: Path) -> None:
    assert "Error" in run("run", folder / "deep" / "door.scxml", event, code=2).output


def test_a_missing_extra_is_told_with_what_to_install(folder: Path) -> None:
    code = (
        "import sys; sys.modules['defusedxml'] = None; sys.argv = ['stateward', 'scxml', 'test', '.']\n"
        "from stateward.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "Error: defusedxml is not installed: pip install 'stateward[scxml]'\n"


def test_the_export_command_writes_a_lifecycle(tmp_path: Path) -> None:
    shown = run("export", "stateward.demo.orders:OrderLifecycle").stdout
    assert shown.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<scxml ')
    run("export", "stateward.demo.orders:OrderLifecycle", "--output", tmp_path / "order.scxml")
    assert (tmp_path / "order.scxml").read_text() == shown
    assert run("run", tmp_path / "order.scxml", "Pay").stdout.splitlines()[-1].split() == ["Pay", "paying", "False"]

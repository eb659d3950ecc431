"""docs/cli.md, the reference of the command line: as the commands say."""

from __future__ import annotations

import os
from pathlib import Path

import click
import pytest

from stateward.cli import root_group
from stateward.cli.reference import write_reference

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"


def test_the_reference_is_what_the_commands_say_golden() -> None:
    text = write_reference()
    if os.environ.get("STATEWARD_GOLDEN") == "write":
        PAGE.write_text(text, encoding="utf-8")
    assert text == PAGE.read_text(encoding="utf-8"), f"{PAGE.name} has drifted; after a look: make golden"


def test_every_command_and_option_is_in_it() -> None:
    text = write_reference()
    group = root_group()
    root = click.Context(group, info_name="stateward")
    for name in group.list_commands(root):
        command = group.get_command(root, name)
        assert command is not None
        assert f"\n## `stateward {name}`\n" in text
        section = text.partition(f"\n## `stateward {name}`\n")[2].partition("\n## ")[0]
        options = [each for parameter in command.params for each in parameter.opts if each.startswith("--")]
        assert [each for each in options if each not in section] == []


def test_it_does_not_depend_on_where_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    before = write_reference()
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("STATEWARD_APP", "shop.app:engine")
    assert write_reference() == before
    assert "\b" not in before

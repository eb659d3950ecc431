"""The options of commands that go on until they are told to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["grace_option", "log_level_option"]

F = TypeVar("F", bound=Callable[..., Any])


def grace_option(command: F) -> F:
    """Give a command `--grace`, in seconds."""
    option = click.option(
        "--grace",
        type=click.FloatRange(min=0),
        default=30.0,
        show_default=True,
        metavar="SECONDS",
        help="How long what goes on may take to end when it is told to stop.",
    )
    return option(command)


def log_level_option(command: F) -> F:
    """Give a command `--log-level`."""
    option = click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        default="info",
        show_default=True,
        help="What is logged to stderr, unless the application has set up logging.",
    )
    return option(command)

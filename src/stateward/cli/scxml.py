"""`stateward scxml`: documents run, tested, and written from lifecycles."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stateward.cli.output import output_option, write_rows
from stateward.cli.suggesting import Suggesting

if TYPE_CHECKING:
    from datetime import timedelta

    from stateward.scxml import Session, VirtualClock

__all__ = ["command"]

_EXISTING = click.Path(exists=True, path_type=Path)
_DOCUMENT = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group("scxml", cls=Suggesting, short_help="Run and test SCXML documents; write a lifecycle as one.")
def command() -> None:
    """SCXML 1.0 documents: run, tested, and written from lifecycles. All time in them is virtual."""


@command.command("test")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=_EXISTING)
@output_option
@click.pass_context
def _test(ctx: click.Context, paths: tuple[Path, ...], output: str) -> None:
    r"""Run conformance cases: a line for each, and how many passed.

    A case is a document that ends in the top-level final state `pass` or fails, or a document with a .json file
    beside it that lists events and the atomic states expected after each. Of a folder, all cases in it and below are
    run. The exit code is 1 if any failed.

    \b
    Examples:
        stateward scxml test tests/scxml/w3c
        stateward scxml test case.scxml -o jsonl
    """
    from stateward.scxml.cases import find_cases, run_case

    rows: list[dict[str, object]] = []
    for path in (each for given in paths for each in find_cases(given)):
        verdict = run_case(path)
        rows.append({"path": str(path), "passed": verdict.passed, "reason": verdict.reason})
        if output == "table":
            click.echo(f"passed  {path}" if verdict.passed else f"FAILED  {path}: {verdict.reason}")
    if output != "table":
        write_rows(rows, output, titles={})
    passed = sum(bool(each["passed"]) for each in rows)
    failed = len(rows) - passed
    if not passed + failed:
        message = f"there is no case in {', '.join(map(str, paths))}"
        raise click.UsageError(message)
    click.echo(f"{passed} passed, {failed} failed", err=output != "table")
    ctx.exit(1 if failed else 0)


@command.command("run")
@click.argument("file", type=_DOCUMENT)
@click.argument("events", metavar="[EVENT]...", nargs=-1)
@output_option
def _run(file: Path, events: tuple[str, ...], output: str) -> None:
    r"""Run the document FILE and print its configuration at the start and after each EVENT.

    An EVENT is a name, `order.paid`, or a name with data in JSON, `order.paid={"amount": 5}`. Time stands still but
    for `+1s` or `+500ms` among the events, which lets it pass; delayed events come when theirs has come. What the
    document logs goes to stderr.

    \b
    Example:
        stateward scxml run microwave.scxml turn.on +5s door.open
    """
    from stateward.scxml import Session, VirtualClock, read_file

    clock = VirtualClock()
    session = Session(read_file(file), clock=clock, on_log=_log)
    rows = [_row("", session)]
    for each in events:
        _apply(each, session, clock)
        rows.append(_row(each, session))
    write_rows(rows, output, titles={"event": "event", "configuration": "configuration", "finished": "finished"})
    if session.next_due is not None:
        left = (session.next_due - clock.now()).total_seconds()
        click.echo(f"a delayed event is due in {left:g} s; +{left:g}s among the events lets that time pass", err=True)


def _apply(event: str, session: Session, clock: VirtualClock) -> None:
    """Send an event, or let time pass."""
    import json

    from stateward.scxml.cases import let_pass

    if event.startswith("+"):
        let_pass(session, clock, clock.now() + _duration(event))
        return
    name, equals, data = event.partition("=")
    try:
        session.send(name, json.loads(data) if equals else None)
    except json.JSONDecodeError as error:
        message = f"{event!r}: the data are no JSON ({error})"
        raise click.UsageError(message) from None


def _duration(text: str) -> timedelta:
    from stateward.scxml import EvaluationError
    from stateward.scxml.attributes import parse_delay

    try:
        return parse_delay(text)
    except EvaluationError as error:
        raise click.UsageError(str(error)) from None


def _row(event: str, session: Session) -> dict[str, object]:
    return {"event": event, "configuration": "|".join(session.configuration), "finished": session.is_finished}


def _log(label: str, value: object) -> None:
    text = f"log: {label}: {value}" if label else f"log: {value}"
    # A document can make half a character, which no terminal can show.
    click.echo(text.encode(errors="backslashreplace").decode(), err=True)


@command.command("export")
@click.argument("target")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to this file instead of stdout.")
def _export(target: str, output: Path | None) -> None:
    r"""Write the lifecycle TARGET, package.module:Class, as an SCXML document.

    Its structure, events, timers and the names of its guards and actions are written; the functions themselves are
    Python, and stay behind.

    \b
    Example:
        stateward scxml export shop.orders:OrderLifecycle --output order.scxml
    """
    from stateward.cli.targets import find_one_chart
    from stateward.scxml import write

    text = write(find_one_chart(target).chart)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")

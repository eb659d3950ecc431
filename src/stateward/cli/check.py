"""`stateward check`: definition errors and lint findings, for people and for continuous integration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from stateward.cli.output import output_option, write_rows

if TYPE_CHECKING:
    from stateward.chart.lint import Finding
    from stateward.cli.targets import Failure

__all__ = ["command"]

_TITLES = {"origin": "where", "severity": "severity", "rule": "rule", "subject": "what", "message": "message"}


@click.command("check")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@output_option
@click.pass_context
def command(ctx: click.Context, targets: tuple[str, ...], output: str) -> None:
    r"""Look for definition errors and doubtful things in lifecycles.

    A TARGET is a package with all its modules, a module, or package.module:Class. The exit code is 1 with any error
    or warning, and 2 if a module can't be imported for another reason; an info changes nothing.

    \b
    Examples:
        stateward check shop
        stateward check shop.orders:OrderLifecycle -o jsonl
    """
    from stateward.chart.lint import lint
    from stateward.cli.targets import Found, walk_charts

    findings: list[Finding] = []
    broken: list[Failure] = []
    charts: set[int] = set()
    for result in (each for target in targets for each in walk_charts(target)):
        if isinstance(result, Found):
            if id(result.chart) not in charts:
                findings += lint(result.chart)
            charts.add(id(result.chart))
        elif result.definition_error is not None:
            findings.append(_of_definition(result))
        else:
            broken.append(result)
    findings = list(dict.fromkeys(findings))
    write_rows([_row(each, output) for each in findings], output, titles=_TITLES)
    for failure in broken:
        click.echo(f"Error: {failure}", err=True)
    # For a program only the findings are data; for people the sum is part of the answer.
    click.echo(_summary(len(charts), findings), err=output != "table")
    if broken:
        ctx.exit(2)
    ctx.exit(1 if any(each.severity != "info" for each in findings) else 0)


def _of_definition(failure: Failure) -> Finding:
    from stateward.chart.lint import Finding

    error = failure.definition_error
    assert error is not None
    return Finding("SW001", "error", error.lifecycle, error.subject, error.problem, failure.origin)


def _row(finding: Finding, output: str) -> dict[str, str]:
    """A finding as it is, for a program; for people, its subject in full and its file from here."""
    from msgspec.structs import asdict

    row: dict[str, str] = asdict(finding)
    if output != "table":
        return row
    subject = f"{finding.lifecycle} {finding.subject}".strip()
    here = f"{Path.cwd()}/"
    return row | {"subject": subject, "origin": finding.origin.removeprefix(here) or "-"}


def _summary(charts: int, findings: list[Finding]) -> str:
    counts = [
        f"{count} {severity}{'s' if count != 1 else ''}"
        for severity in ("error", "warning", "info")
        if (count := sum(each.severity == severity for each in findings))
    ]
    return f"{charts} lifecycle{'s' if charts != 1 else ''} checked: {', '.join(counts) or 'no findings'}"

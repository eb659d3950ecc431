"""`stateward completion`: what makes a shell complete commands, options, kinds, ids and events."""

from __future__ import annotations

import click

__all__ = ["command"]

PROGRAM, VARIABLE = "stateward", "_STATEWARD_COMPLETE"
"""What the shell completes, and the variable by which it asks."""


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    r"""Print a script for a SHELL; it asks `stateward` whenever a line is to be completed.

    Commands and options are completed anywhere; kinds, ids and events where an application is named by STATEWARD_APP,
    by pyproject.toml in the current directory, or by --app before them: its engine is made then. Of ids, those among
    the first 1000.

    \b
    Examples:
        eval "$(stateward completion bash)"                                  # in ~/.bashrc
        eval "$(stateward completion zsh)"                                   # in ~/.zshrc
        stateward completion fish > ~/.config/fish/completions/stateward.fish
    """
    from click.shell_completion import get_completion_class

    completing = get_completion_class(shell)
    assert completing is not None
    click.echo(completing(ctx.find_root().command, {}, PROGRAM, VARIABLE).source())

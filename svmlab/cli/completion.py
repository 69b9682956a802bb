"""``svmlab completion``: what a shell needs to complete svmlab's commands, options and names."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

__all__ = ["completion"]


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that teaches a shell to complete svmlab: commands, options, machines, presets, views.

    bash: eval "$(svmlab completion bash)" in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish: svmlab completion
    fish > ~/.config/fish/completions/svmlab.fish
    """
    root = click.get_current_context().find_root().command
    made = get_completion_class(shell)
    if made is None:  # click knows all three
        raise click.BadParameter(shell)
    complete = made(root, {}, "svmlab", "_SVMLAB_COMPLETE")
    click.echo(complete.source_template % complete.source_vars())

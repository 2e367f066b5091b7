# SPDX-License-Identifier: GPL-2.0-only
"""`xm completion`: the completion script of a shell."""

from __future__ import annotations

import click

from xm_tmem.cli.session import Session
from xm_tmem.cli.shells import SHELLS, script
from xm_tmem.cli.verb import Verb, word


@click.command(
    "completion",
    cls=Verb,
    connects=False,
    examples=[
        (
            "xm completion bash > ~/.local/share/bash-completion/completions/xm",
            "for bash, from the next shell on",
        ),
        ("xm completion zsh > ~/.zsh/_xm", "for zsh, where ~/.zsh is in $fpath"),
        ("xm completion fish > ~/.config/fish/completions/xm.fish", "for fish"),
    ],
)
@click.argument("shell", type=word(SHELLS))
@click.pass_obj
def completion(session: Session, shell: str) -> None:
    """Print the completion script of a shell.

    SHELL is bash, zsh or fish. The scripts are static and quick; only names of domains are looked up, for a tenth of
    a second at most.
    """
    session.write(script(shell))

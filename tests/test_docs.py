# SPDX-License-Identifier: GPL-2.0-only
"""Every command has help with examples, a man page, a line in README or guide, completion, and a test of its argv."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from tests.optional import need
from xm_tmem.cli.commands import COMMANDS, SECTIONS
from xm_tmem.cli.generate import generated
from xm_tmem.cli.group import xm
from xm_tmem.cli.session import Session
from xm_tmem.cli.tree import Command, walk
from xm_tmem.settings import SETTINGS

ROOT = Path(__file__).parent.parent
TREE = list(walk())
GENERATED = generated()
LEAVES = [command for command in TREE if not command.subcommands]


def name(command: Command) -> str:
    return " ".join(command.path)


@pytest.mark.parametrize("entry", COMMANDS, ids=str)
def test_the_table_says_what_the_command_says(entry: str) -> None:
    (command,) = (c for c in TREE if c.path == (entry,))
    assert COMMANDS[entry].summary == command.summary
    assert COMMANDS[entry].section in SECTIONS


@pytest.mark.parametrize("command", TREE, ids=name)
def test_every_command_and_option_has_help(command: Command) -> None:
    assert command.summary.endswith(".")
    assert all(option.help for option in command.options), command.path


@pytest.mark.parametrize("command", LEAVES, ids=name)
def test_every_command_has_examples_that_parse(command: Command) -> None:
    assert command.examples
    for line, meaning in command.examples:
        assert meaning
        for words in commands_of(line):
            if words[:1] == ["xm"]:
                parse(words[1:])


def commands_of(line: str) -> list[list[str]]:
    """The words of each command in a shell line with pipes and redirections."""
    commands: list[list[str]] = [[]]
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;>")
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("|&;>"):
            commands.append([])
        else:
            commands[-1].append(word)
    return commands


def parse(words: list[str]) -> None:
    """Parse a command line without invoking it; files it names need not exist."""
    context = xm.make_context("xm", words, obj=Session({}))
    while isinstance(context.command, click.Group):
        word, command, rest = context.command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert command is not None
        try:
            context = command.make_context(word, rest, parent=context)
        except click.BadParameter as error:
            if "No such file" not in error.format_message():
                raise
            return


@pytest.mark.parametrize("path", GENERATED, ids=str)
def test_generated_files_are_fresh(path: str) -> None:
    assert (ROOT / path).exists(), f"{path} is not there: run `make completions`"
    assert (ROOT / path).read_text(encoding="utf-8") == GENERATED[path], (
        f"{path} is stale: run `make completions`"
    )


def test_the_short_name_of_help_is_told_too() -> None:
    for command in TREE:
        assert any("-h" in option.names and "--help" in option.names for option in command.options), (
            command.path
        )


def test_no_man_page_is_left_of_a_command_that_is_gone() -> None:
    assert {f"docs/man/{path.name}" for path in (ROOT / "docs" / "man").iterdir()} <= GENERATED.keys()


def test_the_man_pages_are_clean_roff() -> None:
    groff = need("groff")
    pages = sorted((ROOT / "docs" / "man").iterdir())
    ran = subprocess.run(
        [groff, "-man", "-ww", "-Tutf8", *map(str, pages)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ran.stderr == ""
    assert "tmem-freeze" in ran.stdout


@pytest.mark.parametrize("command", TREE[1:], ids=name)
def test_every_command_is_in_the_readme_or_the_guide(command: Command) -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "guide.md").read_text()
    assert re.search(rf"xm (-\S+ )*{' '.join(command.path)}\b", text) or f"`{name(command)}`" in text


@pytest.mark.parametrize("command", LEAVES, ids=name)
def test_every_command_has_a_test_from_its_argv(command: Command) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    words = r'",\s*"'.join(command.path)
    assert re.search(rf'"{words}"', text)


@pytest.mark.parametrize("setting", [setting.key for setting in SETTINGS])
def test_every_setting_is_in_the_guide(setting: str) -> None:
    assert f"`{setting}`" in (ROOT / "docs" / "guide.md").read_text()


def test_the_commands_shown_in_readme_and_guide_exist() -> None:
    known = {c.path[0] for c in TREE if c.path}
    for page in ("README.md", "docs/guide.md"):
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL):
            for line in block.splitlines():
                words = line.removeprefix("$ ").split()
                if words[:1] == ["xm"]:
                    verbs = [word for word in words[1:] if word in known or word.startswith("tmem-")]
                    assert not verbs or verbs[0] in known, f"{page}: {line}"

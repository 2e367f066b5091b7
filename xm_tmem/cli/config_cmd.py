# SPDX-License-Identifier: GPL-2.0-only
"""`xm config`: write a config file with comments; show the settings in force and where each comes from."""

from __future__ import annotations

import os
from collections.abc import Mapping

import click

from xm_tmem.cli.grid import Heading, show_rows
from xm_tmem.cli.session import Session
from xm_tmem.cli.verb import Verb, option
from xm_tmem.errors import BadInput, Failed
from xm_tmem.settings import SETTINGS, Setting, Settings, user_config_file

HEADINGS = (
    Heading("setting", "text", "its key in a config file"),
    Heading("value", "text", "the value in force"),
    Heading("origin", "text", "where it comes from"),
    Heading("environment", "text", "the variable that sets it"),
)
_HEAD = """\
# Settings of xm. A setting behind a # has its built-in value; take the # away to change it.
# The environment variable named with it wins over this file, and an option of the command line over both.
"""


@click.group("config", context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def config() -> None:
    """Write a config file, or show the settings in force.

    \b
    Settings come from /etc/xm/config.yaml, then $XDG_CONFIG_HOME/xm/config.yaml (~/.config without it),
    then the environment (XM_CONNECT, XM_OUTPUT, ...), then the command line. XM_CONFIG names a file
    to be used instead of the two.
    """


@config.command(
    "init",
    cls=Verb,
    connects=False,
    examples=[
        ("xm config init", "write ~/.config/xm/config.yaml"),
        ("xm config init --stdout", "print it instead"),
    ],
)
@option("--force", is_flag=True, help="Overwrite a file that is there.")
@option("--stdout", "to_stdout", is_flag=True, help="Print the file instead of writing it.")
@click.pass_obj
def init(session: Session, force: bool, to_stdout: bool) -> None:
    """Write a config file with every setting and what it is for."""
    text = template()
    if to_stdout:
        session.write(text)
        return
    path = session.environ.get("XM_CONFIG") or user_config_file(session.environ)
    write_config(path, text, force=force)
    session.note(f"wrote {path}")


@config.command(
    "show",
    cls=Verb,
    connects=False,
    examples=[
        ("xm config show", "every setting, its value and its origin"),
        ("xm config show -o json", "the same for a program"),
    ],
)
@click.pass_obj
def show(session: Session) -> None:
    """Show the settings in force and where each comes from."""
    rows = [
        (
            setting.key,
            shown(session.settings, setting),
            session.settings.origins[setting.key],
            setting.environment,
        )
        for setting in SETTINGS
    ]
    show_rows(session, "settings", HEADINGS, rows)


def shown(settings: Settings, setting: Setting) -> str:
    """A setting's value as it would be written in the environment."""
    value = getattr(settings, setting.attribute)
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, Mapping):
        return "; ".join(
            f"{name}: {' '.join(each) if isinstance(each, tuple) else each}" for name, each in value.items()
        )
    return f"{value:g}" if isinstance(value, float) else str(value)


def template() -> str:
    """The text of a config file that changes nothing yet."""
    parts = [_HEAD]
    for setting in SETTINGS:
        variable = f" ({setting.environment})" if setting.environment else ""
        parts.append(f"\n# {setting.purpose}{variable}\n#{setting.key}: {_yaml(setting.default)}\n")
    return "".join(parts)


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, (tuple, dict)):
        return "[]" if isinstance(value, tuple) else "{}"
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def write_config(path: str, text: str, *, force: bool) -> None:
    """Write `text` to `path`, making its directory. Raises BadInput when it is there and `force` is not given."""
    try:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise BadInput(f"{path} is there already; --force overwrites it") from None
    except OSError as error:
        raise Failed(f"cannot write {path}: {error.strerror}") from None

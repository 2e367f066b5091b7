# SPDX-License-Identifier: GPL-2.0-only
"""What is understood without click means what click makes of it: the same output, the same errors, the same status."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.xm_tmem.cli.conftest import Ran
from tests.xm_tmem.cli.test_process import LISTING, environment, imported
from xm_tmem.cli import run as run_module
from xm_tmem.cli.commands import COMMANDS
from xm_tmem.cli.declared import CHANGING, COMMON, DOMAINS, Declared, Option
from xm_tmem.cli.session import Session
from xm_tmem.cli.shortcut import understood

SMALL = b"G=Tt:1,Te:0\nC=CI:1,ww:7,fr:1,Ec:3\nP=CI:1,PI:0,PT:EP,Pc:3,gs:1,gt:2\nC=CI:2,ww:1,fr:0,Ec:0\nT\n"
DECLARED = {
    name: command for name, entry in COMMANDS.items() if isinstance(command := entry.load(), Declared)
}
Both = Callable[..., bool]


class Piped(io.BytesIO):
    name = "<stdin>"


def _interrupted(seconds: float) -> None:
    raise KeyboardInterrupt


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "saved.txt").write_bytes(SMALL)
    (tmp_path / "other.txt").write_bytes(SMALL.replace(b"ww:7", b"ww:9"))
    (tmp_path / "-odd").write_bytes(b"P=CI:9\n\x00junk")
    (tmp_path / "empty").mkdir()
    return tmp_path


@pytest.fixture
def both(
    directory: Path,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Both:
    """`both("list", XM_OUTPUT="json")`: with and without the shortcut the command does the same. Is it understood?"""
    monkeypatch.chdir(directory)
    monkeypatch.setattr("time.time", lambda: 1e9)
    monkeypatch.setattr("time.sleep", _interrupted)  # the end of a watch

    def ran(words: Sequence[str], environ: dict[str, str]) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Piped(SMALL)))
        capfd.readouterr()
        return Ran(run_module.run(words, environ), *capfd.readouterr())

    def compare(*words: str, **more: str) -> bool:
        seen: list[object] = []

        def noted(arguments: Sequence[str]) -> Callable[[Session], None] | None:
            seen.append(act := understood(arguments))
            return act

        runs = []
        for way in (noted, lambda arguments: None):
            monkeypatch.setattr(run_module, "understood", way)
            runs.append(ran(words, {**environ, **more}))
        assert runs[0] == runs[1]
        return seen != [None]

    return compare


UNDERSTOOD = [
    "list",
    "-c replay:saved.txt list",
    "-c replay:saved.txt list -o json",
    "-c replay:saved.txt -o csv list -o plain",
    "list -c replay:saved.txt -c replay:other.txt",
    "-c replay:other.txt list --connect=replay:saved.txt --color never",
    "-c replay:saved.txt -c replay:missing list",
    "-c replay:saved.txt -N -y list -q -v",
    "-c replay:saved.txt list -o raw",
    "-c nonsense list -o json",
    "--connect= list",
    "tmem-list",
    "-c replay:saved.txt tmem-list",
    "tmem-list -c replay:saved.txt -l",
    "tmem-list -c replay:saved.txt 1 2",
    "tmem-list -c replay:saved.txt 1 nobody -o json",
    "tmem-list -c replay:saved.txt -a",
    "tmem-list -c replay:saved.txt -a 1",
    "tmem-list -c replay:saved.txt -a 1 -o json",
    "tmem-list -c replay:saved.txt --sort -pages,domain --columns=+weight --units KiB --no-headings --legend",
    "tmem-list -c replay:saved.txt --filter weight>5 --by-client -o jsonl",
    "tmem-list -c replay:saved.txt --filter ((",
    "tmem-list -c replay:saved.txt --sort=",
    "tmem-list -c replay:saved.txt --color always -o table",
    "tmem-list -c replay:saved.txt -o yaml --output json",
    "tmem-list-parse",
    "tmem-list-parse -",
    "tmem-list-parse -o json",
    "tmem-list-parse saved.txt --compat",
    "tmem-list-parse ./-odd",
    "tmem-list-parse -q saved.txt -o prometheus",
]
LEFT_TO_CLICK = [
    "",
    "--version",
    "--help",
    "list --help",
    "list -h",
    "tmem-list -lq",
    "tmem-list -- 1",
    "tmem-list -o JSON",
    "tmem-list -ojson",
    "tmem-list -o",
    "tmem-list -o nonsense",
    "tmem-list --units kib",
    "tmem-list --long=1",
    "tmem-list --sort --watch",
    "tmem-list -c replay:saved.txt --watch --count 1",
    "tmem-list --count 3",
    "tmem-list --count x",
    "tmem-list --nonsense",
    "tmem-list -N",
    "tmem-lis",
    "-c",
    "-x list",
    "--long list",
    "list 1",
    "info -o json",
    "tmem-freeze -c replay:saved.txt 1",
    "nonsense",
    "tmem-list-parse missing.txt",
    "tmem-list-parse empty",
    "tmem-list-parse -odd",
    "tmem-list-parse - -",
]
SETTINGS = [
    {},
    {"XM_OUTPUT": "json"},
    {"XM_OUTPUT": "nonsense"},
    {"XM_UNITS": "KiB", "XM_COLUMNS": "+weight"},
    {"XM_CONNECT": "replay:saved.txt replay:other.txt"},
    {"XM_CONFIG": "config.yaml"},
    {"XM_CONFIG": "missing.yaml"},
]


@pytest.mark.parametrize("line", UNDERSTOOD)
def test_what_is_understood_is_what_click_makes_of_it(both: Both, directory: Path, line: str) -> None:
    (directory / "config.yaml").write_text(
        "connect: replay:other.txt\nunits: bytes\ngroups: {nonsense: [a]}\n"
    )
    for values in SETTINGS:
        assert both(*line.split(), **values)


@pytest.mark.parametrize("line", LEFT_TO_CLICK)
def test_the_rest_is_left_to_click(both: Both, line: str) -> None:
    assert not both(*line.split())


def test_a_config_file_that_is_none_is_refused_alike(both: Both, directory: Path) -> None:
    (directory / "config.yaml").write_text("nonsense: 1\n")
    both("-o", "json", "list", XM_CONFIG="config.yaml")


def test_without_standard_input_there_is_nothing_to_understand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert understood(["tmem-list-parse"]) is None


def _line(name: str, option: Option) -> list[str]:
    value = [] if option.is_switch else [option.words[-1] if option.words else "replay:saved.txt"]
    return [name, option.names[-1], *value]


@pytest.mark.parametrize(
    ("name", "option"),
    [
        pytest.param(name, option, id=f"{name} {option.names[-1]}")
        for name, command in DECLARED.items()
        for option in (*COMMON, *command.options)
    ],
)
def test_every_declared_option_is_understood_unless_its_value_is_converted(
    both: Both, name: str, option: Option
) -> None:
    line = _line(name, option) + (["-"] if DECLARED[name].argument != DOMAINS and name != "list" else [])
    assert both(*line, XM_CONNECT="replay:saved.txt") == (option.convert is None)


WORDS = [
    *DECLARED,
    *(name for command in DECLARED.values() for option in command.options for name in option.names),
    *(name for option in (*COMMON, *CHANGING) for name in option.names),
    *(
        "replay:saved.txt",
        "replay:missing",
        "saved.txt",
        "missing.txt",
        "-",
        "--",
        "",
        "1",
        "nobody",
        "-pages",
    ),
    *("json", "csv", "plain", "raw", "JSON", "KiB", "never", "weight>5", "domain", "+weight", "--watch"),
    *("--output=json", "--output=", "--sort=-pages", "--long=yes", "-oplain", "-lq", "-c=x", "--out", "-h"),
]


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(WORDS), max_size=2),
    st.sampled_from(list(DECLARED)),
    st.lists(st.sampled_from(WORDS), max_size=5),
    st.sampled_from(SETTINGS[:-1]),
)
def test_any_words_are_understood_as_click_does_or_not_at_all(
    both: Both, before: list[str], name: str, behind: list[str], values: dict[str, str]
) -> None:
    both("-c", "replay:saved.txt", *before, name, *behind, **values)


BY_CLICK = (
    "from xm_tmem.cli import run; run.understood = lambda arguments: None;"
    "from xm_tmem.__main__ import main; main()"
)


@pytest.mark.parametrize(
    "end", ["", "| head -1", ">&-", ">/dev/full", "<&-", "2>&-", ">&- 2>&-", "<saved.txt"]
)
@pytest.mark.parametrize("line", ["list", "tmem-list", "tmem-list -o raw", "tmem-list-parse", "tmem-list 7"])
def test_processes_end_alike(directory: Path, line: str, end: str) -> None:
    (directory / "saved.txt").write_bytes(LISTING)
    ran = [
        subprocess.run(
            [
                "bash",
                "-c",
                f'"$@" {end}; exit "${{PIPESTATUS[0]}}"',
                "bash",
                sys.executable,
                *start,
                *line.split(),
            ],
            env=environment(XM_CONNECT="replay:saved.txt"),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
        for start in (["-m", "xm_tmem"], ["-c", BY_CLICK])
    ]
    first, second = ((each.returncode, each.stdout, each.stderr) for each in ran)
    assert first == second


@pytest.mark.parametrize(
    "line", ["list", "tmem-list -l", "-o json tmem-list", f"tmem-list-parse --compat {os.devnull}"]
)
def test_what_is_understood_imports_no_click(tmp_path: Path, line: str) -> None:
    (tmp_path / "saved.txt").write_bytes(SMALL)
    found = imported("-c", f"replay:{tmp_path / 'saved.txt'}", *line.split())
    assert "xm_tmem.cli.shortcut" in found
    assert not {
        name for name in found if name.partition(".")[0] in ("click", "uuid", "datetime", "threading")
    }

# SPDX-License-Identifier: GPL-2.0-only
"""The completion scripts in the shells they are for, typed at as a person does, and asked for long lists."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.optional import need

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "completions"
Offered = Callable[[dict[str, str], str], list[str]]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Where `xm` is one that knows the domains web, db and `two words`, and remembers how it was asked."""
    fake = tmp_path / "bin" / "xm"
    fake.parent.mkdir()
    names = ("web", "web2", "two words", "$(touch pwned)", "*")
    lines = "".join(f"{name}\\tdomain {number}\\n" for number, name in enumerate(names, 1))
    fake.write_text(f"#!/bin/sh\necho \"$@\" >> {tmp_path}/asked\nprintf '{lines}'\n")
    fake.chmod(0o755)
    return {
        "HOME": str(tmp_path),
        "PATH": f"{fake.parent}:/usr/bin:/bin",
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }


def bash(environ: dict[str, str], line: str) -> list[str]:
    """What bash would offer for the last word of `line`."""
    need("bash")
    script = (
        f"source {SCRIPTS}/xm.bash\n"
        'COMP_LINE=$1; read -ra COMP_WORDS <<< "$1"; [[ $1 == *" " ]] && COMP_WORDS+=("")\n'
        'COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _xm; printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    ran = subprocess.run(
        ["bash", "--norc", "-c", script, "bash", line],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout.split("\n")[:-1] if ran.stdout != "\n" else []


def fish(environ: dict[str, str], line: str) -> list[str]:
    """What fish would offer for the last word of `line`."""
    need("fish")
    script = f"source {SCRIPTS}/xm.fish; complete -C (string join ' ' -- $argv[1])"
    ran = subprocess.run(
        ["fish", "--no-config", "-c", script, line],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    return [word.partition("\t")[0] for word in ran.stdout.splitlines()]


@pytest.mark.parametrize("offered", [bash, fish])
class TestWords:
    def test_commands(self, offered: Offered, environ: dict[str, str]) -> None:
        assert sorted(offered(environ, "xm tmem-set")) == [
            "tmem-set",
            "tmem-set-cap",
            "tmem-set-compress",
            "tmem-set-weight",
        ]
        assert "doctor" in offered(environ, "xm ")
        assert offered(environ, "xm -o json tmem-fl") == ["tmem-flush"]

    def test_commands_under_commands(self, offered: Offered, environ: dict[str, str]) -> None:
        assert sorted(offered(environ, "xm config ")) == ["init", "show"]
        assert offered(environ, "xm model sto") == ["stop"]

    def test_options(self, offered: Offered, environ: dict[str, str]) -> None:
        assert offered(environ, "xm tmem-list --leg") == ["--legend"]
        assert offered(environ, "xm --conn") == ["--connect"]
        assert offered(environ, "xm config show --qui") == ["--quiet"]

    def test_words_of_an_option(self, offered: Offered, environ: dict[str, str]) -> None:
        assert offered(environ, "xm tmem-list -o js") == ["json", "jsonl"]
        assert offered(environ, "xm tmem-list --units M") == ["MiB"]
        assert offered(environ, "xm -c mod") == ["model:"]
        assert offered(environ, "xm completion z") == ["zsh"]

    def test_domains(self, offered: Offered, environ: dict[str, str]) -> None:
        assert offered(environ, "xm tmem-freeze we") == ["web", "web2"]
        assert offered(environ, "xm tmem-freeze web zz") == []
        assert offered(environ, "xm tmem-freeze -q we") == ["web", "web2"]
        assert offered(environ, "xm tmem-set-weight we") == ["web", "web2"]

    def test_a_hostile_name_runs_nothing_and_is_no_pattern(
        self, offered: Offered, environ: dict[str, str]
    ) -> None:
        assert len(offered(environ, "xm tmem-freeze ")) >= 4
        assert not Path(environ["HOME"], "pwned").exists()
        assert "asked" not in offered(environ, "xm tmem-freeze ")

    def test_the_connection_typed_is_the_one_that_is_asked(
        self, offered: Offered, environ: dict[str, str]
    ) -> None:
        offered(environ, "xm -c model:lab tmem-freeze we")
        assert Path(environ["HOME"], "asked").read_text() == "__complete domains model:lab\n"

    def test_an_xm_that_fails_is_no_error_on_the_prompt(
        self, offered: Offered, environ: dict[str, str]
    ) -> None:
        Path(environ["PATH"].split(":")[0], "xm").write_text("#!/bin/sh\necho broken >&2\nexit 3\n")
        assert offered(environ, "xm tmem-freeze we") == []

    def test_a_command_of_several_words_is_not_looked_up_for_a_command_word(
        self, offered: Offered, environ: dict[str, str]
    ) -> None:
        offered(environ, "xm tmem-fre")
        assert not Path(environ["HOME"], "asked").exists()


def typed(program: list[str], environ: dict[str, str], keys: str, expected: str, setup: str = "") -> str:
    """What an interactive shell shows after `keys`, up to `expected` or five seconds of it."""
    pid, descriptor = pty.fork()
    if pid == 0:
        os.execvpe(program[0], program, environ)
    seen = b""

    def read(until: str, seconds: float = 10) -> None:
        nonlocal seen
        end = time.monotonic() + seconds
        while until.encode() not in seen and time.monotonic() < end:
            if select.select([descriptor], [], [], 0.05)[0]:
                try:
                    seen += os.read(descriptor, 65536).replace(b"\a", b"")
                except OSError:
                    return

    try:
        os.write(descriptor, f"{setup}; PS1=rea''dy'> '\n".encode())
        read("ready> ")
        seen = b""
        os.write(descriptor, keys.encode())
        read(expected)
        return seen.decode("utf-8", "replace")
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)
        os.close(descriptor)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("xm tmem-fre\t", "tmem-free"),
        ("xm tmem-freez\t", "tmem-freeze "),
        ("xm tmem-list --leg\t", "--legend "),
        ("xm tmem-list -o prom\t", "prometheus "),
        ("xm config sh\t", "show "),
        ("xm tmem-freeze we\t", "web"),
        ("xm tmem-freeze two\t", "two\\ words"),
    ],
)
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_at_a_prompt(shell: str, environ: dict[str, str], keys: str, expected: str, tmp_path: Path) -> None:
    need(shell)
    if shell == "bash":
        program, setup = ["bash", "--norc", "--noprofile", "-i"], f"source {SCRIPTS}/xm.bash"
    else:
        program = ["zsh", "-f", "-i"]
        setup = (
            f"fpath=({SCRIPTS} $fpath); autoload -U compinit; compinit -u -D; unsetopt zle_bracketed_paste"
        )
    assert expected in typed(program, environ, keys, expected, setup)


def test_zsh_and_bash_scripts_have_no_syntax_errors() -> None:
    for shell, name in (("bash", "xm.bash"), ("zsh", "_xm"), ("fish", "xm.fish")):
        if shutil.which(shell):
            subprocess.run([shell, "-n", str(SCRIPTS / name)], check=True, timeout=60)


def test_a_static_word_costs_bash_a_third_of_a_python() -> None:
    """The word of a command needs no process: measured against one start of Python, with room for a noisy machine."""
    need("bash")
    script = f"source {SCRIPTS}/xm.bash; COMP_WORDS=(xm tmem-fre); COMP_CWORD=1; _xm"

    def best(command: list[str]) -> float:
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(command, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    assert best(["bash", "--norc", "-c", script]) < best([sys.executable, "-c", "pass"])

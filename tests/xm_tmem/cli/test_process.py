# SPDX-License-Identifier: GPL-2.0-only
"""The process: what it imports, how it ends, and what it does when what it writes to is full, closed or gone."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from xm_tmem.version import VERSION

ROOT = Path(__file__).parents[3]
LISTING = b"".join(
    [b"G=Tt:1,Te:0,Ta:5,Ec:7\n"]
    + [
        b"C=CI:%d,ww:0,ca:0,co:0,fr:0,Tc:0,Ge:0,Pp:0,Gp:0\nP=CI:%d,PI:0,PT:EP,U0:0,U1:0\n" % (n, n)
        for n in range(500)
    ]
    + [b"T\n"]
)


@pytest.fixture
def replay(tmp_path: Path) -> str:
    path = tmp_path / "saved.txt"
    path.write_bytes(LISTING)
    return f"replay:{path}"


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "XM_CONFIG": os.devnull, **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "xm_tmem", *arguments]


def xm(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def shell(line: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """`line` in bash, where "$@" is an xm command."""
    return subprocess.run(
        ["bash", "-c", line, "bash", *command(*arguments)],
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def on_terminal(
    arguments: Sequence[str], environ: Mapping[str, str] = MappingProxyType({}), columns: int = 80
) -> str:
    """What `xm` shows on a terminal of so many columns."""
    leader, follower = pty.openpty()
    os.set_blocking(leader, True)
    subprocess.run(["stty", "cols", str(columns), "rows", "24"], stdin=follower, check=True)
    process = subprocess.Popen(
        command(*arguments),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(**{"TERM": "xterm", **environ}),
        start_new_session=True,
    )
    os.close(follower)
    seen = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:
            break
        if not part:
            break
        seen += part
    process.wait(timeout=30)
    os.close(leader)
    return seen.decode()


def imported(*arguments: str) -> set[str]:
    """The modules a command imports."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "xm_tmem", *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    return {
        line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time")
    }


HEAVY = {"rich", "yaml", "json", "csv", "asyncio", "importlib.metadata", "libvirt", "sqlite3"}


def test_the_version_imports_nothing_but_itself() -> None:
    assert xm("--version").stdout == f"xm {VERSION}\n"
    assert xm("-V").stdout == f"xm {VERSION}\n"
    found = imported("--version")
    assert not found & {*HEAVY, "click", "re", "typing", "enum"}
    assert {name for name in found if name.startswith("xm_tmem")} == {"xm_tmem", "xm_tmem.version"}


@pytest.mark.parametrize("words", [["--help"], ["tmem-list", "--help"], ["tmem-freeze", "-h"]])
def test_help_imports_neither_rich_nor_yaml(words: list[str]) -> None:
    assert not imported(*words) & HEAVY


def test_a_plain_listing_imports_little(replay: str) -> None:
    found = imported("-c", replay, "tmem-list")
    assert not found & {
        *HEAVY,
        "click",
        "signal",
        "traceback",
        "urllib.parse",
        "socket",
        "inspect",
        "platform",
        "gettext",
        "difflib",
        "locale",
    }
    assert not {name for name in found if name.startswith("hypervisor_model")} - {
        "hypervisor_model",
        "hypervisor_model.public",
        *(f"hypervisor_model.public.{name}" for name in ("sysctl", "tmem", "xen", "wire", "places")),
    }


def test_what_was_put_off_is_there_when_it_is_used() -> None:
    script = (
        "import sys; from xm_tmem import __main__ as process;"
        "process._put_off('inspect'); process._put_off('platform', system=lambda: 'known');"
        "import inspect, platform; assert 'ast' not in sys.modules;"
        "assert inspect.cleandoc('  x') == 'x' and 'ast' in sys.modules; from inspect import signature;"
        "assert platform.system() == 'known' and platform.python_version_tuple()[0] == '3';"
        "import platform as again; assert again.system() != 'known'"
    )
    subprocess.run([sys.executable, "-c", script], env=environment(), timeout=30, check=True)


def test_one_command_imports_no_other(replay: str) -> None:
    found = {name for name in imported("-c", replay, "list") if name.endswith("_cmd")}
    assert found == {"xm_tmem.cli.list_cmd"}


def test_no_arguments_is_help_and_status_2() -> None:
    ran = xm()
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "tmem-freeze" in ran.stderr


@pytest.mark.parametrize(
    "words", [["tmem-list"], ["-o", "raw", "tmem-list"], ["-o", "json", "tmem-list"], ["list"]]
)
def test_a_reader_who_has_enough_is_no_error(replay: str, words: list[str]) -> None:
    ran = shell('"$@" | head -1; exit "${PIPESTATUS[0]}"', "-c", replay, *words)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert len(ran.stdout.splitlines()) == 1


@pytest.mark.parametrize(
    "words", [["tmem-list"], ["-o", "raw", "tmem-list"], ["--version"], ["--help"], ["help"]]
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_one_line_and_status_1(replay: str, words: list[str], unbuffered: str) -> None:
    arguments = ["-c", replay, *words] if "tmem-list" in words else words
    ran = shell('"$@" > /dev/full', *arguments, PYTHONUNBUFFERED=unbuffered)
    assert (ran.returncode, ran.stderr) == (
        1,
        "xm: cannot write to standard output: No space left on device\n",
    )


@pytest.mark.parametrize("words", [["tmem-list"], ["--version"], ["--help"]])
def test_a_closed_standard_output_is_one_line_and_status_1(replay: str, words: list[str]) -> None:
    ran = shell('"$@" >&-', *(["-c", replay, *words] if "tmem-list" in words else words))
    assert (ran.returncode, ran.stderr) == (1, "xm: cannot write: standard output is closed\n")


def test_a_closed_standard_error_loses_only_the_message(replay: str) -> None:
    ran = shell('"$@" 2>&-', "-c", replay, "tmem-freeze", "0")
    assert (ran.returncode, ran.stdout, ran.stderr) == (5, "", "")


@pytest.mark.parametrize("closed", [">&-", "<&-", "2>&-", "<&- >&- 2>&-"])
def test_what_is_opened_never_takes_the_place_of_a_closed_standard_descriptor(
    closed: str, tmp_path: Path
) -> None:
    script = (
        "import os; from xm_tmem import __main__ as process; process._keep_standard_descriptors();"
        f"number = os.open('/dev/null', os.O_RDONLY); open({str(tmp_path / 'number')!r}, 'w').write(str(number))"
    )
    line = f'"$@" {closed}'
    subprocess.run(
        ["bash", "-c", line, "bash", sys.executable, "-c", script], env=environment(), timeout=30, check=True
    )
    assert int((tmp_path / "number").read_text()) > 2


def test_a_closed_standard_input_is_none_of_a_listings_business(replay: str) -> None:
    assert shell('"$@" <&-', "-c", replay, "tmem-list").returncode == 0


def interrupted(words: Sequence[str], number: signal.Signals) -> tuple[int, str]:
    process = subprocess.Popen(
        command(*words), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.1)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


def test_ctrl_c_in_a_watch_is_status_130_and_one_line(replay: str) -> None:
    assert interrupted(["-c", replay, "tmem-list", "--watch", "60"], signal.SIGINT) == (
        130,
        "xm: interrupted\n",
    )


def test_the_terminal_closing_ends_a_watch_quietly(replay: str) -> None:
    status, err = interrupted(["-c", replay, "tmem-list", "--watch", "60"], signal.SIGHUP)
    assert status != 0
    assert "Traceback" not in err


def test_a_terminal_gets_a_table_with_colour_and_a_pipe_does_not(replay: str) -> None:
    words = ["-c", replay, "tmem-list", "--filter", "domain<3"]
    assert "\x1b[" in on_terminal(words)
    assert "\x1b" not in xm(*words).stdout
    assert "\x1b[" in xm("--color", "always", "-o", "table", *words).stdout


@pytest.mark.parametrize(
    ("environ", "words"),
    [({"NO_COLOR": "1"}, []), ({"TERM": "dumb"}, []), ({}, ["--color", "never"])],
)
def test_colour_is_left_out_where_it_is_not_wanted(
    replay: str, environ: dict[str, str], words: list[str]
) -> None:
    shown = on_terminal(["-c", replay, *words, "tmem-list", "--filter", "domain<3"], environ)
    assert "domain" in shown
    assert not any(f"\x1b[{code}" in shown for code in ("3", "4", "9"))


@pytest.mark.parametrize("columns", [40, 20, 1])
@pytest.mark.parametrize(
    "verb", [["tmem-list", "--filter", "domain<3"], ["list"], ["doctor"], ["info"], ["tmem-explain", "Ec"]]
)
def test_a_narrow_terminal_loses_nothing(replay: str, columns: int, verb: list[str]) -> None:
    shown = on_terminal(["-c", replay, *verb], columns=columns)
    assert "Traceback" not in shown
    assert shown


def test_many_rows_on_a_terminal_are_plain_and_quick(replay: str) -> None:
    shown = on_terminal(["-c", replay, "tmem-list"])
    assert len(shown.splitlines()) == 501


@pytest.mark.parametrize(
    "locale",
    [{"LC_ALL": "C"}, {"LC_ALL": "POSIX"}, {"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}],
)
def test_a_locale_without_utf_8_is_no_crash(tmp_path: Path, locale: dict[str, str]) -> None:
    ran = xm("-o", "json", "tmem-freeze", "b\u00fcro-\u2603", "-c", f"replay:{tmp_path}", **locale)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr
    ran = xm("tmem-explain", "\u2603", **locale)
    assert ran.returncode == 2
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("prefix", ["tmem-freez", "tmem-th", "do", "tmem-list-", "inf"])
def test_a_unique_prefix_is_enough(prefix: str) -> None:
    ran = xm(prefix, "--help")
    assert ran.returncode == 0
    assert f"Usage: xm {prefix}" in ran.stdout


@pytest.mark.parametrize("word", ["tmem-f", "tmem", "t", "nosuch", "", "-z"])
def test_an_ambiguous_or_unknown_command_is_one_line_and_status_2(word: str) -> None:
    ran = xm(word)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("xm: ")
    assert ran.stderr.count("\n") == 1


def test_a_slip_gets_a_suggestion() -> None:
    assert "tmem-list?" in xm("tmem-lsit").stderr
    assert "tmem-freeze?" in xm("freeze").stderr


def test_nobody_there_is_status_5_and_says_how_to_start_one(tmp_path: Path) -> None:
    ran = xm("tmem-list", HOME=str(tmp_path), XDG_STATE_HOME=str(tmp_path), XDG_RUNTIME_DIR=str(tmp_path))
    assert (ran.returncode, ran.stdout) == (5, "")
    assert "xm model start" in ran.stderr
    assert ran.stderr.count("\n") == 1


def test_an_internal_error_is_one_line_too(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from xm_tmem.cli import doctor_cmd
    from xm_tmem.cli.run import run

    def broken(session: object) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(doctor_cmd, "diagnose_machine", broken)
    assert run(["doctor"], {}) == 1
    assert (
        capfd.readouterr().err
        == "xm: internal error: ZeroDivisionError('oh') (with XM_DEBUG=1 it says where)\n"
    )
    assert run(["doctor"], {"XM_DEBUG": "1"}) == 1
    assert "Traceback" in capfd.readouterr().err

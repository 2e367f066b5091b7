# SPDX-License-Identifier: GPL-2.0-only
"""tmem-top in a real terminal: tmux has one, types at it, and says what is on its screen."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.optional import need
from tests.xm_tmem.cli.test_model_cmd import ENDLESS, Xm
from xm_tmem.render.live import HINT

ROOT = Path(__file__).parents[3]
WAIT_S = 30.0


class Terminal:
    """A window of tmux in which a shell runs one command, says how it ended, and stays."""

    def __init__(self, tmux: str, socket: Path) -> None:
        self._tmux = [tmux, "-S", str(socket), "-f", "/dev/null"]

    def run(self, environ: dict[str, str], words: list[str], *, columns: int = 100, rows: int = 14) -> None:
        line = f"{shlex.join([sys.executable, '-m', 'xm_tmem', *words])}; echo ended with $?; stty -a; exec sleep 600"
        command = [*self._tmux, "new-session", "-d", "-x", str(columns), "-y", str(rows), "bash", "-c", line]
        subprocess.run(command, env={**os.environ, **environ}, check=True, timeout=WAIT_S)

    def do(self, *words: str) -> str:
        ran = subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, timeout=WAIT_S, check=True
        )
        return ran.stdout

    def screen(self, *options: str) -> list[str]:
        return self.do("capture-pane", "-p", *options).split("\n")[:-1]

    def keys(self, *keys: str) -> None:
        self.do("send-keys", *keys)

    def until(self, found: Callable[[list[str]], bool]) -> list[str]:
        """The screen once `found` likes it."""
        end = time.monotonic() + WAIT_S
        while not found(screen := self.screen()):
            assert time.monotonic() < end, "\n".join(screen)
            time.sleep(0.05)
        return screen

    def shows(self, text: str) -> list[str]:
        return self.until(lambda screen: any(text in line for line in screen))

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, timeout=WAIT_S, check=False)


@pytest.fixture(scope="module")
def host() -> Iterator[Xm]:
    """A home with a model host in it, whose guests web and db work without end."""
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    xm = Xm(directory)
    xm.environment.update(PYTHONPATH=str(ROOT), LC_ALL="C.UTF-8")
    try:
        ran = xm("model", "start", xm.file(ENDLESS))
        assert ran.returncode == 0, ran.stderr
        yield xm
    finally:
        xm("model", "stop")
        shutil.rmtree(directory)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    tmux = need("tmux")
    directory = Path(tempfile.mkdtemp(prefix="xm"))
    terminal = Terminal(tmux, directory / "tmux")
    try:
        yield terminal
    finally:
        terminal.close()
        shutil.rmtree(directory)


def rows(screen: list[str]) -> list[list[str]]:
    """The words of the rows under the headings."""
    headings = next(n for n, line in enumerate(screen) if "gets/s" in line.lower())
    return [line.split() for line in screen[headings + 1 : -1] if line.strip()]


def moving(screen: list[str]) -> bool:
    """Are there rates, so that two readings have been made?"""
    return any("web" in line and "%" in line for line in screen)


def test_it_shows_rates_that_move(host: Xm, terminal: Terminal) -> None:
    terminal.run(host.environment, ["tmem-top", "-d", "0.3"])
    first = terminal.until(moving)
    assert first[0].startswith("model:default  ")
    assert first[-1].startswith("q quit")
    assert rows(first)[0][:3] == [">", "1", "web"]
    terminal.until(lambda screen: moving(screen) and screen[1] != first[1] and screen[0] != first[0])
    bars = terminal.until(lambda screen: sum(line.count("\u2588") for line in screen) > 4)
    assert len(bars) == 14


def test_q_gives_the_terminal_back_as_it_was(host: Xm, terminal: Terminal) -> None:
    terminal.run(host.environment, ["tmem-top", "-d", "0.3"], rows=30)
    terminal.until(moving)
    terminal.keys("q")
    screen = terminal.shows("icanon")
    assert screen[0] == "ended with 0"
    settings = " ".join(screen)
    assert " icanon" in settings
    assert " echo " in settings
    assert "-icanon" not in settings


@pytest.mark.parametrize(("key", "status"), [("C-c", "130"), ("Escape", "0")])
def test_other_ways_to_end_it(host: Xm, terminal: Terminal, key: str, status: str) -> None:
    terminal.run(host.environment, ["tmem-top"], rows=30)
    terminal.shows("web")
    terminal.keys(key)
    screen = terminal.shows("icanon")
    assert f"ended with {status}" in screen
    assert "Traceback" not in "\n".join(screen)
    assert "-icanon" not in " ".join(screen)


def test_freezing_asks_and_freezes_on_y(host: Xm, terminal: Terminal) -> None:
    terminal.run(host.environment, ["tmem-top", "-d", "0.3"])
    terminal.shows("web")
    terminal.keys("Down", "f")
    terminal.shows("freeze db (2)? y for yes")
    terminal.keys("n")
    terminal.shows("db (2) is left as it is")
    assert "no" in host("tmem-list", "--no-headings", "--columns", "frozen", "db").stdout
    terminal.keys("f", "y")
    terminal.shows("db (2): frozen")
    assert "yes" in host("tmem-list", "--no-headings", "--columns", "frozen", "db").stdout
    terminal.keys("f", "y")
    terminal.shows("db (2): thawed")
    assert "yes" not in host("tmem-list", "--no-headings", "--columns", "frozen", "db").stdout


def test_sorting_pools_pause_and_help(host: Xm, terminal: Terminal) -> None:
    terminal.run(host.environment, ["tmem-top", "-d", "0.3"])
    terminal.until(moving)
    terminal.keys("p")
    terminal.until(lambda screen: any(line.split()[:4] == [">", "1", "web", "0"] for line in screen))
    terminal.keys("s")
    terminal.shows(" NAME")
    terminal.keys("Space")
    paused = terminal.shows("PAUSED")
    time.sleep(1.0)
    assert terminal.screen()[1:] == paused[1:]
    terminal.keys("h")
    terminal.shows("up, down")
    terminal.keys("x", "Space")
    terminal.until(lambda screen: moving(screen) and screen[1:] != paused[1:])


@pytest.mark.parametrize(("columns", "height"), [(40, 10), (24, 5), (200, 50), (10, 3), (2, 1)])
def test_any_size_is_filled_and_never_wrapped(
    host: Xm, terminal: Terminal, columns: int, height: int
) -> None:
    terminal.run(host.environment, ["tmem-top", "-d", "0.3"])
    terminal.until(moving)
    terminal.do("resize-window", "-x", str(columns), "-y", str(height))
    first, last = "model:default"[:columns], HINT[:columns].rstrip()

    def redrawn(screen: list[str]) -> bool:
        return len(screen) == height and screen[-1] == last and (height < 2 or screen[0].startswith(first))

    screen = terminal.until(redrawn)
    assert all(len(line) <= columns for line in screen)
    if height > 3:
        assert sum("web" in line for line in screen) == 1
    terminal.do("resize-window", "-x", "100", "-y", "14")
    terminal.until(
        lambda screen: moving(screen) and screen[-1].endswith("freeze/thaw") and len(rows(screen)) == 2
    )


def test_a_stopped_one_gives_the_terminal_back_and_takes_it_again(host: Xm, terminal: Terminal) -> None:
    words = shlex.join([sys.executable, "-m", "xm_tmem", "tmem-top", "-d", "0.3"])
    subprocess.run(
        [
            *terminal._tmux,
            "new-session",
            "-d",
            "-x",
            "100",
            "-y",
            "14",
            "bash",
            "--norc",
            "--noprofile",
            "-i",
        ],
        env={**os.environ, **host.environment, "PS1": "prompt> "},
        check=True,
        timeout=WAIT_S,
    )
    terminal.shows("prompt>")
    terminal.keys(words, "Enter")
    terminal.until(moving)
    terminal.keys("C-z")
    terminal.shows("Stopped")
    terminal.keys("echo typed by $((40+2))", "Enter")
    terminal.shows("typed by 42")
    terminal.keys("fg", "Enter")
    terminal.until(lambda screen: screen[-1].startswith("q quit") and moving(screen))
    terminal.keys("q")
    terminal.shows("prompt>")


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"LC_ALL": "C"}])
def test_no_colours_ever_and_ascii_where_the_locale_wants_it(
    host: Xm, terminal: Terminal, more: dict[str, str]
) -> None:
    terminal.run({**host.environment, **more}, ["tmem-top", "-d", "0.3"])
    terminal.until(moving)
    time.sleep(0.7)
    text = "\n".join(terminal.screen("-e"))
    codes = {code for codes in re.findall(r"\x1b\[([\d;]*)m", text) for code in codes.split(";")}
    assert {"1", "7"} <= codes  # the headings, the selected row
    assert codes <= {"", "0", "1", "7", "39", "49"}  # of colours only that of the terminal itself
    if "LC_ALL" in more:
        assert text.isascii()


def test_a_terminal_that_only_prints_gets_lines(host: Xm, terminal: Terminal) -> None:
    inner = ["env", "TERM=dumb", sys.executable, "-m", "xm_tmem", "tmem-top", "-n", "1", "-d", "0.2"]
    terminal.do("new-session", "-d", "-x", "200", "-y", "14", "env",
                *(f"{name}={value}" for name, value in host.environment.items()),
                "bash", "-c", f"{shlex.join(inner)}; echo ended with $?; exec sleep 600")  # fmt: skip
    screen = terminal.shows("ended with 0")
    assert screen[0].startswith("time  ")


def test_the_terminal_closing_ends_it(host: Xm, terminal: Terminal) -> None:
    log = host.directory / "closed.log"
    line = f"{shlex.join([sys.executable, '-m', 'xm_tmem', 'tmem-top'])} 2> {log}; echo $? >> {log}"
    subprocess.run(
        [*terminal._tmux, "new-session", "-d", "bash", "-c", f"trap '' HUP; {line}"],
        env={**os.environ, **host.environment},
        check=True,
        timeout=WAIT_S,
    )
    terminal.shows("web")
    terminal.close()
    end = time.monotonic() + WAIT_S
    while not log.exists() or not log.read_text().strip():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert "Traceback" not in log.read_text()

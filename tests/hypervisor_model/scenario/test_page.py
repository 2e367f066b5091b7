# SPDX-License-Identifier: GPL-2.0-only
"""A run's page: whole, escaped, and without a word from a browser that opens it; its plots can be seen."""

from __future__ import annotations

import os
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hypervisor_model.scenario.history import History
from hypervisor_model.scenario.load import load_text
from hypervisor_model.scenario.page import page
from hypervisor_model.scenario.plot import COLOURS, Line, plot, ticks
from hypervisor_model.scenario.report import report
from hypervisor_model.scenario.runner import boot
from tests.optional import need

SCENARIO = """
host: {memory: 48MiB, exact: false, contents: tokens}
guests:
  - {name: disky, kind: linux, memory: 4MiB, kernel: 1MiB, workload: {kind: scan, file: 5MiB, passes: 3}}
  - {name: direct, workload: {kind: zipf, working_set: 6MiB, operations: 3000}}
"""
HOSTILE = "</title><script>console.error('ran')</script>\"'&\x1b]0;\ud800\n<b onclick=x>"
VOID = {"meta", "link"}


class Elements(HTMLParser):
    """Checks that tags are closed in their order; gathers their names and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def run(
    text: str = SCENARIO, *, complete: bool = True, description: str = ""
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    runner = boot(load_text(text))
    history = History(runner)
    assert history.run(runner)
    return report(runner, complete=complete, description=description), history.record()


def named(name: str) -> str:
    """A page with `name` wherever a text can come from outside."""
    found, history = run()
    for guest in (*found["guests"], *history["guests"]):
        guest["name"] = name
    host = {**found["host"], "command_line": name}
    return page({**found, "scenario": name, "description": name, "host": host}, history)


def test_a_page_has_every_plot_and_every_figure() -> None:
    found, history = run()
    elements = Elements(page(found, history))
    titles = ("Memory", "Ephemeral pages", "Hit rate", "Disk pages")
    assert elements.names.count("figure") == len(titles)
    for text in (*titles, "disky", "disky without tmem", "direct", "free on the host", "idle in tmem"):
        assert text in [piece.strip() for piece in elements.text]
    assert "direct without tmem" not in elements.text, "it has no disk"
    for guest in found["guests"]:
        for figure in (*guest.keys() - {"driver"}, *guest["driver"]):
            assert figure.replace("_", " ") in elements.text or figure in elements.text
    assert f"{found['guests'][0]['driver']['cleancache_succ_gets']:,}" in elements.text
    assert not any("interrupted" in text for text in elements.text)
    partial = Elements(page(*run(complete=False)))
    assert any("interrupted" in text for text in partial.text)


def test_a_page_shows_no_hit_rate_of_a_run_without_gets() -> None:
    """With tmem off, or with pools that nobody reads: an empty plot would say nothing."""
    text = page(*run(SCENARIO.replace("host: {", "host: {command_line: tmem=0, ")))
    assert "Hit rate" not in text
    assert "Ephemeral pages" not in text
    assert Elements(text).names.count("figure") == 2
    assert "In cleancache hit percent it is a miss" in page(*run())


def test_gets_from_a_pool_without_pages_count_as_the_caption_says() -> None:
    found, _ = run(
        "host: {contents: tokens}\nguests: [{name: g, kind: linux, memory: 4MiB, kernel: 1MiB,"
        " workload: {kind: scan, file: 1MiB, passes: 2}}]"
    )
    (guest,) = found["guests"]
    assert guest["driver"]["cleancache_failed_gets"] == 256, "each page once, before tmem has any"
    assert (guest["gets"], guest["hit_ratio"]) == (0, None)


def test_a_page_says_what_the_scenario_says_of_itself() -> None:
    text = page(*run(description="What <b>this</b> shows."))
    assert "<p>What &lt;b&gt;this&lt;/b&gt; shows.</p>" in text
    assert "quirks <code>xen</code>" in text
    assert "<p></p>" not in page(*run())


def test_without_tmem_the_disk_would_do_what_tmem_did() -> None:
    text = page(*run())
    text = text[text.index("Disk pages") :]
    drawing = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    ends = {
        path.findtext("title"): (path.get("d") or "").split(" ")[-1]
        for path in drawing.iter("path")
        if path.get("class") == "line"
    }
    # 5 MiB read once of a scale to 15 MiB; two more passes came from tmem.
    assert ends == {"disky": "150.7", "disky without tmem": "12.0"}


def test_a_page_needs_nothing_but_itself() -> None:
    text = page(*run())
    elements = Elements(text)
    assert not {"script", "img", "iframe", "object", "use"} & set(elements.names)
    assert "src" not in elements.attributes
    assert "http" not in text.replace("http-equiv", "")
    assert "url(" not in text
    text.encode()


def test_names_are_text_whatever_is_in_them() -> None:
    plain, hostile = Elements(named("web")), Elements(named(HOSTILE))
    assert hostile.names == plain.names
    assert hostile.attributes == plain.attributes
    assert any("<script>" in text for text in hostile.text), "it is shown, not swallowed"
    assert not {"\x1b", "\ud800"} & set(named(HOSTILE))
    named(HOSTILE).encode()


@pytest.mark.parametrize(
    ("top", "expected"),
    [(0, [0, 1]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (100, [0, 20, 40, 60, 80, 100]),
     (101, [0, 20, 40, 60, 80, 100, 120]),
     (7, [0, 2, 4, 6, 8]), (250_000, [0, 50_000, 100_000, 150_000, 200_000, 250_000]), (float("inf"), [0, 1])],
)  # fmt: skip
def test_axes_have_round_numbers(top: float, expected: list[float]) -> None:
    assert ticks(top) == pytest.approx(expected)


def test_a_line_is_where_its_values_are() -> None:
    text = plot("t", "u", [0, 1, 2, 3, 4], [Line("l", [0, 100, None, 50, None], 3, dashed=True)])
    drawing = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    lines = [path for path in drawing.iter("path") if path.get("class") == "line"]
    assert [line.get("d") for line in lines] == ["M64.0 220.0L225.0 12.0", "M547.0 116.0m-2 0h4"]
    assert {line.get("stroke") for line in lines} == {COLOURS[3]}
    assert all(line.get("stroke-dasharray") for line in lines)
    assert [line.findtext("title") for line in lines] == ["l", "l"]
    assert "<path" in plot("nothing", "u", [], [Line("l", [], 0)])


def screenshot(text: str, directory: Path) -> tuple[Path, str]:
    """What a browser makes of the page, and what it says on its console."""
    chromium = need("chromium")
    (directory / "page.html").write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", "--window-size=1300,1600", f"--user-data-dir={directory / 'profile'}",
            f"--screenshot={directory / 'page.png'}", (directory / "page.html").as_uri(),
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )  # fmt: skip
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return directory / "page.png", "\n".join(console)


def test_a_browser_shows_the_plots_and_complains_of_nothing(tmp_path: Path) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot", reason="it reads the picture: pip install matplotlib")
    picture, console = screenshot(page(*run()), tmp_path)
    assert console == ""
    pixels = (pyplot.imread(picture)[:, :, :3] * 255).round().astype(int)
    for colour in COLOURS[:2]:
        wanted = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (pixels == wanted).all(axis=2).sum() > 500, f"nothing is drawn in {colour}"


def test_a_browser_runs_no_script_from_a_name(tmp_path: Path) -> None:
    _, console = screenshot(named(HOSTILE), tmp_path)
    assert console == ""
    script = "<script>console.error('ran')</script>"
    _, console = screenshot(named("web").replace("</body>", f"{script}</body>"), tmp_path)
    assert "Content Security Policy" in console, "a script that got in would be refused and seen here"
    assert "'ran'" not in console.replace(script, "")

# SPDX-License-Identifier: GPL-2.0-only
"""tmem-metrics: once, to a file, to those who scrape; accepted by checkers, honest about a host that is down."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import urllib.request
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tests.optional import need
from tests.xm_tmem.cli.conftest import Host, Xm
from tests.xm_tmem.cli.test_process import command, environment
from xm_tmem.cli.metrics_server import MetricsServer, parse_address
from xm_tmem.errors import Failed
from xm_tmem.operations.query import listed
from xm_tmem.render import prometheus

WEB_GETS = 'xen_tmem_pool_gets_total{domid="1",name="web",pool="1",type="ephemeral"} 2'


def test_once_it_is_openmetrics_text(xm: Xm) -> None:
    status, out, err = xm("tmem-metrics")
    assert (status, err) == (0, "")
    assert "# TYPE xen_tmem_pool_gets counter\n" in out
    assert WEB_GETS in out
    assert 'xen_tmem_up{connection="model:default"} 1\n' in out
    assert out.endswith("\n# EOF\n")


def test_openmetrics_text_passes_a_strict_parser(xm: Xm) -> None:
    parser = pytest.importorskip("prometheus_client.openmetrics.parser", reason="needs xm-tmem[metrics]")
    for text in (xm("tmem-metrics").out, xm("-c", "model:none", "tmem-metrics").out):
        families = list(parser.text_string_to_metric_families(text))
        assert "xen_tmem_up" in {family.name for family in families}


@pytest.mark.parametrize("connection", ["model:old", "model:new", "model:none"])
def test_promtool_accepts_the_older_format(xm: Xm, connection: str) -> None:
    text = xm("-c", connection, "tmem-metrics", "-o", "prometheus").out
    ran = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


def test_a_host_that_cannot_be_read_is_down_and_the_command_fails(xm: Xm, tmp_path: Path) -> None:
    ran = xm("-c", "model:none", "tmem-metrics")
    assert (ran.status, ran.err.count("\n")) == (5, 1)
    assert 'xen_tmem_up{connection="model:none"} 0\n' in ran.out
    assert "gets" not in ran.out
    file = tmp_path / "tmem.prom"
    assert xm("-c", "model:none", "tmem-metrics", "--textfile", str(file)).status == 5
    assert 'xen_tmem_up{connection="model:none"} 0\n' in file.read_text()


def test_a_textfile_is_replaced_in_one_step_and_readable_by_all(xm: Xm, host: Host, tmp_path: Path) -> None:
    file = tmp_path / "tmem.prom"
    old = os.umask(0o077)
    try:
        assert xm("tmem-metrics", "--textfile", str(file)) == (0, "", "")
    finally:
        os.umask(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert "# EOF" not in file.read_text()
    with open(file, encoding="utf-8") as reader:
        host.hv.domain(1).get(1, 7, 99)
        xm("tmem-metrics", "--textfile", str(file))
        assert WEB_GETS in reader.read()  # who was reading reads the old one to its end
    assert WEB_GETS not in file.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["tmem.prom"]


def test_a_textfile_that_cannot_be_written_stays_as_it_was(
    xm: Xm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tmem.prom"
    file.write_text("before")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = xm("tmem-metrics", "--textfile", str(file))
    assert (ran.status, ran.err) == (1, f"xm: cannot write {file}: No space left on device\n")
    assert file.read_text() == "before"
    assert len(list(tmp_path.iterdir())) == 1
    assert xm("tmem-metrics", "--textfile", str(tmp_path / "no" / "such.prom")).status == 1


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "csv"],
        ["--textfile", "x", "--listen", "0"],
        ["-c", "model:old", "-c", "model:new"],
        ["--listen", "localhost"],
        ["--listen", "1:2:3"],
        ["--listen", "70000"],
        ["--listen", "\u0663"],
    ],
)
def test_what_makes_no_sense_is_one_line_and_status_2(xm: Xm, words: list[str]) -> None:
    ran = xm("tmem-metrics", *words)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("9178", ("127.0.0.1", 9178)),
        (":0", ("127.0.0.1", 0)),
        ("0.0.0.0:80", ("0.0.0.0", 80)),
        ("[::1]:9178", ("::1", 9178)),
        ("alpha.example:1", ("alpha.example", 1)),
    ],
)
def test_without_an_address_it_is_the_loopback(text: str, place: tuple[str, int]) -> None:
    assert parse_address(text) == place


def fetched(port: int, accept: str = "text/plain") -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(answer.read().decode())


@pytest.fixture
def served() -> None:
    pytest.importorskip("prometheus_client", reason="needs xm-tmem[metrics]")


@pytest.mark.usefixtures("served")
def test_each_scrape_reads_the_host_anew(host: Host) -> None:
    server = MetricsServer(
        "127.0.0.1", 0, lambda: prometheus.families(listed(host.backend("model:x")).report)
    )
    try:
        first = fetched(server.port)
        host.hv.domain(1).get(1, 7, 99)
        second = fetched(server.port)
        openmetrics = fetched(server.port, "application/openmetrics-text; version=1.0.0")
        with pytest.raises(Failed, match="cannot listen"):
            MetricsServer("127.0.0.1", server.port, list)
    finally:
        server.close()
    gets = re.compile(r'xen_tmem_pool_gets_total\{domid="1",name="web",pool="1",type="ephemeral"\} (\d)\.0')
    assert [gets.findall(text) for text in (first, second)] == [["2"], ["3"]]
    assert openmetrics.endswith("# EOF\n")
    ran = subprocess.run(
        [need("promtool"), "check", "metrics"],
        input=first,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout + ran.stderr) == (0, "")


@pytest.mark.usefixtures("served")
def test_the_scraped_metrics_are_those_that_are_printed(newest: Host) -> None:
    report = listed(newest.backend("model:new")).report
    server = MetricsServer("127.0.0.1", 0, lambda: prometheus.families(report))
    try:
        scraped = fetched(server.port, "application/openmetrics-text; version=1.0.0")
    finally:
        server.close()
    printed = prometheus.render(report, openmetrics=True)
    assert [line.removesuffix(".0") for line in scraped.splitlines()] == printed.splitlines()


@pytest.mark.usefixtures("served")
def test_the_command_serves_a_host_that_goes_and_ends_on_ctrl_c(tmp_path: Path, host: Host) -> None:
    saved = tmp_path / "saved.txt"
    saved.write_text(host.hv.list_text(use_long=True))
    process = subprocess.Popen(
        command("-c", f"replay:{saved}", "tmem-metrics", "--listen", "0"),
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            match = re.fullmatch(
                r"xm: metrics at http://127\.0\.0\.1:(\d+)/metrics\n", process.stderr.readline()
            )
            assert match is not None
            port = int(match[1])
            assert 'xen_tmem_pool_gets_total{domid="1"' in fetched(port)
            with pytest.raises(OSError, match="refused"):
                socket.create_connection(("127.0.0.2", port), timeout=5)
        finally:
            process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "xm: interrupted\n"
        assert process.wait(timeout=30) == 130


@pytest.mark.usefixtures("served")
def test_a_host_that_is_down_is_scraped_as_down(host: Host) -> None:
    server = MetricsServer("127.0.0.1", 0, lambda: prometheus.families_down("model:x"))
    try:
        assert 'xen_tmem_up{connection="model:x"} 0.0' in fetched(server.port)
    finally:
        server.close()


@pytest.mark.usefixtures("served")
def test_a_mistake_of_ours_is_an_error_to_the_scraper_and_does_not_end_the_server() -> None:
    answers = [ZeroDivisionError(), None]

    def read() -> list[prometheus.Family]:
        if error := answers.pop(0):
            raise error
        return prometheus.families_down("x")

    server = MetricsServer("127.0.0.1", 0, read)
    try:
        with pytest.raises(HTTPError):
            fetched(server.port)
        assert "xen_tmem_up" in fetched(server.port)
    finally:
        server.close()


def test_listening_without_the_extra_says_what_to_install(xm: Xm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    ran = xm("tmem-metrics", "--listen", "0")
    assert (ran.status, ran.err) == (
        5,
        "xm: --listen needs prometheus_client: pip install 'xm-tmem[metrics]'\n",
    )

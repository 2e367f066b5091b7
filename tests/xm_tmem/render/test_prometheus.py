# SPDX-License-Identifier: GPL-2.0-only
"""Metrics: accepted by Prometheus' own checker, each sample once, names without hostile bytes."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings

from tests import recordings
from tests.xm_tmem.listing import texts
from tests.xm_tmem.render.reports import HOSTILE_NAMES, hostile, report
from xm_tmem.listing.records import RECORD_TYPES, PerfRecord
from xm_tmem.listing.report import Report, read_report
from xm_tmem.render import prometheus

PROMTOOL = shutil.which("promtool")
SAMPLE = re.compile(
    r'([a-z_]+)(\{[a-z_]+="(?:[^"\\\n]|\\["\\])*"(?:,[a-z_]+="(?:[^"\\\n]|\\["\\])*")*\})? (-?\d+)'
)


def samples(text: str) -> dict[tuple[str, str], int]:
    """Every sample by name and labels. Each line must be one, or a comment; each sample may occur once."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        match = SAMPLE.fullmatch(line)
        assert match, line
        name, labels, value = match.groups()
        assert (name, labels) not in found
        found[name, labels or ""] = int(value)
    return found


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
@pytest.mark.parametrize("name", texts.NAMES)
def test_promtool_finds_nothing_to_complain_about(name: str) -> None:
    assert PROMTOOL is not None
    text = prometheus.render(report(name, names=HOSTILE_NAMES))
    done = subprocess.run(
        [PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")
def test_promtool_accepts_all_recordings() -> None:
    assert PROMTOOL is not None
    for file in recordings.files("listings/*.*"):
        text = prometheus.render(read_report(file.read_bytes(), connection="x", timestamp=0.0))
        done = subprocess.run(
            [PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False
        )
        assert (file.name, done.returncode, done.stdout + done.stderr) == (file.name, 0, b"")


def test_values_are_in_the_units_of_their_names() -> None:
    found = samples(prometheus.render(report("4.3")))
    client, pool = '{domid="0",name="Domain-0"}', '{domid="0",name="Domain-0",pool="1",type="ephemeral"}'
    assert found["xen_tmem_up", '{connection="replay:x"}'] == 1
    assert found["xen_tmem_frame_bytes", ""] == 3 * 4096
    assert found["xen_tmem_held_pages", ""] == 72
    assert found["xen_tmem_client_frozen", client] == 1
    assert found["xen_tmem_client_compressed_bytes", client] == 665
    assert found["xen_tmem_pool_puts_total", pool] == 9
    assert found["xen_tmem_operation_cycles_total", '{operation="succ_get"}'] == 3239124
    assert ("xen_tmem_operation_min_cycles", '{operation="failed_get"}') not in found


def test_a_shared_pool_is_counted_once_and_its_uuid_kept_back() -> None:
    text = prometheus.render(report("4.12-shared"))
    found = samples(text)
    held = [key for key in found if key[0] == "xen_tmem_shared_pool_held_pages"]
    assert len(held) == 3
    assert not any(
        'type="ephemeral-shared"' in labels for name, labels in found if name.startswith("xen_tmem_pool")
    )
    assert sum(1 for name, _ in found if name == "xen_tmem_shared_pool_member") == 6
    assert "1122334455667788" not in text


def test_a_client_that_joined_twice_is_one_member() -> None:
    some = read_report(b"S=SI:0,PT:ES,U0:1,U1:2,SC:4,SC:4\nC=CI:4\n", connection="x", timestamp=0.0)
    assert (
        sum(1 for name, _ in samples(prometheus.render(some)) if name == "xen_tmem_shared_pool_member") == 1
    )


def test_the_listing_tells_that_it_is_cut() -> None:
    assert samples(prometheus.render(report()))["xen_tmem_listing_truncated", ""] == 0
    assert samples(prometheus.render(report("4.12-cut")))["xen_tmem_listing_truncated", ""] == 1


def test_a_host_that_cannot_be_read_is_down() -> None:
    assert samples(prometheus.render_down('xen:///"')) == {("xen_tmem_up", '{connection="xen:///\\""}'): 0}


def test_openmetrics_names_families_without_their_ending_and_has_an_end() -> None:
    text = prometheus.render(report(), openmetrics=True)
    assert "# TYPE xen_tmem_ops counter\n" in text
    assert "\nxen_tmem_ops_total 48\n" in text
    assert "# TYPE xen_tmem info\n" in text
    assert text.endswith("\n# EOF\n")
    assert "# EOF" not in prometheus.render(report())


@settings(max_examples=60)
@given(hostile)
def test_any_listing_becomes_metrics_with_each_sample_once(some: Report) -> None:
    samples(prometheus.render(some))


def test_no_two_tags_share_a_metric() -> None:
    names = [
        prometheus.metric_name(record_type, tag)
        for record_type in RECORD_TYPES
        if record_type is not PerfRecord
        for tag in record_type.tags
        if tag.kind != "id"
    ]
    assert len(set(names)) == len(names)

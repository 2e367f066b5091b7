# SPDX-License-Identifier: GPL-2.0-only
"""A scenario file is read with every default filled in, or refused in one line that names file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.load import DEFAULT_SCENARIO, load_bytes, load_file, load_text

TEMPLATE = "recorded.yaml"  # needs recordings; test_examples.py gives it some
EXAMPLES = sorted(
    path for path in (Path(__file__).parents[3] / "examples").glob("*.yaml") if path.name != TEMPLATE
)

GUEST = "guests:\n  - name: a\n"

BAD = [
    # file, what the complaint says
    ("", "scenario: empty"),
    ("guests: 3", "scenario:1: guests: must be a list, not 3"),
    ("guests: []", "scenario:1: guests: needs at least 1"),
    ("seed: 1", "scenario:1: guests is missing"),
    ("- a\n- b", "scenario:1: must be a mapping, not a list"),
    ("guests: [{}]", "scenario:1: guests[0]: name is missing"),
    ("gests: [{name: a}]", "scenario:1: gests: no such key; did you mean guests?"),
    (GUEST + "    wieght: 3", "scenario:3: guests[0].wieght: no such key; did you mean weight?"),
    (GUEST + "    weight: heavy", "scenario:3: guests[0].weight: must be a whole number, not 'heavy'"),
    (GUEST + "    weight: true", "guests[0].weight: must be a whole number, not true"),
    (GUEST + "    weight: -1", "guests[0].weight: -1 is too small: at least 0"),
    (GUEST + "    weight: 4294967296", "guests[0].weight: 4294967296 is too large: at most 4294967295"),
    (GUEST + f"    weight: {'9' * 50}", "scenario:3: 999999999999... is too large a number"),
    (GUEST + "    weight: .inf", "guests[0].weight: must be a whole number"),
    (GUEST + "    memory: 64", "guests[0].memory: must be text, such as 64MiB, 2GiB or 20 pages, not 64"),
    (GUEST + "    memory: 64 furlongs", "guests[0].memory: '64 furlongs' is not understood: write 64MiB"),
    (GUEST + "    memory: 9999999TiB", "guests[0].memory: '9999999TiB' is too much"),
    (GUEST + "    memory: 2GiB", "the guests' 2048 MiB do not fit into the host's 1024 MiB"),
    (GUEST + "    max_memory: 1MiB", "guests[0].max_memory: 256 pages are less than the 1024 of memory"),
    (GUEST + "    id: 32752", "guests[0].id: 32752 is too large: at most 32751"),
    (GUEST + "    id: 0", "guests[0].id: 0 is too small"),
    (GUEST + "    kind: linuxx", "scenario:3: guests[0].kind: 'linuxx' is not one of"),
    (GUEST + "    workload: {kind: zippf}", "'zippf' is not one of random, zipf, scan; did you mean zipf?"),
    (GUEST + "    workload: {rate: 5}", "guests[0].workload: kind is missing: one of random, zipf, scan"),
    (GUEST + "    workload: {kind: scan, skew: 1}", "guests[0].workload.skew: no such key"),
    (GUEST + "    workload: {kind: scan, mix: {}}", "guests[0].workload.mix: nothing to do"),
    (GUEST + "    pools: [{shared: true}]", "guests[0].pools[0]: a shared pool needs a uuid"),
    (GUEST + "    pools: [{uuid: 1-2}]", "guests[0].pools[0].uuid: '1-2' is not a uuid"),
    (GUEST + "    cap: 5\nhost: {release: 4.12}", "scenario:2: guests[0].cap: Xen 4.12 has no caps"),
    (GUEST + "  - name: a", "scenario:3: guests[1].name: a is the name of another guest, in line 2"),
    (GUEST + "  - name: a-1\n  - {name: a, count: 2}", "guests[2].name: a-1 is the name of another"),
    ("guests: [{name: a, id: 3}, {name: b, id: 3}]", "guests[1].id: 3 is the id of another guest"),
    ("guests: [{name: a, id: 3, count: 2}]", "guests[0].id: one id for several domains"),
    ("guests: [{name: 3}]", "guests[0].name: must be text, not 3"),
    ('guests: [{name: "a\\tb"}]', "guests[0].name: 'a?b' is not a name"),
    ("host: {release: 4.4}\n" + GUEST, "scenario:1: host.release: 4.4 is not one of 4.3, 4.12"),
    ("host: {codec: zip}\n" + GUEST, "scenario:1: host.codec: 'zip' is not one of"),
    ("seed: 1\nseed: 2\n" + GUEST, "scenario:2: seed is given twice, first in line 1"),
    ("a: [", "not YAML"),
    ("x: !!python/object/apply:os.system [id]\n" + GUEST, "is not for scenarios"),
    ("x: !!binary aGk=\n" + GUEST, "is not for scenarios"),
    ("? [1]\n: 2\n" + GUEST, "a key must be a word"),
    ("\0\1\2", "not YAML"),
    ("[" * 100, "not YAML"),
    ("a: " + "[" * 100 + "]" * 100, "nested deeper than 32 levels"),
    ("a: &a [*a]", "nested deeper than 32 levels"),
]


@pytest.mark.parametrize(("text", "complaint"), BAD)
def test_bad_files_get_one_line_that_says_where_and_what(text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(text)
    line = str(caught.value)
    assert complaint in line
    assert "\n" not in line
    assert line.isprintable()


def test_anchors_cannot_be_made_to_expand_without_bound() -> None:
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for n in range(1, 9):
        bomb += f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n"
    with pytest.raises(ScenarioError, match="more than 200000 values"):
        load_text(bomb)


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"guests:\n\xff\xfe")
    for path, complaint in (
        (tmp_path / "none.yaml", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "binary.yaml:2: not text in UTF-8"),
    ):
        with pytest.raises(ScenarioError, match=complaint):
            load_file(str(path))


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    huge = tmp_path / "huge.yaml"
    with huge.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ScenarioError, match="larger than 4 MiB"):
        load_file(str(huge))


@settings(max_examples=60)
@given(st.binary(max_size=22) | st.text(alphabet="gueststnam:[]{}- \n&*!%0.", max_size=22).map(str.encode))
def test_garbage_is_refused_in_one_line(garbage: bytes) -> None:
    with pytest.raises(
        ScenarioError
    ) as caught:  # none of it can be a scenario: that takes more than 22 bytes
        load_bytes(garbage, file="garbage")
    assert str(caught.value).isprintable()


def test_defaults_are_filled_in() -> None:
    scenario = load_text("guests: [{name: a, workload: {kind: zipf, skew: 2}}]")
    (guest,) = scenario.guests
    assert (scenario.seed, scenario.duration_us, scenario.host.release) == (1, None, "4.3")
    assert (guest.domain_id, guest.memory, guest.max_memory, guest.compress) == (1, 1024, 4096, None)
    assert guest.spec["pools"] == [{"persistent": False, "shared": False}]
    assert guest.spec["workload"]["mix"] == {"put": 50, "get": 45, "flush": 5}
    assert guest.spec["workload"]["skew"] == 2


def test_ids_are_given_to_those_without_around_those_with() -> None:
    scenario = load_text("guests: [{name: a, count: 3}, {name: b, id: 2}, {name: c}]")
    assert {guest.name: guest.domain_id for guest in scenario.guests} == {
        "a-1": 1,
        "a-2": 3,
        "a-3": 4,
        "b": 2,
        "c": 5,
    }


@pytest.mark.parametrize("release", ["4.3", '"4.3"', "4.12", '"4.12"'])
def test_a_release_may_go_without_quotes(release: str) -> None:
    assert load_text(f"host: {{release: {release}}}\n{GUEST}").host.release == release.strip('"')


@pytest.mark.parametrize("path", [*EXAMPLES, Path(DEFAULT_SCENARIO)], ids=lambda path: path.name)
def test_what_is_shipped_can_be_read(path: Path) -> None:
    assert load_file(str(path)).guests

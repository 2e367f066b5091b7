# SPDX-License-Identifier: GPL-2.0-only
"""A scenario file -> a `Scenario`: everything checked, every default filled in, nothing booted yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from hypervisor_model.scenario.document import MAX_PATH, Node, parse, printable, read
from hypervisor_model.scenario.errors import ScenarioError
from hypervisor_model.scenario.kinds import DEFAULT_KIND, GUEST_KINDS
from hypervisor_model.scenario.schema import GUEST, MAX_GUESTS, scenario_schema
from hypervisor_model.scenario.validate import Validator

PAGES_PER_MB: Final = 256
DEFAULT_SCENARIO: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "default.yaml")
RELEASES_WITH_CAPS: Final = frozenset({"4.3"})
DEFAULT_MAX_MEMORY: Final = 4  # times a domain's memory


@dataclass(frozen=True, slots=True)
class GuestSpec:
    """One domain. Memory in pages."""

    domain_id: int
    name: str
    kind: str
    memory: int
    max_memory: int
    weight: int
    cap: int
    compress: bool | None
    frozen: bool
    spec: Mapping[str, Any]
    """The keys of its kind."""


@dataclass(frozen=True, slots=True)
class HostSpec:
    """The machine. Memory in pages."""

    release: str
    memory: int
    command_line: str
    quirks: str
    exact: bool
    contents: str
    codec: str | None
    balancer: Mapping[str, Any] | None = None
    tmem_policy: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a file asks for."""

    file: str
    description: str
    seed: int
    duration_us: int | None
    host: HostSpec
    guests: tuple[GuestSpec, ...]
    files: tuple[str, ...] = ()
    """The paths of other files that it names: recordings and traces."""


def load_file(path: str) -> Scenario:
    """The scenario in the file at `path`. Raises ScenarioError."""
    return checked(read(path), printable(path, MAX_PATH), os.path.dirname(os.path.abspath(path)))


def load_text(text: str) -> Scenario:
    """The scenario in `text`. Raises ScenarioError."""
    return load_bytes(text.encode("utf-8", "surrogatepass"), file="scenario")


def load_bytes(raw: bytes, *, file: str) -> Scenario:
    """The scenario in the contents of a file, which complaints call `file`. Raises ScenarioError."""
    return checked(parse(raw, file=file), file)


def checked(root: Node, file: str, directory: str = "") -> Scenario:
    """The scenario of a document; files that it names lie relative to `directory`. Raises ScenarioError."""
    validator = Validator(file, directory)
    values = validator.check(root, scenario_schema(GUEST_KINDS, DEFAULT_KIND))
    machine = values["host"]
    host = HostSpec(**{"codec": None, **machine, "release": str(machine["release"])})
    lines = [node.line for node in root.value["guests"].value]
    guests = _guests(values["guests"], lines, file)
    for at, (spec, line) in enumerate(zip(values["guests"], lines, strict=True)):
        if spec["cap"] and host.release not in RELEASES_WITH_CAPS:
            raise ScenarioError(_no_caps(host.release), file=file, line=line, key=f"guests[{at}].cap")
    policy = host.tmem_policy
    if policy is not None and policy["caps"] and host.release not in RELEASES_WITH_CAPS:
        line = root.value["host"].value["tmem_policy"].key_lines.get("caps")
        raise ScenarioError(_no_caps(host.release), file=file, line=line, key="host.tmem_policy.caps")
    if host.balancer is not None and not any(_is_directed(guest) for guest in guests):
        line = root.value["host"].key_lines.get("balancer")
        problem = "no guest follows it: give those that should `balloon: {kind: xenballoond}`"
        raise ScenarioError(problem, file=file, line=line, key="host.balancer")
    wanted = sum(guest.memory for guest in guests)
    if wanted >= host.memory:
        needed, there = wanted // PAGES_PER_MB, host.memory // PAGES_PER_MB
        line = root.value["host"].line if "host" in root.value else root.line
        problem = f"the guests' {needed} MiB do not fit into the host's {there} MiB"
        raise ScenarioError(problem, file=file, line=line, key="host.memory")
    return Scenario(
        file=file,
        description=values["description"],
        seed=values["seed"],
        duration_us=values.get("duration"),
        host=host,
        guests=guests,
        files=tuple(validator.files),
    )


def _no_caps(release: str) -> str:
    return f"Xen {release} has no caps: they were retired in 4.8"


def _is_directed(guest: GuestSpec) -> bool:
    """Would it follow a balancer?"""
    balloon: Mapping[str, Any] = guest.spec.get("balloon", {})
    return balloon.get("kind") == "xenballoond"


def _guests(specs: list[dict[str, Any]], lines: list[int], file: str) -> tuple[GuestSpec, ...]:
    """Every domain, numbered and named."""
    names: dict[str, int] = {}
    taken: dict[int, int] = {}  # by domain id, which of the guests has it
    for at, spec in enumerate(specs):
        if "id" in spec:
            taken.setdefault(spec["id"], at)
    guests: list[GuestSpec] = []
    next_id = 1
    for at, (spec, line) in enumerate(zip(specs, lines, strict=True)):
        key = f"guests[{at}]"
        count: int = spec["count"]
        if "id" in spec and (count > 1 or taken[spec["id"]] != at):
            problem = (
                f"{spec['id']} is the id of another guest" if count == 1 else "one id for several domains"
            )
            raise ScenarioError(problem, file=file, line=line, key=f"{key}.id")
        if len(guests) + count > MAX_GUESTS:
            raise ScenarioError(f"more than {MAX_GUESTS} domains", file=file, line=line, key=f"{key}.count")
        for number in range(1, count + 1):
            name = spec["name"] if count == 1 else f"{spec['name']}-{number}"
            if name in names:
                problem = f"{name} is the name of another guest, in line {names[name]}"
                raise ScenarioError(problem, file=file, line=line, key=f"{key}.name")
            names[name] = line
            domain_id = spec.get("id")
            if domain_id is None:
                while next_id in taken:
                    next_id += 1
                domain_id, next_id = next_id, next_id + 1
            guests.append(_guest(spec, domain_id, name, file, line, key))
    return tuple(guests)


def _guest(spec: Mapping[str, Any], domain_id: int, name: str, file: str, line: int, key: str) -> GuestSpec:
    memory: int = spec["memory"]
    max_memory: int = spec.get("max_memory", max(1, memory * DEFAULT_MAX_MEMORY))
    if max_memory < memory:
        problem = f"{max_memory} pages are less than the {memory} of memory"
        raise ScenarioError(problem, file=file, line=line, key=f"{key}.max_memory")
    kind: str = spec.get("kind", DEFAULT_KIND)
    own = {name: value for name, value in spec.items() if name not in GUEST and name != "kind"}
    complaint = GUEST_KINDS[kind].complaint(spec)
    if complaint is not None:
        raise ScenarioError(complaint[1], file=file, line=line, key=f"{key}.{complaint[0]}")
    return GuestSpec(
        domain_id=domain_id,
        name=name,
        kind=kind,
        memory=memory,
        max_memory=max_memory,
        weight=spec["weight"],
        cap=spec["cap"],
        compress=spec.get("compress"),
        frozen=spec["frozen"],
        spec=own,
    )

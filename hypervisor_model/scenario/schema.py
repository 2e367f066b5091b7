# SPDX-License-Identifier: GPL-2.0-only
"""The form of a scenario file, as JSON Schema; `python -m hypervisor_model.scenario.schema` prints it.

One table serves the loader, the published docs/scenario-schema.json and the manual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypervisor_model.guests import balancer, tmem_policy
from hypervisor_model.public.xen import DOMID_FIRST_RESERVED
from hypervisor_model.scenario.driver import GuestKind
from hypervisor_model.scenario.quantities import PATTERNS, UUID_PATTERN

SCHEMA_ID: Final = "https://json-schema.org/draft/2020-12/schema"
MAX_GUESTS: Final = 4096
NAME_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.+-]*$"

_MIN_HOST: Final = 512  # pages: 2 MiB
_MAX_HOST: Final = 1 << 30  # pages: 4 TiB
_MAX_DOMAIN: Final = 1 << 28  # pages: 1 TiB


def quantity(what: str, text: str, **more: Any) -> dict[str, Any]:
    """The schema of an amount of `what` ("pages" or "time"); `text` says of what."""
    return {"description": text, "type": "string", "pattern": PATTERNS[what], "x-quantity": what, **more}


def whole(text: str, low: int, high: int, **more: Any) -> dict[str, Any]:
    """The schema of a whole number."""
    return {"description": text, "type": "integer", "minimum": low, "maximum": high, **more}


def flag(text: str, default: bool) -> dict[str, Any]:
    """The schema of a switch."""
    return {"description": text, "type": "boolean", "default": default}


def uuid_text(text: str) -> dict[str, Any]:
    """The schema of a uuid."""
    expected = "a uuid (xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx in hexadecimal)"
    return {"description": text, "type": "string", "pattern": UUID_PATTERN, "x-expected": expected}


def closed(text: str, properties: Mapping[str, Any], required: tuple[str, ...] = ()) -> dict[str, Any]:
    """The schema of a mapping that has these keys and no others."""
    schema: dict[str, Any] = {"description": text, "type": "object", "properties": dict(properties)}
    if required:
        schema["required"] = list(required)
    schema["additionalProperties"] = False
    return schema


def _interval(default: str) -> dict[str, Any]:
    """Of a policy; no shorter than a slice of modelled time."""
    bounds = {"x-minimum": 10_000, "x-maximum": 3_600_000_000}
    return quantity("time", "How often it looks.", default=default, **bounds)


BALANCER: Final[Mapping[str, Any]] = closed(
    "Dom0 tells each guest with `balloon: {kind: xenballoond}` how much memory to have, between its daemon's minimum "
    "and its max_memory. Left out, the daemons go by what is committed.",
    {
        "policy": {
            "description": "proportional: what is left above the minima goes by the balloons' weights; equal-ratio: "
            "the same fraction of the way from minimum to maximum for all; squeeze: what is committed and a fifth "
            "more, and when that is too much, all give in proportion.",
            "enum": list(balancer.POLICIES),
        },
        "interval": _interval("5s"),
    },
    ("policy",),
)

TMEM_POLICY: Final[Mapping[str, Any]] = closed(
    "Targets for each guest's persistent tmem pages; a put beyond its target is refused. Left out, there are none. "
    "The guests' own `weight` and `cap` give way to those that the policy sets.",
    {
        "kind": {
            "description": "greedy: who comes first has them; static: the same for all; reconf-static: the same for "
            "all that have put any; smart: more for who was refused, less for who leaves much unused.",
            "enum": list(tmem_policy.POLICIES),
        },
        "step_percent": whole("smart moves a target by so much of what tmem can have.", 1, 100, default=2),
        "interval": _interval("1s"),
        "weights": flag(
            "Set each guest's weight in Xen to its part of all targets, in percent; to 0 without a target. Ephemeral "
            "pages go by it.",
            False,
        ),
        "caps": flag(
            "Set each guest's cap in Xen to its target, in pages; Xen shows it and ignores it.", False
        ),
    },
    ("kind",),
)

HOST: Final[Mapping[str, Any]] = closed(
    "The machine and its hypervisor.",
    {
        "release": {
            "description": "Which Xen is modelled.",
            "type": ["string", "number"],
            "enum": ["4.3", "4.12", 4.3, 4.12],
            "default": "4.3",
        },
        "memory": quantity(
            "pages",
            "What the machine has for domains and tmem: tmem can use what the guests leave of it.",
            default="1GiB",
            **{"x-minimum": _MIN_HOST, "x-maximum": _MAX_HOST},
        ),
        "command_line": {
            "description": "Xen's own command line; tmem's options are tmem, tmem_compress, tmem_dedup, tmem_tze and "
            "tmem_shared_auth.",
            "type": "string",
            "maxLength": 1023,
            "pattern": r"^[ -~]*$",
            "x-expected": "printable ASCII",
            "default": "tmem=1",
        },
        "quirks": {
            "description": "xen: as the C does; documented: as tmem's documents say it should.",
            "enum": ["xen", "documented"],
            "default": "xen",
        },
        "exact": flag("Account for every byte of the heap; false is page-granular and faster.", True),
        "contents": {
            "description": "pages: 4096 bytes each; tokens: a few bytes stand for a page, for large runs.",
            "enum": ["pages", "tokens"],
            "default": "pages",
        },
        "codec": {
            "description": "What compresses: lzo1x is Xen's, lz4 is fast and needs the package lz4, model draws sizes. "
            "Left out: lzo1x for pages, model for tokens.",
            "enum": ["lzo1x", "lz4", "model"],
        },
        "balancer": BALANCER,
        "tmem_policy": TMEM_POLICY,
    },
)

GUEST: Final[Mapping[str, Any]] = {
    "name": {
        "description": "The domain's name.",
        "type": "string",
        "minLength": 1,
        "maxLength": 64,
        "pattern": NAME_PATTERN,
        "x-expected": "a name (letters, digits and _.+-, a letter first)",
    },
    "count": whole("So many alike, named NAME-1, NAME-2 and so on.", 1, MAX_GUESTS, default=1),
    "id": whole("The domain's id; the next free one if left out.", 1, DOMID_FIRST_RESERVED - 1),
    "memory": quantity(
        "pages",
        "What the domain holds at boot.",
        default="4MiB",
        **{"x-minimum": 0, "x-maximum": _MAX_DOMAIN},
    ),
    "max_memory": quantity(
        "pages",
        "What the domain may hold, its persistent tmem pages included; four times its memory if left out.",
        **{"x-minimum": 1, "x-maximum": _MAX_DOMAIN},
    ),
    "weight": whole("tmem weight; 0 leaves Xen's default.", 0, 0xFFFFFFFF, default=0),
    "cap": whole("tmem cap, which releases up to 4.7 store and none enforces.", 0, 0xFFFFFFFF, default=0),
    "compress": {
        "description": "Compress this domain's pages; left out, the boot option decides.",
        "type": "boolean",
    },
    "frozen": flag("Start frozen: puts are refused.", False),
}


def guest_schema(kinds: Mapping[str, GuestKind], default_kind: str) -> dict[str, Any]:
    """A guest: the keys of all, and those of its kind."""
    branches = []
    for name, kind in kinds.items():
        const = {"description": kind.summary, "type": "string", "const": name}
        required = ("name", *kind.required)
        if name == default_kind:
            const["default"] = name
        else:
            required = ("kind", *required)
        branches.append(closed(kind.summary, {"kind": const, **GUEST, **kind.properties}, required))
    return {"oneOf": branches}


def scenario_schema(kinds: Mapping[str, GuestKind], default_kind: str) -> dict[str, Any]:
    """The whole of a scenario file."""
    properties = {
        "description": {"description": "For people.", "type": "string", "maxLength": 4096, "default": ""},
        "seed": whole("The same seed gives the same run, on any machine.", 0, (1 << 64) - 1, default=1),
        "duration": quantity(
            "time",
            "When the run ends if guests are still at work; left out, it ends with the last guest.",
            **{"x-minimum": 1},
        ),
        "host": {**HOST, "default": {}},
        "guests": {
            "description": "The domains, in the order in which they boot.",
            "type": "array",
            "items": guest_schema(kinds, default_kind),
            "minItems": 1,
            "maxItems": MAX_GUESTS,
        },
    }
    schema = closed("A host with guests, for xm model run and xm model start.", properties, ("guests",))
    return {"$schema": SCHEMA_ID, "title": "xm-tmem scenario", **schema}


def main() -> None:
    """Print the published schema."""
    import json

    from hypervisor_model.scenario.kinds import DEFAULT_KIND, GUEST_KINDS

    print(json.dumps(scenario_schema(GUEST_KINDS, DEFAULT_KIND), indent=2))


if __name__ == "__main__":
    main()

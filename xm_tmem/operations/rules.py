# SPDX-License-Identifier: GPL-2.0-only
"""What `tmem-check` looks for, as data: each rule with its limit, which a config file or an option changes.

A limit is a duration (1h), a count, a ratio (5% or 0.05) or, of a rule that has none, on. Any can be off.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from xm_tmem.errors import BadInput
from xm_tmem.units import parse_duration

Limits: TypeAlias = dict[str, float]
"""Rule -> its limit, of those that are not off; 0 of one that has no limit."""


class Rule(NamedTuple):
    """Something that may be wrong. `kind` is duration, count, ratio or switch."""

    name: str
    kind: str
    default: str
    meaning: str


TMEM_OFF, TRUNCATED, FROZEN, REFUSED, HIT_RATE, SHARED, LOST_PAGES = (
    *("tmem-off", "truncated", "frozen", "refused", "hit-rate"),
    *("shared", "lost-pages"),
)
RULES = {
    rule.name: rule
    for rule in (
        Rule(TMEM_OFF, "switch", "on", "tmem is off, or not built in"),
        Rule(TRUNCATED, "switch", "on", "the listing lacks lines, or has some that were not understood"),
        Rule(FROZEN, "duration", "1h", "a domain was found frozen by every check for longer"),
        Rule(
            REFUSED, "count", "0", "more puts of a pool were refused for lack of memory since the last check"
        ),
        Rule(
            HIT_RATE,
            "ratio",
            "5%",
            "of an ephemeral pool's gets since the last check, fewer found their page",
        ),
        Rule(SHARED, "switch", "on", "a shared pool is open to all guests, or one was refused to a domain"),
        Rule(LOST_PAGES, "count", "0", "a migration with xl would lose more persistent pages of a domain"),
    )
}


def find_rule(name: str) -> Rule:
    """Raises BadInput."""
    rule = RULES.get(name)
    if rule is None:
        raise BadInput(f"no rule is called {name!r}: use {', '.join(RULES)}")
    return rule


def limits(configured: Mapping[str, object], given: Iterable[str], only: Iterable[str]) -> Limits:
    """The limits in force: those built in, those of the config file, RULE=LIMIT of the command line; `only` some rules.

    Raises BadInput.
    """
    wanted: dict[str, object] = {rule.name: rule.default for rule in RULES.values()}
    wanted.update((find_rule(name).name, value) for name, value in configured.items())
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput(f"{text!r} is no limit: write RULE=LIMIT, such as frozen=30m or hit-rate=off")
        wanted[find_rule(name).name] = value
    chosen = [find_rule(name).name for name in only] or list(RULES)
    read = {name: _limit(RULES[name], wanted[name]) for name in RULES if name in chosen}
    return {name: limit for name, limit in read.items() if limit is not None}


def _limit(rule: Rule, value: object) -> float | None:
    """A limit as a number (seconds, a count, a part of 1; 0 of a switch); None for off. Raises BadInput."""
    text = (
        {True: "on", False: "off"}.get(value, "") if isinstance(value, bool) else str(value).strip().lower()
    )
    if text == "off":
        return None
    if text == "on":
        return _number(rule, rule.default) if rule.kind != "switch" else 0.0
    return _number(rule, text)


def _number(rule: Rule, text: str) -> float:
    wrong = BadInput(f"{rule.name}: {text!r} is no {rule.kind}: write {_EXAMPLES[rule.kind]} or off")
    if rule.kind == "switch":
        raise wrong
    if rule.kind == "duration":
        return parse_duration(text)
    try:
        number = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise wrong from None
    if not 0 <= number <= (1 if rule.kind == "ratio" else 2**64) or (rule.kind == "count" and number % 1):
        raise wrong
    return number


_EXAMPLES = {"switch": "on", "duration": "1h", "ratio": "5%", "count": "a number"}

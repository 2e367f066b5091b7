# SPDX-License-Identifier: GPL-2.0-only
"""The filter language: which rows of a listing pass.

    FIELD             the field has a value, and it is not 0 or no                      frozen
    FIELD OP VALUE    OP is = != < <= > >=, or ~ for "contains", whatever the case      weight>10    name~web
    not X    X and Y    X or Y    (X)       "not" binds closest, "or" loosest           shared and not hit_rate>50%

A VALUE is a number; a percentage where the field is a ratio; a size where it counts memory (pages>=64MiB); yes or no;
a word; or anything in quotes. A field without a value fails every comparison.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from xm_tmem.errors import BadInput
from xm_tmem.listing.fields import Field, Row, find_field
from xm_tmem.units import PAGE_BYTES, parse_size

Test = Callable[[Row], bool]

LONGEST = 1000  # characters: bounds the parser's recursion
DEEPEST = 50  # parentheses and nots

_TOKEN = re.compile(
    r"""\s*(?:(?P<paren>[()])|(?P<op><=|>=|!=|==|[=<>~])|(?P<quoted>"[^"]*"|'[^']*')|(?P<word>[^\s()<>=!~"']+))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WORDS = ("and", "or", "not")
_YES_NO = {"yes": 1, "true": 1, "on": 1, "1": 1, "no": 0, "false": 0, "off": 0, "0": 0}


def parse_filter(text: str) -> Test:
    """The test that `text` stands for. Raises BadInput."""
    if len(text) > LONGEST:
        raise BadInput(f"the filter is longer than {LONGEST} characters")
    parser = _Parser(text)
    test = parser.alternatives(0)
    if parser.next:
        raise BadInput(f"in the filter, {parser.next!r} stands where it should end or have 'and' or 'or'")
    return test


class _Parser:
    """One method for each level of binding; each leaves `next` at the token behind what it has read."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.next = self.kind = ""
        self.advance()

    def advance(self) -> str:
        """The token at hand; move to the one behind it, "" at the end."""
        taken = self.next
        self.kind, self.next = next(self.tokens, ("", ""))
        return taken

    def alternatives(self, depth: int) -> Test:
        tests = [self.conjunction(depth)]
        while self.at_word("or"):
            self.advance()
            tests.append(self.conjunction(depth))
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def conjunction(self, depth: int) -> Test:
        tests = [self.term(depth)]
        while self.at_word("and"):
            self.advance()
            tests.append(self.term(depth))
        return tests[0] if len(tests) == 1 else lambda row: all(test(row) for test in tests)

    def term(self, depth: int) -> Test:
        if depth > DEEPEST:
            raise BadInput(f"the filter nests deeper than {DEEPEST} levels")
        if self.at_word("not"):
            self.advance()
            inner = self.term(depth + 1)
            return lambda row: not inner(row)
        if self.next == "(" and self.kind == "paren":
            self.advance()
            inner = self.alternatives(depth + 1)
            if self.advance() != ")":
                raise BadInput("the filter has a '(' without its ')'")
            return inner
        return self.comparison()

    def comparison(self) -> Test:
        if self.kind != "word" or self.next in _WORDS:
            raise BadInput(f"the filter has {self._found()} where a field should stand")
        field = find_field(self.advance())
        if self.kind != "op":
            return lambda row: bool(field.of(row))
        op = self.advance()
        if self.kind not in ("word", "quoted"):
            raise BadInput(f"the filter has {self._found()} where a value should stand, behind {op!r}")
        text = self.advance()
        if op == "~":
            return _contains(field, text.lower())
        return _compares(field, op, text)

    def _found(self) -> str:
        return repr(self.next) if self.kind else "its end"

    def at_word(self, word: str) -> bool:
        return self.kind == "word" and self.next == word


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of kind and text; the quotes are gone."""
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise BadInput(f"the filter cannot be understood from {text[position:].strip()!r} on")
        kind = match.lastgroup or ""
        token = match[kind]
        yield kind, token[1:-1] if kind == "quoted" else token
        position = match.end()


def _contains(field: Field, part: str) -> Test:
    if field.unit not in ("text", "letters"):
        raise BadInput(f"{field.heading} is no text: compare it with = != < <= > or >=")
    return lambda row: (value := field.of(row)) is not None and part in value.lower()


def _compares(field: Field, op: str, text: str) -> Test:
    compare, wanted = _COMPARE[op], _value(field, text)
    return lambda row: (value := field.of(row)) is not None and compare(value, wanted)


def _value(field: Field, text: str) -> Any:
    """`text` as a value of the field's unit."""
    if field.unit in ("text", "letters"):
        return text
    try:
        if field.unit == "flag":
            return _YES_NO[text.lower()]
        if field.unit == "ratio":
            return float(text[:-1]) / 100 if text.endswith("%") else float(text)
        if field.unit == "hex":
            return int(text, 16)
        if field.unit in ("pages", "frames") and not text.isdecimal():
            return parse_size(text) / PAGE_BYTES
        if field.unit == "bytes" and not text.isdecimal():
            return parse_size(text)
        return float(text) if "." in text else int(text)
    except (KeyError, ValueError):
        raise BadInput(f"{text!r} is no value to compare {field.heading} with: {_expected(field)}") from None


def _expected(field: Field) -> str:
    return {
        "flag": "use yes or no",
        "ratio": "use a number from 0 to 1 or a percentage",
        "hex": "use a hexadecimal number",
    }.get(field.unit, "use a number")

# SPDX-License-Identifier: GPL-2.0-only
"""The output of xen-tmem-list-parse, byte for byte: for scripts written for it.

Models    tools/misc/xen-tmem-list-parse.c: parse, parse_hex, parse_string, parse_sharers, and what prints. Of its two
          versions (4.0 and 4.1; 4.2 to 4.12) the first left a string without its end, by luck with a zero behind it
          in every recording: one set of rules serves both.
Left out  what the C leaves to chance, that is to memory nobody set: a number that is none is 0 here, a missing pool
          type or list of sharers is empty.
Units     those of the text. Arithmetic is that of 64 bits without sign, and wraps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from xm_tmem.listing.alike import Rows, alike

_LONGEST_LINE = 4095  # bytes that one fgets takes
_WRAP = 2**64
_PAGE_BYTES = 4096
_DECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)([0-9]+)")
_HEXADECIMAL = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:0[xX](?=[0-9a-fA-F]))?([0-9a-fA-F]+)")
_DIGITS = re.compile("[0-9]*")

_CLIENT = (
    "domid{CI}: weight={ww},cap={ca},compress={compress},frozen={frozen},total_cycles={Tc},succ_eph_gets={Ge},"
    "succ_pers_puts={Pp},succ_pers_gets={Gp},eph_count={Ec},max_eph={Em},compression ratio={ratio}% "
    "(samples={cp},poor={cn},nomem={cm})\n"
)
_POOL = "domid{CI},id{PI}[{PT}]:"
_COUNTERS = (
    "pgp={Pc}(max={Pm}) obj={Oc}({Om}) objnode={Nc}({Nm}) puts={ps}/{pt}/{px}(dup={pd}/{pr}) "
    "gets={gs}/{gt}({hits}%) flush={fs}/{ft} flobj={os}/{ot}\n"
)
_TOTALS = (
    "total tmem ops={Tt} (errors={Te}) -- tmem pages avail={Ta}\n"
    "datastructs: objs={Oc} (max={Om}) pgps={Pc} (max={Pm}) nodes={Nc} (max={Nm}) pages={Fc} (max={Fm}) "
)
_MISCELLANY = (
    "\nmisc: failed_copies={Cf} alloc_failed={Af} alloc_page_failed={Pf} low_mem={Lm} evicted={Et}/{Ea} "
    "relinq={Rt}/{Ra}, max_evicts_per_relinq={Rx}, flush_pools={Fp}, eph_count={Ec}, eph_max={Em}\n"
)
_TIMED = {
    "G": "succ get",
    "P": "succ put",
    "g": "failed get",
    "p": "failed put",
    "F": "flush",
    "O": "flush_obj",
    "C": "page copy",
    "c": "compression",
    "d": "decompression",
}


def reformat(text: bytes) -> bytes:
    """What xen-tmem-list-parse prints when it reads `text`. Never raises."""
    formats = {"G=": _global, "T=": _timings, "C=": _client, "P=": _pool, "S=": _shared_pool}
    lines = list(_lines(text))
    printed = _usual(lines)
    return "".join(
        [
            formats[line[:2]](_Line(line[2:])) if done is None and line[:2] in formats else done or ""
            for line, done in zip(lines, printed, strict=True)
        ]
    ).encode("latin-1")


def _lines(text: bytes) -> Iterator[str]:
    """Lines as C strings. QUIRK main: what is longer than the buffer of fgets is taken for several lines."""
    *lines, rest = text.decode("latin-1").split("\n")
    for line in (*[f"{each}\n" for each in lines], rest):
        if len(line) <= _LONGEST_LINE and "\0" not in line:
            yield line
        else:
            for start in range(0, len(line), _LONGEST_LINE):
                yield line[start : start + _LONGEST_LINE].partition("\0")[0]


def _usual(lines: Sequence[str]) -> list[str | None]:
    """What becomes of lines of clients and private pools that have the usual shape; None for the others."""
    printed: list[str | None] = [None] * len(lines)
    for head, make in (("C=", _clients), ("P=", _pools)):
        numbers = [n for n, line in enumerate(lines) if line.startswith(head)]
        for keys, fitting, rows in alike([lines[n].removesuffix("\n") for n in numbers], _pattern):
            made = make(_Columns(keys, rows))
            for at, text in zip(fitting, made, strict=True):
                printed[numbers[at]] = text
    return printed


def _pattern(key: str) -> str:
    """Of values that the C reads and prints as they stand."""
    return "[EP]P" if key == "PT" else "0|[1-9][0-9]{0,18}"


class _Columns(dict[str, Sequence[str]]):
    """The texts of lines of one shape by their keys. Those of a key that the lines have not are 0."""

    def __init__(self, keys: Sequence[str], rows: Rows) -> None:
        super().__init__(zip(keys, zip(*rows, strict=True), strict=True))
        self._count = len(rows)

    def __missing__(self, key: str) -> Sequence[str]:
        return ["0"] * self._count

    def numbers(self, key: str) -> Iterator[int]:
        return map(int, self[key])


def _clients(columns: _Columns) -> Iterator[str]:
    columns["compress"] = ["0" if text == "0" else "1" for text in columns["co"]]
    columns["frozen"] = ["0" if text == "0" else "1" for text in columns["fr"]]
    columns["ratio"] = [str(ratio) for ratio in map(_ratio, columns.numbers("cb"), columns.numbers("cp"))]
    return _filled(_CLIENT, columns)


def _pools(columns: _Columns) -> Iterator[str]:
    columns["hits"] = [str(hits) for hits in map(_hits, columns.numbers("gs"), columns.numbers("gt"))]
    if "PT" not in columns:
        columns["PT"] = [""] * len(columns["hits"])
    return _filled(_POOL + _COUNTERS, columns)


def _filled(template: str, columns: _Columns) -> Iterator[str]:
    """`template` with the values of each line in it."""
    keys = re.findall("{([A-Za-z]+)}", template)
    line = re.sub("{[A-Za-z]+}", "%s", template.replace("%", "%%"))
    return map(line.__mod__, zip(*(columns[key] for key in keys), strict=True))


class _Line(dict[str, int]):
    """The numbers of a line by their two letters, looked for when asked for. One that is not there is 0."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def __missing__(self, key: str) -> int:
        self[key] = value = self.number(key, _DECIMAL, 10)
        return value

    def number(self, key: str, digits: re.Pattern[str], base: int) -> int:
        """A number as sscanf reads it (C: parse, parse_hex). QUIRK parse: the letters may stand anywhere."""
        match = digits.match(self.text, at) if (at := self.value_at(key)) is not None else None
        if match is None:
            return 0
        sign, figures = match.groups()
        value = min(int(figures, base), _WRAP - 1) if len(figures) <= 64 else _WRAP - 1
        return -value % _WRAP if sign == "-" else value

    def value_at(self, key: str) -> int | None:
        """Where the value begins behind the first `key`; None unless a colon is between."""
        at = self.text.find(key)
        return at + 3 if at >= 0 and self.text[at + 2 : at + 3] == ":" else None

    def pool_type(self) -> str:
        """Two bytes whatever they are (C: parse_string)."""
        at = self.value_at("PT")
        return "" if at is None else self.text[at : at + 2]

    def sharers(self) -> str:
        """The numbers of all SC, with commas (C: parse_sharers)."""
        _, *others = self.text.split("SC")
        found = ""
        for each in others:
            if not each.startswith(":"):
                return found
            found += _DIGITS.match(each, 1)[0] + ","  # type: ignore[index]
        return found[:-1]


def _global(line: _Line) -> str:
    printed = _TOTALS.format_map(line)
    if line["Sm"] and line["Ec"] and line["Ep"]:
        average, current = line["Gd"] / line["Ep"] * 100, (1 - line["Sc"] / line["Ec"]) * 100
        printed += (
            f"pcds={line['Sc']} (max={line['Sm']}) deduped: avg={average:4.2f}% (curr={current:4.2f}%) "
        )
    whole = line["Sc"] * _PAGE_BYTES % _WRAP
    for key, what in (("Zt", "tze"), ("Gz", "compression")):
        if line["Sc"] and 0 < line[key] < whole:
            printed += f"{what} savings={(1 - float(line[key]) / float(whole)) * 100:4.2f}% "
    return printed + _MISCELLANY.format_map(line)


def _timings(line: _Line) -> str:
    printed = ""
    for letter, what in _TIMED.items():
        count, total, most, fewest = (line[letter + last] for last in "ntxm")
        if count:
            printed += f"{what} cycles: avg={total // count}, max={most}, min={fewest}, samples={count}\n"
    return printed


def _client(line: _Line) -> str:
    line["compress"], line["frozen"] = int(line["co"] != 0), int(line["fr"] != 0)
    line["ratio"] = _ratio(line["cb"], line["cp"])
    return _CLIENT.format_map(line)


def _ratio(compressed_bytes: int, pages: int) -> int:
    """Per cent."""
    whole = pages * _PAGE_BYTES % _WRAP
    return compressed_bytes * 100 % _WRAP // whole if whole else 0


def _pool(line: _Line) -> str:
    kind = line.pool_type()
    if kind[1:] == "S":
        return ""
    return _POOL.format(CI=line["CI"], PI=line["PI"], PT=kind) + _counters(line)


def _shared_pool(line: _Line) -> str:
    """QUIRK parse_shared_pool: it asks for PI, and Xen writes SI, so that every shared pool is number 0."""
    uuid = f"{line.number('U0', _HEXADECIMAL, 16):x}.{line.number('U1', _HEXADECIMAL, 16):x}"
    kind, sharers = line.pool_type(), line.sharers()
    return f"poolid={line['PI']}[{kind}] uuid={uuid}, shared-by:{sharers}: " + _counters(line)


def _counters(line: _Line) -> str:
    line["hits"] = _hits(line["gs"], line["gt"])
    return _COUNTERS.format_map(line)


def _hits(found_gets: int, gets: int) -> int:
    """Per cent."""
    return found_gets * 100 % _WRAP // gets if gets else 0

# SPDX-License-Identifier: GPL-2.0-only
"""LZO1X-1: the two compressors that Xen has carried, and one decompressor that reads both.

Models    lzo1x_1_compress and lzo1x_decompress_safe of xen/common/lzo.c: `compress_43` is the code of Xen 4.0 to
          4.4, `compress_412` the later one. Output is equal byte for byte.
Units     bytes.
Left out  inputs over 16 KiB, and with them the far matches (M4); tmem compresses nothing but pages of 4096 bytes.
          The dictionary is empty before each page. Xen 4.12 clears its own; 4.3 does not, so there the size of a
          page also depends on the pages compressed before it on the same CPU.

Both compressors write the same language and differ only in how they look for a match:

    0000LLLL            a run of L+3 literals (L = 0: more length bytes follow), as first code or after a match
    LLLDDDSS D          copy L+1 bytes from at most 0x800 back
    001LLLLL DDDDDDSS D copy L+2 bytes from at most 0x4000 back (L = 0: more length bytes follow)
    00010001 0 0        the end

S counts 0 to 3 literals that follow the code at once. Distances are written less one.

One source for two builds. Compiled by mypyc, an expression of `i64` costs next to nothing and an object much, so the
hash of a position is worked out when it is reached. Interpreted, each step is dear, so tables of all positions are
made at once, by long integers and struct.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from mypy_extensions import i64

MAX_INPUT_BYTES: Final = 0x4000

_NEAR: Final = 0x800  # the furthest distance of the short code
_FAR: Final = 0x4000  # the furthest of the middle one; the long code counts on from here
_SHORT_MAX: Final = 8  # the longest match of the short code
_MIDDLE_MAX: Final = 33  # the longest match of the middle code without more length bytes
_MIDDLE: Final = 32
_LONG: Final = 16
_END: Final = bytes((_LONG | 1, 0, 0))

_TAIL_43: Final = 13  # no match begins in the last bytes of a page
_TAIL_412: Final = 20
_LEAST_412: Final = 32  # shorter input is one run of literals
_SLOTS_43: Final = 1 << 14
_SLOTS_412: Final = 1 << 13
_NOWHERE: Final = MAX_INPUT_BYTES  # an empty slot: beyond every position, so never behind one
_STRIDE: Final = 32  # bytes compared at once

# Every position as an object: compiled, to put one of these into a dictionary is cheaper than to make a new one.
_POSITIONS: Final[tuple[Any, ...]] = tuple(range(MAX_INPUT_BYTES))


def compress_43(page: bytes) -> bytes:
    """Compress `page` as Xen 4.3 does. Raises ValueError if it is longer than MAX_INPUT_BYTES."""
    size: i64 = len(page)
    _check_input(size)
    out: list[int] = []
    done: i64 = 0  # bytes of the page that `out` stands for
    end: i64 = size - _TAIL_43
    if end > 4:
        compiled = _compiled()
        slots: list[i64] = [] if compiled else _slots_43(page)
        dictionary: list[Any] = [_NOWHERE] * _SLOTS_43
        here: i64 = 4
        while here < end:
            slot: i64 = _slot_43(page, here) if compiled else slots[here]
            match: i64 = dictionary[slot]
            if match < here and here - match > _NEAR and page[match + 3] != page[here + 3]:
                # A far match must be worth four bytes; failing that there is one other slot to try.
                slot = slot & 0x7FF ^ 0x201F
                match = dictionary[slot]
                if match < here and here - match > _NEAR and page[match + 3] != page[here + 3]:
                    match = _NOWHERE
            dictionary[slot] = _POSITIONS[here] if compiled else here
            if (
                match > here
                or page[match] != page[here]
                or page[match + 1] != page[here + 1]
                or page[match + 2] != page[here + 2]
            ):
                here += 1
                continue
            length = _match_length(page, match, here, 3, size)
            _put_literals(out, page, done, here)
            _put_match(out, length, here - match)
            here += length
            done = here
    return _finish(out, page, done)


def compress_412(page: bytes) -> bytes:
    """Compress `page` as Xen 4.12 does. Raises ValueError if it is longer than MAX_INPUT_BYTES."""
    size: i64 = len(page)
    _check_input(size)
    out: list[int] = []
    done: i64 = 0
    end: i64 = size - _TAIL_412
    if size >= _LEAST_412:
        compiled = _compiled()
        words: list[i64] = [] if compiled else _words(page)
        # The C keeps 16-bit offsets in a zeroed dictionary: an empty slot and position 0 are the same thing.
        dictionary: list[Any] = [0] * _SLOTS_412
        here: i64 = 5
        while here < end:
            word: i64 = _word(page, here) if compiled else words[here]
            slot: i64 = word * 0x1824429D >> 19 & 0x1FFF
            match: i64 = dictionary[slot]
            dictionary[slot] = _POSITIONS[here] if compiled else here
            if word != (_word(page, match) if compiled else words[match]):
                here += 1 + (here - done >> 5)  # hurry on where nothing matches
                continue
            # The C looks for the end after each eight bytes only, so a match may go up to seven bytes beyond it.
            limit: i64 = here + 12
            if limit < end:
                limit += end - limit + 7 & ~7
            length = _match_length(page, match, here, 4, limit)
            _put_literals(out, page, done, here)
            _put_match(out, length, here - match)
            here += length
            done = here
    return _finish(out, page, done)


def decompress(data: bytes, out_bytes: int = 4096) -> bytes:
    """What `data` was made of. Raises ValueError unless it is well formed and stands for exactly `out_bytes`."""
    try:
        return _decompress(data, out_bytes)
    except IndexError:
        raise ValueError("LZO1X data ends too soon") from None


def _compiled() -> bool:
    """Is this module compiled? Not a constant: while it is imported, mypyc need not have set `__file__` yet."""
    return not __file__.endswith(".py")


def _check_input(size: i64) -> None:
    if size > MAX_INPUT_BYTES:
        raise ValueError(f"{size} bytes are more than the {MAX_INPUT_BYTES} that can be compressed at once")


def _slot_43(page: bytes, here: i64) -> i64:
    """The dictionary slot of the four bytes at `here`."""
    mixed = i64(page[here]) ^ i64(page[here + 1]) << 5 ^ i64(page[here + 2]) << 10 ^ i64(page[here + 3]) << 16
    return mixed * 0x21 >> 5 & _SLOTS_43 - 1


def _slots_43(page: bytes) -> list[i64]:
    """`_slot_43` of each position.

    One lane of 32 bits for each byte of the page, all lanes worked on at once as one long integer: eight times as
    fast as a loop over the positions.
    """
    size = len(page)
    wide = bytearray(4 * size)
    wide[::4] = page
    lanes = int.from_bytes(wide, "little")
    mixed = lanes ^ (lanes >> 32 << 5) ^ (lanes >> 64 << 10) ^ (lanes >> 96 << 16)
    mask = int.from_bytes((_SLOTS_43 - 1).to_bytes(4, "little") * size, "little")
    slots = (mixed * 0x21 >> 5) & mask
    return list(struct.unpack(f"<{size}I", slots.to_bytes(4 * size, "little")))


def _word(page: bytes, here: i64) -> i64:
    """The 32-bit little-endian word at `here`."""
    return i64(page[here]) | i64(page[here + 1]) << 8 | i64(page[here + 2]) << 16 | i64(page[here + 3]) << 24


def _words(page: bytes) -> list[i64]:
    """`_word` of each position."""
    words: list[i64] = [0] * (len(page) - 3)
    for phase in range(4):
        count = (len(page) - phase) // 4
        words[phase::4] = struct.unpack_from(f"<{count}I", page, phase)
    return words


def _match_length(page: bytes, match: i64, here: i64, length: i64, limit: i64) -> i64:
    """How many bytes at `match` and `here` are equal: `length` are known to be, and none counts from `limit` on."""
    most = limit - here
    while length < most and page[match + length] == page[here + length]:
        length += 1
        if length == _STRIDE:  # it may be much longer
            while length + _STRIDE <= most and (
                page[match + length : match + length + _STRIDE]
                == page[here + length : here + length + _STRIDE]
            ):
                length += _STRIDE
    return length


def _put_count(out: list[int], count: i64) -> None:
    """The rest of a length that its code had no room for: a zero for each 255, then what is left (never 0)."""
    while count > 255:
        out.append(0)
        count -= 255
    out.append(count)


def _put_literals(out: list[int], page: bytes, start: i64, stop: i64) -> None:
    count = stop - start
    _put_run(out, count)
    if count > 18:
        out += page[start:stop]
    else:  # a slice would cost more than it saves
        while start < stop:
            out.append(page[start])
            start += 1


def _put_run(out: list[int], count: i64) -> None:
    """The code of `count` literals."""
    if count == 0:
        return
    if count <= 3:
        out[-2] |= count  # in the S bits of the match before
    elif count <= 18:
        out.append(count - 3)
    else:
        out.append(0)
        _put_count(out, count - 18)


def _put_match(out: list[int], length: i64, distance: i64) -> None:
    distance -= 1
    if length <= _SHORT_MAX and distance < _NEAR:
        out.append(length - 1 << 5 | (distance & 7) << 2)
        out.append(distance >> 3)
        return
    if length <= _MIDDLE_MAX:
        out.append(_MIDDLE | length - 2)
    else:
        out.append(_MIDDLE)
        _put_count(out, length - _MIDDLE_MAX)
    out.append(distance << 2 & 0xFF)
    out.append(distance >> 6)


def _finish(out: list[int], page: bytes, done: i64) -> bytes:
    rest: i64 = len(page) - done
    if not out and 0 < rest <= 238:
        out.append(17 + rest)
    else:
        _put_run(out, rest)
    return (
        bytes(bytearray(out)) + page[done:] + _END
    )  # a list becomes a bytearray in half the time it becomes bytes


def _get_count(data: bytes, position: int, base: int) -> tuple[int, int]:
    """A length too long for its code, and the position after it."""
    start = position
    while data[position] == 0:
        position += 1
    return base + 255 * (position - start) + data[position], position + 1


def _decompress(data: bytes, out_bytes: int) -> bytes:
    out = bytearray()
    position = 0
    literals = 0  # to copy before the next code
    after_run = False  # are they a run of their own, rather than the one to three of a match?
    if data[0] > 17:
        literals = data[0] - 17
        position = 1
        after_run = literals > 3
    while True:
        if literals:
            if len(out) + literals > out_bytes:
                raise ValueError(f"LZO1X data stands for more than {out_bytes} bytes")
            out += data[position : position + literals]  # if there are fewer, the next code is missing too
            position += literals
        code = data[position]
        position += 1
        if code >= 64:
            length = (code >> 5) + 1
            distance = 1 + (code >> 2 & 7) + (data[position] << 3)
            position += 1
            literals = code & 3
        elif code >= _LONG:
            middle = code >= _MIDDLE
            length = code & 31 if middle else code & 7
            if length == 0:
                length, position = _get_count(data, position, 31 if middle else 7)
            length += 2
            word = data[position] | data[position + 1] << 8
            position += 2
            literals = word & 3
            distance = word >> 2
            if middle:
                distance += 1
            else:
                distance += (code & 8) << 11
                if distance == 0:
                    break
                distance += _FAR
        elif literals:
            length = 3 if after_run else 2
            distance = (_NEAR + 1 if after_run else 1) + (code >> 2) + (data[position] << 2)
            position += 1
            literals = code & 3
        else:
            literals = code
            if code == 0:
                literals, position = _get_count(data, position, 15)
            literals += 3
            after_run = True
            continue
        start = len(out) - distance
        if start < 0:
            raise ValueError(f"LZO1X data refers to {-start} bytes before its beginning")
        if len(out) + length > out_bytes:
            raise ValueError(f"LZO1X data stands for more than {out_bytes} bytes")
        if length <= distance:
            out += out[start : start + length]
        else:  # the copy overlaps what it writes: a pattern repeated
            out += (out[start:] * (length // distance + 1))[:length]
        after_run = False
    if length != 3 or position != len(data):
        raise ValueError("LZO1X data has no proper end")
    if len(out) != out_bytes:
        raise ValueError(f"LZO1X data stands for {len(out)} bytes, not {out_bytes}")
    return bytes(out)

# SPDX-License-Identifier: GPL-2.0-only
"""LZO1X-1: sizes and checksums of what Xen's C made of the same pages, codes worked out by hand, round trips,
hostile input, and the C itself where XEN_SRC names a checkout of Xen and there is a compiler."""

from __future__ import annotations

import ctypes
import os
import random
import shutil
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hypervisor_model.lib import lzo1x
from hypervisor_model.lib.lzo1x import MAX_INPUT_BYTES, compress_43, compress_412, decompress
from tests.conformance.pages import noise, page_from_spec

Compressor = Callable[[bytes], bytes]
END = b"\x11\0\0"
both = pytest.mark.parametrize("compress", [compress_43, compress_412], ids=["4.3", "4.12"])


def vocabulary(seed: int, count: int) -> bytes:
    """A page of words of 1 to 9 bytes, `count` different ones: matches of all lengths and distances."""
    words = [noise(seed + number, 1 + number % 9) for number in range(count)]
    return b"".join(words[byte % count] for byte in noise(seed, 4096))[:4096]


def echo(distance: int, length: int) -> bytes:
    """Noise in which `length` bytes occur twice; the byte after them differs in a bit that the 4.3 hash ignores."""
    page = bytearray(noise(20, 4096))
    page[3000 : 3000 + length] = page[3000 - distance : 3000 - distance + length]
    page[3000 + length] = page[3000 - distance + length] ^ 8
    return bytes(page)


@st.composite
def repetitive(draw: st.DrawFn) -> bytes:
    """Data with matches near and far, short and long, and runs of literals between them."""
    data = bytearray(draw(st.binary(min_size=1, max_size=40)))
    for _ in range(draw(st.integers(0, 12))):
        if draw(st.booleans()):
            data += draw(st.binary(max_size=30)) * draw(st.integers(1, 40))
        else:
            start = draw(st.integers(0, len(data) - 1))
            data += data[start : start + draw(st.integers(3, 400))]
    return bytes(data[:MAX_INPUT_BYTES])


@pytest.mark.parametrize(
    ("page", "of_43", "of_412"),
    [
        (page_from_spec("z"), (28, 657169437), (44, 1794046534)),
        (page_from_spec("r:1"), (4116, 1394839629), (4116, 1394839629)),
        (page_from_spec("r:2"), (4116, 3744930412), (4116, 3744930412)),
        (page_from_spec("t:3:7"), (31, 1980623201), (53, 1465222114)),
        (page_from_spec("t:4:1000"), (1025, 3912181519), (1101, 2866844422)),
        (page_from_spec("t:5:4075"), (4099, 2411538838), (4116, 2075541043)),
        (page_from_spec("c:6:1"), (28, 1193672471), (44, 2857779937)),
        (page_from_spec("c:7:5"), (32, 3983879296), (44, 3904175181)),
        (page_from_spec("c:8:40"), (68, 3271699939), (86, 3810368917)),
        (page_from_spec("c:9:300"), (328, 1879659000), (349, 2661829589)),
        (page_from_spec("c:10:2040"), (2067, 742234828), (2084, 763387834)),
        (page_from_spec("c:11:2100"), (2128, 3423169077), (2149, 1345145060)),
        (page_from_spec("c:12:4000"), (4028, 3973529561), (4077, 1552420355)),
        (vocabulary(13, 2), (1508, 288757926), (1544, 2148560665)),
        (vocabulary(14, 5), (1631, 3153757909), (1541, 3029112645)),
        (vocabulary(15, 17), (1555, 647816192), (1553, 4272563634)),
        (vocabulary(16, 40), (1780, 1096052439), (1832, 1971959912)),
        (vocabulary(17, 90), (2018, 2045437094), (2095, 3699845754)),
        (vocabulary(18, 200), (2430, 2251725354), (2507, 3306161711)),
        (echo(0x800, 3), (4117, 1905966704), (4116, 2256916898)),
        (echo(0x801, 3), (4116, 774276705), (4116, 774276705)),
        (echo(0x800, 8), (4112, 3886681607), (4116, 489693575)),
        (echo(0x801, 8), (4113, 1150316227), (4116, 1014508435)),
        (echo(0x800, 9), (4112, 4033849895), (4116, 1556141502)),
    ],
)
def test_the_bytes_are_those_of_the_c(page: bytes, of_43: tuple[int, int], of_412: tuple[int, int]) -> None:
    packed_43, packed_412 = compress_43(page), compress_412(page)
    assert (len(packed_43), zlib.crc32(packed_43)) == of_43
    assert (len(packed_412), zlib.crc32(packed_412)) == of_412
    assert decompress(packed_43) == decompress(packed_412) == page


@both
def test_short_input_is_one_run_of_literals(compress: Compressor) -> None:
    assert compress(b"") == END
    assert compress(b"abc") == bytes([17 + 3]) + b"abc" + END


@both
def test_noise_is_one_run_of_literals(compress: Compressor) -> None:
    assert compress(noise(3, 238)) == b"\xff" + noise(3, 238) + END
    assert compress(noise(3, 239)) == bytes([0, 239 - 18]) + noise(3, 239) + END
    assert compress(noise(3, 273)) == bytes([0, 255]) + noise(3, 273) + END
    assert compress(noise(3, 274)) == bytes([0, 0, 1]) + noise(3, 274) + END


def test_412_leaves_less_than_32_bytes_alone() -> None:
    assert compress_412(bytes(31)) == bytes([17 + 31]) + bytes(31) + END
    assert len(compress_412(bytes(32))) < 32


def test_zero_page_in_43_is_five_literals_and_a_match_to_the_end() -> None:
    # Nothing is in the slot yet at position 4, so that is a literal too; the match is at 5, from one byte back.
    zeros, rest = divmod(4096 - 5 - 33, 255)
    assert compress_43(bytes(4096)) == b"\x02" + bytes(5) + b"\x20" + bytes(zeros) + bytes([rest, 0, 0]) + END


def test_zero_page_in_412_matches_position_0_and_stops_near_the_end() -> None:
    # An empty slot means position 0, five bytes back. The match is 4 and the fewest eights that reach 4096 - 20.
    length = 4 + 8 * -(-(4096 - 20 - 5 - 4) // 8)
    zeros, rest = divmod(length - 33, 255)
    match = b"\x20" + bytes(zeros) + bytes([rest, 4 << 2, 0])
    left = 4096 - 5 - length
    assert compress_412(bytes(4096)) == b"\x02" + bytes(5) + match + bytes([left - 3]) + bytes(left) + END


def test_tables_agree_with_what_the_compiled_build_works_out() -> None:
    page = noise(21, 99) + b"\xff" * 4
    places = range(len(page) - 3)
    assert lzo1x._words(page) == [lzo1x._word(page, here) for here in places]
    assert lzo1x._slots_43(page)[: len(places)] == [lzo1x._slot_43(page, here) for here in places]


@both
def test_input_too_long_is_refused(compress: Compressor) -> None:
    assert decompress(compress(bytes(MAX_INPUT_BYTES)), MAX_INPUT_BYTES) == bytes(MAX_INPUT_BYTES)
    with pytest.raises(ValueError, match="more than the 16384"):
        compress(bytes(MAX_INPUT_BYTES + 1))


@both
@given(data=st.one_of(st.binary(max_size=300), repetitive()))
@example(data=bytes(range(256)) * 16)
@settings(max_examples=150, deadline=None)
def test_round_trip(compress: Compressor, data: bytes) -> None:
    packed = compress(data)
    assert decompress(packed, len(data)) == data
    assert len(packed) <= len(data) + len(data) // 16 + 67  # C: lzo1x_worst_compress


RUN = noise(1, 2049)
LONG_RUN = bytes(8) + bytes([2049 - 18 - 7 * 255]) + RUN


@pytest.mark.parametrize(
    ("packed", "plain"),
    [
        (b"\x15abcd", b"abcd"),
        (b"\x12a\x40\x00", b"aaaa"),  # short: 3 bytes from 1 back
        (b"\x13ab\x65\x00z", b"abababz"),  # short: 4 bytes from 2 back, then 1 literal
        (b"\x13ab\x65\x00z\x04\x00", b"abababzbz"),  # after that literal: 2 bytes from 2 back
        (b"\x15abcd\x22\x0c\x00", b"abcdabcd"),  # middle: 4 bytes from 4 back
        (b"\x12a\x20\x01\x00\x00", b"a" * 35),  # middle: 34 bytes
        (b"\x12a\x20\x00\x01\x00\x00", b"a" * 290),  # middle: 255 bytes more
        (LONG_RUN, RUN),
        (LONG_RUN + b"\x00\x00", RUN + RUN[:3]),  # after a run: 3 bytes from 0x801 back
    ],
)
def test_codes_one_by_one(packed: bytes, plain: bytes) -> None:
    assert decompress(packed + END, len(plain)) == plain


def test_long_match_refers_beyond_16_kib() -> None:
    run = noise(2, 0x4001)
    zeros, rest = divmod(len(run) - 18, 255)
    packed = bytes(1 + zeros) + bytes([rest]) + run + b"\x12\x04\x00" + END
    assert decompress(packed, len(run) + 4) == run + run[:4]


@pytest.mark.parametrize(
    ("packed", "complaint"),
    [
        (b"", "too soon"),
        (b"\x15abc", "too soon"),
        (b"\x15abcd", "too soon"),
        (b"\x15abcd\x11\0", "too soon"),
        (b"\x00\x00\x00", "too soon"),
        (b"\x15abcd" + END + b"\0", "no proper end"),
        (b"\x15abcd\x12\0\0", "no proper end"),
        (b"\x14abc" + END, "3 bytes, not 4"),
        (b"\x16abcde" + END, "more than 4"),
        (b"\x12a\x60\x00" + END, "more than 4"),
        (b"\x12a\x44\x00" + END, "1 bytes before its beginning"),
        (b"\x12a\x00\x02" + END, "8 bytes before its beginning"),
    ],
)
def test_malformed_data_is_refused(packed: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        decompress(packed, 4)


@both
def test_every_cut_is_noticed(compress: Compressor) -> None:
    packed = compress(vocabulary(19, 30))
    for length in range(len(packed)):
        with pytest.raises(ValueError):
            decompress(packed[:length])


@given(data=st.binary(max_size=200), out_bytes=st.integers(0, 4096))
def test_noise_is_refused_or_stands_for_the_right_number_of_bytes(data: bytes, out_bytes: int) -> None:
    try:
        assert len(decompress(data, out_bytes)) == out_bytes
    except ValueError:
        pass


C_AROUND_LZO = r"""
#include <stddef.h>
#include <stdint.h>
#include <string.h>
typedef uint8_t u8; typedef uint16_t u16; typedef uint32_t u32; typedef uint64_t u64;
#define noinline
#define likely(x) (x)
#define unlikely(x) (x)
#define BUILD_BUG_ON(x)
#define CONFIG_TMEM 1
#define __LITTLE_ENDIAN 1234
#include "lzo.h"
#include "lzo.c"
size_t compress_page(const unsigned char *page, size_t size, unsigned char *out)
{
    static _Alignas(64) unsigned char dictionary[LZO1X_MEM_COMPRESS];
    size_t length;
    memset(dictionary, 0, sizeof dictionary);
    lzo1x_1_compress(page, size, out, &length, dictionary);
    return length;
}
"""


def test_equal_to_the_c_where_there_is_one(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    tree = os.environ.get("XEN_SRC")
    if tree is None or compiler is None:
        pytest.skip("needs XEN_SRC, a checkout of Xen 4.0 to 4.12, and a C compiler")
    source = (Path(tree) / "xen/common/lzo.c").read_text()
    for name, text in (("lzo.c", source), ("lzo.h", (Path(tree) / "xen/include/xen/lzo.h").read_text())):
        lines = [
            line for line in text.splitlines() if not line.startswith(("#include <xen/", "#include <asm/"))
        ]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    (tmp_path / "around.c").write_text(C_AROUND_LZO)
    subprocess.run(
        [compiler, "-O1", "-w", "-fno-strict-aliasing", "-shared", "-fPIC", "-o", "lzo.so", "around.c"],
        cwd=tmp_path,
        check=True,
    )
    reference = ctypes.CDLL(str(tmp_path / "lzo.so")).compress_page
    reference.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p]
    reference.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(8192)
    compress = compress_43 if "MiniLZO" in source else compress_412
    rng = random.Random(412)
    for _ in range(400):
        seed = rng.randrange(1 << 32)
        kind = rng.choice(["r:{}", "t:{}:{}", "c:{}:{}", ""])
        page = (
            page_from_spec(kind.format(seed, rng.randrange(1, 4097)))
            if kind
            else vocabulary(seed, 2 + seed % 60)
        )
        length = reference(page, len(page), out)
        assert compress(page) == out.raw[:length], (kind, seed)

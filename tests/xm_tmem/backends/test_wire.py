# SPDX-License-Identifier: GPL-2.0-only
"""The framing: what goes in comes out, and what breaks a rule is refused before it costs anything."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hypervisor_model.public import wire
from hypervisor_model.public.wire import Call, WireError

arguments = st.binary(min_size=16, max_size=136)
buffers = st.none() | st.binary(max_size=9000).map(bytearray)
texts = st.text(max_size=200)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    argument, buffer = draw(arguments), draw(buffers)
    offset = None if buffer is None else draw(st.integers(0, len(argument) - 8))
    return Call(draw(st.integers(0, 63)), argument, offset, buffer)


def contents(call: Call) -> tuple[int, bytes, int | None, bytes | None]:
    return call.number, call.argument, call.handle_offset, None if call.buffer is None else bytes(call.buffer)


def payload(frame: bytes) -> bytes:
    return frame[wire.HEADER_BYTES :]


@given(st.lists(calls(), min_size=1, max_size=5))
def test_calls_arrive_as_they_were_made(made: list[Call]) -> None:
    arrived = wire.decode_calls(payload(wire.calls_request(made)))
    assert [contents(call) for call in arrived] == [contents(call) for call in made]


@given(st.lists(st.tuples(calls(), buffers, st.integers(-1001, 1 << 40)), min_size=1, max_size=5))
def test_answers_change_the_callers_buffers_in_place(asked: list[tuple[Call, bytearray | None, int]]) -> None:
    made = [call for call, _, _ in asked]
    served = wire.decode_calls(payload(wire.calls_request(made)))
    for call, (_, after, _) in zip(served, asked, strict=True):
        if call.buffer is not None and after is not None:
            call.buffer[:] = after.ljust(len(call.buffer), b"\0")[: len(call.buffer)]
    kept = [call.buffer for call in made]
    values = [value for _, _, value in asked]
    assert wire.decode_results(payload(wire.calls_answer(served, values)), made) == values
    for call, buffer, answered in zip(made, kept, served, strict=True):
        assert call.buffer is buffer
        assert contents(call)[3] == contents(answered)[3]


@given(st.dictionaries(texts, texts, max_size=8))
def test_fields_and_names_arrive(fields: dict[str, str]) -> None:
    assert wire.decode_fields(wire.encode_fields(fields)) == fields
    entries = [(number, key, value) for number, (key, value) in enumerate(fields.items())]
    assert wire.decode_directory(payload(wire.directory_answer(entries))) == entries


@pytest.mark.parametrize("length", [0, 1, 65_535, 65_536, 200_001])
def test_a_long_text_arrives_in_pieces(length: int) -> None:
    text = "".join(chr(97 + number % 26) for number in range(length))
    assert wire.from_fields(wire.decode_fields(wire.encode_fields(wire.as_fields(text)))) == text


@given(st.binary(max_size=400))
def test_garbage_is_refused_or_decoded_but_never_crashes(data: bytes) -> None:
    for decode in (
        wire.decode_calls,
        wire.decode_fields,
        wire.decode_directory,
        wire.decode_hello,
        wire.decode_error,
    ):
        try:
            decode(data)
        except WireError:
            continue
    with pytest.raises(WireError):
        wire.decode_results(data + b"\xff" * 30, [Call(1, bytes(16))])


def test_a_buffer_of_mostly_zeros_travels_as_what_is_in_it() -> None:
    text = b"C=CI:1\n"
    call = Call(35, bytes(136), 56, bytearray(text.ljust(1 << 20, b"\0")))
    assert len(wire.calls_request([call])) < 300
    assert wire.length_without_zeros(bytes(1 << 16)) == 0
    for end in (1, 4095, 4096, 4097, 8192, 10000):
        assert wire.length_without_zeros(bytes(end - 1) + b"x" + bytes(7777)) == end


def test_the_pointer_goes_where_it_stands() -> None:
    argument = bytes(range(64))
    call = Call(38, argument, 48, bytearray(8))
    assert (
        call.argument_pointing_to(0x10000) == argument[:48] + (0x10000).to_bytes(8, "little") + argument[56:]
    )
    assert Call(38, argument).argument_pointing_to(0x10000) == argument


ROOM = wire.MAX_BUFFER_BYTES


@pytest.mark.parametrize(
    "data",
    [
        b"",
        wire._CALL.pack(35, -1, 2000, 0, 0) + bytes(2000),  # argument over the bound
        wire._CALL.pack(35, 0, 16, ROOM + 1, 0) + bytes(16),  # buffer over the bound
        (wire._CALL.pack(35, 0, 16, ROOM // 2 + 1, 0) + bytes(16)) * 2,  # both together
        wire._CALL.pack(35, 0, 16, 4, 5) + bytes(21),  # more sent than there is room
        wire._CALL.pack(35, 9, 16, 4, 0) + bytes(16),  # pointer reaches over the argument's end
        wire._CALL.pack(35, -2, 16, 4, 0) + bytes(16),
        wire._CALL.pack(35, -1, 16, 4, 0) + bytes(16),  # a buffer and no pointer
        wire._CALL.pack(35, -1, 16, 0, 0) + bytes(15),  # cut short
        (wire._CALL.pack(35, -1, 0, 0, 0)) * (wire.MAX_CALLS + 1),
    ],
    ids=range(10),
)
def test_calls_that_break_a_rule_are_refused(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_calls(data)


def test_an_absurd_length_is_refused_before_anything_is_read() -> None:
    header = wire._HEADER.pack(wire.HYPERCALLS, wire.MAX_FRAME_BYTES + 1)
    asked: list[int] = []

    def receive(limit: int) -> bytes:
        asked.append(limit)
        return header

    with pytest.raises(WireError):
        wire.read_frame(receive)
    assert asked == [wire.HEADER_BYTES]
    with pytest.raises(WireError):
        list(wire.FrameBuffer().feed(header))


def test_a_promise_of_much_costs_nothing_until_it_is_kept() -> None:
    pieces = [wire._HEADER.pack(wire.INFO, 60 << 20), b"abc", b""]
    with pytest.raises(WireError, match="middle"):
        wire.read_frame(lambda limit: pieces.pop(0))


def test_the_end_of_the_stream_between_frames_is_no_error() -> None:
    assert wire.read_frame(lambda limit: b"") is None


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=50)), max_size=6), st.integers(1, 40))
def test_frames_come_out_of_any_slicing(frames: Sequence[tuple[int, bytes]], size: int) -> None:
    stream = b"".join(wire.frame(kind, data) for kind, data in frames)
    buffer = wire.FrameBuffer()
    out = [frame for at in range(0, len(stream), size) for frame in buffer.feed(stream[at : at + size])]
    assert out == list(frames)
    assert len(buffer) == 0


def test_an_answer_is_what_was_asked_for() -> None:
    with pytest.raises(WireError):
        wire.expect(None, wire.INFO)
    with pytest.raises(WireError):
        wire.expect((wire.DIRECTORY | wire.ANSWER, b""), wire.INFO)
    with pytest.raises(wire.RemoteError, match="no such verb") as raised:
        wire.expect(
            (wire.ERROR, payload(wire.error_answer(wire.ERROR_UNKNOWN, "no such verb"))), wire.CONTROL
        )
    assert raised.value.code == wire.ERROR_UNKNOWN


@pytest.mark.parametrize(
    "data", [b"", b"HTTP/1.1 400 Bad Request", wire.MAGIC + b"\x63\0\0\0" + wire.encode_fields({})]
)
def test_a_stranger_is_not_talked_to(data: bytes) -> None:
    with pytest.raises(WireError):
        wire.decode_hello_answer(data)


def test_a_long_name_is_cut_and_breaks_nothing() -> None:
    ((_, name, uuid),) = wire.decode_directory(payload(wire.directory_answer([(1, "é" * 99999, "u")])))
    assert len(name.encode()) <= wire.MAX_TEXT_BYTES + 3
    assert uuid == "u"


def test_frames_travel_over_a_socket() -> None:
    here, there = socket.socketpair()
    with here, there:
        thread = threading.Thread(target=wire.write_frame, args=(there.sendall, wire.INFO, b"x" * (3 << 20)))
        thread.start()
        assert wire.read_frame(here.recv) == (wire.INFO, b"x" * (3 << 20))
        thread.join()

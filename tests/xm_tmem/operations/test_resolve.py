# SPDX-License-Identifier: GPL-2.0-only
"""A DOMAIN as people write it: id, uuid, name; what is ambiguous or cannot be is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xm_tmem.backends.interface import DomainInfo
from xm_tmem.errors import BadInput, NoSuchDomain, TmemError
from xm_tmem.ids import DomainId
from xm_tmem.operations.resolve import resolve

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
DOMAINS = [
    DomainInfo(DomainId(0), "Domain-0"),
    DomainInfo(DomainId(1), "web", UUID),
    DomainInfo(DomainId(2), "twin"),
    DomainInfo(DomainId(3), "twin"),
    DomainInfo(DomainId(4), "7"),
    DomainInfo(DomainId(5), UUID.upper()),
    DomainInfo(DomainId(6)),
    DomainInfo(DomainId(8), "-1"),
]


@pytest.mark.parametrize(
    ("text", "domid"),
    [
        ("0", 0),
        ("6", 6),
        ("006", 6),
        ("web", 1),
        (UUID, 1),
        (UUID.upper(), 1),
        (UUID.replace("-", ""), 1),
        ("7", 4),
        ("-1", 8),
    ],
)
def test_an_id_then_a_uuid_then_a_name(text: str, domid: int) -> None:
    assert resolve(DOMAINS, text).domain_id == domid


@pytest.mark.parametrize("text", ["9", "Web", "we", "nosuch", UUID[:-1] + "0", "web ", "\x1b", "٣"])
def test_what_is_not_there_is_no_such_domain(text: str) -> None:
    with pytest.raises(NoSuchDomain):
        resolve(DOMAINS, text)


@pytest.mark.parametrize(
    "text", ["", "twin", "-2", "32752", "65535", "65536", "4294967295", "9" * 300, "x" * 300]
)
def test_what_cannot_be_or_is_ambiguous_is_bad_input(text: str) -> None:
    with pytest.raises(BadInput):
        resolve(DOMAINS, text)


@given(st.text(max_size=300))
def test_any_text_is_a_domain_or_an_error_of_ours(text: str) -> None:
    try:
        assert resolve(DOMAINS, text) in DOMAINS
    except TmemError:
        pass

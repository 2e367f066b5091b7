# SPDX-License-Identifier: GPL-2.0-only
"""Settings of domains by name, from a file: compared with what is, and brought about where they differ.

Xen forgets a domain's weight, compression and authorisations when it ends, and knows it by a number that changes at
every start. A file of wishes is by name, and applying it twice is the same as once. Authorisations cannot be read
back from any Xen: they are sent every time, which does no harm.

    domains:
      web: {weight: 200, compress: on}
      db:  {weight: 300, allow: [01234567-89ab-cdef-0123-456789abcdef]}
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from xm_tmem.backends.interface import Backend, Capability, require
from xm_tmem.errors import BadInput
from xm_tmem.ids import DomainId, SharedUuid
from xm_tmem.operations.outcome import Outcome, Target, for_each
from xm_tmem.operations.resolve import targets
from xm_tmem.operations.tuning import Wanted, differences, make

MAX_WISHES = 10_000
_SETTINGS = ("weight", "cap", "compress", "allow", "deny")


class Wish:
    """What one domain should be like. The uuids are those it may, and may not, share a pool under."""

    __slots__ = ("allow", "deny", "domain", "settings")

    def __init__(
        self, domain: str, settings: Wanted, allow: Sequence[SharedUuid], deny: Sequence[SharedUuid]
    ) -> None:
        self.domain, self.settings, self.allow, self.deny = domain, settings, tuple(allow), tuple(deny)

    @property
    def capabilities(self) -> Capability:
        """What a hypervisor must be able to do for this."""
        shared = Capability.SHARED_AUTH if self.allow or self.deny else Capability(0)
        return self.settings.capabilities | shared


def read_wishes(document: object, where: str, *, uuid_order: str) -> list[Wish]:
    """The wishes in a file's data. Raises BadInput, naming `where` and the domain."""
    domains = document.get("domains") if isinstance(document, dict) and len(document) == 1 else None
    if not isinstance(domains, dict) or len(domains) > MAX_WISHES:
        raise BadInput(f"{where}: expected `domains:` with one `NAME: {{weight: N, compress: on}}` for each")
    wishes = []
    for name, settings in domains.items():
        try:
            wishes.append(_wish(str(name), settings, uuid_order))
        except (BadInput, ValueError) as error:
            raise BadInput(f"{where}: {name}: {error}") from None
    return wishes


def _wish(name: str, settings: object, uuid_order: str) -> Wish:
    if not isinstance(settings, dict):
        raise ValueError("expected settings such as {weight: 100}")
    for key in settings:
        if key not in _SETTINGS:
            raise ValueError(f"no setting is called {key!r}: use {', '.join(_SETTINGS)}")
    compress = settings.get("compress")
    if compress is not None and not isinstance(compress, bool):
        raise ValueError(f"compress: {compress!r} is neither on nor off")
    wanted = Wanted(_whole(settings, "weight"), _whole(settings, "cap"), compress)
    return Wish(name, wanted, _uuids(settings, "allow", uuid_order), _uuids(settings, "deny", uuid_order))


def _whole(settings: dict[str, object], key: str) -> int | None:
    value = settings.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(f"{key}: {value!r} is no number")
    return value


def _uuids(settings: dict[str, object], key: str, order: str) -> list[SharedUuid]:
    value = settings.get(key, [])
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{key}: expected a list of uuids")
    return [SharedUuid.from_text(text, order=order) for text in value]


def compare(backend: Backend, wishes: Sequence[Wish]) -> list[Outcome]:
    """What `apply` would change in each domain; an empty text where a domain is as wished."""

    def compare_one(target: Target, wish: Wish) -> str:
        assert target.domain_id is not None
        return ", ".join(map(str, differences(backend.client_info(target.domain_id), wish.settings)))

    return _for_each_wish(backend, wishes, compare_one)


def apply(backend: Backend, wishes: Sequence[Wish], *, known: Collection[DomainId] = ()) -> list[Outcome]:
    """Bring every domain to its wish; authorisations are left out for those `known` to have them.

    Raises Unsupported before anything is sent.
    """
    for wish in wishes:
        require(backend, wish.capabilities)

    def apply_one(target: Target, wish: Wish) -> str:
        assert target.domain_id is not None
        changes = differences(backend.client_info(target.domain_id), wish.settings)
        make(backend, target.domain_id, changes)
        done = [str(change) for change in changes]
        if target.domain_id not in known:
            for uuids, allow in ((wish.allow, True), (wish.deny, False)):
                for uuid in uuids:
                    backend.shared_auth(target.domain_id, uuid, allow=allow)
                if uuids:
                    done.append(
                        f"{len(uuids)} shared pool{'s' * (len(uuids) != 1)} {'allowed' if allow else 'denied'}"
                    )
        return ", ".join(done)

    return _for_each_wish(backend, wishes, apply_one)


def _for_each_wish(
    backend: Backend, wishes: Sequence[Wish], act: Callable[[Target, Wish], str]
) -> list[Outcome]:
    """`act` on each wish with its domain. Raises BadInput when two wishes are for one domain."""
    found = targets(backend, [wish.domain for wish in wishes])
    if len(found) != len(wishes):
        raise BadInput("two entries of the file are for the same domain")
    wish_of = {id(target): wish for target, wish in zip(found, wishes, strict=True)}
    return for_each(found, lambda target: act(target, wish_of[id(target)]))

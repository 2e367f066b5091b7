# SPDX-License-Identifier: GPL-2.0-only
"""Makes random traces, with the results that this build of the model gives.

    python -m tests.conformance.generate --release 4.3 --style pressure --seed 7 --boot compress,dedup FILE

A trace made by one build and replayed by another says where they differ. Like the recordings, these traces keep
clear of what is undefined in the C: a get into a frame that cannot be written, a shared pool that loses its owner or
is joined twice by one domain, a second save of a domain, changes during a save.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from hypervisor_model.public import sysctl, tmem
from hypervisor_model.public.xen import CLI_ID_ALL, PAGE_SIZE
from hypervisor_model.releases import release_named
from tests.conformance.replay import Replayer, boot
from tests.conformance.trace import Header, Operation, write_trace

BOOT_OPTIONS: Final = ("compress", "dedup", "tze", "shared_auth")
HOST_PAGES: Final = {"mixed": 20000, "pressure": 640}
STAT_EVERY: Final = 200

_ALL_DOMAINS: Final = range(7)
_GFNS: Final = 24
_READ_ONLY: Final = (20, 21)
_UNMAPPED: Final = (22, 23)
_UUIDS: Final = ([11, 0], [22, 5], [(1 << 64) - 1, 33])
_POOL_VERSION: Final = tmem.TMEM_SPEC_VERSION << tmem.TMEM_POOL_VERSION_SHIFT
_INDEXES: Final = (0, 1, 62, 63, 64, 65, 4095, 4096, 262144, (1 << 32) - 1)

_CONTROLS: Final = (
    tmem.TMEMC_FREEZE,
    tmem.TMEMC_THAW,
    tmem.TMEMC_THAW,
    tmem.TMEMC_FLUSH,
    tmem.TMEMC_DESTROY,
    tmem.TMEMC_QUERY_FREEABLE_MB,
    tmem.TMEMC_SET_WEIGHT,
)


class _Domain:
    """What the generator knows of a domain it made."""

    def __init__(self) -> None:
        self.pools: dict[int, int] = {}  # flags by pool id
        self.uuids: list[list[int]] = []  # of the shared pools it joined
        self.saved = False


class Generator:
    """Draws operations that make sense in the state reached, and performs each."""

    def __init__(self, header: Header, style: str, seed: int) -> None:
        self._replayer = Replayer(boot(header))
        self._rng = random.Random(seed)
        self._old_control = not release_named(header.profile).client_info_abi
        self._domains: dict[int, _Domain] = {}
        self._put_lately: deque[Operation] = deque(maxlen=200)  # keys
        self._menu = [
            (60, self._put),
            (25, self._get),
            (6, self._flush),
            (2, self._new_pool),
            (2, self._control),
            (1, self._list),
            (1, self._host),
            (0.4, self._destroy_pool),
            (0.3, self._set_max_pages),
            (0.2, self._create_domain),
            (0.1, self._destroy_domain),
            (0.1, self._save),
            *([(5, self._read_or_write)] if self._old_control else []),
            *([(4, self._host)] if style == "pressure" else []),
        ]

    def operations(self, count: int) -> Iterator[Operation]:
        """At least `count` operations with their results; the last ones list and count everything."""
        made = 0
        for domid in range(4):
            yield self._do(self._domain(domid))
        weights = [weight for weight, _ in self._menu]
        while made < count:
            (_, draw) = self._rng.choices(self._menu, weights)[0]
            for operation in draw():
                yield self._do(operation)
                made += 1
                if made % STAT_EVERY == 0:
                    yield from map(self._do, self._stocktaking())
        yield from map(self._do, self._stocktaking())

    def _do(self, operation: Operation) -> Operation:
        done = {**operation, **self._replayer.perform(operation)}
        self._learn(done)
        return done

    def _learn(self, done: Operation) -> None:
        """Keep up with the domains and pools that there are."""
        name, domid = done["op"], done.get("d", -1)
        if name == "dom_create":
            self._domains[domid] = _Domain()
        elif name == "dom_destroy":
            del self._domains[domid]
            self._put_lately.clear()
        elif name == "new_pool" and done["ret"] >= 0:
            self._domains[domid].pools[done["ret"]] = done["flags"]
            if done["flags"] & tmem.TMEM_POOL_SHARED:
                self._domains[domid].uuids.append(done["uuid"])
        elif name == "destroy_pool" and done["ret"] == 1:
            self._domains[domid].pools.pop(done["pool"], None)

    # Domains and memory

    def _domain(self, domid: int) -> Operation:
        return {
            "op": "dom_create",
            "d": domid,
            "max_pages": self._rng.choice((60, 120, 1000, 100000)),
            "tot_pages": self._rng.choice((10, 22)),
            "gfns": _GFNS,
            "ro": list(_READ_ONLY),
            "unmapped": list(_UNMAPPED),
            "priv": domid == 0,
        }

    def _create_domain(self) -> Iterator[Operation]:
        free = [domid for domid in _ALL_DOMAINS if domid not in self._domains]
        if free:
            yield self._domain(free[0])

    def _destroy_domain(self) -> Iterator[Operation]:
        private = [domid for domid, domain in self._domains.items() if domid and not domain.uuids]
        if private:
            yield {"op": "dom_destroy", "d": self._rng.choice(private)}

    def _set_max_pages(self) -> Iterator[Operation]:
        yield {"op": "dom_setmax", "d": self._some_domain(), "max_pages": self._rng.choice((40, 250, 100000))}

    def _host(self) -> Iterator[Operation]:
        if self._rng.random() < 0.1:
            yield {"op": "key_freeze"}
            yield {"op": "key_freeze"}
        elif self._rng.random() < 0.5:
            order = self._rng.choice((0, 0, 0, 1, 3, 9))
            yield {"op": "host_alloc", "n": self._rng.choice((1, 5, 20, 60)), "order": order}
        else:
            yield {"op": "host_free", "n": self._rng.choice((1, 5, 20, 400))}

    # Pools and pages

    def _new_pool(self) -> Iterator[Operation]:
        domid = self._some_domain()
        uuid = self._rng.choice(_UUIDS)
        if self._rng.random() < 0.3 and uuid not in self._domains[domid].uuids:
            yield self._pool(domid, tmem.TMEM_POOL_SHARED, uuid)
        else:
            yield self._pool(domid, self._rng.choice((0, tmem.TMEM_POOL_PERSIST)), [0, 0])

    def _pool(self, domid: int, flags: int, uuid: list[int]) -> Operation:
        return {"op": "new_pool", "d": domid, "flags": _POOL_VERSION | flags, "uuid": uuid}

    def _destroy_pool(self) -> Iterator[Operation]:
        for domid, pool_id in self._pools(shared=False)[:1]:
            yield {"op": "destroy_pool", "d": domid, "pool": pool_id}

    def _put(self) -> Iterator[Operation]:
        key = self._key()
        self._put_lately.append(key)
        put = {"op": "put", **key, "gfn": self._rng.randrange(20)}
        if self._rng.random() < 0.02:
            yield {**put, "gfn": self._rng.choice((*_READ_ONLY, *_UNMAPPED, _GFNS, 1 << 40))}
        else:
            yield {**put, "page": self._page()}

    def _get(self) -> Iterator[Operation]:
        yield {"op": "get", **self._key(), "gfn": self._rng.randrange(20)}

    def _flush(self) -> Iterator[Operation]:
        key = self._key()
        if self._rng.random() < 0.2:
            del key["index"]
            yield {"op": "flush_obj", **key}
        else:
            yield {"op": "flush_page", **key}

    def _read_or_write(self) -> Iterator[Operation]:
        part = {
            "toff": self._rng.choice((0, 0, 8, 100, 4096, 4097)),
            "poff": self._rng.choice((0, 0, 8, 100, 4096)),
            "len": self._rng.choice((0, 1, 100, 2048, PAGE_SIZE)),
        }
        operation = {**self._key(), "gfn": self._rng.randrange(20)}
        name = self._rng.choice(("read", "write", "new_page"))
        if name == "new_page":
            yield {"op": name, **operation}
        elif name == "read":
            yield {"op": name, **operation, **part}
        else:
            yield {"op": name, **operation, **part, "page": self._page()}

    # Control

    def _control(self) -> Iterator[Operation]:
        subop = self._rng.choice(_CONTROLS)
        cli_id = self._rng.choice((*self._domains, CLI_ID_ALL, CLI_ID_ALL, 1000))
        amount = self._rng.choice((0, 1, 20, 100, 400))
        if subop == tmem.TMEMC_SET_WEIGHT and not self._old_control:
            flags = self._rng.choice((0, sysctl.TMEM_CLIENT_FLAG_COMPRESS))
            info = [tmem.TMEM_SPEC_VERSION, tmem.MAX_POOLS_PER_DOMAIN, 0, flags, amount]
            yield self._command(sysctl.TMEM_OP_SET_CLIENT_INFO, cli_id, info=info)
        elif subop == tmem.TMEMC_SET_WEIGHT:
            variable = self._rng.choice((subop, tmem.TMEMC_SET_CAP, tmem.TMEMC_SET_COMPRESS))
            yield self._command(variable, cli_id, arg1=amount)
        elif subop == tmem.TMEMC_FLUSH:
            yield self._command(subop, cli_id, **{"arg1" if self._old_control else "arg": amount})
        else:
            yield self._command(subop, cli_id)

    def _list(self) -> Iterator[Operation]:
        yield self._listing(
            self._rng.choice((*self._domains, CLI_ID_ALL, 1000)),
            self._rng.choice((0, 100, 700, 2000, 65536)),
            self._rng.random() < 0.5,
        )

    def _listing(self, cli_id: int, length: int, use_long: bool) -> Operation:
        if self._old_control:
            return self._command(tmem.TMEMC_LIST, cli_id, arg1=length, arg2=int(use_long))
        return self._command(tmem.TMEMC_LIST, cli_id, len=length, arg=int(use_long))

    def _save(self) -> Iterator[Operation]:
        """A domain's persistent pages read out, not live; at most once, for the C never resets its cursors."""
        domid = self._some_domain()
        domain = self._domains[domid]
        if domain.saved or not domain.pools:
            return
        domain.saved = True
        length = "arg1" if self._old_control else "len"
        yield self._command(tmem.TMEMC_SAVE_BEGIN, domid)
        for pool_id in domain.pools:
            for _ in range(5):
                yield self._command(
                    tmem.TMEMC_SAVE_GET_NEXT_PAGE, domid, pool=pool_id, **{length: 2 * PAGE_SIZE}
                )
        yield self._command(tmem.TMEMC_SAVE_END, domid)

    def _command(self, subop: int, cli_id: int, **arguments: Any) -> Operation:
        name = "ctl" if self._old_control else "sysctl"
        return {"op": name, "d": 0, "subop": subop, "cli": cli_id, **arguments}

    def _stocktaking(self) -> list[Operation]:
        return [self._listing(CLI_ID_ALL, 100000, True), {"op": "stat", "of": sorted(self._domains)}]

    # Draws

    def _some_domain(self) -> int:
        return self._rng.choice(list(self._domains))

    def _pools(self, *, shared: bool) -> list[tuple[int, int]]:
        """(domain, pool) of every pool, the shared ones only if asked for, in random order."""
        found = [
            (domid, pool_id)
            for domid, domain in self._domains.items()
            for pool_id, flags in domain.pools.items()
            if shared or not flags & tmem.TMEM_POOL_SHARED
        ]
        self._rng.shuffle(found)
        return found

    def _key(self) -> Operation:
        """Where a page goes, or is looked for: often where one was put lately, in a pool that may have gone since."""
        if self._put_lately and self._rng.random() < 0.4:
            return dict(self._rng.choice(self._put_lately))
        pools = self._pools(shared=True)
        domid, pool_id = pools[0] if pools and self._rng.random() < 0.98 else (self._some_domain(), 15)
        index = self._rng.randrange(100) if self._rng.random() < 0.9 else self._rng.choice(_INDEXES)
        word = self._rng.randrange(8)
        oid = [word, 0, 0] if self._rng.random() < 0.95 else [word, 1, (1 << 64) - 1]
        return {"d": domid, "pool": pool_id, "oid": oid, "index": index}

    def _page(self) -> str:
        seed = self._rng.randrange(12) if self._rng.random() < 0.6 else self._rng.randrange(1 << 30)
        kind = self._rng.random()
        if kind < 0.1:
            return "z"
        if kind < 0.4:
            return f"r:{seed}"
        if kind < 0.7:
            return f"t:{seed}:{self._rng.choice((1, 100, 1000, 2000, 4010, 4020, 4040))}"
        return f"c:{seed}:{self._rng.choice((1, 2, 8, 64, 256, 1000, 2000, 3000))}"


def make_trace(
    path: Path, release: str, style: str, seed: int, count: int, boot: frozenset[str] = frozenset()
) -> None:
    """Write a trace of about `count` operations on a host of `release` to `path`."""
    options = {"tmem": 1} | {name: int(name in boot) for name in BOOT_OPTIONS}
    header = Header(release, options, HOST_PAGES[style], {})
    operations = Generator(header, style, seed).operations(count)
    about = {
        "profile": release,
        "boot": options,
        "host_pages": HOST_PAGES[style],
        "seed": seed,
        "style": style,
    }
    write_trace(path, about, operations)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance.generate", description=__doc__)
    parser.add_argument("file", type=Path, help="where the trace goes (.jsonl.gz)")
    parser.add_argument("--release", default="4.3", choices=("4.3", "4.12"))
    parser.add_argument("--style", default="mixed", choices=sorted(HOST_PAGES))
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--operations", type=int, default=5000)
    parser.add_argument("--boot", default="", help=f"any of {','.join(BOOT_OPTIONS)}")
    arguments = parser.parse_args()
    boot = frozenset(filter(None, arguments.boot.split(",")))
    if unknown := boot.difference(BOOT_OPTIONS):
        parser.error(f"no boot option {', '.join(sorted(unknown))}: there are {', '.join(BOOT_OPTIONS)}")
    make_trace(arguments.file, arguments.release, arguments.style, arguments.seed, arguments.operations, boot)


if __name__ == "__main__":
    main()

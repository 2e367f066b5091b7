# SPDX-License-Identifier: GPL-2.0-only
"""Many random operations on a small host, with a recount every so often."""

from __future__ import annotations

import random

from hypervisor_model.hypervisor import Hypervisor
from hypervisor_model.public.xen import EFROZEN, ENOMEM
from tests.strategies import PAGES

OPTIONS = ("", " tmem_compress", " tmem_dedup", " tmem_dedup tmem_compress", " tmem_dedup tmem_tze")


def soak(release: str, *, operations: int, check_every: int, seed: int = 1) -> None:
    """Four guests, each with an ephemeral and a persistent pool, on 600 pages; the boot options change each round."""
    rng = random.Random(seed)
    rounds = len(OPTIONS) if release == "4.3" else 2
    for options in OPTIONS[:rounds]:
        _round(rng, release, options, operations // rounds, check_every)


def _round(rng: random.Random, release: str, options: str, operations: int, check_every: int) -> None:
    hv = Hypervisor(release=release, frames=600, command_line="tmem=1" + options)
    guests = [hv.create_domain(domid, max_pages=120, tot_pages=20) for domid in range(4)]
    for guest in guests:
        assert guest.new_pool() == 0
        assert guest.new_pool(persistent=True) == 1
    kept: dict[tuple[int, int, int], bytes] = {}
    for done in range(operations):
        guest = guests[rng.randrange(4)]
        oid, index = rng.randrange(6), rng.choice((0, 1, 2, 63, 64, 200, 4096))
        pool_id = rng.randrange(2)
        key = (guest.domid, oid, index)
        what = rng.random()
        if what < 0.5:
            page = PAGES[rng.randrange(len(PAGES))]
            rc = guest.put(pool_id, oid, index, page)
            if pool_id:
                if rc == 1:
                    kept[key] = page
                elif rc not in (-EFROZEN, -ENOMEM):  # a dup put that fails for want of memory answers -ENOSPC
                    kept.pop(key, None)
        elif what < 0.8:
            rc, got = guest.get(pool_id, oid, index)
            if pool_id:
                assert (rc == 1) == (key in kept), (done, key, rc)
                assert got == kept.get(key)
        elif what < 0.95:
            guest.flush_page(pool_id, oid, index)
            if pool_id:
                kept.pop(key, None)
        elif what < 0.97:
            guest.flush_object(pool_id, oid)
            if pool_id:
                for gone in [k for k in kept if k[:2] == key[:2]]:
                    del kept[gone]
        elif what < 0.98:
            hv.alloc_host_pages(rng.randrange(80), rng.choice((0, 0, 3, 9)))
        elif what < 0.99:
            hv.free_host_pages(rng.randrange(120))
        elif what < 0.995:
            hv.set_weight(guest.domid, rng.choice((0, 1, 50)))
        else:
            hv.set_frozen(guest.domid, rng.random() < 0.3)
        if done % check_every == 0:
            hv.check()
    hv.check()
    for guest in guests:
        assert hv.destroy_domain(guest.domid) == 0
    hv.check()

# SPDX-License-Identifier: GPL-2.0-only
"""The faults: each replaces one text, which occurs exactly once in its file, by another."""

from __future__ import annotations

from typing import Final, NamedTuple


class Fault(NamedTuple):
    """`file` is relative to hypervisor_model."""

    file: str
    old: str
    new: str
    what: str


FAULTS: Final = (
    # The allocator.
    Fault("lib/tlsf.py", "if rest >= 2:", "if rest >= 3:", "splits only where more than a unit is left"),
    Fault(
        "lib/tlsf.py",
        "granule = (1 << (size_bytes.bit_length() - 1 - 5)) - 1",
        "granule = (1 << (size_bytes.bit_length() - 1 - 5)) // 2 - 1",
        "rounds requests up to half a list's granularity",
    ),
    Fault(
        "lib/tlsf.py",
        "if before is None and type(behind) is PageEnd:",
        "if before is None and type(behind) is PageEnd and self.pages > 1:",
        "keeps the last empty page",
    ),
    Fault(
        "lib/tlsf.py",
        "        self._primed = False ",
        "        self._primed = True ",
        "the first request takes no page",
    ),
    # The radix tree.
    Fault(
        "lib/radix_tree.py",
        "if index > _MAX_INDEX[self.height] and",
        "if index >= _MAX_INDEX[self.height] and",
        "grows a level too early",
    ),
    Fault(
        "lib/radix_tree.py",
        "                if node is self.root:\n                    self._shrink()",
        "                if node is None:\n                    self._shrink()",
        "never gets lower",
    ),
    Fault(
        "lib/radix_tree.py",
        "if count > 2 or (count == 2 and self.height > 1):",
        "if count > 1:",
        "a tree of one page at index 0 keeps its node",
    ),
    # The heap.
    Fault(
        "host/heap.py",
        "self.avail <= self.midsize and",
        "self.avail < self.midsize and",
        "takes a page of the reserve",
    ),
    Fault(
        "host/heap.py",
        "if domain.tot_pages >= domain.max_pages:",
        "if domain.tot_pages > domain.max_pages:",
        "a domain may own a page more than it may own",
    ),
    Fault(
        "host/heap.py",
        "        domain.tot_pages -= 1\n        self.data_limit += 1",
        "        domain.tot_pages -= 1\n        self.avail += 1",
        "a persistent page goes to the heap, not to tmem's list",
    ),
    Fault(
        "host/heap.py",
        "return left < PAGES_PER_MB and",
        "return left <= PAGES_PER_MB and",
        "short with 1 MiB left",
    ),
    Fault("host/tze.py", "range(1, 10)", "range(1, 9)", "trims to words of 16 bytes"),
    # Pages.
    Fault(
        "tmem/ops.py",
        "    pool.dup_puts_replaced += 1\n    pool.good_puts += 1\n    if pool.persistent:",
        "    pool.dup_puts_replaced += 1\n    pool.good_puts += 1\n    if not pool.persistent:",
        "Pp counts replaced ephemeral pages",
    ),
    Fault(
        "tmem/ops.py",
        "    if client.live_migrating:\n        return _flush_dup(",
        "    if client.frozen:\n        return _flush_dup(",
        "a frozen client's duplicate put loses the page",
    ),
    Fault(
        "tmem/ops.py",
        "        move_to_young_end(tmem, pgp)\n        current",
        "        current",
        "a shared get does not renew the page",
    ),
    Fault(
        "tmem/ops.py",
        "    tmem.held_obj = obj\n    spare = tmem.spare_pgps",
        "    spare = tmem.spare_pgps",
        "the object being put can be evicted",
    ),
    Fault(
        "tmem/fill.py",
        "    if size >= tmem.max_alloc_bytes:",
        "    if size > tmem.max_alloc_bytes:",
        "tries to store what the allocator says it cannot",
    ),
    Fault("tmem/obj.py", "-obj.oid))", "obj.oid))", "destroys smaller object ids first"),
    Fault(
        "tmem/page.py",
        "            return  # the descriptor stays",
        "            pass  # the descriptor stays",
        "an invalidated page loses its descriptor",
    ),
    Fault(
        "tmem/page.py",
        "    if client.live_migrating:\n        client.invalidated.append(",
        "    if client.saving:\n        client.invalidated.append(",
        "every save notes what is invalidated",
    ),
    # Eviction.
    Fault(
        "tmem/evict.py",
        "    return inverse_share > inverse_weight",
        "    return inverse_share >= inverse_weight",
        "over quota with exactly its share",
    ),
    Fault(
        "tmem/evict.py",
        "    return inverse_share > inverse_weight",
        "    return inverse_share < inverse_weight",
        "weights favour the heavier client",
    ),
    Fault(
        "tmem/evict.py",
        "        pgp = head.list_next\n",
        "        pgp = head.list_prev\n",
        "a client gives its youngest page",
    ),
    Fault(
        "tmem/evict.py",
        "if pool.is_dying or obj is tmem.held_obj:",
        "if obj is tmem.held_obj:",
        "evicts from a dying pool",
    ),
    Fault(
        "tmem/evict.py",
        "        if content.ref_count > 1 and not pgp.eviction_attempted:",
        "        if content.ref_count > 2 and not pgp.eviction_attempted:",
        "a content shared by two has no second chance",
    ),
    Fault(
        "tmem/evict.py",
        "evictions < MAX_EVICTIONS_PER_RELINQUISH and",
        "evictions <= MAX_EVICTIONS_PER_RELINQUISH and",
        "relinquishes with an eviction more",
    ),
    Fault(
        "tmem/evict.py",
        "    tmem.relinq_attempts += 1\n    if order > 0:\n        return False\n",
        "    if order > 0:\n        return False\n    tmem.relinq_attempts += 1\n",
        "Ra leaves out large orders",
    ),
    # Deduplication.
    Fault(
        "tmem/content.py",
        "        if size > PCD_TZE_MAX_SIZE:",
        "        if size >= PCD_TZE_MAX_SIZE:",
        "does not trim the longest page that can be",
    ),
    Fault(
        "tmem/content.py",
        "    tmem.held_tree = first_byte ",
        "    tmem.held_tree = NO_TREE ",
        "evicts from the tree that is being searched",
    ),
    Fault(
        "tmem/content.py",
        "        elif size < PAGE_SIZE:\n            left = True",
        "        elif size < PAGE_SIZE:\n            left = False",
        "hangs trimmed pages on the other side",
    ),
    Fault(
        "tmem/content.py",
        "        tmem.pcd_tot_csize -= pcd.size\n",
        "        tmem.pcd_tot_csize -= pcd.size and 1\n",
        "Gz is hardly lowered",
    ),
    # Sharing, listing, saving, control, hypercalls.
    Fault(
        "tmem/shared.py",
        "if cli_id is None or obj.last_client == cli_id:",
        "if cli_id is None or obj.last_client != cli_id:",
        "who leaves takes the others' objects",
    ),
    Fault(
        "tmem/shared.py", "    new.eph_count += pool.pgp_count\n", "", "the new owner's pages are not counted"
    ),
    Fault(
        "tmem/listing.py",
        "return max(left, 0) if documented else left & _U32",
        "return max(left, 0)",
        "a listing ends where its buffer does",
    ),
    Fault(
        "tmem/listing.py",
        "if out.offset - start + length >= room:",
        "if out.offset - start + length > room:",
        "an S= line may fill the buffer to the end",
    ),
    Fault(
        "tmem/listing.py",
        "uuid = pool.uuid if pool.shared else (0, 0)",
        "uuid = pool.uuid",
        "shows the uuids of private pools",
    ),
    Fault(
        "tmem/save_restore.py",
        "cursor = head if tmem.documented else head.list_next",
        "cursor = head",
        "saves the first page too",
    ),
    Fault(
        "tmem/save_restore.py",
        "    client.cur_inv = -1\n    client.frozen",
        "    client.frozen",
        "the next save reads on where this one was",
    ),
    Fault(
        "tmem/save_restore.py",
        "    client.frozen = client.was_frozen",
        "    client.frozen = False",
        "thaws a client that was frozen before its save",
    ),
    Fault(
        "tmem/control.py",
        "        if destroy and tmem.documented:",
        "        if destroy:",
        "DESTROY destroys",
    ),
    Fault(
        "tmem/control.py",
        "    tmem.client_weight_total += weight - client.weight",
        "    tmem.client_weight_total += weight",
        "a weight set anew counts twice",
    ),
    Fault(
        "tmem/control.py",
        "    return -E2BIG if count > MAX_POOLS_PER_DOMAIN else count",
        "    return -E2BIG if count >= MAX_POOLS_PER_DOMAIN else count",
        "takes 15 pools at most",
    ),
    Fault(
        "tmem/lifecycle.py",
        "        tmem.client_weight_total -= client.weight",
        "        pass",
        "documented: the weight of the dead counts",
    ),
    Fault(
        "tmem/hypercall.py",
        "arg2 if tmem.documented else arg2 & 0xFF, client)",
        "arg2, client)",
        "256 asks 4.3 for a long listing",
    ),
    Fault(
        "tmem/hypercall.py",
        "    if pad:\n        return -EINVAL",
        "    if pad > 1:\n        return -EINVAL",
        "padding of 1 is let pass",
    ),
    Fault(
        "tmem/hypercall.py",
        "    if not caller.privileged:\n        return -EPERM\n    _, pool_id, subop",
        "    _, pool_id, subop",
        "any guest may do what dom0 may",
    ),
    # The commonest cases, written out.
    Fault(
        "tmem/guest_pages.py",
        "            tmem.held_obj = obj\n            if not pool.mempool.place",
        "            if not pool.mempool.place",
        "the object being put can be evicted for its next page's descriptor",
    ),
    Fault(
        "tmem/guest_pages.py", "_KEPT: Final = 2", "_KEPT: Final = 1", "keeps a node for a lone first page"
    ),
    Fault(
        "tmem/guest_pages.py",
        "client.compress or client.frozen",
        "client.compress",
        "a frozen client's puts are taken",
    ),
    Fault(
        "tmem/guest_pages.py",
        "            if pool.pgp_count and type(oid) is int:",
        "            if type(oid) is int:",
        "an empty pool answers as one without the page",
    ),
    Fault(
        "tmem/guest_pages.py",
        "return ensure_avail_pages(tmem) or not tmem.release.client_info_abi",
        "return ensure_avail_pages(tmem) or True",
        "4.12 puts although nothing could be evicted",
    ),
    # What holds the rest up.
    Fault(
        "lib/rbtree.py",
        "            parent.red = False\n            grandparent.red = True\n",
        "            grandparent.red = True\n",
        "leaves two red nodes one below the other",
    ),
    Fault(
        "lib/lzo1x.py",
        "limit += end - limit + 7 & ~7",
        "limit += end - limit & ~7",
        "4.12 ends a match up to seven bytes early",
    ),
    Fault(
        "host/guest_memory.py",
        "        if address < LOWEST_ADDRESS:\n            return None\n",
        "",
        "a buffer may lie where nothing is ever mapped",
    ),
    Fault("tmem/cycles.py", "if not 0 < cycles", "if not 0 <= cycles", "counts what took no time"),
    Fault(
        "tmem/lifecycle.py",
        "    give_back_pages(client)\n",
        "",
        "pages stay on the list of a client that is gone",
    ),
    # Back ends in the guest's own memory, and when it has a frame for them.
    Fault(
        "guests/kswapd.py",
        "return free > self.min_free and not self._in_batch",
        "return free > self.min_free",
        "a batch of direct reclaim gives its frames to its own puts",
    ),
    Fault(
        "guests/kswapd.py",
        "            frames.reserved += 1\n",
        "",
        "frees a frame before the disk has its page",
    ),
    Fault(
        "guests/kswapd.py",
        "            frames.wait_until_ns = queue[0]\n",
        "            pass\n",
        "takes of the reserve without a wait",
    ),
    Fault(
        "guests/kswapd.py", "int(spent_ns * self.crowding)", "spent_ns", "kswapd has a processor to itself"
    ),
    Fault(
        "guests/kswapd.py",
        "looks * frames.costs.fault_ns",
        "frames.costs.fault_ns",
        "pages that stay are looked at for nothing",
    ),
    Fault(
        "guests/zcache.py",
        "        self._drop(place)\n        if not may_allocate:",
        "        if not may_allocate:",
        "a duplicate put that fails leaves what is out of date",
    ),
    Fault("guests/xvmalloc.py", "fitting = min(", "fitting = max(", "takes from where most is left"),
    Fault(
        "guests/xvmalloc.py",
        "        if free == PAGE_SIZE:\n",
        "        if free > PAGE_SIZE:\n",
        "keeps frames that nothing is in",
    ),
)

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFT_UNIT_H
#define MOAT_SOFT_UNIT_H

/**
 * @file
 * A software unit (moat_softvtd.h) together with the VT-d driver (moat_vtd.h) on its registers. It
 * is created with a name and a line of arguments. Devices behind the unit find it by its name.
 *
 * Arguments have the form of DPDK's device arguments, "key=value,key=value". A later argument
 * overrides an earlier one. **The adversary and the oracle are on by default**: to measure speed,
 * write `adversary=0`, which switches both off, and no `oracle=1` after it (doc/measuring.md).
 *
 * | key | value | default | |
 * | --- | --- | --- | --- |
 * | `aw` | 39, 48, 57 | 48 | bits of IOVA; smaller widths are supported, too |
 * | `nd` | 4, 6, ... 16 | 16 | bits of domain-id |
 * | `mamv` | 0 to 52 | 18 | largest address mask of an invalidation |
 * | `sllps` | 0 to 3 | 3 | bit 0: 2 MiB leaves, bit 1: 1 GiB |
 * | `nfr` | 1 to 128 | 8 | fault recording registers |
 * | `psi`, `coherent`, `zlr`, `pt` | 0, 1 | 1 | capabilities |
 * | `cm`, `rwbf`, `dt`, `sc` | 0, 1 | 0 | capabilities |
 * | `intremap`, `eim`, `pi` | 0, 1 | 1 | interrupt remapping, x2APIC, posted interrupts |
 * | `interrupts` | block, compatible, off | block | moat_vtd_intr.h; off without `intremap` |
 * | `share_interrupts` | 0, 1 | 0 | 1: functions whose PASIDs are in several domains get
 *   interrupts, too (moat_vtd_intr.h) |
 * | `scalable` | 0, 1 | 0 | scalable mode (ECAP.SMTS); the next four rows need it |
 * | `ssts`, `fsts`, `nest` | 0, 1 | 1 | second stage, first stage, both nested |
 * | `fs1gp` | 0, 1 | 1 | first stage: 1 GiB leaves |
 * | `fs5lp` | 0, 1 | 0 | first stage: 5 levels |
 * | `pasid_bits` | 0 to 20 | 20 | bits of PASID; 0: no requests with PASID |
 * | `shards` | 1, 2, 4, ... 64 | 8 | parts with caches of their own, which do not contend |
 * | `iotlb`, `ways` | entries | 4096, 8 | size and ways of a shard's IOTLB |
 * | `context`, `pasid_cache` | entries | 64 | a shard's context cache and PASID cache |
 * | `psc` | entries of each level | 512 of the lowest level, 64 of each other |
 *   paging-structure caches |
 * | `geometry` | broadwell, qemu, large, none | | sizes of caches as on that unit, and adversary=0
 *   (moat_softvtd_conf_geometry()) |
 * | `latency`, `per_descriptor` | TSC cycles | 0 | doorbell to completion; fetch of each |
 * | `seed` | 64 bits | 1 | seed of the adversary's random choices |
 * | `prefetch` | 0 to 100 | 25 | percent of table reads that also cache the rest of the line |
 * | `jitter` | 0 to 255 | 3 | turns of the unit (register reads, polls, begins of DMA) by
 *   which a descriptor may be late |
 * | `gsts_late` | 1 to 255 | 4 | a command shows after at most so many reads of GSTS |
 * | `linger` | 0, 1 | 1 | invalidated context and PASID entries still lead to IOTLB entries |
 * | `reorder` | 0, 1 | 1 | execute IOTLB descriptors out of order, as far as fences permit |
 * | `compress` | 0, 1 | 0 | no second fault record for a source-id that has one pending |
 * | `adversary` | 0 | | sets `prefetch`, `jitter`, `linger`, `reorder` and `oracle` to 0; later
 *   arguments may set them again |
 * | `oracle` | 0, 1 | 1 | detect stale DMA |
 * | `threaded` | 0, 1 | 0 | 1: the unit has a thread of its own; 0: it works when it is called |
 * | `mode` | legacy, scalable | legacy | how the driver runs the unit; scalable needs
 *   `scalable=1` |
 * | `stage` | first, second, nested | any | in scalable mode, the format of domains' tables |
 * | `queue` | 1 to 7 | 2 | invalidation queue of 2^queue pages |
 * | `deadline` | ms | 1000 | how long the driver's own calls (bring-up, attach, detach) wait for an
 *   answer; raise it if a busy machine may not schedule the unit's thread for that long. A lane
 *   waits 1 s for its tickets, whatever this says |
 */

#include "moat_softvtd.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Check a name and arguments, and create nothing.
 *
 * @param name as in moat_soft_unit_create()
 * @param args as in moat_soft_unit_create()
 * @return 0
 * @return -EINVAL: as moat_soft_unit_create(); moat_error_text() has the sentence
 *
 * Thread-safe. Control path.
 */
int moat_soft_unit_check(const char *name, const char *args);

/**
 * Create a software unit, bring it up, and add it to this process's list. End it with
 * unit->ops->destroy(), once every tenant and domain on it is destroyed and no thread holds what
 * moat_soft_unit_find() returned. With domains left, destroy() logs their names and changes
 * nothing.
 *
 * @param name up to 31 characters, not in use
 * @param args may be NULL or empty
 * @param unit set on success
 * @return 0
 * @return -EINVAL: a NULL, an unknown key or an impossible value
 * @return -EEXIST: the name is taken
 * @return -ENOMEM
 * @return as moat_vtd_create()
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_soft_unit_create(const char *name, const char *args, struct moat_unit **unit);

/**
 * Find a software unit by name.
 *
 * @param name of the unit
 * @return the software unit; NULL: there is none
 *
 * Thread-safe; the answer is valid until the unit is destroyed. Control path.
 */
struct moat_softvtd *moat_soft_unit_find(const char *name);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_SOFT_UNIT_H */

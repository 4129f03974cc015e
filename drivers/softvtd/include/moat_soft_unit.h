/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_SOFT_UNIT_H
#define MOAT_SOFT_UNIT_H

/**
 * @file
 * A unit by name: the software unit (moat_softvtd.h) with the VT-d driver (moat_vtd.h) on its
 * registers, made from a line of text, and found again by the devices behind it.
 *
 * Arguments are those of DPDK's device arguments, "key=value,key=value"; what is not given is as
 * moat_softvtd_conf_init() has it, and a later argument overrides an earlier one:
 *
 * | key | value | |
 * | --- | --- | --- |
 * | `aw` | 39, 48, 57 | bits of IOVA; the depths up to it |
 * | `nd` | 4, 6, ... 16 | bits of domain-id |
 * | `mamv` | 0 to 52 | largest address mask of an invalidation |
 * | `sllps` | 0 to 3 | 1: 2 MiB leaves, 2: 1 GiB |
 * | `nfr` | 1 to 128 | fault recording registers |
 * | `psi`, `coherent`, `cm`, `rwbf`, `zlr`, `pt`, `dt`, `sc` | 0, 1 | capabilities |
 * | `intremap`, `eim`, `pi` | 0, 1 | interrupt remapping, x2APIC, posted interrupts; all 1 |
 * | `interrupts` | block, compatible, off | moat_vtd_intr.h; `block`, without `intremap` `off` |
 * | `scalable` | 0, 1 | scalable mode (ECAP.SMTS); the next rows say nothing without it |
 * | `ssts`, `fsts`, `nest` | 0, 1 | second stage, first stage, both nested |
 * | `fs1gp`, `fs5lp` | 0, 1 | first stage: 1 GiB leaves, 5 levels |
 * | `pasid_bits` | 0 to 20 | bits of PASID; 0: no requests with PASID |
 * | `shards` | 1, 2, 4, ... 64 | engines that do not contend |
 * | `iotlb`, `ways`, `context`, `pasid_cache`, `psc` | entries | caches of a shard; `psc`: each
 *   level |
 * | `geometry` | broadwell, qemu, large, none | those caches, and adversary=0
 *   (moat_softvtd_conf_geometry()) |
 * | `latency`, `per_descriptor` | TSC cycles | from doorbell to completion |
 * | `seed`, `prefetch`, `jitter`, `gsts_late`, `linger`, `reorder`, `compress` | | the adversary |
 * | `adversary` | 0 | no adversary and no oracle, but for those that later arguments ask for |
 * | `oracle` | 0, 1 | detect stale DMA |
 * | `threaded` | 0, 1 | the unit works by itself |
 * | `mode` | legacy, scalable | how the driver runs the unit; scalable needs `scalable=1` |
 * | `stage` | first, second, nested | in scalable mode, the format of domains' tables |
 * | `queue` | 1 to 7 | invalidation queue of 2^queue pages |
 * | `deadline` | ms | how long the driver waits for an answer of the unit, 1000; a busy machine
 *   may keep the unit from its processor for as long |
 */

#include "moat_softvtd.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Look at a name and arguments, and make nothing.
 *
 * @param name as in moat_soft_unit_create()
 * @param args as there
 * @return 0
 * @return -EINVAL: as moat_soft_unit_create(); moat_error_text() has the sentence
 *
 * Thread-safe. Control path.
 */
int moat_soft_unit_check(const char *name, const char *args);

/**
 * Make a software unit, bring it up, and enter it into this process's list. Free it with
 * unit->ops->destroy(), when every tenant and domain on it is destroyed and no thread holds what
 * moat_soft_unit_find() returned. While there are domains, that logs their names, and the unit
 * stays as it is.
 *
 * @param name up to 31 characters, not in use
 * @param args may be NULL or empty
 * @param unit set on success
 * @return 0
 * @return -EINVAL: an unknown key or an impossible value
 * @return -EEXIST: the name is taken
 * @return -ENOMEM
 * @return as moat_vtd_create()
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_soft_unit_create(const char *name, const char *args, struct moat_unit **unit);

/**
 * The software unit behind a unit of that name.
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

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_HUGEPAGES_H
#define MOAT_VTD_HUGEPAGES_H

/**
 * @file
 * Memory whose physical address does not change: hugepages of 2 MiB, and where they lie.
 *
 * Where a hugetlbfs is mounted the pages are files of it, `moat-<name>-<pid>-...`. A process that
 * is killed leaves the unit walking its tables and devices writing to its tenants' memory; files
 * keep their pages until the next start has taken the unit over and removes them. Without a
 * hugetlbfs the pages are anonymous, and other processes may get them while a device still reaches
 * them.
 */

#include "moat_pt.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * The host physical address of [va, va + len), which must be one run of pages that do not move.
 * @return 0; -EFAULT: not mapped, not one run, or not hugepages; -EPERM: physical addresses are
 *   hidden (CAP_SYS_ADMIN shows them); moat_error_text() has the sentence. Thread-safe, control
 * path.
 */
int moat_vtd_host_hpa(const void *va, uint64_t len, uint64_t *hpa);

struct moat_vtd_hugepages;

/**
 * A source of 2 MiB pages whose addresses are known.
 * @param name goes into the files' names
 * @param pages set on success; free it with moat_vtd_hugepages_close()
 * @param mem for struct moat_vtd_conf; valid until moat_vtd_hugepages_close()
 * @return 0, -ENOMEM. Control path.
 */
int moat_vtd_hugepages_open(const char *name, struct moat_vtd_hugepages **pages,
	struct moat_pt_mem *mem);
/**
 * Any number of pages, for tenants.
 * @param pages the source
 * @param len bytes, a multiple of 2 MiB
 * @param va set on success
 * @return 0; -ENOMEM: moat_error_text() says how to have more. Thread-safe, control path.
 */
int moat_vtd_hugepages_map(struct moat_vtd_hugepages *pages, uint64_t len, void **va);
/** Give back all that one moat_vtd_hugepages_map() gave. No device may reach it any more.
 * Thread-safe, control path. */
void moat_vtd_hugepages_unmap(struct moat_vtd_hugepages *pages, void *va, uint64_t len);
/** Remove what earlier processes of this name left. The unit must not read it any more. Control
 * path. */
void moat_vtd_hugepages_sweep(struct moat_vtd_hugepages *pages);
/** Remove this process's files that are left, and free `pages`. What is mapped stays mapped.
 * Control path. */
void moat_vtd_hugepages_close(struct moat_vtd_hugepages *pages);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_HUGEPAGES_H */

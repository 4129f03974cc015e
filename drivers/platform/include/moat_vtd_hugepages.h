/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VTD_HUGEPAGES_H
#define MOAT_VTD_HUGEPAGES_H

/**
 * @file
 * Memory whose physical address does not change: hugepages of 2 MiB, with their physical addresses.
 *
 * If a hugetlbfs is mounted, the pages belong to files in it, `moat-<name>-<pid>-...`. When a
 * process is killed, the unit goes on walking its tables, and devices go on writing to its tenants'
 * memory; the files keep the pages until the next process has taken the unit over and removes the
 * files. Without a hugetlbfs the pages are anonymous, and other processes may get them while a
 * device still reaches them.
 */

#include "moat_pt.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Get the host physical address of [va, va + len).
 *
 * @param va first byte
 * @param len bytes; they must be one run of hugepages
 * @param hpa receives the address
 * @return 0
 * @return -EFAULT: the range is empty, not mapped, not one run, or not hugepages
 * @return -EPERM: physical addresses are hidden from a process without CAP_SYS_ADMIN
 *
 * moat_error_text() has the sentence. Thread-safe. Control path.
 */
int moat_vtd_host_hpa(const void *va, uint64_t len, uint64_t *hpa);

struct moat_vtd_hugepages;

/**
 * Open a source of 2 MiB pages whose addresses are known.
 *
 * @param name goes into the files' names
 * @param pages receives the source
 * @param mem set on success, for struct moat_vtd_conf; valid until moat_vtd_hugepages_close()
 * @return 0
 * @return -ENOMEM
 *
 * Thread-safe. Control path.
 */
int moat_vtd_hugepages_open(const char *name, struct moat_vtd_hugepages **pages,
	struct moat_pt_mem *mem);

/**
 * Map pages for a tenant.
 *
 * @param pages the source
 * @param len bytes, a multiple of 2 MiB
 * @param va set on success
 * @return 0
 * @return -ENOMEM: moat_error_text() says how to reserve more
 *
 * Thread-safe. Control path.
 */
int moat_vtd_hugepages_map(struct moat_vtd_hugepages *pages, uint64_t len, void **va);

/**
 * Give back pages. No device may reach them any more.
 *
 * @param pages the source
 * @param va address that moat_vtd_hugepages_map() has set
 * @param len bytes, as in that call
 *
 * Thread-safe. Control path.
 */
void moat_vtd_hugepages_unmap(struct moat_vtd_hugepages *pages, void *va, uint64_t len);

/**
 * Remove all files of the source's name that are not the source's own, such as those that a killed
 * process left. No unit and no device may reach their pages any more.
 *
 * @param pages the source
 *
 * Thread-safe. Control path.
 */
void moat_vtd_hugepages_sweep(struct moat_vtd_hugepages *pages);

/**
 * Remove the source's remaining files, and free the source. Pages that are mapped stay mapped.
 *
 * @param pages no other thread may use it
 *
 * Control path.
 */
void moat_vtd_hugepages_close(struct moat_vtd_hugepages *pages);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VTD_HUGEPAGES_H */

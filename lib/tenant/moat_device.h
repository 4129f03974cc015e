/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_DEVICE_H
#define MOAT_DEVICE_H

/**
 * @file
 * Probing a tenant's device: what its PMD reserves meanwhile is the tenant's.
 *
 * Some PMDs have the device do DMA while they probe (iavf, i40e, ice and ena talk to it through an
 * admin queue). They reserve that memory from DPDK's own heaps, which no tenant's domain maps, and
 * must not. A program that carries drivers/memzone (-Wl,--whole-archive -lmoat_memzone
 * -Wl,--no-whole-archive before what pkg-config says) has such reservations (those that ask for
 * contiguous IOVAs, which is what memory for devices asks for) made from the heap of the tenant
 * whose device is being probed, in whole pages, mapped before the PMD has them. Without it probing
 * works for PMDs that only ask the device its name.
 */

#include <rte_memzone.h>

#include "moat_tenant.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * rte_dev_probe() of a device whose requester is attached to the tenant.
 * @param device "0000:01:10.0"
 * @return 0 or a negative errno; moat_error_text(). Control path.
 */
int moat_tenant_probe(struct moat_tenant *tenant, const char *device);

/** rte_memzone_reserve_bounded(), as drivers/memzone has it from DPDK. */
typedef const struct rte_memzone *(*moat_reserve_t)(const char *name, size_t len, int socket,
	unsigned int flags, unsigned int align, unsigned int bound);

/** For drivers/memzone: a reservation of the calling thread, from DPDK or from the tenant whose
 * device it is probing. @return NULL: rte_errno says why. Control path. */
const struct rte_memzone *moat_device_reserve(moat_reserve_t reserve, const char *name, size_t len,
	int socket, unsigned int flags, unsigned int align, unsigned int bound);

#ifdef __cplusplus
}
#endif

#endif /* MOAT_DEVICE_H */

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_UNIT_H
#define NET_UNIT_H

/**
 * @file
 * The unit a port does its DMA through, and the source-ids it does it under.
 *
 * With `unit=` the port is behind a unit that the program has made, and the program attaches the
 * port's source-ids to its domains: until then the port reaches nothing. Without, the port
 * gets a unit of its own and one domain with all of DPDK's memory, mapped as it comes and unmapped
 * as it goes at DPDK's own IOVAs: what the kernel's VFIO gives to a NIC, so that programs which
 * know nothing of moat work.
 */

#include <rte_dev.h>

#include "moat_soft_unit.h"
#include "net_args.h"

/* The PASID of a queue; 0 stands for requests without one. */
#define NET_PASID(queue) (1u + (queue))

struct net_unit {
	struct moat_softvtd *sv;
	char name[32];
	moat_sid_t sid;
	uint16_t nr_sids;
	struct net_memory *memory; /* NULL with `unit=` */
	struct net_unit *next;     /* all of this process */
};

/**
 * @param name of the port
 * @return 0; -ENOENT: no such unit; -EBUSY: a source-id is another port's; -ENOMEM, or what making
 *   a unit returns. moat_error_text(). Control path.
 */
int net_unit_open(const char *name, const struct net_args *args, struct net_unit **unit);
void net_unit_close(struct net_unit *unit);

/* net_memory.c: a unit of one's own, and all of DPDK's memory in one domain. */

struct net_memory;

/** @param nr_pasids those of `sid` that are attached, in place of its source-ids; 0: none */
int net_memory_create(const char *unit, const char *unit_args, moat_sid_t sid, uint16_t nr_sids,
	uint16_t nr_pasids, struct net_memory **memory);
void net_memory_destroy(struct net_memory *memory);
/** Memory that DPDK does not know of (rte_dev_dma_map()). -ENOTSUP without a unit of one's own. */
int net_memory_map(struct net_memory *memory, void *va, uint64_t iova, size_t len);
int net_memory_unmap(struct net_memory *memory, void *va, uint64_t iova, size_t len);

#endif /* NET_UNIT_H */

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef NET_UNIT_H
#define NET_UNIT_H

/**
 * @file
 * The unit through which a port does its DMA, and the source-ids of that DMA.
 *
 * With `unit=` the port is behind a unit that the program has made, and the program attaches the
 * port's source-ids to its domains: until then the port reaches nothing. Without `unit=` the port
 * gets a unit of its own and one domain, in which all of DPDK's memory is mapped at DPDK's own
 * IOVAs as long as DPDK has it. That is what the kernel's VFIO gives to a NIC, so programs that do
 * not use moat's API work, too.
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
	struct net_unit *next;     /* in the list of all ports' in this process */
};

/**
 * Find or make a port's unit, and choose the port's source-ids.
 * @param name the port's
 * @return 0; -ENOENT: no such unit; -EBUSY: a source-id belongs to another port; -ENOSPC: no
 *   source-ids are left; -ENAMETOOLONG, -ENOMEM; or an error of making the unit, its domain or the
 *   mappings. moat_error_text(). Control path.
 */
int net_unit_open(const char *name, const struct net_args *args, struct net_unit **unit);
void net_unit_close(struct net_unit *unit);

/* net_memory.c: a port's own unit, and all of DPDK's memory in one domain. */

struct net_memory;

/** @param nr_pasids how many PASIDs of `sid` are attached; 0: the source-ids are, without PASID */
int net_memory_create(const char *unit, const char *unit_args, moat_sid_t sid, uint16_t nr_sids,
	uint16_t nr_pasids, struct net_memory **memory);
void net_memory_destroy(struct net_memory *memory);
/** Map and unmap memory that is not in DPDK's heaps, for rte_dev_dma_map() and _unmap(). @return
 * -ENOTSUP: the port has no unit of its own; -ENOENT: not mapped by one call; other errors as
 * moat_lane_map() and moat_lane_unmap() return them */
int net_memory_map(struct net_memory *memory, void *va, uint64_t iova, size_t len);
int net_memory_unmap(struct net_memory *memory, void *va, uint64_t iova, size_t len);

#endif /* NET_UNIT_H */

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef MOAT_VFIO_H
#define MOAT_VFIO_H

/**
 * @file
 * The VT-d unit of an ordinary host: the kernel owns it, and a domain is a VFIO container.
 *
 * The kernel writes the tables; a domain maps and unmaps by ioctl (VFIO type 1, version 2). A
 * container is one of DPDK's (rte_vfio_container_create()), so that a PMD which is probed later
 * finds its function's group in it. DPDK puts all of its own memory into its *default* container
 * and none into others: **a tenant's device reaches what that tenant's domain maps, and nothing
 * else.**
 *
 * The order of calls, which lets PMDs do DMA while they probe: create the unit (which checks that
 * the functions are ready), create domains and map, attach the functions (the group enters the
 * container, the IOMMU type is set, and the kernel maps all that was mapped so far), then
 * moat_tenant_probe(). In reverse: rte_eal_hotplug_remove(), then detach. When a container's last
 * group leaves, the kernel forgets its mappings; attaching again maps them again.
 *
 * What differs from a VT-d unit that moat drives itself:
 *  - an unmap takes one or more neighbouring maps as a whole, never a part of a map (-EINVAL,
 *    nothing changes);
 *  - an unmap is done when the call returns: tickets wait for other lcores only;
 *  - mapping pins memory, and the process's limit of locked memory counts all of it
 *    (RLIMIT_MEMLOCK);
 *  - a container holds at most as many maps as dma_entry_limit, a parameter of the module
 *    vfio_iommu_type1, says: 65,535 by default;
 *  - DPDK has room for RTE_MAX_VFIO_CONTAINERS containers, one of which is its default container;
 *  - refused DMA is reported in the kernel's log, which the unit reads if the process may.
 */

#include "moat_unit.h"

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/** The calls that the unit makes to DPDK and the kernel; tests replace them. Those that return an
 * int return 0 or the value described, or a negative errno. */
struct moat_vfio_kernel {
	void *ctx;
	/** Create a container. @return its file descriptor */
	int (*container_create)(void *ctx);
	void (*container_destroy)(void *ctx, int container);
	/** Tell DPDK that the group belongs to the container. @return a descriptor of the group
	 * that stays valid, whatever DPDK does with its own, until group_unbind(). */
	int (*group_bind)(void *ctx, int container, int group);
	void (*group_unbind)(void *ctx, int container, int group, int fd);
	int (*ioctl)(void *ctx, int fd, unsigned long request, void *arg);
};

struct moat_vfio_conf {
	const char *name;
	const char *root;            /* prefix of /sys and /dev; NULL: this machine */
	uint16_t segment;            /* of the functions */
	const moat_sid_t *functions; /* functions that will be attached; others are refused */
	unsigned int nr_functions;
	const struct moat_vfio_kernel *kernel; /* NULL: DPDK and the kernel */
};

/**
 * Create the unit: check every function, put its group into a container and take it out again.
 * Nothing is mapped. End the unit with unit->ops->destroy(), once every tenant and domain on it is
 * destroyed. With domains left, destroy() logs their names and changes nothing.
 *
 * @param conf copied
 * @param unit receives the unit
 * @return 0
 * @return -ENODEV: a function does not exist, or the host has no IOMMU
 * @return -EBUSY: a driver other than vfio-pci has a function or another device of its group, or
 *   another process has the group
 * @return -EACCES: this process may not open /dev/vfio
 * @return -EPERM: firmware has reserved memory for a function (RMRR), or interrupt remapping is off
 * @return -EOPNOTSUPP: the kernel has no VFIO type 1, version 2
 * @return -EINVAL: the configuration is not valid, or, from Linux 6.6 on, an RMRR
 * @return -ENOSPC: DPDK has no room for another container
 * @return -ENOMEM
 *
 * moat_error_text() says what is in the way, and which command removes that. Thread-safe after
 * rte_eal_init(). Control path.
 */
int moat_vfio_create(const struct moat_vfio_conf *conf, struct moat_unit **unit);

/** What a domain's container holds. */
struct moat_vfio_info {
	uint64_t maps;      /* now, by moat's own count */
	uint64_t bytes;     /* in them */
	uint64_t dma_avail; /* maps that the kernel has room for; UINT64_MAX: unknown */
	uint64_t dma_limit; /* the same when the container was empty */
	unsigned int groups;
	uint64_t map_calls, unmap_calls; /* ioctls since the domain was made */
};

/**
 * Read what a domain's container holds now, by an ioctl.
 *
 * @param domain of a vfio unit
 * @param info receives the result
 *
 * Thread-safe. Control path.
 */
void moat_vfio_info(const struct moat_domain *domain, struct moat_vfio_info *info);

/**
 * Parse a line of the kernel's log that reports a refused DMA:
 * "DMAR: [DMA Write NO_PASID] Request device [01:10.0] fault addr 0x41000000 [fault reason 0x05]"
 *
 * @param line the line
 * @param fault set if the line is such a report
 * @return true: the line is such a report
 *
 * Thread-safe. Control path.
 */
bool moat_vfio_parse_fault(const char *line, struct moat_fault *fault);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif /* MOAT_VFIO_H */

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* See moat_device.h. */

#include <errno.h>

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_per_lcore.h>

#include "moat_device.h"
#include "tenant_impl.h"

static RTE_DEFINE_PER_LCORE(struct moat_tenant *, probing);

int moat_tenant_probe(struct moat_tenant *t, const char *device)
{
	int rc;

	RTE_PER_LCORE(probing) = t;
	rc = rte_dev_probe(device);
	RTE_PER_LCORE(probing) = NULL;
	if (rc != 0)
		return moat_error(rc, "no driver of DPDK's takes device '%s': %s", device,
			rte_strerror(-rc));
	return 0;
}

const struct rte_memzone *moat_device_reserve(moat_reserve_t reserve, const char *name, size_t len,
	int socket, unsigned int flags, unsigned int align, unsigned int bound)
{
	struct moat_tenant *t = RTE_PER_LCORE(probing);
	const struct rte_memzone *mz;

	if (t == NULL || !(flags & RTE_MEMZONE_IOVA_CONTIG))
		return reserve(name, len, socket, flags, align, bound);
	/* Whole pages: the heap's bookkeeping is in none of them. */
	mz = reserve(name, RTE_ALIGN_CEIL(len, MOAT_PAGE_SIZE), t->socket, flags,
		RTE_MAX(align, (unsigned int)MOAT_PAGE_SIZE), bound);
	if (mz != NULL && tenant_rings_sync(t) != 0) {
		rte_memzone_free(mz);
		rte_errno = ENOMEM;
		return NULL;
	}
	return mz;
}

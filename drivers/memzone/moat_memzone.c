/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * DPDK's reservations of memzones, with moat's question before them: is a tenant's device being
 * probed, whose memory this is to be? (lib/tenant/moat_device.h says why.) There is no hook for that
 * in DPDK, so a program that carries this file defines DPDK's functions itself; PMDs, which are
 * shared objects, find the program's first, and it finds DPDK's behind them. With a DPDK that is
 * linked statically there is none behind, and the linker says so.
 */

#include <dlfcn.h>
#include <stdlib.h>

#include <rte_common.h>
#include <rte_debug.h>
#include <rte_memzone.h>

#include "moat_device.h"

static moat_reserve_t dpdks(void)
{
	static _Atomic(moat_reserve_t) reserve; /* the same whoever asks first */

	if (reserve == NULL)
		reserve = (moat_reserve_t)dlsym(RTLD_NEXT, "rte_memzone_reserve_bounded");
	if (reserve == NULL)
		rte_panic("no rte_memzone_reserve_bounded() in DPDK's libraries\n");
	return reserve;
}

const struct rte_memzone *rte_memzone_reserve_bounded(const char *name, size_t len, int socket_id,
	unsigned int flags, unsigned int align, unsigned int bound)
{
	return moat_device_reserve(dpdks(), name, len, socket_id, flags, align, bound);
}

const struct rte_memzone *rte_memzone_reserve_aligned(const char *name, size_t len, int socket_id,
	unsigned int flags, unsigned int align)
{
	return moat_device_reserve(dpdks(), name, len, socket_id, flags, align, 0);
}

const struct rte_memzone *rte_memzone_reserve(const char *name, size_t len, int socket_id,
	unsigned int flags)
{
	return moat_device_reserve(dpdks(), name, len, socket_id, flags, RTE_CACHE_LINE_SIZE, 0);
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * rte_memzone_reserve*() and rte_memzone_free(), which first check whether the memzone lies in a
 * tenant's heap, or a tenant's device is being probed (moat_device.h says why), and then call
 * DPDK's own. DPDK has no hook for that, so this file interposes functions of the same names. The
 * dynamic linker searches the program first, then its libraries in link order. So the file must be
 * in the program, or in a library that is linked before DPDK's: libmoat_memzone.a, which
 * `pkg-config --libs moat` names, puts it into the program, and librte_mempool_moat.so contains it,
 * too. moat_tenant_create() checks which definitions are in effect, and logs a warning if they are
 * DPDK's.
 */

#include <dlfcn.h>
#include <stdlib.h>

#include <rte_common.h>
#include <rte_debug.h>
#include <rte_memzone.h>

#include "moat_device.h"

#pragma GCC visibility push(default)

/* The definition that follows this file's: DPDK's, or the one in librte_mempool_moat.so if the
 * program itself contains this file. */
static void *next_definition(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	if (function == NULL)
		rte_panic("no %s() in DPDK's libraries\n", name);
	return function;
}

/* Any thread may call this first; each stores the same value. */
static moat_reserve_t next_reserve(void)
{
	static _Atomic(moat_reserve_t) reserve;

	if (reserve == NULL)
		reserve = (moat_reserve_t)next_definition("rte_memzone_reserve_bounded");
	return reserve;
}

const struct rte_memzone *rte_memzone_reserve_bounded(const char *name, size_t len, int socket_id,
	unsigned int flags, unsigned int align, unsigned int bound)
{
	return moat_device_reserve(next_reserve(), name, len, socket_id, flags, align, bound);
}

const struct rte_memzone *rte_memzone_reserve_aligned(const char *name, size_t len, int socket_id,
	unsigned int flags, unsigned int align)
{
	return moat_device_reserve(next_reserve(), name, len, socket_id, flags, align, 0);
}

const struct rte_memzone *rte_memzone_reserve(const char *name, size_t len, int socket_id,
	unsigned int flags)
{
	return moat_device_reserve(next_reserve(), name, len, socket_id, flags, RTE_CACHE_LINE_SIZE,
		0);
}

int rte_memzone_free(const struct rte_memzone *mz)
{
	static _Atomic(moat_free_t) next; /* as in next_reserve() */

	if (next == NULL)
		next = (moat_free_t)next_definition("rte_memzone_free");
	return moat_device_free(next, mz);
}

#pragma GCC visibility pop

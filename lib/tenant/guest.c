/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * On a unit that nests, a tenant's domain lies over a parent domain. The parent maps only the
 * tenant's memory, at guest-physical addresses from GUEST_BASE on. The tenant's domain maps IOVAs
 * to these addresses.
 */

#include <errno.h>
#include <inttypes.h>

#include "tenant_impl.h"

/* 4 GiB, above the range of interrupt messages (MOAT_MSI_BASE). */
#define GUEST_BASE (UINT64_C(4) << 30)

int tenant_guest_create(struct moat_tenant *t)
{
	struct moat_domain_conf conf = { .iova_base = MOAT_PAGE_SIZE,
		.leaf_sizes = t->conf.leaf_sizes,
		.nest_parent = true };
	char name[sizeof(t->name)];

	if (t->conf.unit->caps.nested.sagaw == 0)
		return 0;
	snprintf(name, sizeof(name), "%.24s guest", t->name);
	conf.name = name;
	return moat_domain_create(t->conf.unit, &conf, &t->guest);
}

int tenant_guest_map(struct moat_tenant *t)
{
	struct moat_lane *lane;
	int rc, closed;

	if (t->guest == NULL)
		return 0;
	rc = moat_iova_reserve(t->guest->iova, GUEST_BASE, t->len);
	if (rc != 0)
		return moat_error(rc,
			"tenant '%s': memory of 0x%" PRIx64
			" bytes at guest-physical address 0x%" PRIx64
			" does not fit into %u bits; lower 'memory'",
			t->name, t->len, GUEST_BASE, t->guest->width);
	lane = moat_lane_open(t->guest);
	if (lane == NULL)
		return -ENOMEM;
	rc = moat_memory_map(&t->memory, lane, 0, GUEST_BASE, t->len, MOAT_RW);
	closed = moat_lane_close(lane);
	if (rc != 0 || closed != 0)
		return rc != 0 ? rc : closed;
	t->guest_mapped = true;
	for (uint64_t i = 0; i < t->len >> MOAT_2M_SHIFT; i++)
		t->memory.hpa[i] = GUEST_BASE + (i << MOAT_2M_SHIFT);
	t->memory.hpa_linear = true;
	return 0;
}

int tenant_guest_destroy(struct moat_tenant *t)
{
	struct moat_lane *lane;
	int rc;

	if (t->guest_mapped) {
		lane = moat_lane_open(t->guest);
		if (lane == NULL)
			return -ENOMEM;
		rc = moat_lane_unmap(lane, GUEST_BASE, t->len);
		t->guest_mapped = rc != 0;
		if (moat_lane_close(lane) != 0)
			return -ETIMEDOUT; /* moat_error_text() says why */
		if (rc != 0)
			return rc;
	}
	rc = t->guest != NULL ? moat_domain_destroy(t->guest) : 0;
	if (rc == 0)
		t->guest = NULL;
	return rc;
}

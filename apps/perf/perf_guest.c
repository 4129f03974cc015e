/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Test map on a unit that nests: an lcore's domain has a parent in which the lcore's memory is
 * mapped, in leaves as large as possible, from before the first batch until after the last one.
 * In test packets lib/tenant makes the parents.
 */

#include <errno.h>

#include "perf_work.h"

int perf_guest_create(const struct perf_work *work, struct moat_domain **parent)
{
	struct moat_domain_conf conf = { .nest_parent = true };
	char name[32];

	*parent = NULL;
	if (work->unit->caps.nested.sagaw == 0)
		return 0;
	snprintf(name, sizeof(name), "perf%u guest", work->index);
	conf.name = name;
	return moat_domain_create(work->unit, &conf, parent);
}

int perf_guest_map(struct perf_guest *guest, struct moat_domain *parent, struct moat_memory *memory)
{
	uint64_t room = memory->len + MOAT_1G_SIZE, at;
	struct moat_lane *lane;
	int rc, closed;

	if (parent == NULL)
		return 0;
	rc = moat_iova_alloc(parent->iova, NULL, room, MOAT_1G_SIZE, &at);
	if (rc != 0)
		return rc;
	at += memory->hpa[0] & (MOAT_1G_SIZE - 1); /* so that leaves of 1 GiB are possible */
	lane = moat_lane_open(parent);
	if (lane == NULL)
		return -ENOMEM;
	rc = moat_memory_map(memory, lane, 0, at, memory->len, MOAT_RW);
	closed = moat_lane_close(lane);
	if (rc == 0)
		*guest = (struct perf_guest){ .parent = parent, .at = at, .len = memory->len };
	if (rc != 0 || closed != 0)
		return rc != 0 ? rc : closed;
	for (uint64_t i = 0; i < memory->len >> MOAT_2M_SHIFT; i++)
		memory->hpa[i] = at + (i << MOAT_2M_SHIFT);
	memory->hpa_linear = true;
	return 0;
}

int perf_guest_unmap(struct perf_guest *guest)
{
	struct moat_lane *lane;
	int rc, closed;

	if (guest->parent == NULL)
		return 0;
	lane = moat_lane_open(guest->parent);
	if (lane == NULL)
		return -ENOMEM;
	rc = moat_lane_unmap(lane, guest->at, guest->len);
	closed = moat_lane_close(lane);
	if (rc == 0 && closed == 0)
		guest->parent = NULL;
	return rc != 0 ? rc : closed;
}

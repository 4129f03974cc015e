/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>

#include "doctor_check.h"

/** A node with devices but without pages; NULL: none. */
static const struct doctor_fn *far_from_pages(const struct doctor_case *c)
{
	const struct doctor_host *h = c->host;

	for (unsigned int i = 0; i < c->tenants.n; i++)
		for (unsigned int n = 0; n < h->nr_nodes; n++)
			if (c->tenants.at[i].fn->numa == (int)h->node[n].id &&
				h->node[n].total_2m + h->node[n].total_1g == 0)
				return c->tenants.at[i].fn;
	return NULL;
}

static void reserve(struct doctor_finding *f, unsigned int node)
{
	doctor_say(&f->commands,
		"echo 512 > /sys/devices/system/node/node%u/hugepages/hugepages-2048kB/nr_hugepages",
		node);
}

static void none_at_all(const struct doctor_case *c, struct doctor_finding *f)
{
	if (c->way == DOCTOR_VTD) {
		doctor_find(f, DOCTOR_FAIL,
			"no hugepages: a unit's tables need pages of 2 MiB, which do not move");
		doctor_say(&f->remedy, "reserve some");
	} else {
		doctor_find(f, DOCTOR_WARN, "no hugepages: memory comes in pages of 4 KiB");
		doctor_say(&f->remedy,
			"it works, with more IOTLB misses and more page-table memory; reserve some "
			"for speed");
	}
	reserve(f, c->host->nr_nodes != 0 ? c->host->node[0].id : 0);
}

void doctor_check_hugepages(const struct doctor_case *c, struct doctor_finding *f)
{
	const struct doctor_host *h = c->host;
	const struct doctor_fn *far = far_from_pages(c);
	uint64_t total_2m = 0, total_1g = 0, free = 0;

	for (unsigned int i = 0; i < h->nr_nodes; i++) {
		const struct doctor_node *n = &h->node[i];

		total_2m += n->total_2m;
		total_1g += n->total_1g;
		free += n->free_2m + n->free_1g;
		doctor_say(&f->evidence,
			"node %u: %" PRIu64 " of %" PRIu64 " pages of 2 MiB free, %" PRIu64
			" of %" PRIu64 " of 1 GiB",
			n->id, n->free_2m, n->total_2m, n->free_1g, n->total_1g);
	}
	if (h->nr_nodes == 0) {
		doctor_find(f, DOCTOR_UNKNOWN, "/sys/devices/system/node cannot be read");
	} else if (total_2m + (c->way == DOCTOR_VTD ? 0 : total_1g) == 0) {
		none_at_all(c, f);
	} else if (free == 0) {
		doctor_find(f, DOCTOR_WARN, "all hugepages are in use");
		doctor_say(&f->remedy,
			"reserve more, or end who has them (/proc/*/smaps, /dev/hugepages)");
	} else if (far != NULL) {
		doctor_find(f, DOCTOR_WARN, "no hugepages on node %d, where %s is", far->numa,
			far->address);
		doctor_say(&f->remedy,
			"memory of another node costs every DMA; reserve some there");
		reserve(f, far->numa);
	} else {
		doctor_find(f, DOCTOR_OK, "%" PRIu64 " of 2 MiB, %" PRIu64 " of 1 GiB", total_2m,
			total_1g);
	}
}

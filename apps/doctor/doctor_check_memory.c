/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <inttypes.h>
#include <stdlib.h>

#include "doctor_check.h"

/* moat takes tenants' memory from pages of 2 MiB, or of 1 GiB if those are short. A unit that moat
 * owns needs pages of 2 MiB, for its tables and for its tenants. */

/** @return how many of a node's pages moat can use */
static uint64_t usable(enum doctor_way way, uint64_t of_2m, uint64_t of_1g)
{
	return of_2m + (way == DOCTOR_VTD ? 0 : of_1g);
}

/** Can the function, or a virtual function of it, be a tenant's? */
static bool matters(const struct doctor_tenant *t)
{
	return t->place == DOCTOR_OWN || t->place == DOCTOR_SHARED || t->place == DOCTOR_LATER ||
		(t->place == DOCTOR_KERNELS && t->fn->vfs_total != 0);
}

static const struct doctor_node *node_of(const struct doctor_host *h, int id)
{
	for (unsigned int n = 0; n < h->nr_nodes; n++)
		if (h->node[n].id == id && id >= 0)
			return &h->node[n];
	return NULL;
}

/** Find a function that matters, on a node without pages, or without free ones; NULL: none. */
static const struct doctor_fn *far_from_pages(const struct doctor_case *c, bool free_ones)
{
	for (unsigned int i = 0; i < c->tenants.n; i++) {
		const struct doctor_tenant *t = &c->tenants.at[i];
		const struct doctor_node *n = node_of(c->host, t->fn->numa);

		if (n != NULL && matters(t) &&
			(free_ones ? usable(c->way, n->free_2m, n->free_1g)
				   : usable(c->way, n->total_2m, n->total_1g)) == 0)
			return t->fn;
	}
	return NULL;
}

static void reserve(struct doctor_finding *f, int node)
{
	if (node < 0)
		doctor_say(&f->commands,
			"echo 512 > /sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
	else
		doctor_say(&f->commands,
			"echo 512 > "
			"/sys/devices/system/node/node%d/hugepages/hugepages-2048kB/nr_hugepages",
			node);
}

static void none_at_all(const struct doctor_case *c, uint64_t total_1g, struct doctor_finding *f)
{
	if (c->way == DOCTOR_VTD) {
		doctor_find(f, DOCTOR_FAIL,
			"no hugepages of 2 MiB: a unit's tables need some, because they do not move");
		doctor_say(&f->remedy,
			total_1g != 0 ? "reserve some; those of 1 GiB do not serve kind = vtd"
				      : "reserve some");
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
	const struct doctor_fn *far = far_from_pages(c, false), *busy = far_from_pages(c, true);
	uint64_t total_2m = 0, total_1g = 0, free_2m = 0, free_1g = 0;

	for (unsigned int i = 0; i < h->nr_nodes; i++) {
		const struct doctor_node *n = &h->node[i];
		char *node =
			n->id >= 0 ? doctor_format("node %d", n->id) : doctor_format("no NUMA");

		total_2m += n->total_2m;
		total_1g += n->total_1g;
		free_2m += n->free_2m;
		free_1g += n->free_1g;
		doctor_say(&f->evidence,
			"%s: %" PRIu64 " of %" PRIu64 " pages of 2 MiB free, %" PRIu64
			" of %" PRIu64 " of 1 GiB",
			node, n->free_2m, n->total_2m, n->free_1g, n->total_1g);
		free(node);
	}
	if (h->nr_nodes == 0) {
		doctor_find(f, DOCTOR_UNKNOWN,
			"neither /sys/devices/system/node nor /sys/kernel/mm/hugepages can be read");
	} else if (usable(c->way, total_2m, total_1g) == 0) {
		none_at_all(c, total_1g, f);
	} else if (usable(c->way, free_2m, free_1g) == 0) {
		doctor_find(f, DOCTOR_WARN, "all hugepages%s are in use",
			c->way == DOCTOR_VTD ? " of 2 MiB" : "");
		doctor_say(&f->remedy,
			"reserve more, or end the programs that have them (/proc/*/smaps, "
			"/dev/hugepages)");
	} else if (far != NULL) {
		doctor_find(f, DOCTOR_WARN, "no hugepages on node %d, where %s is", far->numa,
			far->address);
		doctor_say(&f->remedy,
			"memory of another node slows every DMA; reserve some there");
		reserve(f, far->numa);
	} else if (busy != NULL) {
		doctor_find(f, DOCTOR_WARN, "all hugepages on node %d, where %s is, are in use",
			busy->numa, busy->address);
		doctor_say(&f->remedy,
			"memory of another node slows every DMA; reserve more there, or end the "
			"programs that have them");
	} else {
		doctor_find(f, DOCTOR_OK,
			"%" PRIu64 " of %" PRIu64 " of 2 MiB free, %" PRIu64 " of %" PRIu64
			" of 1 GiB",
			free_2m, total_2m, free_1g, total_1g);
	}
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
/*
 * Cache geometries with names, for predicting what a unit would have to read from memory.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "moat_softvtd.h"

static const struct moat_softvtd_geometry geometries[] = {
	{
		.name = "broadwell",
		.source = "IOTLB: 64 entries, beyond which DMA of a Xeon E5-2600 v4 is slower "
			  "(Neugebauer et al., pcie-bench, SIGCOMM 2018). Paging-structure caches: "
			  "16 entries a level, assumed; they are not published",
		.iotlb_entries = 64,
		.iotlb_ways = 64,
		.context_entries = 64,
		.psc_entries = { 16, 16, 16, 16 },
	},
	{
		.name = "qemu",
		.source =
			"QEMU's intel-iommu: 1024 translations (VTD_IOTLB_MAX_SIZE), no paging-structure "
			"caches",
		.iotlb_entries = 1024,
		.iotlb_ways = 16,
		.context_entries = 1024,
	},
	{
		.name = "large",
		.source = "the software unit's default, larger than any published for hardware",
		.iotlb_entries = 4096,
		.iotlb_ways = 8,
		.context_entries = 64,
		.psc_entries = { 512, 64, 64, 64 },
	},
	{
		.name = "none",
		.source =
			"no IOTLB and no paging-structure caches: a walk from the root of the table for "
			"each DMA, the worst that the specification lets a unit do",
		.context_entries = 64,
	},
	{ .name = NULL },
};

const struct moat_softvtd_geometry *moat_softvtd_geometry(unsigned int i)
{
	return i < RTE_DIM(geometries) - 1 ? &geometries[i] : NULL;
}

int moat_softvtd_conf_geometry(struct moat_softvtd_conf *conf, const char *name)
{
	char names[128];
	int len = 0;

	for (const struct moat_softvtd_geometry *g = geometries; g->name != NULL; g++) {
		len += snprintf(names + len, sizeof(names) - len, " %s", g->name);
		if (strcmp(g->name, name) != 0)
			continue;
		conf->shards = 1; /* all lcores share the caches */
		conf->iotlb_entries = g->iotlb_entries;
		conf->iotlb_ways = RTE_MAX(g->iotlb_ways, 1u);
		conf->context_entries = g->context_entries;
		memcpy(conf->psc_entries, g->psc_entries, sizeof(conf->psc_entries));
		moat_softvtd_conf_plain(conf);
		return 0;
	}
	return moat_error(-EINVAL, "there is no cache geometry '%s'; there are:%s", name, names);
}

void moat_softvtd_conf_plain(struct moat_softvtd_conf *conf)
{
	conf->prefetch = 0;
	conf->jitter = 0;
	conf->linger = false;
	conf->reorder = false;
	conf->oracle = false;
}

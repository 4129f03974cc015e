/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * What would the DMA cost on hardware? The software unit counts how often a given cache geometry
 * makes it read memory for a DMA: M. A DMA of p bytes then takes l0 + M * lm. See
 * PERF_MODEL_SOURCE.
 */

#include "perf.h"

const unsigned int perf_links[PERF_LINKS] = { 25, 100, 200, 400 };

void perf_predict(struct perf_prediction *p, uint64_t dmas, uint64_t bytes, uint64_t misses,
	uint64_t walks, uint64_t reads)
{
	*p = (struct perf_prediction){ .dmas = dmas, .bytes = bytes };
	if (dmas == 0)
		return;
	p->iotlb_misses = (double)misses / (double)dmas;
	p->walks_from_root = (double)walks / (double)dmas;
	p->reads = (double)reads / (double)dmas;
	p->ns = PERF_L0_NS + p->reads * PERF_LM_NS;
	p->gbps = (double)bytes * 8 / p->ns;
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#include <errno.h>

#include "run.h"

int tenant_run_unmap(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run)
{
	int rc;

	if (run->len == 0)
		return 0;
	while (unlikely((rc = tenant_unmap(t, lc->lane, run->va, run->len)) == -EAGAIN)) {
		/* Every batch of the lane is in flight: completions make room. The deadline is
		 * moat_lane_drain()'s. */
		lc->waits++;
		rc = moat_lane_drain(lc->lane);
		if (rc != 0)
			break;
	}
	if (unlikely(rc != 0)) /* still mapped; as what, nobody needs to know again */
		tenant_set_prot(t, run->va, run->len, MOAT_RW);
	run->len = 0;
	return rc;
}

int tenant_run_map(struct moat_tenant *t, struct tenant_lcore *lc, struct tenant_run *run,
	enum moat_prot prot)
{
	int rc;

	if (run->len == 0)
		return 0;
	rc = tenant_map(t, lc->lane, run->va, run->len, prot);
	if (unlikely(rc != 0))
		tenant_set_prot(t, run->va, run->len, 0);
	run->len = 0;
	return rc;
}

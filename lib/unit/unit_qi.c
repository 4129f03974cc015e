/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Invalidation for units that have a struct moat_qi (lib/qi): see MOAT_UNIT_QI_OPS. */

#include <errno.h>

#include "moat_unit.h"

int64_t moat_unit_qi_submit(struct moat_unit *unit, const moat_tag_t tags[], unsigned int n,
	const struct moat_gather *gather, struct moat_inval_report *report)
{
	struct moat_qi_desc desc[MOAT_QI_BATCH_MAX];
	int64_t seq;

	if (unlikely(n > RTE_DIM(desc)))
		return moat_error(-E2BIG, "a submission has %u cache tags; it can have %zu at most",
			n, RTE_DIM(desc));
	n = moat_tags_encode(tags, n, gather, &unit->caps.qi, desc, RTE_DIM(desc));
	seq = moat_qi_submit(unit->qi, desc, n);
	report->commands = n;
	report->contended = moat_qi_crowded();
	return seq;
}

int moat_unit_qi_done(struct moat_unit *unit, int64_t seq)
{
	if (!moat_qi_done(unit->qi, seq))
		return 0;
	return unlikely(moat_qi_failed(unit->qi, seq)) ? -EIO : 1;
}

int moat_unit_qi_wait(struct moat_unit *unit, int64_t seq, uint64_t timeout_us, void (*turn)(void))
{
	return moat_qi_wait_turns(unit->qi, seq, timeout_us, turn);
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * A thread's stock of batches: a stack, so that the batch drawn next is the one that is still in
 * the processor's cache. Opening a lane and taking one online fill it with as many as one lane can
 * have in flight; a thread that has more in flight on several lanes allocates more as needed. All
 * are kept until the thread ends.
 */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lane_impl.h"

struct batch *lane_stock_grow(void)
{
	struct batch *batch = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(*batch));

	if (batch == NULL) {
		moat_error(-ENOMEM, "no memory for a batch of unmaps");
		return NULL;
	}
	memset(batch, 0, sizeof(*batch));
	lane_thread_watch();
	return batch;
}

int lane_stock_fill(void)
{
	unsigned int n = 0;

	for (const struct batch *b = lane_thread.stock; b != NULL && n < MOAT_LANE_BATCHES;
		b = b->next)
		n++;
	for (; n < MOAT_LANE_BATCHES; n++) {
		struct batch *batch = lane_stock_grow();

		if (batch == NULL)
			return -ENOMEM;
		lane_stock_put(batch);
	}
	return 0;
}

void lane_stock_free(struct lane_thread *thread)
{
	while (thread->stock != NULL) {
		struct batch *batch = thread->stock;

		thread->stock = batch->next;
		free(batch);
	}
}

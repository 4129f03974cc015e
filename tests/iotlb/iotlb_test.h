/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */
#ifndef IOTLB_TEST_H
#define IOTLB_TEST_H

/* Tables for look-ups. Each test has a pool of its own, and its thread is a reader. */

#include "../pt/pt_test.h"

static int setup(void **state)
{
	urcu_qsbr_register_thread();
	return moat_pt_pool_create(NULL, &pool);
}

static int teardown(void **state)
{
	moat_pt_pool_destroy(pool);
	urcu_qsbr_unregister_thread();
	return 0;
}

#endif /* IOTLB_TEST_H */

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* moat-fwd's table of learnt addresses. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fwd_l2.h"

static struct rte_ether_addr host(uint32_t n)
{
	return (struct rte_ether_addr){ { 0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
		(uint8_t)(n >> 8), (uint8_t)n } };
}

static int create(void **state)
{
	*state = aligned_alloc(RTE_CACHE_LINE_SIZE, sizeof(struct fwd_l2));
	if (*state == NULL)
		return -1;
	fwd_l2_init(*state);
	return 0;
}

static int destroy(void **state)
{
	free(*state);
	return 0;
}

static void an_address_is_where_it_was_last_seen(void **state)
{
	struct rte_ether_addr a = host(1), b = host(2);

	assert_int_equal(fwd_l2_find(*state, &a), -1);
	fwd_l2_learn(*state, &a, 0);
	fwd_l2_learn(*state, &b, 7);
	assert_int_equal(fwd_l2_find(*state, &a), 0);
	assert_int_equal(fwd_l2_find(*state, &b), 7);
	fwd_l2_learn(*state, &a, 3); /* the address moves to another port */
	assert_int_equal(fwd_l2_find(*state, &a), 3);
	assert_int_equal(fwd_l2_find(*state, &b), 7);
}

static void group_addresses_are_never_found(void **state)
{
	struct rte_ether_addr all = { { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff } };
	struct rte_ether_addr group = { { 0x01, 0, 0x5e, 0, 0, 1 } };

	fwd_l2_learn(*state, &all, 1);
	fwd_l2_learn(*state, &group, 1);
	assert_int_equal(fwd_l2_find(*state, &all), -1);
	assert_int_equal(fwd_l2_find(*state, &group), -1);
}

static void a_silent_address_is_forgotten_and_a_talking_one_is_not(void **state)
{
	struct rte_ether_addr silent = host(1), talking = host(2);

	fwd_l2_learn(*state, &silent, 1);
	for (unsigned int i = 0; i < FWD_L2_AGES; i++) {
		fwd_l2_learn(*state, &talking, 2);
		fwd_l2_tick(*state);
	}
	assert_int_equal(fwd_l2_find(*state, &silent), 1);
	fwd_l2_tick(*state);
	assert_int_equal(fwd_l2_find(*state, &silent), -1);
	assert_int_equal(fwd_l2_find(*state, &talking), 2);
	for (unsigned int i = 0; i < 300; i++) { /* more than 256, so that ages wrap around */
		fwd_l2_learn(*state, &talking, 2);
		fwd_l2_tick(*state);
		assert_int_equal(fwd_l2_find(*state, &talking), 2);
		assert_int_equal(fwd_l2_find(*state, &silent), -1);
	}
}

static void more_addresses_than_fit_push_out_old_ones_only(void **state)
{
	const uint32_t n = FWD_L2_BUCKETS * 8;
	unsigned int kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct rte_ether_addr a = host(i);

		fwd_l2_learn(*state, &a, 1);
	}
	fwd_l2_tick(*state);
	for (uint32_t i = 0; i < n / 4; i++) {
		struct rte_ether_addr a = host(n + i);

		fwd_l2_learn(*state, &a, 2);
		assert_int_equal(fwd_l2_find(*state, &a), 2);
	}
	for (uint32_t i = 0; i < n / 4; i++) {
		struct rte_ether_addr a = host(n + i);

		kept += fwd_l2_find(*state, &a) == 2;
	}
	/* A new address replaces another new one only if the whole bucket is new. */
	assert_true(kept > n / 4 * 98 / 100);
}

struct learner {
	struct fwd_l2 *table;
	uint8_t port;
};

static void *learn_and_find(void *arg)
{
	struct learner *l = arg;

	for (uint32_t round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < 256; i++) {
			struct rte_ether_addr a = host(i);
			int port;

			fwd_l2_learn(l->table, &a, l->port);
			port = fwd_l2_find(l->table, &a);
			if (port != -1 && port != 1 && port != 2)
				return "an address is on a port where it was not learned";
		}
	}
	return NULL;
}

static void lcores_that_learn_at_once_never_make_up_an_address(void **state)
{
	struct learner l[2] = { { *state, 1 }, { *state, 2 } };
	pthread_t thread;
	void *wrong[2];

	assert_int_equal(pthread_create(&thread, NULL, learn_and_find, &l[0]), 0);
	wrong[1] = learn_and_find(&l[1]);
	for (unsigned int i = 0; i < 50; i++)
		fwd_l2_tick(*state);
	pthread_join(thread, &wrong[0]);
	assert_null(wrong[0]);
	assert_null(wrong[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_is_where_it_was_last_seen, create,
			destroy),
		cmocka_unit_test_setup_teardown(group_addresses_are_never_found, create, destroy),
		cmocka_unit_test_setup_teardown(
			a_silent_address_is_forgotten_and_a_talking_one_is_not, create, destroy),
		cmocka_unit_test_setup_teardown(more_addresses_than_fit_push_out_old_ones_only,
			create, destroy),
		cmocka_unit_test_setup_teardown(lcores_that_learn_at_once_never_make_up_an_address,
			create, destroy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Wrong beginnings, each refused at the call with a text; and ends in any order. See rig.h.
 */

#include <rte_memzone.h>

#include <sched.h>

#include "moat_patience.h"
#include "moat_telemetry.h"
#include "rig.h"
#include "tenant_impl.h"

/* Answers the calls of DPDK's libraries and libmoat to the EAL about secondary processes: a test
 * has no hugepages, and without them there are no secondary processes. */
static enum rte_proc_type_t process_type = RTE_PROC_PRIMARY;

enum rte_proc_type_t rte_eal_process_type(void)
{
	return process_type;
}

static struct rig *open_mode(enum moat_mode mode)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);

	return rig_open(&conf, UNIT_ADVERSARY, 512);
}

static void refused(int rc, int expected, const char *words)
{
	assert_int_equal(rc, expected);
	if (strstr(moat_error_text(), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, moat_error_text());
}

/* ------------------------------------------------------------------------------- configurations */

static void a_configuration_that_cannot_be_is_refused_in_words(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct moat_tenant_conf conf = rig_conf("blue", MOAT_STATIC), c;
	struct moat_tenant *t;

	conf.unit = r->unit;
	conf.memory = 8 * 1048576;
	refused(moat_tenant_create(NULL, &t), -EINVAL, "the configuration is NULL");
	refused(moat_tenant_create(&conf, NULL), -EINVAL, "no place to store the tenant");
	c = conf;
	c.name = NULL;
	refused(moat_tenant_create(&c, &t), -EINVAL, "the tenant has no name");
	c.name = "";
	refused(moat_tenant_create(&c, &t), -EINVAL, "the tenant has no name");
	c.name = "a name that is longer than what a heap can have";
	refused(moat_tenant_create(&c, &t), -EINVAL, "31 are the most");
	c.name = "red";
	refused(moat_tenant_create(&c, &t), -EEXIST, "tenant 'red' exists already");
	c = conf;
	c.unit = NULL;
	refused(moat_tenant_create(&c, &t), -EINVAL, "tenant 'blue' has no unit");
	c = conf;
	c.mode = (enum moat_mode)77;
	refused(moat_tenant_create(&c, &t), -EINVAL,
		"mode 77 does not exist; set 0 (static) to 4 (copy)");
	c.mode = (enum moat_mode) - 1;
	refused(moat_tenant_create(&c, &t), -EINVAL, "mode -1 does not exist");
	refused(moat_tenant_destroy(NULL), -EINVAL, "is NULL");
	refused(moat_tenant_queue_add(NULL, 0, 0), -EINVAL, "is NULL");
	refused(moat_tenant_lcore_enter(NULL), -EINVAL, "is NULL");
	refused(moat_tenant_lcore_leave(NULL), -EINVAL, "is NULL");
	rig_close(r);
}

/* DPDK's heaps: one for each NUMA node, "red"'s, and those of the tenants made here. */
static void a_tenant_more_than_dpdk_has_heaps_is_refused_in_words(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct moat_tenant_conf conf = rig_conf(NULL, MOAT_STATIC);
	unsigned int most = RTE_MAX_HEAPS - rte_socket_count();
	struct moat_tenant *t[RTE_MAX_HEAPS];
	char name[16], words[64];

	conf.unit = r->unit;
	conf.memory = 4 << 20;
	conf.name = name;
	for (unsigned int i = 1; i < most; i++) {
		snprintf(name, sizeof(name), "t%u", i);
		must(moat_tenant_create(&conf, &t[i]));
	}
	snprintf(name, sizeof(name), "last");
	snprintf(words, sizeof(words), "a process can have %u tenants", most);
	refused(moat_tenant_create(&conf, &t[0]), -ENOSPC, words);
	must(moat_tenant_destroy(t[1]));
	must(moat_tenant_create(&conf, &t[1]));
	for (unsigned int i = 1; i < most; i++)
		must(moat_tenant_destroy(t[i]));
	rig_close(r);
}

static void a_secondary_process_is_refused_in_words(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct moat_tenant_conf conf = { .name = "blue", .unit = r->unit, .memory = 4 * 1048576 };
	struct moat_tenant *t;

	process_type = RTE_PROC_SECONDARY;
	refused(moat_tenant_create(&conf, &t), -ENOTSUP,
		"tenant 'blue': a secondary process cannot create or use a tenant");
	process_type = RTE_PROC_PRIMARY;
	rig_close(r);
}

static void a_zeroed_configuration_verifies_and_has_superpages(void **state)
{
	struct moat_tenant_conf conf = { .name = "red", .iova_base = BASE };
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY, 512);
	struct rte_mbuf *m, *got[4];
	struct moat_pt_leaf leaf;

	rig_refill(r, &m, 1);
	assert_int_equal(
		moat_pt_walk(moat_tenant_domain(r->tenant)->pt, BASE + 2 * MOAT_2M_SIZE, &leaf), 0);
	assert_int_equal(leaf.size, MOAT_2M_SIZE);
	/* A buffer that the device returns without the right to write it is dropped. */
	m->buf_iova = BASE + (UINT64_C(1) << 32);
	rig_arrive(r, 0, &m, 1);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, got, 4), 0);
	assert_int_equal(rig_stats(r).verify_failed, 1);
	rig_close(r);
}

static void leaves_of_4_kib_and_no_verification_must_be_asked_for(void **state)
{
	struct moat_tenant_conf conf = { .name = "red",
		.iova_base = BASE,
		.leaf_sizes = MOAT_LEAF_4K_ONLY,
		.verify = MOAT_VERIFY_OFF };
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY, 512);
	struct rte_mbuf *m, *got[4];
	struct moat_pt_leaf leaf;

	assert_int_equal(
		moat_pt_walk(moat_tenant_domain(r->tenant)->pt, BASE + 2 * MOAT_2M_SIZE, &leaf), 0);
	assert_int_equal(leaf.size, MOAT_PAGE_SIZE);
	rig_refill(r, &m, 1);
	rig_arrive(r, 0, &m, 1);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, got, 4), 1);
	rte_pktmbuf_free(got[0]);
	rig_close(r);
}

/* ------------------------------------------------------------------------------------- queues */

static void a_queue_that_cannot_be_is_refused_in_words(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	const struct rte_memzone *ring;
	char name[32];

	refused(moat_tenant_queue_add(r->tenant, 17, 0), -ENODEV, "port 17 does not exist");
	refused(moat_tenant_queue_add(r->tenant, r->port, 9), -EINVAL,
		"has no queue 9 (2 receive and 2 transmit queues are configured)");
	refused(moat_tenant_queue_add(r->tenant, r->port, 1), -EEXIST, "already");
	must(moat_tenant_queue_remove(r->tenant, r->port, 1));
	refused(moat_tenant_queue_remove(r->tenant, r->port, 1), -ENOENT, "has no queue 1");
	snprintf(name, sizeof(name), "eth_p%u_q1_rx_ring", r->port);
	ring = rte_memzone_reserve(name, 4096, SOCKET_ID_ANY, RTE_MEMZONE_IOVA_CONTIG);
	refused(moat_tenant_queue_add(r->tenant, r->port, 1), -EINVAL,
		"is not in the tenant's memory, so that its device cannot reach it; give "
		"moat_tenant_socket()");
	rte_memzone_free(ring);
	must(moat_tenant_queue_add(r->tenant, r->port, 1));
	rig_close(r);
}

/* ------------------------------------------------------------------------------------ lcores */

/* Some PMDs that do not tell moat of their refills fill their rings in rte_eth_rx_queue_setup().
 * The device must not reach these buffers before the tenant has the queue; with a PMD that tells
 * moat, it never does. */
static void what_a_driver_took_before_its_queue_was_added_is_its_devices_then(void **state)
{
	for (enum moat_mode mode = MOAT_STRICT; mode <= MOAT_DEFERRED; mode++) {
		struct rig *r = open_mode(mode);
		struct rte_mbuf *m[3];

		rig_refill(r, m, 1); /* the application receives it below */
		rig_arrive(r, 0, m, 1);
		while (rte_eth_rx_burst(r->port, 0, m, 1) == 0)
			moat_tenant_poll(r->tenant);
		must(moat_tenant_queue_remove(r->tenant, r->port, 0));
		must(moat_tenant_queue_remove(r->tenant, r->port, 1));
		rig_refill(r, &m[1], 2);
		assert_false(rig_writes(r, m[1]->buf_iova));
		assert_false(rig_writes(r, m[2]->buf_iova));
		rte_pktmbuf_free(m[2]);
		must(moat_tenant_queue_add(r->tenant, r->port, 1));
		moat_tenant_poll(r->tenant);
		assert_true(rig_writes(r, m[1]->buf_iova));
		must(moat_tenant_queue_add(r->tenant, r->port, 0));
		rig_arrive(r, 0, &m[1], 1);
		m[1] = NULL;
		while (rte_eth_rx_burst(r->port, 0, &m[1], 1) == 0)
			moat_tenant_poll(r->tenant);
		assert_int_equal(rig_stats(r).verify_failed, 0);
		if (mode != MOAT_DEFERRED) {
			assert_false(rig_writes(r, m[0]->buf_iova));
			assert_false(rig_writes(r, m[1]->buf_iova));
		}
		rte_pktmbuf_free_bulk(m, 2);
		while (rte_mempool_avail_count(r->pool) != r->buffers)
			moat_tenant_poll(r->tenant);
		rig_close(r);
	}
}

static void *enter_from_a_plain_thread(void *arg)
{
	return (void *)(intptr_t)moat_tenant_lcore_enter(arg);
}

static void *be_an_lcore(void *arg)
{
	struct rig *r = arg;
	struct rte_mbuf *m[4];

	must(rte_thread_register());
	must(moat_tenant_lcore_enter(r->tenant));
	for (int i = 0; i < 1000; i++) {
		rig_refill(r, m, 4);
		rte_pktmbuf_free_bulk(m, 4);
		moat_tenant_poll(r->tenant);
	}
	must(moat_tenant_offline(r->tenant));
	must(moat_tenant_online(r->tenant));
	must(moat_tenant_lcore_leave(r->tenant));
	rte_thread_unregister();
	return NULL;
}

static void registered_threads_are_lcores_and_others_are_refused_in_words(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	pthread_t thread;
	void *rc;

	assert_int_equal(pthread_create(&thread, NULL, enter_from_a_plain_thread, r->tenant), 0);
	pthread_join(thread, &rc);
	assert_int_equal((intptr_t)rc, -EINVAL);
	refused(moat_tenant_lcore_enter(r->tenant), -EALREADY, "has entered already");
	must(moat_tenant_offline(
		r->tenant)); /* else the other lcore's tickets would wait for this one */
	assert_int_equal(pthread_create(&thread, NULL, be_an_lcore, r), 0);
	pthread_join(thread, NULL);
	must(moat_tenant_online(r->tenant));
	must(moat_tenant_lcore_leave(r->tenant));
	refused(moat_tenant_offline(r->tenant), -EINVAL, "this lcore has not entered");
	refused(moat_tenant_online(r->tenant), -EINVAL, "this lcore has not entered");
	refused(moat_tenant_lcore_leave(r->tenant), -EINVAL, "this lcore has not entered");
	must(moat_tenant_lcore_enter(r->tenant));
	rig_close(r);
}

static void *poll_from_a_plain_thread(void *arg)
{
	moat_tenant_poll(arg);
	moat_tenant_poll(arg);
	return NULL;
}

static void polling_without_entering_is_said_once(void **state)
{
	struct moat_tenant_conf conf = { .name = "red",
		.mode = MOAT_STRICT,
		.iova_base = BASE,
		.verify = MOAT_VERIFY_OFF }; /* only an lcore that has entered may translate */
	struct rig *r = rig_open(&conf, UNIT_ADVERSARY, 512);
	char text[1024] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	uint64_t packets = rig_stats(r).cost.packets;
	struct rte_mbuf *m;
	pthread_t thread;

	assert_non_null(f);
	must(moat_tenant_lcore_leave(r->tenant));
	rte_log_set_global_level(RTE_LOG_ERR);
	rte_openlog_stream(f);
	moat_tenant_poll(r->tenant);
	moat_tenant_poll(r->tenant);
	assert_int_equal(pthread_create(&thread, NULL, poll_from_a_plain_thread, r->tenant), 0);
	pthread_join(thread, NULL);
	rte_openlog_stream(NULL);
	fclose(f);
	assert_string_equal(text,
		"moat: tenant 'red': lcore 0 polls the tenant but has not entered it: the lcore's buffers come "
		"from the part of the pools that all such threads share, and go to it; call "
		"moat_tenant_lcore_enter() first\n"
		"moat: tenant 'red': moat_tenant_poll() from a thread that is not an lcore does nothing; call "
		"rte_thread_register() and moat_tenant_lcore_enter() in it first\n");
	/* The send works, and is counted. */
	rig_refill(r, &m, 1);
	rig_arrive(r, 0, &m, 1);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, &m, 1), 1);
	rte_pktmbuf_free(m);
	assert_int_equal(rig_stats(r).cost.packets, packets + 1);
	must(moat_tenant_lcore_enter(r->tenant));
	rig_close(r);
}

/* -------------------------------------------------------------------------------- ends */

static void buffers_kept_without_a_queue_are_not_a_pool_too_small(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	char text[512] = "";
	FILE *f = fmemopen(text, sizeof(text), "w");
	struct rte_mbuf *m[512];

	assert_non_null(f);
	rte_eth_dev_stop(r->port);
	must(moat_tenant_queue_remove(r->tenant, r->port, 0));
	must(moat_tenant_queue_remove(r->tenant, r->port, 1));
	must(rte_pktmbuf_alloc_bulk(r->pool, m, 512));
	rte_log_set_global_level(RTE_LOG_WARNING);
	rte_openlog_stream(f);
	assert_null(rte_pktmbuf_alloc(r->pool));
	rte_openlog_stream(NULL);
	fclose(f);
	assert_string_equal(text,
		"moat: tenant 'red': pool 'red' of 512 buffers has none ready, and the tenant has no queue: "
		"the program keeps its buffers, or polls a queue that is not added or was removed\n");
	rte_pktmbuf_free_bulk(m, 512);
	must(moat_tenant_queue_add(r->tenant, r->port, 0));
	must(moat_tenant_queue_add(r->tenant, r->port, 1));
	rig_close(r);
}

static void what_is_in_use_is_named_and_destroy_can_be_called_again(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	const struct rte_memzone *ring = rte_memzone_reserve("ring", 4096,
		moat_tenant_socket(r->tenant), RTE_MEMZONE_IOVA_CONTIG);
	void *object = rte_malloc_socket("object", 64, 64, moat_tenant_socket(r->tenant));
	struct rte_mbuf *m;

	rig_refill(r, &m, 1);
	refused(moat_tenant_destroy(r->tenant), -EBUSY,
		"2 queues; call moat_tenant_queue_remove() for each first");
	rte_eth_dev_stop(r->port);
	must(moat_tenant_queue_remove(r->tenant, r->port, 0));
	must(moat_tenant_queue_remove(r->tenant, r->port, 1));
	refused(moat_tenant_destroy(r->tenant), -EBUSY, "lcores that have entered: 0;");
	must(moat_tenant_lcore_leave(r->tenant));
	refused(moat_tenant_destroy(r->tenant), -EBUSY, "1 buffer of pool 'red' has not");
	rte_pktmbuf_free(m);
	refused(moat_tenant_destroy(r->tenant), -EBUSY, "memzone 'ring' is still in its memory");
	assert_int_equal(rte_memzone_free(ring), 0);
	refused(moat_tenant_destroy(r->tenant), -EBUSY,
		"1 objects allocated by rte_malloc_socket() are");
	rte_free(object);
	must(moat_tenant_destroy(r->tenant));
	r->unit->ops->destroy(r->unit);
	free(r);
}

/* The natural order: workers end their loops, the main lcore stops the port, then each worker
 * leaves. */
static void what_leaving_waits_for_is_said_within_a_second_and_the_next_try_works(void **state)
{
	for (enum moat_mode mode = MOAT_STRICT; mode <= MOAT_DEFERRED; mode++) {
		struct rig *r = open_mode(mode);
		struct rig_sleeper s;
		struct rte_mbuf *m[32];
		uint64_t begin;

		rig_refill(r, m, 32);
		rig_sleeper_start(&s, r);
		begin = rte_rdtsc();
		rte_pktmbuf_free_bulk(m, 32); /* like a PMD whose port is stopped */
		must(rte_eth_dev_stop(r->port));
		refused(moat_tenant_lcore_leave(r->tenant), -ETIMEDOUT, "lcore 0 has left, but ");
		assert_non_null(strstr(moat_error_text(), "; lcores that have entered: "));
		assert_null(strstr(moat_error_text(), "entered: 0"));
		assert_true(rte_rdtsc() - begin < 3 * rte_get_tsc_hz());
		rig_sleeper_end(&s);
		must(moat_tenant_lcore_enter(r->tenant));
		rig_close(r);
	}
}

static void *poll_until_all_is_back(void *arg)
{
	struct rig *r = arg;

	must(rte_thread_register());
	must(moat_tenant_lcore_enter(r->tenant));
	for (unsigned int i = 0; i < 100000 && rig_stats(r).quarantined != 0; i++)
		moat_tenant_poll(r->tenant);
	must(moat_tenant_lcore_leave(r->tenant));
	rte_thread_unregister();
	return NULL;
}

/* Buffers that an lcore freed without waiting before it left: lcores that go on find their tickets
 * done. */
static void what_an_lcore_left_behind_comes_back_to_the_others(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	struct rig_sleeper s;
	struct rte_mbuf *m[32];
	uint64_t patience = moat_patience_us;
	pthread_t thread;

	rig_refill(r, m, 32);
	rig_sleeper_start(&s, r);
	moat_patience_us = 20000;
	rte_pktmbuf_free_bulk(m, 32);
	refused(moat_tenant_lcore_leave(r->tenant), -ETIMEDOUT, "lcore 0 has left, but ");
	moat_patience_us = patience;
	assert_int_equal(rig_stats(r).quarantined, 32);
	rig_sleeper_end(&s);
	assert_int_equal(pthread_create(&thread, NULL, poll_until_all_is_back, r), 0);
	pthread_join(thread, NULL);
	assert_int_equal(rig_stats(r).quarantined, 0);
	must(moat_tenant_lcore_enter(r->tenant));
	rig_close(r);
}

struct napper {
	struct rig *r;
	pthread_barrier_t barrier;
	bool asleep;
};

static void *free_and_sleep(void *arg)
{
	struct napper *s = arg;
	struct rte_mbuf *m[64];

	must(rte_thread_register());
	must(moat_tenant_lcore_enter(s->r->tenant));
	rig_refill(s->r, m, 64);
	rte_pktmbuf_free_bulk(m, 64);
	must(moat_tenant_offline(s->r->tenant));
	__atomic_store_n(&s->asleep, true, __ATOMIC_RELEASE);
	pthread_barrier_wait(&s->barrier);
	must(moat_tenant_online(s->r->tenant));
	must(moat_tenant_lcore_leave(s->r->tenant));
	rte_thread_unregister();
	return NULL;
}

/* Buffers of an lcore whose tickets are done when it goes to sleep, because the other lcore polls,
 * or are done later. */
static void what_an_lcore_freed_before_it_sleeps_comes_back_to_the_others(void **state)
{
	for (unsigned int i = 0; i < 6; i++) {
		struct napper s = { .r = open_mode(MOAT_STRICT + i / 2) };
		struct rig *r = s.r;
		struct rte_mbuf *m[512];
		pthread_t thread;

		pthread_barrier_init(&s.barrier, NULL, 2);
		assert_int_equal(pthread_create(&thread, NULL, free_and_sleep, &s), 0);
		while (!__atomic_load_n(&s.asleep, __ATOMIC_ACQUIRE))
			if (i % 2 == 0)
				moat_tenant_poll(r->tenant);
		for (unsigned int k = 0; k < 100000 && rig_stats(r).quarantined != 0; k++)
			moat_tenant_poll(r->tenant);
		assert_int_equal(rig_stats(r).quarantined, 0);
		must(rte_pktmbuf_alloc_bulk(r->pool, m, r->buffers));
		rte_pktmbuf_free_bulk(m, r->buffers);
		pthread_barrier_wait(&s.barrier);
		while (rte_mempool_avail_count(r->pool) != r->buffers ||
			rig_stats(r).quarantined != 0)
			moat_tenant_poll(r->tenant);
		must(moat_tenant_offline(r->tenant));
		pthread_join(thread, NULL);
		must(moat_tenant_online(r->tenant));
		pthread_barrier_destroy(&s.barrier);
		rig_close(r);
	}
}

static int enter_and_end(void *arg)
{
	return moat_tenant_lcore_enter(arg);
}

static int leave_and_end(void *arg)
{
	return moat_tenant_lcore_leave(arg);
}

static int on_lcore(unsigned int lcore, lcore_function_t *f, struct moat_tenant *t)
{
	must(rte_eal_remote_launch(f, t, lcore));
	return rte_eal_wait_lcore(lcore);
}

static void a_queue_removed_after_an_lcore_ended_without_leaving_names_that_lcore(void **state)
{
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	struct rig *r;
	struct rte_mbuf *m;
	char expected[256];

	if (lcore == RTE_MAX_LCORE)
		skip(); /* one processor, so there is no worker lcore */
	r = open_mode(MOAT_STRICT);
	must(on_lcore(lcore, enter_and_end, r->tenant));
	rig_refill(r, &m, 1);
	/* The main lcore has not entered: buffers that it frees wait for tickets of control
	 * calls. */
	assert_int_equal(moat_tenant_lcore_leave(r->tenant), 0);
	must(rte_eth_dev_stop(r->port));
	rte_pktmbuf_free(m);
	snprintf(expected, sizeof(expected),
		"queue 1 of port %u is removed, but tenant 'red': unmapping its rings is not done after 1 "
		"s: lcore %u has entered and does not poll (its function has ended); call "
		"moat_tenant_lcore_leave() there",
		r->port, lcore);
	assert_int_equal(moat_tenant_queue_remove(r->tenant, r->port, 1), -ETIMEDOUT);
	assert_string_equal(moat_error_text(), expected);
	must(on_lcore(lcore, leave_and_end, r->tenant));
	refused(moat_tenant_queue_remove(r->tenant, r->port, 1), -ENOENT, "has no queue 1");
	must(moat_tenant_queue_add(r->tenant, r->port, 1)); /* rig_close() removes it */
	must(moat_tenant_lcore_enter(r->tenant));
	rig_close(r);
}

/* The first ring and the second belong to an lcore that delays both: the log has one line. */
static void rings_that_an_ended_lcore_holds_up_are_said_once_with_the_remedy(void **state)
{
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	const struct rte_memzone *ring[2];
	char text[1024] = "", expected[256];
	struct rig *r;
	FILE *f;

	if (lcore == RTE_MAX_LCORE)
		skip(); /* one processor, so there is no worker lcore */
	r = open_mode(MOAT_STRICT);
	for (unsigned int i = 0; i < 2; i++)
		ring[i] = rte_memzone_reserve(i == 0 ? "first" : "second", 4096,
			moat_tenant_socket(r->tenant), RTE_MEMZONE_IOVA_CONTIG);
	must(on_lcore(lcore, enter_and_end, r->tenant));
	snprintf(expected, sizeof(expected),
		"moat: tenant 'red': ring 'first' cannot be freed: lcore %u has entered and does not poll "
		"(its function has ended); call moat_tenant_lcore_leave() before its function returns\n",
		lcore);
	f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	rte_log_set_global_level(RTE_LOG_WARNING);
	rte_openlog_stream(f);
	for (unsigned int i = 0; i < 2; i++)
		assert_int_equal(rte_memzone_free(ring[i]), -ETIMEDOUT);
	rte_openlog_stream(NULL);
	fclose(f);
	assert_string_equal(text, expected);
	must(on_lcore(lcore, leave_and_end, r->tenant));
	for (unsigned int i = 0; i < 2; i++)
		must(rte_memzone_free(ring[i]));
	rig_close(r);
}

/* A driver frees the packets of its ring in batches. No two packets are neighbours, and there are
 * more than a lane has room for. An lcore that does not poll costs one wait, not one for each
 * buffer and ring. The freed buffers cannot be allocated until that lcore has left; then all of
 * them can. */
static void a_port_whose_buffers_an_ended_lcore_holds_up_waits_once_and_names_it(void **state)
{
	enum { BATCHES = MOAT_LANE_BATCHES + 40, BURST = 32, RINGS = 4 };
	unsigned int lcore = rte_get_next_lcore(-1, 1, 0);
	static struct rte_mbuf *m[2 * BATCHES * BURST], *put[BATCHES * BURST];
	const struct rte_memzone *ring[RINGS];
	struct moat_tenant_conf conf = rig_conf("red", MOAT_STRICT);
	uint64_t patience = moat_patience_us, begin;
	char text[2048] = "", expected[256], name[16];
	struct rig *r;
	FILE *f;

	if (lcore == RTE_MAX_LCORE)
		skip(); /* one processor, so there is no worker lcore */
	r = rig_open(&conf, UNIT_ADVERSARY, 2 * BATCHES * BURST);
	for (unsigned int i = 0; i < RINGS; i++) {
		snprintf(name, sizeof(name), "ring%u", i);
		ring[i] = rte_memzone_reserve(name, 4096, moat_tenant_socket(r->tenant),
			RTE_MEMZONE_IOVA_CONTIG);
	}
	rig_refill(r, m, 2 * BATCHES * BURST);
	for (unsigned int i = 0; i < BATCHES * BURST; i++)
		put[i] = m[2 * i];
	must(on_lcore(lcore, enter_and_end, r->tenant));
	must(moat_tenant_lcore_leave(r->tenant));
	must(rte_eth_dev_stop(r->port));
	f = fmemopen(text, sizeof(text), "w");
	assert_non_null(f);
	rte_log_set_global_level(RTE_LOG_WARNING);
	rte_openlog_stream(f);
	moat_patience_us = 200000;
	begin = rte_rdtsc();
	for (unsigned int i = 0; i < BATCHES; i++)
		rte_pktmbuf_free_bulk(&put[i * BURST], BURST);
	for (unsigned int i = 0; i < RINGS; i++)
		assert_int_equal(rte_memzone_free(ring[i]), -ETIMEDOUT);
	/* One wait, and some time for a busy machine; one wait for each buffer would be
	 * hundreds. */
	assert_true(rte_rdtsc() - begin < rte_get_tsc_hz() / 1000000 * moat_patience_us * 6);
	moat_patience_us = patience;
	rte_openlog_stream(NULL);
	fclose(f);
	snprintf(expected, sizeof(expected),
		"moat: tenant 'red': freed buffers of pool 'red' cannot be used again yet: lcore %u "
		"has entered and does not poll (its function has ended); call moat_tenant_lcore_leave() "
		"before its function returns\n",
		lcore);
	assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
	assert_null(strstr(text + strlen(expected), "cannot be used again"));
	assert_int_equal(rig_stats(r).quarantined, BATCHES * BURST);
	assert_null(rte_pktmbuf_alloc(r->pool));
	must(on_lcore(lcore, leave_and_end, r->tenant));
	for (unsigned int i = 0; i < RINGS; i++)
		must(rte_memzone_free(ring[i]));
	must(moat_tenant_lcore_enter(r->tenant));
	for (unsigned int i = 1; i < 2 * BATCHES * BURST; i += 2)
		rte_pktmbuf_free(m[i]);
	for (unsigned int i = 0; i < 100000 && rig_stats(r).quarantined != 0; i++)
		moat_tenant_poll(r->tenant);
	assert_int_equal(rig_stats(r).quarantined, 0);
	rig_close(r);
}

static uint16_t make_second_port(struct rig *r, struct rte_ring *wire)
{
	struct rte_eth_conf conf = { 0 };
	int port = rte_eth_from_rings("second", &wire, 1, &wire, 1, SOCKET_ID_ANY);

	assert_true(port >= 0);
	must(rte_eth_dev_configure((uint16_t)port, 1, 1, &conf));
	must(rte_eth_rx_queue_setup((uint16_t)port, 0, 512, SOCKET_ID_ANY, NULL, r->pool));
	must(rte_eth_tx_queue_setup((uint16_t)port, 0, 512, SOCKET_ID_ANY, NULL));
	return (uint16_t)port;
}

/* The device is removed, and the port's number is free. */
static void unplug(uint16_t port)
{
	must(rte_eth_dev_stop(port));
	must(rte_eal_hotplug_remove("vdev", "net_ring_second"));
	assert_false(rte_eth_dev_is_valid_port(port));
}

/* In every mode: the port is unplugged while its queue belongs to the tenant, and its number is
 * used again. */
static void a_port_may_go_before_its_queues_and_its_number_serve_another(void **state)
{
	struct rte_mempool *plain = rte_pktmbuf_pool_create("plain", 63, 0, 0, 2176, SOCKET_ID_ANY);

	assert_non_null(plain);
	for (enum moat_mode mode = MOAT_STATIC; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct rte_ring *wire = rte_ring_create("second", 1024, SOCKET_ID_ANY, 0);
		uint16_t port = make_second_port(r, wire), again;
		struct rte_mbuf *m, *got[4];

		must(moat_tenant_queue_add(r->tenant, port, 0));
		must(rte_eth_dev_start(port));
		rig_refill(r, &m, 1);
		assert_int_equal(rte_ring_enqueue(wire, m), 0);
		while (rte_eth_rx_burst(port, 0, got, 4) == 0)
			moat_tenant_poll(r->tenant);
		rte_pktmbuf_free(got[0]);
		unplug(port);
		/* The next user of the number is not in the tenant, so no callback of the tenant's
		 * runs in its calls. */
		again = make_second_port(r, wire);
		assert_int_equal(again, port);
		must(rte_eth_dev_start(again));
		m = rte_pktmbuf_alloc(plain); /* verification would drop it */
		assert_int_equal(rte_ring_enqueue(wire, m), 0);
		assert_int_equal(rte_eth_rx_burst(again, 0, got, 4), 1);
		assert_ptr_equal(got[0], m);
		rte_pktmbuf_free(m);
		must(moat_tenant_queue_add(r->tenant, again,
			0)); /* the old queue does not prevent that */
		unplug(again);
		must(moat_tenant_queue_remove(r->tenant, again, 0));
		rte_ring_free(wire);
		rig_close(r);
	}
	rte_mempool_free(plain);
}

static void a_tenant_whose_ports_are_gone_can_be_destroyed(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED);
	struct rte_ring *wire = rte_ring_create("second", 1024, SOCKET_ID_ANY, 0);
	uint16_t port = make_second_port(r, wire);

	must(moat_tenant_queue_add(r->tenant, port, 0));
	unplug(port);
	rte_ring_free(wire);
	rig_close(r); /* its queue was not removed */
}

/* Reads statistics in another thread while queues are added and removed. */
static void *read_statistics(void *arg)
{
	struct rig *r = arg;

	while (!__atomic_load_n(&r->buffers, __ATOMIC_RELAXED)) /* 0 until the test ends */
		rig_stats(r);
	return NULL;
}

static void statistics_may_be_read_while_queues_come_and_go(void **state)
{
	struct rig *r = open_mode(MOAT_PIPELINED);
	unsigned int buffers = r->buffers;
	pthread_t thread;

	r->buffers = 0;
	assert_int_equal(pthread_create(&thread, NULL, read_statistics, r), 0);
	for (int i = 0; i < 300; i++) {
		must(moat_tenant_queue_remove(r->tenant, r->port, 1));
		must(moat_tenant_queue_add(r->tenant, r->port, 1));
	}
	__atomic_store_n(&r->buffers, buffers, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	rig_close(r);
}

static void telemetry_forgets_a_tenant_that_is_destroyed(void **state)
{
	struct moat_tenant_conf conf = { .name = "blue", .memory = 4 * 1048576 };
	struct rig *r = open_mode(MOAT_STATIC);

	conf.unit = r->unit;
	for (int i = 0; i < 100; i++) { /* more than telemetry shows at a time */
		struct moat_tenant *t;

		must(moat_tenant_create(&conf, &t));
		must(moat_telemetry_add_tenant(t));
		must(moat_tenant_destroy(t));
	}
	rig_close(r);
}

/* ---------------------------------------------------------------------- the list of all tenants */

struct visit {
	struct moat_tenant *tenant;
	_Atomic bool inside, done;
	bool done_meanwhile; /* `done` was set during the visit */
};

/* Wait until the other thread is done, at most as long as it can need. */
static void visit(struct moat_tenant *t, void *arg)
{
	struct visit *v = arg;

	if (t != v->tenant)
		return;
	v->inside = true;
	for (unsigned int i = 0; i < 100000 && !v->done; i++)
		sched_yield();
	v->done_meanwhile = v->done;
}

static void visited_wait(const struct visit *v)
{
	while (!v->inside)
		sched_yield();
}

/* As DPDK's hooks do in every control call of a port. */
static void *ask_with_the_tenant_locked(void *arg)
{
	struct visit *v = arg;

	tenant_lock(v->tenant);
	visited_wait(v);
	assert_ptr_equal(tenant_of_socket(moat_tenant_socket(v->tenant)), v->tenant);
	assert_ptr_equal(tenant_of_heap(v->tenant->va), v->tenant);
	assert_true(tenant_list_has("red"));
	v->done = true;
	tenant_unlock(v->tenant);
	return NULL;
}

static void a_locked_tenant_finds_others_while_one_is_visited(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct visit v = { .tenant = r->tenant };
	pthread_t thread;

	must(pthread_create(&thread, NULL, ask_with_the_tenant_locked, &v));
	tenant_each(visit, &v);
	pthread_join(thread, NULL);
	assert_true(v.done_meanwhile);
	rig_close(r);
}

static void *destroy_while_visited(void *arg)
{
	struct visit *v = arg;

	visited_wait(v);
	must(moat_tenant_destroy(v->tenant));
	v->done = true;
	return NULL;
}

static void a_tenant_is_destroyed_when_its_visits_have_ended(void **state)
{
	struct moat_tenant_conf conf = { .name = "blue", .memory = 4 * 1048576 };
	struct rig *r = open_mode(MOAT_STATIC);
	struct visit v = { 0 };
	pthread_t thread;

	conf.unit = r->unit;
	must(moat_tenant_create(&conf, &v.tenant));
	must(pthread_create(&thread, NULL, destroy_while_visited, &v));
	tenant_each(visit, &v);
	pthread_join(thread, NULL);
	assert_false(v.done_meanwhile);
	assert_false(tenant_list_has("blue"));
	rig_close(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_configuration_that_cannot_be_is_refused_in_words),
		cmocka_unit_test(a_tenant_more_than_dpdk_has_heaps_is_refused_in_words),
		cmocka_unit_test(a_secondary_process_is_refused_in_words),
		cmocka_unit_test(a_zeroed_configuration_verifies_and_has_superpages),
		cmocka_unit_test(leaves_of_4_kib_and_no_verification_must_be_asked_for),
		cmocka_unit_test(a_queue_that_cannot_be_is_refused_in_words),
		cmocka_unit_test(what_a_driver_took_before_its_queue_was_added_is_its_devices_then),
		cmocka_unit_test(registered_threads_are_lcores_and_others_are_refused_in_words),
		cmocka_unit_test(polling_without_entering_is_said_once),
		cmocka_unit_test(buffers_kept_without_a_queue_are_not_a_pool_too_small),
		cmocka_unit_test(what_is_in_use_is_named_and_destroy_can_be_called_again),
		cmocka_unit_test(
			what_leaving_waits_for_is_said_within_a_second_and_the_next_try_works),
		cmocka_unit_test(what_an_lcore_left_behind_comes_back_to_the_others),
		cmocka_unit_test(what_an_lcore_freed_before_it_sleeps_comes_back_to_the_others),
		cmocka_unit_test(
			a_queue_removed_after_an_lcore_ended_without_leaving_names_that_lcore),
		cmocka_unit_test(rings_that_an_ended_lcore_holds_up_are_said_once_with_the_remedy),
		cmocka_unit_test(
			a_port_whose_buffers_an_ended_lcore_holds_up_waits_once_and_names_it),
		cmocka_unit_test(a_port_may_go_before_its_queues_and_its_number_serve_another),
		cmocka_unit_test(a_tenant_whose_ports_are_gone_can_be_destroyed),
		cmocka_unit_test(telemetry_forgets_a_tenant_that_is_destroyed),
		cmocka_unit_test(statistics_may_be_read_while_queues_come_and_go),
		cmocka_unit_test(a_locked_tenant_finds_others_while_one_is_visited),
		cmocka_unit_test(a_tenant_is_destroyed_when_its_visits_have_ended),
	};

	if (rig_eal("test_ends") < 0)
		return 1;
	return cmocka_run_group_tests(tests, rig_make_port, NULL);
}

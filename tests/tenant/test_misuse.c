/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/*
 * Calls that compile and are legal, and must either give an error with a text or work: pools with
 * equal names, one queue for two tenants, a pool that the program frees, a thread that ends without
 * leaving, values that overflow, NULLs. See rig.h.
 */

#include "moat_device.h"
#include "moat_interrupt.h"
#include "moat_memory.h"
#include "moat_pool.h"
#include "moat_telemetry.h"
#include "moat_tenant_measure.h"
#include "moat_tenant_size.h"
#include "moat_vfio.h"
#include "moat_vtd_host.h"
#include "rig.h"

#define BUFFERS 512

static struct rig *open_mode(enum moat_mode mode)
{
	struct moat_tenant_conf conf = rig_conf("red", mode);

	return rig_open(&conf, UNIT_ADVERSARY, BUFFERS);
}

/* Create a second tenant on the rig's unit. */
static struct moat_tenant *open_blue(const struct rig *r, enum moat_mode mode, bool copy_foreign)
{
	struct moat_tenant_conf conf = rig_conf("blue", mode);
	struct moat_tenant *blue;

	conf.unit = r->unit;
	conf.memory = 8 * 1048576;
	conf.copy_foreign = copy_foreign;
	must(moat_tenant_create(&conf, &blue));
	return blue;
}

static void refused(int rc, int expected, const char *words)
{
	assert_int_equal(rc, expected);
	if (strstr(moat_error_text(), words) == NULL)
		fail_msg("'%s' is not in '%s'", words, moat_error_text());
}

/* --------------------------------------------------------------------------------------- NULLs */

static void no_function(void *ctx)
{
}

static void a_null_is_refused_where_it_is_given(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	struct moat_domain_conf conf = { .name = "d" };
	struct moat_vfio_conf vfio = { .name = "vfio", .nr_functions = 1 };
	struct moat_vtd_host_conf host = { .nr_tenants = 1 };
	struct moat_vtd_conf vtd = { .name = "dmar7" };
	struct moat_interrupt interrupt;
	struct moat_memory memory;
	struct moat_posted line;
	struct moat_unit *unit;
	enum moat_vtd_stage stage;
	enum moat_vtd_mode mode;

	refused(moat_tenant_attach(NULL, SID), -EINVAL, "is NULL");
	refused(moat_tenant_detach(NULL, SID), -EINVAL, "is NULL");
	refused(moat_tenant_probe(NULL, "net_null7"), -EINVAL, "tenant is NULL");
	refused(moat_tenant_probe(r->tenant, NULL), -EINVAL, "name is NULL");
	refused(moat_tenant_interrupt(NULL, SID, no_function, NULL, &interrupt), -EINVAL, "tenant");
	refused(moat_tenant_interrupt(r->tenant, SID, NULL, NULL, &interrupt), -EINVAL, "function");
	refused(moat_tenant_interrupt(r->tenant, SID, no_function, NULL, NULL), -EINVAL,
		"interrupt is NULL");
	refused(moat_tenant_interrupt_post(r->tenant, SID, NULL, 3, &interrupt), -EINVAL, "line");
	refused(moat_tenant_interrupt_post(r->tenant, SID, &line, 3, NULL), -EINVAL,
		"interrupt is NULL");
	refused(moat_tenant_interrupt_end(r->tenant, NULL), -EINVAL, "interrupt is NULL");
	refused(moat_domain_create(r->unit, &conf, NULL), -EINVAL, "a pointer to store it in");
	refused(moat_domain_destroy(NULL), -EINVAL, "is NULL");
	refused(moat_domain_attach(NULL, SID), -EINVAL, "is NULL");
	refused(moat_domain_detach(NULL, SID), -EINVAL, "is NULL");
	assert_null(moat_lane_open(NULL));
	refused(moat_lane_close(NULL), -EINVAL, "is NULL");
	refused(moat_memory_get(&memory, NULL, MOAT_2M_SIZE), -EINVAL, "the unit is NULL");
	refused(moat_memory_get(&memory, r->unit, 0), -EINVAL, "a multiple of 2 MiB");
	refused(moat_memory_get(&memory, r->unit, 100), -EINVAL, "a multiple of 2 MiB");
	refused(moat_telemetry_add_unit(NULL, NULL), -EINVAL, "is NULL");
	refused(moat_telemetry_add_tenant(NULL), -EINVAL, "is NULL");
	refused(moat_soft_unit_create(NULL, "", &unit), -EINVAL, "needs a name");
	refused(moat_soft_unit_create("soft7", "", NULL), -EINVAL, "no place");
	refused(moat_vtd_create(NULL, &unit), -EINVAL, "no configuration");
	refused(moat_vtd_create(&vtd, NULL), -EINVAL, "no place");
	refused(moat_vtd_create(&vtd, &unit), -EINVAL, "the window has neither");
	vtd.window.page = &vtd; /* not accessed */
	vtd.mode = (enum moat_vtd_mode)77;
	refused(moat_vtd_create(&vtd, &unit), -EINVAL, "mode 77");
	refused(moat_vtd_host_create(NULL, &unit), -EINVAL, "a NULL");
	refused(moat_vtd_host_create(&host, &unit), -EINVAL, "a NULL");
	refused(moat_vfio_create(NULL, &unit), -EINVAL, "a NULL");
	refused(moat_vfio_create(&vfio, &unit), -EINVAL, "a NULL");
	refused(moat_vtd_mode_parse(NULL, &mode), -EINVAL, "is not a mode");
	refused(moat_vtd_stage_parse(NULL, &stage), -EINVAL, "is not a stage");
	rig_close(r);
}

static void a_node_that_is_not_there_is_refused(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct moat_tenant_conf conf = rig_conf("blue", MOAT_STATIC);
	struct moat_tenant *blue;

	conf.unit = r->unit;
	conf.memory = 8 * 1048576;
	conf.numa = 77;
	refused(moat_tenant_create(&conf, &blue), -EINVAL, "there is no NUMA node 77");
	conf.numa = -7;
	refused(moat_tenant_create(&conf, &blue), -EINVAL, "there is no NUMA node -7");
	conf.numa = 0;
	must(moat_tenant_create(&conf, &blue));
	must(moat_tenant_destroy(blue));
	rig_close(r);
}

/* A domain may have 256 requesters: each one's faults are counted for the right tenant. */
static void a_fault_of_the_hundredth_requester_is_its_tenants(void **state)
{
	struct rig *r = open_mode(MOAT_STATIC);
	struct moat_tenant_fault fault;
	uint8_t byte;

	for (unsigned int i = 0; i < 100; i++)
		must(moat_tenant_attach(r->tenant, (moat_sid_t)(MOAT_SID(4, 0, 0) + i)));
	assert_int_not_equal(moat_softvtd_dma_read(r->hw, MOAT_SID(4, 0, 0) + 99, 0x1000, &byte, 1),
		0);
	assert_int_equal(moat_tenant_faults(r->unit, &fault, 1), 1);
	assert_ptr_equal(fault.tenant, r->tenant);
	rig_close(r);
}

/* ----------------------------------------------------------------------------------- telemetry */

/* Receives what moat tells DPDK's telemetry. */
static telemetry_cb units_answer;
static char keys[256];

int rte_telemetry_register_cmd(const char *cmd, telemetry_cb answer, const char *help)
{
	if (strcmp(cmd, "/moat/units") == 0)
		units_answer = answer;
	return 0;
}

int rte_tel_data_add_dict_container(struct rte_tel_data *d, const char *name,
	struct rte_tel_data *inner, int keep)
{
	size_t n = strlen(keys);

	snprintf(keys + n, sizeof(keys) - n, "%s ", name);
	return -ENOSPC; /* the caller must free `inner` */
}

/* Names may contain characters that keys must not. */
static void each_unit_has_a_key_of_its_own(void **state)
{
	const char *const names[] = { "unit one", "a-b", "a.b", "100%", "plain" };
	struct rte_tel_data *d = rte_tel_data_alloc();
	struct moat_unit *unit[RTE_DIM(names)];

	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		must(moat_soft_unit_create(names[i], UNIT_ADVERSARY, &unit[i]));
		must(moat_telemetry_add_unit(unit[i], NULL));
	}
	assert_non_null(units_answer);
	assert_int_equal(units_answer("/moat/units", NULL, d), 0);
	assert_string_equal(keys, "unit_one a_b a_b_2 100_ plain ");
	rte_tel_data_free(d);
	for (unsigned int i = 0; i < RTE_DIM(names); i++) {
		moat_telemetry_remove_unit(unit[i]);
		unit[i]->ops->destroy(unit[i]);
	}
}

/* --------------------------------------------------------------------------------------- pools */

static void pools_may_have_names_that_begin_alike(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct moat_tenant *blue = open_blue(r, mode, false);
		struct rte_mempool *pool;

		must(moat_tenant_pool(blue, "customer-of-network-1", 64, 2176, &pool));
		must(moat_tenant_pool(blue, "customer-of-network-2", 64, 2176, &pool));
		must(moat_tenant_destroy(blue));
		rig_close(r);
	}
}

/* The names are as long as DPDK allows. */
static void pools_of_no_tenant_may_have_names_that_differ_in_the_last_letter(void **state)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *mp[2];

	memset(name, 'n', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	for (unsigned int i = 0; i < 2; i++) {
		name[sizeof(name) - 2] = (char)('0' + i);
		mp[i] = rte_pktmbuf_pool_create_by_ops(name, 63, 0, 0, 2176, SOCKET_ID_ANY,
			MOAT_MEMPOOL_OPS);
		if (mp[i] == NULL)
			fail_msg("'%s': %s", name, rte_strerror(rte_errno));
	}
	rte_mempool_free(mp[0]);
	rte_mempool_free(mp[1]);
}

static void a_pool_needs_a_tenant_a_name_and_a_place(void **state)
{
	struct rig *r = open_mode(MOAT_STRICT);
	struct rte_mempool *pool;

	refused(moat_tenant_pool(NULL, "p", 64, 2176, &pool), -EINVAL, "the tenant is NULL");
	refused(moat_tenant_pool(r->tenant, NULL, 64, 2176, &pool), -EINVAL, "no name");
	refused(moat_tenant_pool(r->tenant, "p", 64, 2176, NULL), -EINVAL, "no place");
	rig_close(r);
}

/* After rte_mempool_free() of a tenant's pool, the tenant must not free it again. */
static void a_pool_that_the_program_has_freed_is_left_alone(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct moat_tenant_stats stats;
		struct moat_tenant *blue = open_blue(r, mode, false);
		struct rte_mempool *pool;

		must(moat_tenant_pool(blue, "blue", 64, 2176, &pool));
		rte_mempool_free(pool);
		moat_tenant_stats(blue, &stats);
		must(moat_tenant_pool(blue, "blue", 64, 2176, &pool));
		must(moat_tenant_destroy(blue));
		assert_null(rte_mempool_lookup("blue"));
		rig_close(r);
	}
}

/* Mode copy: packets of a second, larger pool find buffers, whatever the first pool has. */
static void each_pool_has_buffers_of_its_own_to_copy_into(void **state)
{
	struct rig *r = open_mode(MOAT_COPY);
	struct moat_tenant_conf conf = rig_conf("blue", MOAT_COPY);
	struct rte_mempool *small, *large;
	struct rte_mbuf *m[32], *got[32];
	struct moat_tenant *blue;

	conf.unit = r->unit;
	conf.memory = 16 * 1048576;
	conf.verify = MOAT_VERIFY_OFF; /* no device has written these buffers */
	must(moat_tenant_create(&conf, &blue));
	must(moat_tenant_pool(blue, "small", 16, 1, &small));
	must(moat_tenant_pool(blue, "large", 256, 12288, &large));
	must(moat_tenant_queue_remove(r->tenant, r->port, 0));
	must(moat_tenant_queue_add(blue, r->port, 0));
	must(moat_tenant_lcore_enter(blue));
	assert_int_equal(rte_pktmbuf_alloc_bulk(large, m, 32), 0);
	for (unsigned int i = 0; i < 32; i++) {
		m[i]->pkt_len = m[i]->data_len = 9000;
		memset(rte_pktmbuf_mtod(m[i], void *), (int)i, 9000);
	}
	rig_arrive(r, 0, m, 32);
	assert_int_equal(rte_eth_rx_burst(r->port, 0, got, 32), 32);
	for (unsigned int i = 0; i < 32; i++) {
		char byte;

		assert_int_equal(got[i]->pkt_len, 9000);
		assert_int_equal(*(const char *)rte_pktmbuf_read(got[i], 8999, 1, &byte), i);
	}
	must(moat_tenant_lcore_leave(blue));
	must(moat_tenant_queue_remove(blue, r->port, 0));
	/* These belong to the tenant, too, although they are in none of the pools that the program
	 * created. */
	refused(moat_tenant_destroy(blue), -EBUSY, "32 buffers of pool 'large'");
	rte_pktmbuf_free_bulk(got, 32);
	must(moat_tenant_destroy(blue));
	must(moat_tenant_queue_add(r->tenant, r->port, 0));
	rig_close(r);
}

/* The modes in which pools use moat's mempool ops. */
static const enum moat_mode unmapping[] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_DEFERRED };

/* Assert that all of a pool's buffers are in it, each once, with its own header. */
static void assert_pool_whole(struct rig *r, struct rte_mempool *pool, unsigned int n)
{
	struct rte_mbuf *m[BUFFERS];

	must(moat_lane_drain(moat_tenant_lane(r->tenant)));
	moat_tenant_poll(r->tenant);
	assert_int_equal(rte_mempool_avail_count(pool), n);
	assert_int_equal(rte_mempool_get_bulk(pool, (void **)m, n), 0);
	for (unsigned int i = 0; i < n; i++) {
		assert_ptr_equal(m[i]->pool, pool);
		assert_int_equal(m[i]->ol_flags, RTE_MBUF_F_EXTERNAL);
		assert_int_equal(rte_mbuf_refcnt_read(m[i]), 1);
		assert_int_equal(rte_mbuf_ext_refcnt_read(m[i]->shinfo), 1);
		assert_ptr_equal(m[i]->shinfo->fcb_opaque, m[i]);
		for (unsigned int k = 0; k < i; k++)
			assert_ptr_not_equal(m[k]->buf_addr, m[i]->buf_addr);
	}
	rte_mempool_put_bulk(pool, (void **)m, n);
	must(moat_lane_drain(moat_tenant_lane(r->tenant)));
	moat_tenant_poll(r->tenant);
}

/* Free all buffers into the pool of the first one, as a driver does with MBUF_FAST_FREE. */
static void a_buffer_that_is_freed_into_another_pool_goes_to_its_own(void **state)
{
	struct rte_mempool *other = rte_pktmbuf_pool_create("other", 63, 0, 0, 2048, SOCKET_ID_ANY);

	for (unsigned int i = 0; i < RTE_DIM(unmapping); i++) {
		struct rig *r = open_mode(unmapping[i]);
		struct rte_mempool *second;
		struct rte_mbuf *m[8];
		uint64_t flags;

		must(moat_tenant_pool(r->tenant, "second", 64, 2176, &second));
		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, 2), 0);
		assert_int_equal(rte_pktmbuf_alloc_bulk(second, m + 2, 4), 0);
		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m + 6, 1), 0);
		m[7] = rte_pktmbuf_alloc(other);
		flags = m[7]->ol_flags;
		rte_mempool_put_bulk(r->pool, (void **)m, 8);
		assert_int_equal(m[7]->ol_flags, flags); /* not the tenant's: unchanged */
		rte_pktmbuf_free(m[7]);
		assert_pool_whole(r, r->pool, BUFFERS);
		assert_pool_whole(r, second, 64);
		/* the opposite: after the pool's last buffer, starting with a single one */
		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, 8), 0);
		rte_mempool_put_bulk(second, (void **)m, 8);
		assert_pool_whole(r, r->pool, BUFFERS);
		assert_pool_whole(r, second, 64);
		rig_close(r);
	}
	assert_int_equal(rte_mempool_avail_count(other), 63);
	rte_mempool_free(other);
}

/* A clone from a tenant's pool has a buffer of its own besides the buffer to which it refers. */
static void a_clone_from_a_tenants_pool_that_goes_last_loses_no_buffer(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(unmapping); i++) {
		struct rig *r = open_mode(unmapping[i]);
		struct rte_mbuf *m[32], *clones[32];
		struct rte_mempool *second;

		must(moat_tenant_pool(r->tenant, "second", 64, 2176, &second));
		for (unsigned int from = 0; from < 4; from++) {
			assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, 32), 0);
			for (unsigned int k = 0; k < 32; k++) {
				rte_pktmbuf_append(m[k], 60);
				clones[k] =
					rte_pktmbuf_clone(m[k], from % 2 == 0 ? r->pool : second);
				assert_non_null(clones[k]);
			}
			rte_pktmbuf_free_bulk(m, 32);
			if (from < 2) {
				rte_pktmbuf_free_bulk(clones, 32);
			} else {
				assert_int_equal(rte_eth_tx_burst(r->port, 0, clones, 32), 32);
				assert_int_equal(rig_sent(r, 0), 32);
			}
			assert_pool_whole(r, r->pool, BUFFERS);
			assert_pool_whole(r, second, 64);
		}
		rig_close(r);
	}
}

/* The same with a clone whose header is the neighbour of the buffer that is freed before it. */
static void a_clone_that_is_freed_behind_its_neighbour_loses_no_buffer(void **state)
{
	for (unsigned int i = 0; i < RTE_DIM(unmapping); i++) {
		struct rig *r = open_mode(unmapping[i]);
		struct rte_mbuf *m[16], *pair[2];

		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, RTE_DIM(m)), 0);
		pair[0] = m[15];
		pair[1] = rte_pktmbuf_clone(m[0], r->pool);
		assert_non_null(pair[1]);
		assert_ptr_equal((char *)pair[1] - (char *)m[15], (char *)m[15] - (char *)m[14]);
		rte_pktmbuf_free(m[0]);
		rte_pktmbuf_free_bulk(pair, 2);
		rte_pktmbuf_free_bulk(m + 1, 14);
		assert_pool_whole(r, r->pool, BUFFERS);
		rig_close(r);
	}
}

/* m->ol_flags = ... clears RTE_MBUF_F_EXTERNAL. A clone is then an indirect mbuf, and DPDK takes
 * the bytes in front of the buffer, which a device may have written, for the mbuf that owns it. */
static void a_clone_of_a_packet_whose_flags_were_assigned_is_sent_as_a_reference(void **state)
{
	struct rte_mempool *clones = rte_pktmbuf_pool_create("clones", 63, 0, 0, 0, SOCKET_ID_ANY);

	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct rte_mbuf *m[2], *clone, *evil;

		assert_int_equal(rte_pktmbuf_alloc_bulk(r->pool, m, 2), 0);
		rte_pktmbuf_append(m[1], 60);
		m[1]->ol_flags = RTE_MBUF_F_TX_IPV4;
		evil = (struct rte_mbuf *)((char *)m[1]->buf_addr - sizeof(*evil));
		memset(evil, 0, sizeof(*evil)); /* rte_pktmbuf_clone() counts a reference here */
		evil->pool = (struct rte_mempool *)0x414141414000;
		evil->nb_segs = 1;
		clone = rte_pktmbuf_clone(m[1], clones);
		assert_non_null(clone);
		assert_true(clone->ol_flags & RTE_MBUF_F_INDIRECT);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &clone, 1), 1);
		assert_int_equal(rig_sent(r, 0), 1);
		assert_int_equal(rte_mempool_avail_count(clones), 63);
		assert_int_equal(rte_mbuf_refcnt_read(evil), 1); /* not changed since */
		rte_pktmbuf_free_bulk(m, 2);
		assert_pool_whole(r, r->pool, BUFFERS);
		rig_close(r);
	}
	rte_mempool_free(clones);
}

/* ---------------------------------------------------------------------------------- queues */

static void a_queue_is_one_tenants(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct moat_tenant *blue = open_blue(r, mode, false);

		refused(moat_tenant_queue_add(blue, r->port, 0), -EBUSY, "belongs to tenant 'red'");
		refused(moat_tenant_queue_remove(blue, r->port, 0), -ENOENT, "has no queue 0");
		must(moat_tenant_queue_remove(r->tenant, r->port, 0));
		must(moat_tenant_queue_add(blue, r->port, 0));
		refused(moat_tenant_queue_add(r->tenant, r->port, 0), -EBUSY,
			"belongs to tenant 'blue'");
		must(moat_tenant_queue_remove(blue, r->port, 0));
		must(moat_tenant_queue_add(r->tenant, r->port, 0));
		must(moat_tenant_destroy(blue));
		rig_close(r);
	}
}

static void a_foreign_packet_is_dropped_where_there_is_no_pool_to_copy_into(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		struct moat_tenant *blue = open_blue(r, mode, true);
		struct moat_tenant_stats stats;
		struct rte_mbuf *m;

		must(moat_tenant_queue_remove(r->tenant, r->port, 0));
		must(moat_tenant_queue_add(blue, r->port, 0));
		must(moat_tenant_lcore_enter(blue));
		rig_refill(r, &m, 1);
		assert_int_equal(rte_eth_tx_burst(r->port, 0, &m, 1), 1);
		assert_int_equal(rig_sent(r, 0), 0);
		moat_tenant_stats(blue, &stats);
		assert_int_equal(stats.overrun, 1);
		must(moat_tenant_lcore_leave(blue));
		must(moat_tenant_queue_remove(blue, r->port, 0));
		must(moat_tenant_destroy(blue));
		must(moat_tenant_queue_add(r->tenant, r->port, 0));
		while (rte_mempool_avail_count(r->pool) != r->buffers)
			moat_tenant_poll(r->tenant);
		rig_close(r);
	}
}

/* ------------------------------------------------------------------------------------- lcores */

static void turn(struct rig *r)
{
	struct rte_mbuf *m[32];

	rig_refill(r, m, 32);
	rte_pktmbuf_free_bulk(m, 32);
	moat_tenant_poll(r->tenant);
}

/* The kernel may give the same thread id to one thread after another. */
#define THREAD_ID 4711

static void *enter_and_end(void *arg)
{
	struct rig *r = arg;

	RTE_PER_LCORE(_thread_id) = THREAD_ID;
	must(rte_thread_register());
	must(moat_tenant_lcore_enter(r->tenant));
	turn(r);
	rte_thread_unregister();
	return NULL;
}

static void *enter_and_leave(void *arg)
{
	struct rig *r = arg;

	RTE_PER_LCORE(_thread_id) = THREAD_ID;
	must(rte_thread_register());
	must(moat_tenant_lcore_enter(r->tenant));
	assert_int_equal(moat_tenant_lcore_enter(r->tenant), -EALREADY);
	turn(r);
	must(moat_tenant_lcore_leave(r->tenant));
	rte_thread_unregister();
	return NULL;
}

static void the_next_thread_of_its_number_takes_the_place_of_one_that_did_not_leave(void **state)
{
	for (enum moat_mode mode = 0; mode < MOAT_MODES; mode++) {
		struct rig *r = open_mode(mode);
		pthread_t thread;

		must(moat_tenant_offline(r->tenant));
		assert_int_equal(pthread_create(&thread, NULL, enter_and_end, r), 0);
		pthread_join(thread, NULL);
		assert_int_equal(pthread_create(&thread, NULL, enter_and_leave, r), 0);
		pthread_join(thread, NULL);
		must(moat_tenant_online(r->tenant));
		while (rte_mempool_avail_count(r->pool) != r->buffers)
			moat_tenant_poll(r->tenant);
		rig_close(r);
	}
}

/* -------------------------------------------------------------------------------------- sizes */

static void a_size_beyond_all_numbers_is_the_largest_number(void **state)
{
	const struct moat_tenant_size sizes[] = {
		{ .mode = MOAT_DEFERRED, .burst = UINT32_MAX },
		{ .mode = MOAT_STRICT, .burst = 1u << 30 },
		{ .mode = MOAT_PIPELINED, .queues = UINT32_MAX },
		{ .mode = MOAT_PIPELINED, .queues = UINT32_MAX, .burst = UINT32_MAX },
		{ .mode = MOAT_STRICT, .lcores = UINT32_MAX, .queues = UINT32_MAX },
		{ .mode = MOAT_DEFERRED, .deferred_pages = UINT32_MAX },
		{ .mode = MOAT_STATIC, .rx_descriptors = UINT32_MAX, .kept = UINT32_MAX },
	};
	const struct moat_tenant_size wide = { .mode = MOAT_DEFERRED, .data_room = UINT32_MAX };

	for (unsigned int i = 0; i < RTE_DIM(sizes); i++)
		assert_int_equal(moat_tenant_pool_size(&sizes[i]), UINT32_MAX);
	assert_in_range(moat_tenant_pool_size(&wide), 1, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_null_is_refused_where_it_is_given),
		cmocka_unit_test(a_node_that_is_not_there_is_refused),
		cmocka_unit_test(a_fault_of_the_hundredth_requester_is_its_tenants),
		cmocka_unit_test(each_unit_has_a_key_of_its_own),
		cmocka_unit_test(pools_may_have_names_that_begin_alike),
		cmocka_unit_test(pools_of_no_tenant_may_have_names_that_differ_in_the_last_letter),
		cmocka_unit_test(a_pool_needs_a_tenant_a_name_and_a_place),
		cmocka_unit_test(a_pool_that_the_program_has_freed_is_left_alone),
		cmocka_unit_test(each_pool_has_buffers_of_its_own_to_copy_into),
		cmocka_unit_test(a_buffer_that_is_freed_into_another_pool_goes_to_its_own),
		cmocka_unit_test(a_clone_from_a_tenants_pool_that_goes_last_loses_no_buffer),
		cmocka_unit_test(a_clone_that_is_freed_behind_its_neighbour_loses_no_buffer),
		cmocka_unit_test(
			a_clone_of_a_packet_whose_flags_were_assigned_is_sent_as_a_reference),
		cmocka_unit_test(a_queue_is_one_tenants),
		cmocka_unit_test(a_foreign_packet_is_dropped_where_there_is_no_pool_to_copy_into),
		cmocka_unit_test(
			the_next_thread_of_its_number_takes_the_place_of_one_that_did_not_leave),
		cmocka_unit_test(a_size_beyond_all_numbers_is_the_largest_number),
	};

	if (rig_eal("test_misuse") < 0)
		return 1;
	return cmocka_run_group_tests(tests, rig_make_port, NULL);
}

/* SPDX-License-Identifier: BSD-3-Clause
 * Copyright (c) 2026 The moat authors
 */

/* Queues of one port with a PASID each, in as many tenants. Each tenant gets its own packets, and
 * an access by one tenant's queue to another tenant's memory is refused by PASID. */

#include <errno.h>

#include <rte_cycles.h>

#include "harness.h"
#include "moat_soft_unit.h"
#include "moat_tenant.h"
#include "moat_tenant_measure.h"

#define SID    MOAT_SID(0, 0x10, 0)
#define QUEUES 4

struct fixture {
	struct wire wire;
	uint16_t port;
	struct moat_unit *unit;
	struct moat_tenant *tenant[QUEUES];
	struct rte_mempool *pool[QUEUES];
	/* a page of each tenant that its device may always read and write */
	struct moat_lane *lane[QUEUES];
	uint64_t iova[QUEUES];
	uint8_t *page[QUEUES];
};

#define SECRET 0xb1

static const enum moat_mode modes[QUEUES] = { MOAT_STRICT, MOAT_PIPELINED, MOAT_STRICT,
	MOAT_STATIC };

static void must_be(int rc)
{
	if (rc != 0)
		fail_msg("%d: %s", rc, moat_error_text());
}

static void queue_up(struct fixture *f, uint16_t q)
{
	int socket = moat_tenant_socket(f->tenant[q]);

	assert_int_equal(rte_eth_rx_queue_setup(f->port, q, 256, socket, NULL, f->pool[q]), 0);
	assert_int_equal(rte_eth_tx_queue_setup(f->port, q, 256, socket, NULL), 0);
	must_be(moat_tenant_queue_add(f->tenant[q], f->port, q));
}

static void page_map(struct fixture *f, uint16_t q)
{
	struct moat_domain *domain = moat_tenant_domain(f->tenant[q]);
	uint64_t hpa;

	assert_int_equal(posix_memalign((void **)&f->page[q], MOAT_PAGE_SIZE, MOAT_PAGE_SIZE), 0);
	memset(f->page[q], SECRET, MOAT_PAGE_SIZE);
	f->iova[q] = (UINT64_C(1) << 40) * (q + 1);
	must_be(f->unit->ops->hpa(f->unit, f->page[q], MOAT_PAGE_SIZE, &hpa));
	f->lane[q] = moat_lane_open(domain);
	assert_non_null(f->lane[q]);
	must_be(moat_lane_map(f->lane[q], f->iova[q], hpa, f->page[q], MOAT_PAGE_SIZE, MOAT_RW));
}

static void page_unmap(struct fixture *f, uint16_t q)
{
	must_be(moat_lane_unmap(f->lane[q], f->iova[q], MOAT_PAGE_SIZE));
	must_be(moat_lane_close(f->lane[q]));
	free(f->page[q]);
}

static bool page_untouched(const struct fixture *f, uint16_t q)
{
	for (unsigned int i = 0; i < MOAT_PAGE_SIZE; i++)
		if (f->page[q][i] != SECRET)
			return false;
	return true;
}

static int set_up_stage(void **state, const char *stage)
{
	struct rte_eth_conf eth = { 0 };
	struct fixture *f = calloc(1, sizeof(*f));
	uint32_t pasid;
	char text[128];

	wire_create(&f->wire, "w", 1, 1024);
	snprintf(text, sizeof(text), "oracle=1,scalable=1,mode=scalable,stage=%s", stage);
	must_be(moat_soft_unit_create("soft0", text, &f->unit));
	f->port = nic_create("net_moat0",
		"port=net_ring_w,unit=soft0,sid=00:10.0,queues=4,requesters=pasid,"
		"steer=100/0,steer=101/1,steer=102/2,steer=103/3");
	assert_int_equal(rte_eth_dev_configure(f->port, QUEUES, QUEUES, &eth), 0);
	for (uint16_t q = 0; q < QUEUES; q++) {
		struct moat_tenant_conf conf = { .mode = modes[q],
			.memory = 8 << 20,
			.iova_base = (UINT64_C(1) << 34) * (q + 1),
			.unit = f->unit };
		char name[8];

		snprintf(name, sizeof(name), "t%u", q);
		conf.name = name;
		must_be(moat_tenant_create(&conf, &f->tenant[q]));
		must_be(moat_net_queue_pasid(f->port, q, &pasid));
		assert_int_equal(pasid, q + 1);
		must_be(moat_tenant_attach_pasid(f->tenant[q], SID, pasid));
		must_be(moat_tenant_pool(f->tenant[q], name, 1024, 2176, &f->pool[q]));
		must_be(moat_tenant_lcore_enter(f->tenant[q]));
		queue_up(f, q);
		page_map(f, q);
	}
	assert_int_equal(rte_eth_dev_start(f->port), 0);
	rte_eth_promiscuous_enable(f->port);
	*state = f;
	return 0;
}

static int set_up_first(void **state)
{
	return set_up_stage(state, "first");
}

static int set_up_second(void **state)
{
	return set_up_stage(state, "second");
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	struct moat_softvtd_stats stats;

	assert_int_equal(rte_eth_dev_stop(f->port), 0);
	for (uint16_t q = 0; q < QUEUES; q++) {
		must_be(moat_tenant_lcore_leave(f->tenant[q]));
		page_unmap(f, q);
	}
	nic_destroy("net_moat0");
	for (uint16_t q = 0; q < QUEUES; q++) {
		moat_tenant_queue_remove(f->tenant[q], f->port, q);
		must_be(moat_tenant_destroy(f->tenant[q]));
	}
	moat_softvtd_stats(moat_soft_unit_find("soft0"), &stats);
	assert_int_equal(stats.stale_dma, 0);
	f->unit->ops->destroy(f->unit);
	wire_drain(&f->wire);
	wire_destroy(&f->wire);
	free(f);
	return 0;
}

/* Put a frame for each queue on the wire. @return how many each queue has received and sent */
static void pass(struct fixture *f, unsigned int frames, unsigned int got[QUEUES])
{
	struct rte_mbuf *m[BURST];
	uint8_t frame[64];

	memset(got, 0, QUEUES * sizeof(got[0]));
	for (unsigned int i = 0; i < frames; i++)
		wire_put(&f->wire, 0, frame,
			frame_make(frame, MAC_A, 100 + (int)(i % QUEUES), sizeof(frame), i));
	for (unsigned int turns = 0; turns < 2000; turns++) {
		for (uint16_t q = 0; q < QUEUES; q++) {
			uint16_t n = rte_eth_rx_burst(f->port, q, m, BURST);

			for (uint16_t i = 0; i < n; i++)
				assert_int_equal(rte_pktmbuf_mtod(m[i], uint8_t *)[15], 100 + q);
			assert_int_equal(rte_eth_tx_burst(f->port, q, m, n), n);
			got[q] += n;
			moat_tenant_poll(f->tenant[q]);
		}
	}
}

/* Put a frame for one queue on the wire. */
static void receive_one(struct fixture *f, uint16_t q)
{
	struct rte_mbuf *m;
	uint8_t frame[64];

	wire_put(&f->wire, 0, frame, frame_make(frame, MAC_A, 100 + q, sizeof(frame), q));
	for (unsigned int turns = 0; turns < 2000; turns++) {
		if (rte_eth_rx_burst(f->port, q, &m, 1) != 0)
			rte_pktmbuf_free(m);
		moat_tenant_poll(f->tenant[q]);
	}
}

static void each_queue_serves_its_tenant(void **state)
{
	struct fixture *f = *state;
	unsigned int got[QUEUES];
	struct moat_fault fault;

	pass(f, 400, got);
	for (unsigned int q = 0; q < QUEUES; q++)
		assert_int_equal(got[q], 100);
	assert_int_equal(wire_drain(&f->wire), 400);
	assert_int_equal(f->unit->ops->faults(f->unit, &fault, 1), 0);
}

/* Assert that there is exactly one fault: of that queue's PASID, at that address, counted for its
 * tenant. */
static void expect_refused(struct fixture *f, uint16_t q, uint64_t iova, bool write)
{
	struct moat_tenant_fault fault[2];

	assert_int_equal(moat_tenant_faults(f->unit, fault, 2), 1);
	assert_int_equal(fault[0].fault.sid, SID);
	assert_int_equal(fault[0].fault.pasid, q + 1u);
	assert_int_equal(fault[0].fault.iova & ~MOAT_PAGE_MASK, iova);
	assert_int_equal(fault[0].fault.write, write);
	assert_ptr_equal(fault[0].tenant, f->tenant[q]);
}

/* Let each queue read and write a page: first its tenant's own, then another tenant's. */
static void a_page_is_its_own_queues_and_refused_to_others_by_pasid(void **state)
{
	struct fixture *f = *state;
	struct moat_tenant_fault fault;
	unsigned int got[QUEUES];

	for (uint16_t q = 0; q < QUEUES; q++) {
		uint16_t other = (q + 1) % QUEUES;

		must_be(moat_net_post_tx(f->port, q, f->iova[other], 256));
		pass(f, 4, got);
		expect_refused(f, q, f->iova[other], false);
		must_be(moat_net_post_rx(f->port, q, f->iova[other]));
		pass(f, 8, got);
		expect_refused(f, q, f->iova[other], true);
		assert_true(page_untouched(f, other));
	}
	wire_drain(&f->wire);
	for (uint16_t q = 0; q < QUEUES; q++) {
		must_be(moat_net_post_rx(f->port, q, f->iova[q]));
		receive_one(f, q);
		assert_int_equal(f->page[q][15], 100 + q); /* it went to the page */
		must_be(moat_net_post_tx(f->port, q, f->iova[q], 64));
		pass(f, 4, got);
		assert_int_equal(wire_drain(&f->wire), 5);
		assert_int_equal(moat_tenant_faults(f->unit, &fault, 1), 0);
	}
}

static void in_legacy_mode_a_pasid_is_refused_in_words(void **state)
{
	struct moat_tenant_conf conf = { .name = "red", .mode = MOAT_STRICT, .memory = 8 << 20 };
	struct moat_tenant *red;

	must_be(moat_soft_unit_create("soft1", NULL, &conf.unit));
	must_be(moat_tenant_create(&conf, &red));
	assert_int_equal(moat_tenant_attach_pasid(red, SID, 1), -EOPNOTSUPP);
	assert_string_equal(moat_error_text(),
		"unit soft1 is in legacy mode, which has no PASIDs; set mode=scalable");
	must_be(moat_tenant_destroy(red));
	conf.unit->ops->destroy(conf.unit);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_queue_serves_its_tenant, set_up_second,
			tear_down),
		cmocka_unit_test_setup_teardown(each_queue_serves_its_tenant, set_up_first,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_page_is_its_own_queues_and_refused_to_others_by_pasid, set_up_second,
			tear_down),
		cmocka_unit_test_setup_teardown(
			a_page_is_its_own_queues_and_refused_to_others_by_pasid, set_up_first,
			tear_down),
		cmocka_unit_test(in_legacy_mode_a_pasid_is_refused_in_words),
	};

	if (start_eal("test_net_pasid") != 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
